//! Whatever a client does a thousand times, the log gets a bounded number of lines for it, and then one line with the
//! number of lines that were suppressed; other lines are logged as usual.

use crate::support::lua::serve;
use crate::support::site::Site;
use crate::support::{Server, eventually};

const REQUESTS: usize = 3000;
/// What one place in the code may log at once, plus a margin.
const LINES_MAX: usize = 120;

fn count(server: &Server, text: &str) -> usize {
    server.log().lines().filter(|line| line.contains(text) && !line.contains("] suppressed ")).count()
}

/// How many lines were suppressed, according to the log.
fn suppressed(server: &Server) -> usize {
    let log = server.log();
    let said = log.lines().filter(|line| line.contains("] suppressed "));
    let number = |line: &str| line.split("] suppressed ").nth(1)?.split(' ').next()?.parse::<usize>().ok();
    said.filter_map(number).sum()
}

#[test]
fn by_an_error_of_the_app() {
    let server = serve(r#"return function(environ) error("oops") end"#, &[]);
    let mut client = server.connect();
    for _ in 0..REQUESTS / 100 {
        client.send("GET /a?secret HTTP/1.1\r\nHost: t\r\n\r\n".repeat(100));
        for _ in 0..100 {
            assert_eq!(client.response().status, 500);
        }
    }
    eventually("all are logged or counted as suppressed", || {
        (count(&server, "oops") + suppressed(&server) == REQUESTS).then_some(())
    });
    let said = count(&server, "oops");
    assert!((10..LINES_MAX).contains(&said), "{said} lines");
}

/// A file that has become shorter than its announced length.
#[test]
fn by_a_file_that_cannot_be_read() {
    let site = Site::of(&[]);
    // Its length is announced, and there is nothing to read.
    let server = site.serve(&[]);
    let file = std::fs::File::create(site.path("x")).expect("a file");
    let mut cut = 0;
    while cut < 200 {
        file.set_len(1 << 20).expect("a length");
        let mut client = server.connect_narrow();
        client.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
        client.head();
        file.set_len(0).expect("a length");
        cut += usize::from(client.rest().is_ok_and(|rest| rest.len() < 1 << 20));
    }
    let text = "before the length that it had";
    eventually("all are logged or counted as suppressed", || {
        (count(&server, text) + suppressed(&server) >= cut).then_some(())
    });
    let said = count(&server, text);
    assert!((10..LINES_MAX).contains(&said), "{said} lines");
}
