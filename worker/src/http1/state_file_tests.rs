//! Files in responses (`Out::write_file`): they are framed, refused and sent in pieces as other bytes are.

use super::test_client::*;
use crate::app::{Answer, App, AppError, Cx, Out, Pull};
use crate::http::{Head, Request, StatusCode};
use crate::net::file_of;
use crate::protocol::Closing::{Cut, Flushed, Reset};
use crate::protocol::Next::{Close, Wait};
use std::fs::File;
use std::rc::Rc;

/// Answers every request with this head and bytes 2 to 5 of a file of ten digits.
struct Part {
    head: fn() -> Head,
    /// The length to write after the head.
    length: u64,
    file: Rc<File>,
}

impl App for Part {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        let (head, length, file) = (self.head, self.length, self.file.clone());
        pulled(move |out, _| {
            out.head(head())?;
            assert_eq!(out.write_file(&file, 2, length)?, length);
            Ok(Pull::End)
        })
    }
}

fn part(head: fn() -> Head, length: u64, request: &str) -> (crate::protocol::Next, String) {
    let mut client = Client::new(Part { head, length, file: file_of(b"0123456789") });
    let next = client.send(request.as_bytes());
    (next, client.text())
}

fn declared() -> Head {
    Head::new(StatusCode::OK).length(4)
}

fn undeclared() -> Head {
    Head::new(StatusCode::OK)
}

#[test]
fn a_file_is_framed_as_other_bytes_are() {
    let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    let kept = "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n";
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = sized("200 OK", "", "2345");
    assert_eq!(part(declared, 4, &get("/")), (Wait, body.clone()));
    assert_eq!(part(declared, 4, &get("/").repeat(3)), (Wait, body.repeat(3)), "pipelined");
    assert_eq!(part(declared, 4, old), (Close(Flushed), sized("200 OK", CLOSE, "2345")));
    assert_eq!(part(declared, 4, kept), (Wait, sized("200 OK", "Connection: keep-alive\r\n", "2345")));
    assert_eq!(part(declared, 4, head), (Wait, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n".into()));
    assert_eq!(part(undeclared, 4, &get("/")), (Wait, format!("{CHUNKED}4\r\n2345\r\n0\r\n\r\n")));
    assert_eq!(part(undeclared, 0, &get("/")), (Wait, format!("{CHUNKED}0\r\n\r\n")));
    assert_eq!(part(undeclared, 4, old), (Close(Flushed), format!("HTTP/1.1 200 OK\r\n{CLOSE}\r\n2345")));
}

#[test]
fn a_file_that_does_not_fit_is_the_apps_error() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
    assert_eq!(part(declared, 5, &get("/")), (Close(Cut), begun.to_string()), "more than was declared");
    assert_eq!(part(declared, 3, &get("/")), (Close(Cut), format!("{begun}234")), "less than was declared");
    for (offset, length) in [(1, u64::MAX), (u64::MAX, 1), (i64::MAX as u64, 1)] {
        let file = file_of(b"");
        let beyond = move |out: &mut Out<'_>, _: &Cx<'_>| {
            out.head(undeclared())?;
            out.write_file(&file, offset, length).map(|_| Pull::End)
        };
        let old = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
        let mut client = Client::new(Once(Some(beyond)));
        assert_eq!(client.send(old.as_bytes()), Close(Reset), "{offset} {length}");
    }
    let early = |out: &mut Out<'_>, _: &Cx<'_>| out.write_file(&file_of(b"x"), 0, 1).map(|_| Pull::End);
    let mut client = Client::new(Once(Some(early)));
    assert_eq!((client.send(get("/").as_bytes()), client.text()), (Wait, failed("")));
}

/// Answers one request with this pull.
struct Once<F>(Option<F>);

impl<F: FnMut(&mut Out<'_>, &Cx<'_>) -> Result<Pull, AppError> + 'static> App for Once<F> {
    fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
        pulled(self.0.take().expect("one request"))
    }
}

/// However large the file and whatever the client reads: at most one piece above the low watermark is queued.
#[test]
fn a_file_is_queued_a_piece_at_a_time() {
    const LENGTH: usize = 5 << 20;
    let bytes: Vec<u8> = (0..LENGTH as u32).flat_map(|i| [(i >> 8) as u8]).collect();
    let file = file_of(&bytes);
    let mut at = 0;
    let mut client = Client::new(Once(Some(move |out: &mut Out<'_>, _: &Cx<'_>| {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).length(LENGTH as u64))?;
        }
        at += out.write_file(&file, at, LENGTH as u64 - at)?;
        if at < LENGTH as u64 {
            let refused = out.write_file(&file, at, 1);
            assert!(refused.is_err_and(|error| error.to_string().contains("without room")));
        }
        Ok(if at == LENGTH as u64 { Pull::End } else { Pull::More })
    })));
    client.takes_bytes = 0;
    client.send(get("/").as_bytes());
    client.takes_bytes = 300_000;
    while client.taken.len() < LENGTH {
        client.step();
        assert!(client.output.len() <= (1 << 20) + (16 << 10), "{} bytes wait", client.output.len());
    }
    while !client.output.is_empty() {
        client.step();
    }
    assert!(client.taken.ends_with(&bytes));
}
