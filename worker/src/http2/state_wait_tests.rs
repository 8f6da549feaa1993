//! What a connection waits for, for how long, and how it ends.

use super::frame::{PREFACE, flag, kind};
use super::state_flow_tests::{Bytes, SECOND};
use super::test_client::*;
use crate::http1::test_client::Paths;
use crate::protocol::{Closing, Next};
use crate::turn_clock::TurnClock;

const LINGERING: Next = Next::Close(Closing::Lingering);

#[test]
fn waits_end() {
    let mut idle = Client::new(Paths);
    assert_eq!(idle.later(idle.limits.idle_timeout - SECOND), Next::Wait);
    assert_eq!(idle.later(SECOND), LINGERING);
    assert_eq!(idle.told(), "GOAWAY 0 0\n");
    // A part of a frame.
    let mut slow = Client::new(Paths);
    slow.send(&get(1, "/text")[..20]);
    assert_eq!(slow.later(slow.limits.header_timeout), LINGERING);
    // Half a header block, kept up by empty frames.
    let mut slow = Client::new(Paths);
    slow.send(&frame(1, 0, 1, &block(&[(":method", "GET")])));
    slow.later(slow.limits.header_timeout / 2);
    slow.send(&frame(9, 0, 1, b""));
    assert_eq!(slow.later(slow.limits.header_timeout / 2), LINGERING);
    // SETTINGS that are not acknowledged.
    let mut rude = Client::silent(Paths);
    rude.send(&[&PREFACE[..], &settings(&[])].concat());
    assert_eq!(rude.later(rude.limits.header_timeout), LINGERING);
    assert!(rude.told().ends_with("GOAWAY 0 4\n"));
    // A body that stops.
    let mut late = Client::new(Paths);
    late.send(&request(1, false, "POST", "/echo", &[]));
    assert_eq!(late.later(late.limits.body_timeout), Next::Wait);
    let told = late.told();
    assert!(told.starts_with("HEADERS 1 :status=408") && told.ends_with("RST_STREAM 1 0\n"), "{told}");
}

#[test]
fn a_window_that_is_opened_byte_by_byte_does_not_keep_a_response_alive() {
    let mut client = Client::new(Bytes::default());
    client.send(&[settings(&[(4, 0)]), get(1, "/100000")].concat());
    let half = client.limits.write_timeout / 2;
    for _ in 0..3 {
        client.send(&window(1, 1));
        client.later(half);
    }
    let told = client.told();
    assert!(told.ends_with("RST_STREAM 1 8\n"), "{told}");
}

#[test]
fn a_drain_tells_the_client_what_is_served() {
    let mut idle = Client::new(Paths);
    assert_eq!(idle.drain(SECOND), LINGERING);
    assert_eq!(idle.told(), "GOAWAY 0 0\n");
    let mut busy = Client::new(Paths);
    busy.send(&request(1, false, "POST", "/echo", &[]));
    busy.drain(SECOND);
    assert_eq!(busy.told(), "GOAWAY 2147483647 0\n");
    // What was on its way is served.
    busy.send(&get(3, "/text"));
    assert!(busy.told().contains("HEADERS 3 :status=200"));
    busy.later(SECOND);
    assert_eq!(busy.told(), "GOAWAY 3 0\n");
    busy.send(&get(5, "/text"));
    assert_eq!(busy.told(), "");
    assert_eq!(busy.send(&data(1, b"ab", true)), LINGERING);
    assert_eq!(busy.told(), "HEADERS 1 :status=200 content-length=2\nDATA 1 end ab\n");
}

/// A frame that is not answered.
fn unanswered() -> Vec<u8> {
    frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 1])
}

/// A frame that has begun may be a request, so that it is waited for; frames one after the other are not.
#[test]
fn parts_of_frames_do_not_keep_an_idle_connection() {
    let begun = || {
        let mut client = Client::new(Paths);
        client.later(client.limits.idle_timeout - SECOND);
        client.send(&unanswered()[..1]);
        assert_eq!(client.later(SECOND), Next::Wait);
        client
    };
    let mut silent = begun();
    assert_eq!(silent.later(silent.limits.header_timeout - SECOND), LINGERING);
    assert_eq!(silent.told(), "GOAWAY 0 1\n");
    let mut busy = begun();
    assert_eq!(busy.send(&[&unanswered()[1..], &unanswered()[..1]].concat()), LINGERING);
    assert_eq!(busy.told(), "GOAWAY 0 0\n");
    let mut late = begun();
    late.send(&[&unanswered()[1..], &get(1, "/text")].concat());
    assert!(late.told().contains("HEADERS 1 :status=200"));
}

#[test]
fn a_part_of_a_frame_does_not_keep_a_connection_that_makes_room() {
    let mut client = Client::new(Paths);
    client.send(&unanswered()[..1]);
    client.http2.end_at_next_wait();
    assert_eq!(client.run(), LINGERING);
    assert_eq!(client.told(), "GOAWAY 0 0\n");
}

#[test]
fn all_requests_before_the_clients_end_are_answered() {
    // As many as a turn begins, and more than it has time for.
    for (count, clock) in [(300, None), (3, Some(TurnClock::always_up()))] {
        let mut client = Client::new(Paths);
        client.clock = clock;
        client.ended = true;
        let requests: Vec<u8> = (0..count).flat_map(|at| get(2 * at + 1, "/text")).collect();
        assert_eq!(client.send(&requests), Next::Close(Closing::Flushed));
        assert_eq!(client.told().matches("HEADERS").count(), count as usize);
    }
}

