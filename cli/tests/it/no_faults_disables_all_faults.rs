//! `--no-faults`: no fault happens on request, and the answer says why.

use crate::support::{Server, run_to_end, scheme};

const PATHS: [&str; 5] = ["/fault", "/fault/", "/fault/reset", "/fault/flaky?rate=1", "/fault/nothing"];

fn expect_off(server: &Server) {
    let mut client = server.connect();
    for path in PATHS {
        for method in ["GET", "POST"] {
            client.send(format!("{method} {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"));
            let response = client.response();
            assert_eq!((response.status, response.header("connection")), (404, None), "{path}");
            let text = response.text();
            assert!(text.contains("--no-faults") && text.lines().count() == 1, "{path}: {text}");
        }
    }
    client.send("GET /faulty HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(
        client.response().text().contains(&format!("\"uri\":\"{}://t/faulty\"", scheme())),
        "not a fault's path: an echo"
    );
}

#[test]
fn by_option_and_by_variable() {
    expect_off(&Server::start(&["--workers", "1", "--no-faults"]));
    expect_off(&Server::start_with(&["--workers", "1"], &[("TINE_NO_FAULTS", "yes")]));
    let server = Server::start_with(&["--workers", "1"], &[("TINE_NO_FAULTS", "no")]);
    assert_eq!(server.get("/fault/flaky?rate=1").status, 503);
}

#[test]
fn a_check_reports_it() {
    for (options, expected) in [(&["check", "0"][..], "off"), (&["check", "0", "--no-faults"], "on")] {
        let text = String::from_utf8(run_to_end(options).stdout).expect("UTF-8");
        assert!(text.lines().any(|line| line.split_whitespace().take(2).eq(["no-faults", expected])), "{text}");
    }
}
