//! A file error is one line in the log with the request's method and path and the file's path.

use crate::support::site::Site;
use crate::support::{Client, Server};
use std::fs::File;

#[test]
fn a_file_that_is_cut_while_it_is_sent() {
    let site = Site::of(&[]);
    site.write_sparse("x", 64);
    let server = site.serve(&[]);
    let mut client: Client = server.connect_narrow();
    client.send("GET /x?token HTTP/1.1\r\nHost: t\r\n\r\nGET /other HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client.read_exact(&mut vec![0; 8 << 20]).expect("the first bytes");
    File::options().write(true).open(site.path("x")).and_then(|file| file.set_len(0)).expect("it can be cut");
    // A reset ends it as well.
    client.read_to_end();
    let line = server.wait_log("before the length that it had");
    let path = site.path("x");
    assert!(line.contains(" GET /x?token: the response is cut: "), "{line}");
    assert!(line.contains(&format!(": {} ended at byte ", path.display())), "{line}");
}

/// The kernel announces a page for each file in /sys, and delivers less.
#[test]
fn a_file_that_has_less_than_it_announces() {
    let server = Server::start(&["--static", "/sys/devices/system/cpu", "--workers", "1"]);
    let long = "a".repeat(1000);
    for (target, named) in [
        ("/online", "GET /online: ".to_string()),
        (&format!("/online?{long}"), format!("GET /online?{}...: ", &long[..100])),
    ] {
        assert_eq!(server.get(target).status, 500, "{target}");
        let line = server.wait_log(&named);
        assert!(line.contains("/sys/devices/system/cpu/online was truncated while it was read"), "{line}");
    }
}
