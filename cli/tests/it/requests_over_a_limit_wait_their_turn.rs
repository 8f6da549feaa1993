//! A request over a limit waits, in the order of arrival, for `--limit-wait`, and at most `--limit-queue` do; then it is
//! refused, with a `Retry-After`.

use crate::apps::turnstile_server::{Turnstile, is_waiting};
use crate::support::admin::{admin_of, samples};
use crate::support::{Client, Response, eventually};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const ONE: [&str; 4] = ["--workers", "1", "--limit-concurrency", "1"];

fn start(options: &[&str]) -> Turnstile {
    Turnstile::start(&[&ONE, options].concat())
}

#[track_caller]
fn expect_refusal(response: &Response) {
    assert_eq!((response.status, response.header("retry-after")), (503, Some("1")), "{}", response.text());
    let text = response.text();
    assert!(text.contains("limit of 1 concurrent requests is reached; try again in 1 s"), "{text}");
}

#[test]
fn first_come_first_served() {
    let server = start(&["--limit-wait", "20s"]);
    let mut clients: Vec<Client> = (0..6).map(|_| server.hold()).collect();
    server.wait_held(1);
    for number in 0..6 {
        assert!(clients[number..].iter().all(is_waiting), "before {number}");
        server.release(1);
        let response = clients[number].response();
        assert_eq!((response.status, response.text()), (200, number.to_string()));
    }
    assert_eq!(server.counts().peak, 1);
}

#[test]
fn a_wait_ends_with_503_and_the_connection_is_kept() {
    let server = start(&["--limit-wait", "50ms"]);
    let mut held = server.hold();
    server.wait_held(1);
    let mut client = server.hold();
    expect_refusal(&client.response());
    // A body that has arrived is dropped.
    client.send("POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    expect_refusal(&client.response());
    client.send("HEAD /hold HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").status, 503);
    server.release(1);
    assert_eq!(held.response().text(), "0");
    server.release(1);
    client.send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "1");
    // A body that is held back would come after its refusal.
    let _held = server.hold();
    server.wait_held(1);
    client.send("POST /hold HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (503, Some("close")));
    client.expect_end();
    server.0.wait_log("requests by the limits within");
    let log = server.0.log();
    assert_eq!(log.matches("refusing requests with 503").count(), 1, "{log}");
}

#[test]
fn as_many_wait_as_the_queue_has_places_and_one_that_leaves_makes_room() {
    let server = start(&["--limit-wait", "20s", "--limit-queue", "2"]);
    let mut held = server.hold();
    server.wait_held(1);
    let (leaves, mut waits) = (server.hold(), server.hold());
    expect_refusal(&server.hold().response());
    assert!(is_waiting(&leaves) && is_waiting(&waits));
    drop(leaves);
    let mut last = eventually("its place is free", || {
        let client = server.hold();
        is_waiting(&client).then_some(client)
    });
    expect_refusal(&server.hold().response());
    for (number, client) in [&mut held, &mut waits, &mut last].into_iter().enumerate() {
        server.release(1);
        assert_eq!(client.response().text(), number.to_string());
    }
}

#[test]
fn a_client_that_ends_its_side_is_told_at_once() {
    let server = start(&["--limit-wait", "20s"]);
    let _held = server.hold();
    server.wait_held(1);
    let mut client = server.hold();
    assert!(is_waiting(&client));
    client.finish_sending();
    expect_refusal(&client.response());
    client.expect_end();
    // Also if it has done so before its request was read.
    let mut client = server.0.connect();
    client.send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
    client.finish_sending();
    expect_refusal(&client.response());
    client.expect_end();
}

#[test]
fn pipelined_requests_wait_in_their_order() {
    let server = start(&["--limit-wait", "20s"]);
    let mut held = server.hold();
    server.wait_held(1);
    let mut client = server.0.connect();
    client.send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\nGET /counts HTTP/1.1\r\nHost: t\r\n\r\n".repeat(2));
    server.counts();
    assert!(is_waiting(&client));
    server.release(3);
    assert_eq!(held.response().text(), "0");
    for expected in ["1", "0 1 2", "2", "0 1 3"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn a_worker_that_drains_answers_those_that_wait() {
    let mut server = start(&["--limit-wait", "20s"]);
    let mut held = server.hold();
    server.wait_held(1);
    let mut waits = server.hold();
    let workers = server.0.workers();
    server.0.signal(Signal::SIGHUP);
    server.0.wait_log("reloaded: 1 worker of generation 2");
    assert!(is_waiting(&waits));
    // The new worker's requests wait for the same permit.
    let mut later = server.hold();
    assert!(is_waiting(&later));
    server.release(3);
    assert_eq!(held.response().text(), "0");
    for client in [&mut waits, &mut later] {
        assert_eq!(client.response().status, 200);
    }
    server.0.wait_gone(&workers);
    assert_eq!(server.counts().peak, 1);
    // And so does a server that stops.
    let mut held = server.hold();
    let mut waits = server.hold();
    server.release(2);
    assert!(server.0.stop(Signal::SIGTERM).success());
    assert_eq!((held.response().status, waits.response().status), (200, 200));
}

#[test]
fn what_waits_is_refused_and_leaves_is_counted_by_its_limit() {
    let server = start(&["--limit-wait", "20s", "--limit-queue", "1", "--admin", "0"]);
    let admin = admin_of(&server.0);
    let counts = || {
        let (samples, of) = (samples(admin), |name: &str| format!("tine_requests_{name}{{limit=\"concurrency\"}}"));
        [samples["tine_requests_waiting"], samples[&of("waited_total")], samples[&of("refused_total")]]
    };
    let mut held = server.hold();
    server.wait_held(1);
    assert_eq!(counts(), [0.0, 0.0, 0.0]);
    let waits = server.hold();
    expect_refusal(&server.hold().response());
    assert_eq!(counts(), [1.0, 1.0, 1.0]);
    drop(waits);
    eventually("it has left", || (counts() == [0.0, 1.0, 1.0]).then_some(()));
    server.release(1);
    assert_eq!(held.response().status, 200);
}

#[test]
fn the_slow_log_says_what_a_request_waited_for() {
    let server = start(&["--limit-wait", "20s", "--slow-log", "20ms"]);
    let mut held = server.hold();
    server.wait_held(1);
    let mut waits = server.send("/hold?waits");
    // It has waited for as long at least, however slow this is.
    let until = Instant::now() + Duration::from_millis(30);
    while Instant::now() < until {
        assert!(is_waiting(&waits));
    }
    server.release(2);
    assert_eq!((held.response().status, waits.response().status), (200, 200));
    let said = server.0.wait_log("slow: GET /hold?waits: 200 after ");
    let line = said.lines().find(|line| line.contains("/hold?waits")).expect("it is there");
    let ms = |after: &str, before: &str| -> u64 {
        let text =
            line.split(after).nth(1).and_then(|rest| rest.split(before).next()).unwrap_or_else(|| panic!("{line}"));
        text.parse().unwrap_or_else(|_| panic!("{line}"))
    };
    let (all, limits) = (ms("200 after ", " ms"), ms("the client to read, ", " ms for the limits"));
    assert!(limits >= 30 && limits <= all, "{line}");
}