#[test]
fn the_end_is_told_after_settings() {
    let told = |goaway| format!("SETTINGS\nWINDOW_UPDATE 0 983041\n{goaway}\n");
    let mut slow = Client::silent(Paths);
    slow.send(&PREFACE[..18]);
    assert_eq!(slow.later(slow.limits.header_timeout), LINGERING);
    assert_eq!(slow.told(), told("GOAWAY 0 1"));
    let mut drained = Client::silent(Paths);
    assert_eq!(drained.drain(SECOND), LINGERING);
    assert_eq!(drained.told(), told("GOAWAY 0 0"));
}

/// RFC 9113, 6.8: the client has sent elsewhere what is above the first.
#[test]
fn the_last_goaway_serves_no_more_than_the_one_before() {
    let mut client = Client::new(Paths);
    client.send(&request(1, false, "POST", "/echo", &[]));
    client.drain(SECOND);
    client.later(SECOND);
    client.send(&get(3, "/text"));
    assert_eq!(client.told(), "GOAWAY 2147483647 0\nGOAWAY 1 0\n");
    client.send(&frame(kind::PING, flag::ACK, 1, b"12345678"));
    assert_eq!(client.told(), "GOAWAY 1 1\n");
}

/// What of a body waits is counted, and not the frames that it is sent in.
#[test]
fn a_window_that_is_opened_by_a_little_does_not_keep_a_response_alive() {
    let after = |updates| {
        let mut client = Client::new(Bytes::default());
        client.send(&[settings(&[(4, 0)]), get(1, "/100000")].concat());
        client.later(client.limits.write_timeout / 2);
        for _ in 0..updates {
            client.send(&window(1, 16));
        }
        client.told();
        client.later(client.limits.write_timeout / 2);
        client.told()
    };
    assert_eq!((after(63), after(64)), ("RST_STREAM 1 8\n".to_string(), String::new()));
}

#[test]
fn an_exchange_that_uses_all_of_the_time_lets_others_have_theirs() {
    let mut client = Client::new(Bytes::default());
    client.send_only(&[get(1, "/busy"), get(3, "/later"), get(5, "/later")].concat());
    for _ in 0..12 {
        client.clock = Some(TurnClock::always_up());
        client.step();
    }
    let told = client.told();
    assert!(told.contains("HEADERS 3 end") && told.contains("HEADERS 5 end"), "{told}");
}

#[test]
fn whole_responses_are_bounded_while_the_client_reads_nothing() {
    const COUNT: u32 = 30;
    let app = Bytes::default();
    let mut client = Client::new(app.clone());
    client.takes_bytes = 0;
    client.send(&[settings(&[(4, i32::MAX as u32)]), window(0, i32::MAX as u32 - 65_535)].concat());
    let requests: Vec<u8> = (0..COUNT).flat_map(|at| get(2 * at + 1, "/ready")).collect();
    client.send(&requests);
    assert!((8 << 20..=10 << 20).contains(&app.written.get()), "{} bytes", app.written.get());
    client.takes_bytes = usize::MAX;
    client.run();
    assert_eq!(app.written.get(), (COUNT as usize) << 20);
    assert_eq!(client.told().matches(" end of ").count(), COUNT as usize);
}

/// The window is withheld for streams that end without a frame of the client.
#[test]
fn the_connections_window_opens_when_streams_time_out() {
    let mut client = Client::new(Bytes::default());
    client.send(&settings(&[(4, 0)]));
    for id in [1, 3, 5, 7] {
        client.send(&request(id, false, "POST", "/stuck", &[]));
        client.send(&data(id, &[b'x'; 16_384], false).repeat(16));
    }
    client.later(client.limits.write_timeout / 2);
    client.told();
    client.later(client.limits.write_timeout / 2);
    let told = client.told();
    assert!(told.contains("RST_STREAM 7 8\n") && told.ends_with("WINDOW_UPDATE 0 524288\n"), "{told}");
}

/// The first requests may be on their way before the client knows of any limit.
#[test]
fn streams_above_a_limit_that_the_client_does_not_know_are_refused_and_no_more() {
    let mut client = Client::silent(Paths);
    let requests: Vec<u8> = (0..300).flat_map(|at| request(2 * at + 1, false, "POST", "/idle", &[])).collect();
    client.send(&[&PREFACE[..], &settings(&[]), &requests].concat());
    let told = client.told();
    assert_eq!((told.matches("RST_STREAM").count(), told.contains("GOAWAY")), (172, false), "{told}");
}

/// Apps that do not take their bodies do not have others' clients blamed for it.
#[test]
fn a_body_is_not_late_while_its_window_is_withheld() {
    let mut client = Client::new(Bytes::default());
    let part = [b'x'; 16_384];
    for id in [1, 3, 5] {
        client.send(&request(id, false, "POST", "/take", &[]));
        client.send(&data(id, &part, false).repeat(16));
    }
    client.send(&request(7, false, "POST", "/drop", &[]));
    client.send(&data(7, &part, false).repeat(48));
    client.told();
    client.later(client.limits.body_timeout);
    assert_eq!(client.told(), "");
    // From now on it could send.
    client.send(&rst(1, 8));
    assert_eq!(client.told(), "WINDOW_UPDATE 0 1048576\n");
    client.later(client.limits.body_timeout - SECOND);
    assert_eq!(client.told(), "");
    client.later(SECOND);
    assert!(client.told().starts_with("HEADERS 7 :status=408"));
}
