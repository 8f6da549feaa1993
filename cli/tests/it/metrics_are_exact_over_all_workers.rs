//! Sums over all workers are exact, however requests are spread among them, and hostile clients cannot add sets of labels
//! without end.

use crate::support::admin::{admin_of, get, samples, workers_of};
use crate::support::{Server, eventually, send_signal};
use nix::sys::signal::Signal;
use std::net::SocketAddr;

const REQUESTS: usize = 100;
const CLIENTS: usize = 8;

fn sum(admin: SocketAddr, prefix: &str) -> f64 {
    samples(admin).iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, value)| value).sum()
}

const COUNT: &str = "http_server_request_duration_seconds_count{http_request_method=\"GET\"";

#[test]
fn sums_are_exact_over_four_workers_and_outlive_them() {
    let server = Server::start(&["--workers", "4", "--admin", "0"]);
    let admin = admin_of(&server);
    let requests = |clients: usize| {
        std::thread::scope(|scope| {
            for client in 0..clients {
                let mut client_of = server.connect();
                scope.spawn(move || {
                    for request in 0..REQUESTS {
                        client_of
                            .send(format!("GET /status/{} HTTP/1.1\r\nHost: a\r\n\r\n", 200 + (client + request) % 5));
                        client_of.response();
                    }
                });
            }
        });
    };
    requests(CLIENTS);
    let all = (CLIENTS * REQUESTS) as f64;
    eventually("all are counted", || (sum(admin, COUNT) == all).then_some(()));
    for worker in workers_of(server.pid()) {
        send_signal(worker, Signal::SIGKILL);
    }
    let killed = "tine_worker_exits_total{reason=\"signal\"}";
    eventually("all four were killed", || (samples(admin)[killed] == 4.0).then_some(()));
    assert_eq!(sum(admin, COUNT), all, "no sum goes backwards");
    eventually("there are four again", || (samples(admin)["tine_workers{state=\"ready\"}"] == 4.0).then_some(()));
    requests(CLIENTS);
    eventually("those after it are added", || (sum(admin, COUNT) == 2.0 * all).then_some(()));
    let bytes = sum(admin, "http_server_request_duration_seconds_bucket{http_request_method=\"GET\"");
    assert!(bytes >= 2.0 * all, "{bytes}");
}

#[test]
fn sets_of_labels_are_bounded_under_hostile_requests() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let admin = admin_of(&server);
    let mut client = server.connect();
    let methods = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "HEAD", "M1", "PROPFIND"];
    for status in 200..600 {
        for method in methods {
            client.send(format!("{method} /status/{status} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
            client.response_to(method);
        }
    }
    let all = (400 * methods.len()) as f64;
    eventually("all are counted", || (sum(admin, "http_server_request_duration_seconds_count") == all).then_some(()));
    let text = String::from_utf8(get(admin, "/metrics").body).expect("UTF-8");
    let sets = text.lines().filter(|line| line.starts_with("http_server_request_duration_seconds_count")).count();
    assert_eq!(sets, 257, "256, and one for those that found no place");
    for other in ["M1", "PROPFIND"] {
        assert!(!text.contains(other), "no method of a client becomes a label");
    }
}
