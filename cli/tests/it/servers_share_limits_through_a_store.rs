//! `--limit-store`: the limits are those of all servers at the store together, at every moment, whoever of them dies, and
//! whether the store lives or not; all of a limit can be used by one server that is alone in wanting it.

use crate::apps::turnstile_server::{Turnstile, is_waiting};
use crate::support::redis::{Redis, try_limit_store_process};
use crate::support::{Client, Server, eventually, one_line_of, patience, run_to_end_with, send_signal};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const MOST: u64 = 10;

/// Two servers that share a concurrency of [`MOST`].
fn two(redis: &Redis) -> [Turnstile; 2] {
    let url = redis.url();
    [(); 2].map(|()| {
        let options = ["--workers", "2", "--limit-concurrency", "10", "--limit-wait", "25s", "--limit-store", &url];
        Turnstile::start(&options)
    })
}

/// The requests that both hold. A request is held until it is released, so that a sum above the limit is not missed.
#[track_caller]
fn held(servers: &[Turnstile; 2]) -> [u64; 2] {
    let held = [servers[0].counts().held, servers[1].counts().held];
    assert!(held[0] + held[1] <= MOST, "{held:?}");
    held
}

/// What this server may admit now, from `tine ctl status`.
fn share(server: &Turnstile) -> u64 {
    let output = server.0.ctl(&["status", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let store = &said["status"]["limits"]["store"];
    assert_eq!(
        (store["reachable"].as_bool(), store["limits"]["concurrency"].as_u64()),
        (Some(true), Some(MOST)),
        "{said}"
    );
    store["shares"]["concurrency"].as_u64().expect("a number")
}

fn holds(server: &Turnstile, count: usize) -> Vec<Client> {
    (0..count).map(|_| server.hold()).collect()
}

#[test]
fn the_sum_of_requests_in_flight_is_within_the_limit_and_one_server_can_have_it_all() {
    let redis = Redis::start();
    let servers = two(&redis);
    let _first = holds(&servers[0], 15);
    eventually("the first has all, as the other is idle", || (held(&servers) == [MOST, 0]).then_some(()));
    let _others = holds(&servers[1], 15);
    // Then it does not begin another one for each that ends.
    eventually("the first is to give up half", || (share(&servers[0]) == 5).then_some(()));
    for _ in 0..5 {
        let before = held(&servers);
        servers[0].release(1);
        eventually("a request of the other has its place", || (held(&servers)[1] > before[1]).then_some(()));
    }
    assert_eq!(held(&servers), [5, 5], "both want all, and get the same");
    for _ in 0..10 {
        servers.iter().for_each(|server| server.release(1));
        held(&servers);
    }
    servers.iter().for_each(|server| server.release(100));
    eventually("all are answered", || (held(&servers) == [0, 0]).then_some(()));
    assert_eq!([0, 1].map(|at| servers[at].counts().begun), [15, 15]);
}

#[test]
fn a_store_that_is_killed_and_comes_back_changes_no_sum() {
    let mut redis = Redis::start();
    let servers = two(&redis);
    let _first = holds(&servers[0], 12);
    eventually("the first has all", || (held(&servers) == [MOST, 0]).then_some(()));
    redis.kill();
    for server in &servers {
        let line = server.0.wait_log("cannot be reached");
        assert!(line.contains("WARN") && line.contains("goes on with its shares: concurrency"), "{line}");
    }
    let others = holds(&servers[1], 3);
    servers[0].release(2);
    eventually("the first goes on with its share", || (servers[0].counts().begun == 12).then_some(()));
    assert_eq!(held(&servers), [MOST, 0]);
    assert!(others.iter().all(is_waiting), "the other has none");
    redis.restart();
    for server in &servers {
        server.0.wait_log("is back after");
        assert_eq!(server.0.log().matches("cannot be reached").count(), 1, "said once");
    }
    held(&servers);
    servers[0].release(4);
    eventually("shares move again", || (held(&servers) == [6, 3]).then_some(()));
}

#[test]
fn the_share_of_a_server_that_was_killed_returns() {
    let redis = Redis::start();
    let [first, second] = two(&redis);
    let _lost = holds(&first, 10);
    first.wait_held(MOST);
    let _others = holds(&second, 10);
    killpg(Pid::from_raw(first.0.pid()), Signal::SIGKILL).expect("all of its processes are killed");
    second.wait_held(MOST);
    // One that stops gives its share back by itself.
    let url = redis.url();
    let mut third = Server::start(&["--workers", "1", "--limit-concurrency", "10", "--limit-store", &url]);
    assert!(third.stop(Signal::SIGTERM).success());
}

#[test]
fn any_window_holds_the_rate_of_both() {
    const COUNT: usize = 40;
    const WINDOW: Duration = Duration::from_millis(600);
    let redis = Redis::start();
    let url = redis.url();
    let options = ["--workers", "2", "--limit-rate", "40/600ms", "--limit-wait", "0", "--limit-store", &url];
    let servers = [Server::start(&options), Server::start(&options)];
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    // The times between which each request was admitted. Each server has its turn, so that shares move.
    let asks = |number: usize| {
        let (is_over, address) = (is_over.clone(), servers[number % 2].address());
        std::thread::spawn(move || {
            let mut admitted = Vec::new();
            while !is_over.load(Relaxed) {
                let mut client = Client::connect(address);
                for _ in 0..10 {
                    let sent = began.elapsed();
                    client.send("GET /health/not HTTP/1.1\r\nHost: t\r\n\r\n");
                    if client.response().status != 503 {
                        admitted.push((sent, began.elapsed()));
                    }
                }
                let is_its_turn = began.elapsed().as_millis() / 1500 % 2 == number as u128 % 2;
                std::thread::sleep(Duration::from_millis(if is_its_turn { 2 } else { 100 }));
            }
            admitted
        })
    };
    let threads: Vec<_> = (0..4).map(asks).collect();
    std::thread::sleep(Duration::from_secs(8).min(patience()));
    is_over.store(true, Relaxed);
    let each: Vec<Vec<_>> = threads.into_iter().map(|thread| thread.join().expect("a client")).collect();
    assert!((0..2).all(|at| each[at].len() + each[at + 2].len() > COUNT), "both have served");
    let mut all: Vec<(Duration, Duration)> = each.into_iter().flatten().collect();
    assert!(all.len() > 3 * COUNT, "{} in 8 s", all.len());
    // If one more had been admitted within a window, all of their times would show it.
    all.sort_by_key(|&(_, latest)| latest);
    for some in all.windows(COUNT + 1) {
        let earliest = some.iter().map(|&(from, _)| from).min().expect("some");
        assert!(some[COUNT].1 - earliest >= WINDOW, "{} in {:?}", COUNT + 1, some[COUNT].1 - earliest);
    }
}

#[test]
fn the_store_may_be_reached_by_its_unix_socket() {
    let mut redis = Redis::start();
    let urls = [redis.url(), redis.unix_url()];
    let servers = urls.each_ref().map(|url| {
        let options = ["--workers", "1", "--limit-concurrency", "10", "--limit-wait", "25s", "--limit-store", url];
        Turnstile::start(&options)
    });
    servers[1].0.wait_log(&format!("limit store {} is reached", urls[1]));
    let _first = holds(&servers[0], 12);
    eventually("the first has all, as the other is idle", || (held(&servers) == [MOST, 0]).then_some(()));
    let _others = holds(&servers[1], 8);
    eventually("the first is to give up half", || (share(&servers[0]) == 5).then_some(()));
    servers[0].release(7);
    eventually("both are the servers of one store", || (held(&servers) == [5, 5]).then_some(()));
    redis.kill();
    servers[1].0.wait_log(&format!("limit store {} cannot be reached", urls[1]));
    redis.restart();
    servers[1].0.wait_log(&format!("limit store {} is back after", urls[1]));
}

#[test]
fn before_the_store_was_ever_reached_nothing_is_admitted_unless_a_part_is() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let url = format!("redis://127.0.0.1:{port}/limits");
    let options = ["--workers", "1", "--limit-concurrency", "10", "--limit-wait", "0", "--limit-store", &url];
    let server = Turnstile::start(&options);
    let line = server.0.wait_log("cannot be reached");
    assert!(line.contains("--limit-store-alone") && line.contains("concurrency 0"), "{line}");
    assert_eq!(server.0.get("/hold").status, 503);
    let server = Turnstile::start(&[&options[..], &["--limit-store-alone", "30%"]].concat());
    let _held = holds(&server, 3);
    server.wait_held(3);
    assert_eq!(server.0.get("/hold").status, 503);
}

#[test]
fn the_process_of_the_store_is_replaced_and_no_request_notices() {
    let redis = Redis::start();
    let servers = two(&redis);
    let first = eventually("there is a process", || try_limit_store_process(&servers[0].0));
    let _held = holds(&servers[0], 10);
    eventually("it has all", || (held(&servers) == [MOST, 0]).then_some(()));
    send_signal(first, Signal::SIGKILL);
    eventually("there is another", || try_limit_store_process(&servers[0].0).filter(|&pid| pid != first));
    servers[0].0.wait_log("the process of --limit-store (pid");
    let _others = holds(&servers[1], 2);
    eventually("the first is to give up two", || (share(&servers[0]) == 8).then_some(()));
    servers[0].release(2);
    eventually("it leases as the same server", || (held(&servers) == [8, 2]).then_some(()));
}

#[test]
fn a_lower_limit_of_one_server_counts_for_all() {
    let redis = Redis::start();
    let servers = two(&redis);
    let _held = holds(&servers[0], 10);
    eventually("the first has all", || (held(&servers) == [MOST, 0]).then_some(()));
    assert!(servers[1].0.ctl(&["limit", "concurrency=4"]).status.success());
    servers[0].0.wait_log("another server of the limit store has lower limits, which count: concurrency 4");
    servers[0].release(8);
    eventually("eight are answered", || (held(&servers) == [2, 0]).then_some(()));
    let _more = holds(&servers[0], 4);
    servers[0].wait_held(4);
    assert!(servers[1].0.ctl(&["limit", "concurrency=10"]).status.success());
    servers[0].wait_held(6);
}

#[test]
fn a_password_is_used_and_never_shown() {
    const SECRET: &str = "s3cr3t";
    let redis = Redis::start_with(Some(SECRET));
    let url = redis.url().replace("redis://", &format!("redis://:{SECRET}@"));
    let options = ["--workers", "1", "--limit-concurrency", "10"];
    let file = crate::support::scratch_folder().join("store");
    std::fs::write(&file, format!("{url}\n")).expect("a file");
    let named = format!("file:{}", file.display());
    let by_file = Server::start(&[&options[..], &["--limit-store", &named]].concat());
    let by_variable = Server::start_with(&options, &[("TINE_LIMIT_STORE", &url)]);
    for server in [&by_file, &by_variable] {
        server.wait_log(&format!("limit store redis://:***@127.0.0.1:{}/limits is reached", redis.port()));
        assert!(!server.log().contains(SECRET), "{}", server.log());
        for pid in server.workers().into_iter().chain([server.pid()]) {
            let title = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            assert!(!title.contains(SECRET), "{title}");
        }
    }
    let said = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = run_to_end_with(arguments, environment);
        let text = [&output.stdout[..], &output.stderr].concat();
        assert!(!String::from_utf8_lossy(&text).contains(SECRET), "{}", String::from_utf8_lossy(&text));
        output
    };
    let checked = said(&["check"], &[("TINE_LIMIT_STORE", &url)]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("redis://:***@127.0.0.1"));
    for (wrong, hint) in [
        (url.as_str(), "TINE_LIMIT_STORE"),
        ("unix:/r?key=k&pass=s3cr3t", "TINE_LIMIT_STORE"),
        ("rediss://:s3cr3t@h/k", "TLS"),
        ("http://s3cr3t", "scheme"),
    ] {
        let output = said(&["check", "--limit-store", wrong], &[]);
        let line = one_line_of(&output);
        assert!(line.contains("--limit-store") && line.contains(hint), "{line}");
        assert_eq!(output.status.code(), Some(2));
    }
    std::fs::remove_file(file).expect("it is there");
}
