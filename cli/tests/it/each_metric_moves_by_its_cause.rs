//! Each metric moves by what it counts, and by nothing else of the list.

use crate::support::admin::{admin_of, get, workers_of};
use crate::support::{Client, Server, eventually, send_signal};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// All samples, by their names and labels as in the text.
pub fn samples(admin: SocketAddr) -> BTreeMap<String, f64> {
    let text = String::from_utf8(get(admin, "/metrics").body).expect("UTF-8");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').expect("a sample"))
        .map(|(name, value)| (name.to_string(), value.parse().expect("a number")))
        .collect()
}

#[track_caller]
fn grows_by(admin: SocketAddr, name: &str, number: f64, cause: impl FnOnce()) {
    let value = || samples(admin).get(name).copied().unwrap_or(0.0);
    let before = value();
    cause();
    eventually(&format!("{name} grows"), || (value() >= before + number).then_some(()));
    assert_eq!(value(), before + number, "{name}");
}

/// Sends these bytes and reads to the end of the connection.
fn send(server: &Server, bytes: &str) {
    let mut client = server.connect();
    client.send(bytes);
    client.read_to_end();
}

fn duration_count(method: &str, status: &str, version: &str) -> String {
    format!(
        "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",\
         http_response_status_code=\"{status}\",network_protocol_version=\"{version}\"}}"
    )
}

#[test]
fn each_metric_moves_by_its_cause() {
    let options =
        ["--workers", "1", "--admin", "0", "--header-timeout", "1s", "--idle-timeout", "1s", "--body-timeout", "1s"];
    let server = Server::start(&options);
    let admin = admin_of(&server);
    let close = "Host: a\r\nConnection: close\r\n\r\n";
    for (request, method, status, version) in [
        (format!("GET /status/200 HTTP/1.1\r\n{close}"), "GET", "200", "1.1"),
        (format!("HEAD /status/404 HTTP/1.0\r\n{close}"), "HEAD", "404", "1.0"),
        (format!("PROPFIND /status/207 HTTP/1.1\r\n{close}"), "_OTHER", "207", "1.1"),
        ("GET / HTTP/1.1\r\n\r\n".to_string(), "_OTHER", "400", ""),
    ] {
        grows_by(admin, &duration_count(method, status, version), 1.0, || send(&server, &request));
    }
    grows_by(admin, "tine_time_to_first_byte_seconds_count", 1.0, || {
        send(&server, &format!("GET / HTTP/1.1\r\n{close}"))
    });
    grows_by(admin, "tine_connections_accepted_total", 1.0, || drop(server.connect()));
    let request = format!("GET /bin/100000 HTTP/1.1\r\n{close}");
    grows_by(admin, "tine_received_bytes_total", request.len() as f64, || send(&server, &request));
    grows_by(admin, "tine_timeouts_total{wait=\"head\"}", 1.0, || send(&server, "GET / HT"));
    grows_by(admin, "tine_timeouts_total{wait=\"idle\"}", 1.0, || {
        send(&server, "GET /status/200 HTTP/1.1\r\nHost: a\r\n\r\n")
    });
    grows_by(admin, "tine_timeouts_total{wait=\"body\"}", 1.0, || {
        send(&server, "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    });
    grows_by(admin, "tine_clients_left_total", 1.0, || {
        let mut client = server.connect();
        client.send("GET /delay/30000 HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("it is in flight", || (samples(admin)["http_server_active_requests"] == 1.0).then_some(()));
        drop(client);
    });
    grows_by(admin, "tine_responses_cut_total{reason=\"worker_died\"}", 1.0, || {
        let mut client = server.connect();
        client.send("GET /delay/30000 HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("it is in flight", || (samples(admin)["http_server_active_requests"] == 1.0).then_some(()));
        grows_by(admin, "tine_worker_exits_total{reason=\"signal\"}", 1.0, || {
            send_signal(workers_of(server.pid())[0], Signal::SIGKILL);
        });
    });
    grows_by(admin, "tine_reloads_total{outcome=\"success\"}", 1.0, || server.signal(Signal::SIGHUP));
    let all = samples(admin);
    assert_eq!(all["tine_last_reload_success"], 1.0);
    assert!(all["tine_last_reload_timestamp_seconds"] > 1.7e9 && all["tine_cpu_seconds_total"] > 0.0, "{all:?}");
    assert_eq!((all["tine_workers{state=\"ready\"}"], all["tine_workers_wanted"]), (1.0, 1.0));
}

#[test]
fn messages_of_websockets_are_counted() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    let admin = admin_of(&server);
    let mut client = server.connect();
    client.send(
        "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    eventually("it is open", || (samples(admin)["tine_websockets"] == 1.0).then_some(()));
    grows_by(admin, "tine_websocket_messages_total{direction=\"received\"}", 2.0, || {
        // Masked by zeros.
        client.send(b"\x81\x82\0\0\0\0hi\x81\x82\0\0\0\0ho");
    });
    drop(client);
    eventually("it is closed", || (samples(admin)["tine_websockets"] == 0.0).then_some(()));
    assert_eq!(samples(admin)[&duration_count("GET", "101", "1.1")], 1.0);
}

#[test]
fn connections_that_are_refused_are_counted_by_their_reason() {
    let server = Server::start(&["--workers", "1", "--admin", "0", "--max-connections", "1"]);
    let admin = admin_of(&server);
    let mut held = server.connect();
    held.send("GET /delay/30000 HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is in flight", || (samples(admin)["http_server_active_requests"] == 1.0).then_some(()));
    grows_by(admin, "tine_connections_refused_total{reason=\"capacity\"}", 1.0, || {
        let mut client = Client::connect(server.address());
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 503);
    });
}
