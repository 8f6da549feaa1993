//! Pings, timeouts and drains; and clients that do not read.

use super::test_client::{BINARY, CLOSE, Client, Echo, PING, PONG, SECOND, TEXT, closed, frame, said};
use crate::protocol::Closing::{Lingering, Reset};
use crate::protocol::Next::{Again, Close, Wait};
use std::time::Duration;

#[test]
fn a_client_that_does_not_read_is_not_read_from() {
    let mut client = Client::new(Echo);
    client.reads = false;
    let message = frame(BINARY, &[7; 9000]);
    client.send(&message.repeat(20));
    // Two fill it above the low watermark of 16 KiB.
    assert_eq!(client.output.len(), 2 * said(BINARY, &[7; 9000]).len());
    assert!(client.input.len() >= 17 * message.len());
    assert_eq!(client.deadline(), None, "only the write timeout runs");
    assert_eq!(client.later(1000 * SECOND), Again, "its silence does not count meanwhile");
    client.reads = true;
    assert_eq!(client.run(), Wait);
    assert_eq!(client.got, said(BINARY, &[7; 9000]).repeat(20));
}

#[test]
fn silent_clients_are_pinged_and_then_closed() {
    let mut client = Client::new(Echo);
    assert_eq!((client.run(), client.deadline()), (Wait, Some(30 * SECOND)));
    assert_eq!((client.later(30 * SECOND), client.deadline()), (Wait, Some(60 * SECOND)));
    assert_eq!(client.got, said(PING, b""));
    client.send(&frame(PONG, b""));
    assert_eq!(client.deadline(), Some(30 * SECOND), "it has sent bytes");
    client.later(30 * SECOND);
    client.later(60 * SECOND);
    assert_eq!(client.got, [said(PING, b""), said(PING, b""), closed(1001, "Idle timeout")].concat());
    assert_eq!(client.deadline(), Some(2 * SECOND));
    assert_eq!(client.later(2 * SECOND), Close(Lingering));
}

/// Each byte resets the idle timeout, but the message never ends.
#[test]
fn a_message_that_trickles_ends_with_1008() {
    let dribble = |seconds: u64, client: &mut Client| {
        for _ in 0..seconds / 25 {
            client.later(25 * SECOND);
            client.send(&frame(0x00, b"x"));
            client.got.clear(); // the pings
        }
    };
    let mut client = Client::new(Echo);
    client.send(&frame(0x01, b"half"));
    dribble(275, &mut client);
    assert_eq!(client.deadline(), Some(25 * SECOND));
    client.send(&[frame(0x80, b""), frame(0x01, b"half")].concat());
    assert_eq!(client.got, said(TEXT, &[&b"half"[..], &[b'x'; 11]].concat()), "it was complete in time");
    client.got.clear();
    dribble(275, &mut client);
    client.later(25 * SECOND);
    assert_eq!(client.got, closed(1008, "message took too long"), "a later message, with its own timeout");
    let mut client = Client::new(Echo);
    client.limits.ws_message_timeout = Duration::ZERO;
    client.send(&frame(0x01, b"half"));
    dribble(1000, &mut client);
    assert_eq!(client.deadline(), Some(30 * SECOND), "only the ping is due");
}

#[test]
fn without_a_ping_interval_there_are_no_pings() {
    let mut client = Client::new(Echo);
    client.limits.ws_ping_interval = Duration::ZERO;
    client.run();
    assert_eq!((client.deadline(), client.later(89 * SECOND), client.got.len()), (Some(90 * SECOND), Wait, 0));
}

#[test]
fn when_the_server_stops_all_clients_get_1001() {
    for busy in [false, true] {
        let mut client = Client::new(Echo);
        client.send(&if busy { frame(0x01, b"half") } else { vec![] });
        client.drain(SECOND / 2);
        assert_eq!(client.deadline(), Some(SECOND / 2));
        assert_eq!((client.later(SECOND / 2), &client.got), (Wait, &closed(1001, "Server shutting down")));
        assert_eq!(client.later(SECOND), Wait);
        assert_eq!(client.send(&frame(CLOSE, &1001u16.to_be_bytes())), Close(Lingering));
    }
}

/// A pong that is due when our close is comes before it.
#[test]
fn nothing_follows_our_close() {
    for pings in 0..1030 {
        let mut client = Client::new(Echo);
        client.input.feed(&frame(PING, b"").repeat(pings));
        client.drain(SECOND / 2);
        client.now += SECOND / 2;
        client.run();
        let close = closed(1001, "Server shutting down");
        assert!(client.got.ends_with(&close), "after {pings} pings: {:?}", &client.got[client.got.len() - 40..]);
    }
}

/// A client that sends small frames faster than they are read: the input is never empty.
#[test]
fn a_client_that_never_stops_sending_delays_nothing() {
    let mut client = Client::new(Echo);
    let flood = frame(PONG, b"").repeat(50_000);
    client.input.feed(&flood);
    client.drain(SECOND / 2);
    client.now += SECOND / 2;
    client.step();
    assert_eq!(client.got, closed(1001, "Server shutting down"));
    client.input.feed(&flood);
    client.now += SECOND;
    assert_eq!(client.step(), Wait);
    assert!(client.input.is_empty(), "all input after our close is dropped");
    client.input.feed(&flood);
    client.now += SECOND;
    assert_eq!((client.step(), client.output.len()), (Close(Lingering), 0));
}

#[test]
fn a_client_that_does_not_read_has_1001_after_what_is_queued() {
    let mut client = Client::new(Echo);
    client.reads = false;
    let message = frame(BINARY, &[7; 9000]);
    client.send(&message.repeat(20));
    client.drain(SECOND / 2);
    assert_eq!(client.deadline(), Some(SECOND / 2));
    assert_eq!((client.later(SECOND / 2), client.websocket.is_closing()), (Wait, true));
    assert!(client.input.is_empty(), "a client that is blocked in sending gets to read");
    let echoes = said(BINARY, &[7; 9000]).repeat(2);
    assert_eq!(client.output.contents(), [&echoes[..], &closed(1001, "Server shutting down")].concat());

    // It has five seconds from each byte that it reads.
    assert_eq!(client.deadline(), Some(5 * SECOND));
    client.later(4 * SECOND);
    let rest = client.output.contents().split_off(1000);
    client.output.clear();
    client.output.append(&rest);
    assert_eq!((client.later(SECOND / 2), client.deadline()), (Wait, Some(5 * SECOND)));
    assert_eq!((client.later(4 * SECOND), client.deadline()), (Wait, Some(SECOND)));
    assert_eq!(client.later(SECOND), Close(Reset));
}

#[test]
fn a_close_after_queued_output_has_the_write_timeout_without_a_drain() {
    let mut client = Client::new(Echo);
    client.reads = false;
    client.send(&[frame(BINARY, &[7; 9000]), frame(BINARY, b"bye")].concat());
    assert_eq!((client.websocket.is_closing(), client.deadline()), (true, None));
    assert_eq!(client.later(30 * SECOND), Wait);
    client.reads = true;
    client.run();
    assert_eq!(client.got, [said(BINARY, &[7; 9000]), closed(4000, "bye")].concat());
    assert_eq!(client.send(&frame(CLOSE, &4000u16.to_be_bytes())), Close(Lingering));
}
