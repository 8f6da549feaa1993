//! HTTP/2 in cleartext: a client that knows of it begins with its preface, on the same listeners as HTTP/1, and gets the same.

use crate::support::access_log::Logged;
use crate::support::curl::curl;
use crate::support::{Server, eventually};
use nix::sys::signal::Signal;
use std::process::{Command, Stdio};

const HTTP2: &str = "--http2-prior-knowledge";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// SETTINGS without a setting.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

#[test]
fn the_first_bytes_decide_wherever_they_are_split() {
    let server = Server::start(&["--workers", "1"]);
    for at in 0..PREFACE.len() {
        let mut client = server.connect();
        client.send(&PREFACE[..at]);
        // A turn of its own.
        assert_eq!(server.get("/health").status, 200);
        client.send([&PREFACE[at..], SETTINGS].concat());
        let answer = client.take(9).expect("a frame");
        assert_eq!((answer[3], &answer[5..9]), (4, &[0; 4][..]), "SETTINGS come first: {answer:?}");
    }
}

#[test]
fn it_can_be_switched_off() {
    let server = Server::start(&["--workers", "1", "--http2", "off"]);
    let refused = curl(&[HTTP2, &server.url("/health")]);
    assert_ne!(refused.status, 0);
    let mut client = server.connect();
    client.send(PREFACE);
    let said = client.rest().expect("an answer and a close");
    assert!(said.starts_with(b"HTTP/1.1 505 "), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn uploads_and_expectations() {
    let server = Server::start(&["--workers", "1"]);
    let body = server.folder().join("body");
    std::fs::write(&body, vec![b'x'; 3_000_000]).expect("a file");
    let data = format!("@{}", body.display());
    for more in [&[][..], &["-H", "Expect: 100-continue"], &["-H", "Content-Length:"]] {
        let said = curl(&[&[HTTP2, "--data-binary", &data], more, &[&server.url("/upload")]].concat()).text();
        assert!(said.contains("\"bytes_received\":3000000"), "{more:?}: {said:.200}");
        let status = ["-o", "/dev/null", "-w", "%{http_code}"];
        let url = server.url("/status/204");
        let said = curl(&[&[HTTP2, "--data-binary", &data], more, &status[..], &[&url]].concat()).text();
        assert_eq!(said, "204", "{more:?}: the body is not needed");
    }
}

#[test]
fn logs_and_metrics_tell_it_apart() {
    let logged = Logged::start(&["--access-log-format", "common"]);
    let said = curl(&[HTTP2, "-D", "-", "-o", "/dev/null", &logged.server.url("/bin/1K")]).text();
    assert!(said.starts_with("HTTP/2 200"), "{said}");
    let line = &logged.lines(1)[0];
    // The bytes after the head: one frame.
    assert!(line.ends_with("\"GET /bin/1K HTTP/2.0\" 200 1033"), "{line}");
}

#[test]
fn a_static_file_is_sent_by_the_kernel() {
    let folder = crate::support::scratch_folder();
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    std::fs::write(folder.join("big.bin"), &bytes).expect("a file");
    let server = Server::start(&["--workers", "1", "--static", folder.to_str().expect("UTF-8")]);
    let url = server.url("/big.bin");
    assert_eq!(curl(&[HTTP2, &url]).body(), bytes);
    assert_eq!(curl(&[HTTP2, "-r", "1000-20999", &url]).body(), &bytes[1000..21_000]);
}

#[test]
fn a_request_in_flight_is_answered_in_a_drain() {
    let mut server = Server::start(&["--workers", "1"]);
    let slow =
        Command::new("curl").args(["-q", "-sS", HTTP2, &server.url("/delay/1000")]).stdout(Stdio::piped()).spawn();
    let slow = slow.expect("curl runs");
    eventually("the request is in flight", || (server.in_flight() == 1).then_some(()));
    let status = server.stop(Signal::SIGTERM);
    let output = slow.wait_with_output().expect("curl ends");
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    assert_eq!(status.code(), Some(0), "{}", server.log());
    assert!(server.log().contains("1 request answered in all"), "{}", server.log());
}
