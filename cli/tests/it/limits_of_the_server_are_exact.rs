//! `--limit-concurrency` and `--limit-rate` are limits of the whole server, exact over all workers, whoever is killed or
//! stopped.

use crate::apps::turnstile_server::{Turnstile, is_waiting};
use crate::support::{Client, eventually, freeze, patience, send_signal};
use nix::sys::signal::Signal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Deaths of workers in the short form; DEATHS gives another number.
fn deaths() -> usize {
    std::env::var("DEATHS").map_or(12, |text| text.parse().expect("DEATHS is a number"))
}

#[test]
fn of_150_requests_at_once_100_are_answered_and_the_others_wait() {
    let server = Turnstile::start(&["--workers", "16", "--limit-concurrency", "100", "--limit-wait", "20s"]);
    let mut clients: Vec<Client> = (0..150).map(|_| server.hold()).collect();
    server.wait_held(100);
    for done in 0..150 {
        assert_eq!(server.counts().peak, 100, "after {done}");
        server.release(1);
        eventually("it has passed", || (server.counts().begun >= (101 + done).min(150)).then_some(()));
    }
    let mut numbers: Vec<u64> = Vec::new();
    for client in &mut clients {
        let response = client.response();
        assert_eq!(response.status, 200, "{}", response.text());
        numbers.push(response.text().parse().expect("a number"));
    }
    numbers.sort();
    assert_eq!(numbers, (0..150).collect::<Vec<u64>>());
    assert_eq!((server.counts().held, server.counts().peak), (0, 100));
}

#[test]
fn those_that_have_waited_in_vain_get_503() {
    let server = Turnstile::start(&["--workers", "16", "--limit-concurrency", "100", "--limit-wait", "200ms"]);
    let mut clients: Vec<Client> = (0..150).map(|_| server.hold()).collect();
    server.wait_held(100);
    let mut count = 0;
    eventually("50 are refused", || {
        count += clients.extract_if(.., |client| !is_waiting(client)).count();
        (count == 50).then_some(())
    });
    server.release(100);
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(server.counts().peak, 100);
}

#[test]
fn a_worker_that_is_killed_gives_back_all_that_it_held() {
    // A worker that dies young again and again is replaced later each time: so in the long form there are many.
    let workers = (deaths() / 8).max(4).to_string();
    let server = Turnstile::start(&["--workers", &workers, "--limit-concurrency", "20", "--limit-wait", "20s"]);
    let mut clients: Vec<Client> = (0..30).map(|_| server.hold()).collect();
    server.wait_held(20);
    for death in 0..deaths() {
        let workers = server.0.workers();
        // One that has a request: those whose clients came first are in flight.
        let victim = server.0.worker_of(&clients[death % clients.len()]).unwrap_or(workers[death % workers.len()]);
        send_signal(victim, Signal::SIGKILL);
        server.0.wait_replaced(&workers);
        // Those of the dead worker are gone with it, held or waiting.
        let before = clients.len();
        clients.retain(is_waiting);
        clients.extend((clients.len()..before).map(|_| server.hold()));
        server.wait_held(20);
    }
    server.release(1_000_000);
    clients.iter_mut().for_each(|client| {
        let _ = client.try_response("GET"); // it may have been cut while it was sent
    });
    server.wait_held(0);
    assert_eq!(server.0.get("/counts").status, 200);
}

#[test]
fn a_worker_that_is_stopped_holds_only_what_it_holds() {
    // The stopped worker is to go on, however long that takes here.
    let patient = ["--limit-wait", "90s", "--graceful-timeout", "95s", "--worker-timeout", "90s"];
    let server = Turnstile::start(&[&["--workers", "2", "--limit-concurrency", "8"][..], &patient].concat());
    let first: Vec<Client> = (0..4).map(|_| server.hold()).collect();
    server.wait_held(4);
    let worker = server.0.worker_of(&first[0]).expect("it has a worker");
    let of_worker = first.iter().filter(|client| server.0.worker_of(client) == Some(worker)).count() as u64;
    freeze(worker);
    // Some connections are the stopped worker's, and are not served: as many as it takes.
    let mut others = Vec::new();
    eventually("the other worker holds the rest", || {
        others.push(server.0.connect());
        others.last_mut().expect("just pushed").send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
        let begun = others.iter().filter(|client| server.0.worker_of(client).is_some_and(|pid| pid != worker)).count();
        (begun as u64 >= 8 - of_worker + 3).then_some(())
    });
    send_signal(worker, Signal::SIGCONT);
    server.wait_held(8);
    assert_eq!(server.counts().peak, 8);
}

#[test]
fn any_window_holds_the_rate() {
    const COUNT: usize = 40;
    const WINDOW: Duration = Duration::from_millis(300);
    let server = Turnstile::start(&["--workers", "16", "--limit-rate", "40/300ms", "--limit-wait", "0"]);
    let (address, is_over) = (server.0.address(), Arc::new(AtomicBool::new(false)));
    let asks = |number: usize| {
        let is_over = is_over.clone();
        std::thread::spawn(move || {
            let (mut answered, mut refused) = (0, 0);
            while !is_over.load(Relaxed) {
                let mut client = Client::connect(address);
                for _ in 0..20 {
                    client.send("GET /mark HTTP/1.1\r\nHost: t\r\n\r\n");
                    match client.response() {
                        response if response.status == 200 => answered += 1,
                        response => {
                            assert_eq!(response.status, 503);
                            assert_eq!(response.header("retry-after"), Some("1"));
                            refused += 1;
                        }
                    }
                }
                // They do not all ask all the time.
                std::thread::sleep(Duration::from_millis(1 + number as u64));
            }
            (answered, refused)
        })
    };
    let threads: Vec<_> = (0..6).map(asks).collect();
    let began = Instant::now();
    let marks = || -> Vec<(u64, u64)> {
        let text = server.0.get("/marks").text();
        let times = text.lines().filter_map(|line| line.split_once(' '));
        times.map(|(from, to)| (from.parse().expect("a time"), to.parse().expect("a time"))).collect()
    };
    eventually("some windows have passed", || (marks().len() >= 10 * COUNT).then_some(()));
    let took = began.elapsed();
    is_over.store(true, Relaxed);
    let sums = threads.into_iter().map(|thread| thread.join().expect("a client"));
    let (answered, refused) = sums.fold((0, 0), |(a, b), (x, y)| (a + x, b + y));
    let mut marks = marks();
    assert!(refused > 0 && marks.len() == answered, "{answered} answered, {refused} refused, {} marked", marks.len());
    // Each was admitted between its two times. If N + 1 had been within a window, all of their times would show it.
    marks.sort_by_key(|&(_, latest)| latest);
    for some in marks.windows(COUNT + 1) {
        let earliest = some.iter().map(|&(from, _)| from).min().expect("some");
        let span = some[COUNT].1 - earliest;
        assert!(u128::from(span) >= WINDOW.as_micros(), "{} in {span} us", COUNT + 1);
    }
    assert!(took < patience(), "{took:?}");
}
