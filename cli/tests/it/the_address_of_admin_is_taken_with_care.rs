//! `--admin` is for this machine unless an address is written out, and then there is a warning; a Unix socket is for this user
//! only, and its file goes with the server. What cannot work is refused at the start.

use crate::support::admin::admin_of;
use crate::support::{Client, Server, eventually, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

#[test]
fn a_port_alone_is_for_this_machine() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    assert!(admin_of(&server).ip().is_loopback());
    assert!(!server.log().contains("no authentication"));
    let server = Server::start(&["--workers", "1", "--admin", "*:0"]);
    assert!(admin_of(&server).ip().is_unspecified());
    server.wait_log("--admin 0.0.0.0:0 has no authentication");
}

#[test]
fn an_address_that_cannot_work_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its address").port().to_string();
    for (options, status, says) in [
        (&["--admin", &port][..], 1, "--admin: cannot listen on 127.0.0.1"),
        (&["--admin", ":9145"], 2, "give 9145 for this machine only, or *:9145"),
        (&["--admin", "nine"], 2, "is not an address"),
        (&["--listen", "*:9145", "--admin", "9145"], 2, "--admin 127.0.0.1:9145"),
    ] {
        let output = run_to_end(&[&["run", "0", "--control", "none", "--workers", "1"], options].concat());
        assert_eq!(output.status.code(), Some(status), "{options:?}");
        let line = one_line_of(&output);
        assert!(line.contains(says), "{options:?}: {line}");
    }
}

#[test]
fn a_unix_socket_is_for_this_user_only_and_goes_with_the_server() {
    let path = scratch_folder().join("admin");
    let mut server = Server::start(&["--workers", "1", "--admin", &format!("unix:{}", path.display())]);
    let mode = path.metadata().expect("the socket").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    let mut client = eventually("it answers", || Client::try_connect_unix(&path).ok());
    client.send("GET /readyz HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.response().text().ends_with("1 of 1 workers respond\n"));
    assert!(server.stop(Signal::SIGTERM).success());
    assert!(!path.exists());
}

#[test]
fn without_a_master_there_is_no_admin() {
    let server = Server::start(&["--workers", "0", "--admin", "0"]);
    server.wait_log("--admin has no effect with --workers 0");
    assert!(!server.log().contains("status page and metrics"));
}
