//! Many requests on one connection of HTTP/2: all are answered, each counts by itself.

use crate::support::http2::{DATA, Frame, HEADERS, Http2, block, handshake, request, setting};
use crate::support::websocket::{Frame as Message, TEXT};
use crate::support::{Server, within_patience};

/// The line of h2load's report with the outcomes of all requests.
#[track_caller]
fn h2load(arguments: &[&str]) -> String {
    let output = within_patience("h2load").args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("h2load cannot be run ({e}); scripts/test installs it"));
    let report = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = report.lines().find(|line| line.starts_with("requests: "));
    line.unwrap_or_else(|| panic!("{report}")).to_string()
}

fn all_of(count: u32) -> String {
    format!("requests: {count} total, {count} started, {count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout")
}

#[test]
fn all_are_answered_whatever_they_are() {
    let server = Server::start(&["--workers", "1"]);
    let body = server.folder().join("body");
    std::fs::write(&body, vec![b'x'; 100_000]).expect("a file");
    let body = body.to_str().expect("UTF-8");
    for (path, more) in [
        ("/health", &[][..]),
        ("/bin/100K", &[]),
        ("/bin/30K?chunked=1", &[]),
        ("/random/5K", &[]),
        ("/delay/20", &[]),
        ("/upload", &["-d", body]),
        // Windows of a kilobyte.
        ("/bin/20K", &["-w", "10", "-W", "10"]),
    ] {
        let url = server.url(path);
        let arguments = [&["-n", "300", "-c", "3", "-m", "50"], more, &[&url]].concat();
        assert_eq!(h2load(&arguments), all_of(300), "{path}");
    }
}

#[test]
fn each_is_limited_by_itself() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "2", "--limit-wait", "20s"]);
    assert_eq!(h2load(&["-n", "40", "-c", "1", "-m", "20", &server.url("/delay/5")]), all_of(40));
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "1", "--limit-wait", "0s"]);
    let line = h2load(&["-n", "10", "-c", "1", "-m", "10", &server.url("/delay/2000")]);
    assert!(line.contains(" 1 succeeded, 9 failed"), "{line}");
}

/// Bodies that the client does not read, more than may wait: others begin, and go on, all the same.
#[test]
fn responses_that_are_not_read_delay_no_other() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 0)]);
    let ask = |stream, path| Frame::headers(stream, true, block(&request("GET", path)));
    // The origin answers a request to / by what it has sent.
    let long = "x".repeat(8000);
    let long = block(&[&request("GET", "/")[..], &[("x-long", &long)]].concat());
    http2.send(&(0..50).map(|at| Frame::headers(2 * at + 1, true, &*long)).collect::<Vec<_>>());
    http2.send(&(50..100).map(|at| ask(2 * at + 1, "/bin/1M")).collect::<Vec<_>>());
    for _ in 0..100 {
        let head = http2.frame_of(HEADERS);
        assert_eq!(http2.fields(&head.payload)[0], (":status".into(), "200".into()));
    }
    http2.send(&[ask(201, "/chunked/100"), Frame::window_update(201, 10_000)]);
    assert_eq!(http2.answer(201).status, 200);
    let message = Message::new(true, 0, TEXT, "hello").masked([1, 2, 3, 4]);
    let open = [Frame::headers(203, false, block(&handshake("/ws"))), Frame::window_update(203, 1000)];
    http2.send(&[&open[..], &[Frame::data(203, false, message)]].concat());
    let echo = http2.frame_of(DATA);
    assert_eq!((echo.stream, &echo.payload[2..]), (203, &b"hello"[..]));
    // Any of them goes on once its client does.
    http2.send(&[Frame::window_update(199, 1000)]);
    let answer = http2.answer(199);
    assert_eq!(answer.body.len(), 1 << 20);
}
