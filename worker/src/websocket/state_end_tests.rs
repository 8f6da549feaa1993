//! Peers that take messages when they want to, and that have something left to do after the end.

use super::test_client::{BINARY, CLOSE, Client, PING, PONG, SECOND, TEXT, closed, frame, said};
use crate::app::{AppError, Cx, Message, MessageOut, Peer, Pull};
use crate::protocol::Closing::{Flushed, Lingering};
use crate::protocol::Next::{Close, Wait};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Instant;

/// What the test sets and sees.
#[derive(Default)]
struct Desk {
    wants: Cell<bool>,
    /// After the end it has something left to do until this is set.
    lingers: Cell<bool>,
    heard: RefCell<Vec<String>>,
    /// When it is to be pulled after the end.
    at: Cell<Option<Instant>>,
}

impl Desk {
    #[track_caller]
    fn expect(&self, heard: &[&str]) {
        assert_eq!(self.heard.take(), heard);
    }
}

struct Clerk(Rc<Desk>);

impl Peer for Clerk {
    fn message(&mut self, message: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        self.0.heard.borrow_mut().push(String::from_utf8_lossy(message.as_bytes()).into_owned());
        Ok(())
    }

    fn wants_message(&self) -> bool {
        self.0.wants.get()
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !self.0.heard.borrow().iter().any(|heard| heard.starts_with("closed")) {
            return Ok(Pull::Idle);
        }
        assert!(out.send(Message::text("too late")).is_err());
        match (self.0.lingers.get(), self.0.at.get()) {
            (false, _) => Ok(Pull::End),
            (true, Some(at)) => Ok(Pull::NotBefore(at)),
            (true, None) => Ok(Pull::Wait),
        }
    }

    fn closed(&mut self, code: u16, reason: &str) -> bool {
        self.0.heard.borrow_mut().push(format!("closed {code} {reason}"));
        self.0.lingers.get()
    }
}

fn client() -> (Client, Rc<Desk>) {
    let desk = Rc::new(Desk::default());
    (Client::new(Clerk(Rc::clone(&desk))), desk)
}

#[test]
fn one_message_is_read_ahead_of_a_peer_that_wants_none() {
    let (mut client, desk) = client();
    assert_eq!(client.send(&frame(PING, b"1")), Wait);
    assert_eq!(std::mem::take(&mut client.got), said(PONG, b"1"), "before a message");
    let rest = [frame(TEXT, b"b"), frame(PING, b"2"), frame(BINARY, b"c")].concat();
    assert_eq!(client.send(&[frame(TEXT, b"a"), rest].concat()), Wait);
    desk.expect(&[]);
    assert!(client.got.is_empty(), "the second ping is after a message that is not read");
    // No time passes for a client from which nothing is read.
    let hour = 3600 * SECOND;
    assert_eq!((client.later(hour), client.later(hour)), (Wait, Wait));
    assert!(client.got.is_empty(), "{:?}", client.got);
    desk.wants.set(true);
    client.websocket.wake();
    assert_eq!(client.run(), Wait);
    desk.expect(&["a", "b", "c"]);
    assert_eq!(client.got, said(PONG, b"2"));
}

#[test]
fn a_client_that_has_left_is_not_kept_for_a_message_that_the_peer_does_not_want() {
    let (mut client, desk) = client();
    client.send(&frame(TEXT, b"a"));
    client.input_ended = true;
    assert_eq!(client.run(), Wait);
    let idle = client.limits.ws_idle_timeout;
    client.later(idle);
    desk.expect(&["closed 1001 Idle timeout"]);
}

#[test]
fn the_peer_learns_the_code_once() {
    for (input, code, next) in [
        (frame(CLOSE, &[&4321u16.to_be_bytes()[..], b"enough"].concat()), "closed 4321 enough", Close(Lingering)),
        (frame(CLOSE, b""), "closed 1005 ", Close(Lingering)),
        (frame(0x83, b""), "closed 1002 protocol error", Close(Lingering)),
    ] {
        let (mut client, desk) = client();
        assert_eq!(client.send(&input), next, "{code}");
        desk.expect(&[code]);
    }
    let (mut client, desk) = client();
    client.input_ended = true;
    assert_eq!(client.run(), Close(Flushed));
    desk.expect(&["closed 1006 "]);
}

#[test]
fn the_connection_is_kept_for_a_peer_that_finishes() {
    let (mut client, desk) = client();
    desk.lingers.set(true);
    assert_eq!(client.send(&frame(CLOSE, &1000u16.to_be_bytes())), Wait);
    desk.expect(&["closed 1000 "]);
    assert_eq!(client.got, closed(1000, ""), "the client has its answer");
    desk.heard.borrow_mut().push("closed".to_string());
    assert_eq!(client.deadline(), Some(5 * SECOND));
    // It waits for a time, and then it is done.
    desk.at.set(Some(client.now + SECOND));
    client.websocket.wake();
    assert_eq!(client.run(), Wait);
    assert_eq!(client.deadline(), Some(SECOND));
    desk.lingers.set(false);
    assert_eq!(client.later(SECOND), Close(Lingering));
}

#[test]
fn a_peer_that_does_not_finish_is_given_up() {
    let (mut client, desk) = client();
    desk.lingers.set(true);
    client.idle_end = None;
    assert_eq!(client.send(&frame(0x83, b"")), Wait);
    desk.expect(&["closed 1002 protocol error"]);
    desk.heard.borrow_mut().push("closed".to_string());
    assert_eq!(client.later(4 * SECOND), Wait);
    assert_eq!(client.later(SECOND), Close(Lingering));
}
