//! A real Prometheus scrapes a server once a second through reloads and `kill -9` of workers under load: no counter ever goes
//! backwards, and no request that was answered is missing.

use crate::support::admin::{admin_of, json, workers_of};
use crate::support::prometheus::Prometheus;
use crate::support::{Client, Server, eventually, send_signal};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Scrapes between two disturbances.
const SCRAPES: f64 = 2.0;
const ROUNDS: u64 = 4;
const COUNTERS: &str = "{job='tine',__name__=~'.+_(total|bucket|sum|count)'}";

/// Sends requests, slowly, until it is to stop; returns how many were answered, and how many sent.
fn load(address: SocketAddr, is_over: &AtomicBool) -> (f64, f64) {
    let (mut answered, mut sent) = (0.0, 0.0);
    for path in ["/status/200", "/status/404", "/bin/100000"].into_iter().cycle() {
        if is_over.load(Relaxed) {
            break;
        }
        sent += 1.0;
        let response = Client::try_connect(address).and_then(|mut client| {
            client.try_send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"))?;
            client.try_response("GET")
        });
        answered += if response.is_ok() { 1.0 } else { 0.0 };
        std::thread::sleep(Duration::from_millis(5));
    }
    (answered, sent)
}

/// Kills a worker and reloads, `ROUNDS` times, with scrapes before, between and after.
fn disturb(server: &Server, prometheus: &Prometheus) {
    let admin = admin_of(server);
    let scrapes = || prometheus.query("count_over_time(up{job='tine'}[10m])").first().map_or(0.0, |(_, count)| *count);
    let wait_for_scrapes = || {
        let before = scrapes();
        eventually("Prometheus scrapes it", || (scrapes() >= before + SCRAPES).then_some(()));
    };
    for round in 1..=ROUNDS {
        wait_for_scrapes();
        let workers = workers_of(server.pid());
        send_signal(workers[round as usize % workers.len()], Signal::SIGKILL);
        eventually("it is replaced", || (json(admin)["workers_ready"] == 3).then_some(()));
        wait_for_scrapes();
        server.signal(Signal::SIGHUP);
        eventually("it is reloaded", || (json(admin)["generation"] == 1 + round).then_some(()));
    }
    wait_for_scrapes();
}

#[test]
fn no_counter_goes_backwards_for_prometheus() {
    let server = Server::start(&["--workers", "3", "--admin", "0"]);
    let prometheus = Prometheus::scraping(admin_of(&server));
    let is_over = AtomicBool::new(false);
    let (answered, sent) = std::thread::scope(|scope| {
        let load = scope.spawn(|| load(server.address(), &is_over));
        disturb(&server, &prometheus);
        is_over.store(true, Relaxed);
        load.join().expect("the load")
    });
    assert_eq!(prometheus.query("up{job='tine'} == 0"), [], "it is there");
    assert_eq!(prometheus.query("min_over_time(up{job='tine'}[10m])")[0].1, 1.0, "every scrape has succeeded");
    let names = prometheus.query(&format!("count by (__name__) ({COUNTERS})"));
    assert!(names.len() > 20, "{names:?}");
    for (labels, _) in names {
        let name: serde_json::Value = serde_json::from_str(&labels).expect("JSON");
        let name = name["__name__"].as_str().expect("a name");
        let resets = prometheus.query(&format!("resets({name}{{job='tine'}}[10m]) > 0"));
        assert_eq!(resets, [], "{name} went backwards");
    }
    let value = |expression: &str| prometheus.query(expression).first().map_or(-1.0, |(_, value)| *value);
    // Each kill may fall between a response that has left and its count.
    let least = answered - ROUNDS as f64;
    eventually("the last requests are counted", || {
        (least..=sent).contains(&value("sum(http_server_request_duration_seconds_count)")).then_some(())
    });
    assert_eq!(value("sum(tine_worker_exits_total{reason='signal'})"), ROUNDS as f64);
    assert_eq!(value("tine_reloads_total{outcome='success'}"), ROUNDS as f64);
}
