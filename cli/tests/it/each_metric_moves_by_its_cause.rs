//! Each metric moves by what it counts, and by nothing else of the list.

use crate::support::admin::{admin_of, samples, workers_of};
use crate::support::{Client, Server, TINE, eventually, send_signal};
use nix::fcntl::{OFlag, open};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::pipe;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::process::Command;

#[track_caller]
pub fn grows_by(admin: SocketAddr, name: &str, number: f64, cause: impl FnOnce()) {
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

#[test]
fn an_idle_connection_that_makes_room_is_counted() {
    let server = Server::start(&["--workers", "1", "--admin", "0", "--max-connections", "2"]);
    let admin = admin_of(&server);
    let mut idle: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.send("GET /health HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    let refused = "tine_connections_refused_total{reason=\"capacity\"}";
    let refused_before = samples(admin)[refused];
    // Until one has idled for long enough, a new one is refused.
    grows_by(admin, "tine_connections_evicted_total", 1.0, || {
        eventually("there is room", || {
            let mut client = server.connect();
            client.send("GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            (client.response().status == 200).then_some(())
        });
    });
    let others = samples(admin);
    assert_eq!(others["tine_timeouts_total{wait=\"idle\"}"], 0.0, "that is another wait");
    assert!(others[refused] >= refused_before);
}

#[test]
fn clients_that_do_not_read_or_do_not_leave_are_counted() {
    let options = ["--workers", "1", "--admin", "0", "--write-timeout", "300ms"];
    let server = Server::start(&options);
    let admin = admin_of(&server);
    let mut client = server.connect_narrow();
    grows_by(admin, "tine_timeouts_total{wait=\"write\"}", 1.0, || {
        grows_by(admin, "tine_responses_cut_total{reason=\"write_timeout\"}", 1.0, || {
            client.send("GET /bin/100M HTTP/1.1\r\nHost: a\r\n\r\n");
        });
    });
    // It has all of a response that ends its connection, and does not end its side.
    let mut client = server.connect();
    grows_by(admin, "tine_timeouts_total{wait=\"linger\"}", 1.0, || {
        client.send("GET / HTTP/1.1\r\n\r\n");
        assert_eq!(client.response().status, 400);
    });
    assert_eq!(samples(admin)["tine_timeouts_total{wait=\"write\"}"], 1.0);
}

/// The numbers in these lines before `words`.
fn numbers_before(text: &str, words: &str) -> f64 {
    let before = text.lines().filter_map(|line| line.split_once(words)).map(|(before, _)| before);
    before.map(|before| before.rsplit(' ').next().expect("a word").parse::<f64>().expect("a number")).sum()
}

#[test]
fn lines_that_the_log_does_not_take_are_counted() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut command = Command::new(TINE);
    command.args(["run", "0", "--workers", "1", "--admin", "0"]);
    let mut server = Server::spawn_to(None, Some(writer.into()), &mut command);
    drop(command); // its end of the pipe
    server.wait_ready();
    let mut log = BufReader::new(File::from(reader));
    let mut line = String::new();
    while !line.contains("status page and metrics: http://") {
        line.clear();
        log.read_line(&mut line).expect("the log");
    }
    let address = line.rsplit("http://").next().expect("an address").trim();
    let admin: SocketAddr = address.parse().expect("an address");
    let dropped = || samples(admin)["tine_log_lines_dropped_total{log=\"server\"}"];
    assert_eq!(dropped(), 0.0);
    // Others fill the pipe.
    let name = format!("/proc/self/fd/{}", log.get_ref().as_raw_fd());
    let again = open(name.as_str(), OFlag::O_WRONLY | OFlag::O_NONBLOCK, Mode::empty()).expect("the pipe's other end");
    let mut again = File::from(again);
    [4096, 1].into_iter().for_each(|size| while again.write(&vec![b'\n'; size]).is_ok() {});
    drop(again);
    grows_by(admin, "tine_reloads_total{outcome=\"success\"}", 1.0, || server.signal(Signal::SIGHUP));
    eventually("lines are dropped", || (dropped() > 0.0).then_some(()));
    // From here on all is read: what is said to be dropped is what was counted.
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        while log.read_line(&mut text).expect("the log") > 0 {}
        text
    });
    let counted = eventually("the count rests", || {
        let before = dropped();
        assert_eq!(server.ctl(&["reload"]).status.code(), Some(0));
        (dropped() == before).then_some(before)
    });
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    drop(server);
    let text = reader.join().expect("it reads");
    assert_eq!(numbers_before(&text, " log lines were dropped"), counted, "{text}");
}

#[test]
fn lines_that_the_access_log_does_not_take_are_counted() {
    let server = Server::start(&["--workers", "2", "--admin", "0", "--access-log", "/dev/full"]);
    let admin = admin_of(&server);
    let path = format!("/health?{}", "x".repeat(8000));
    // Each worker keeps 64 KiB.
    (0..60).for_each(|_| assert_eq!(server.get(&path).status, 200));
    let dropped = || samples(admin)["tine_log_lines_dropped_total{log=\"access\"}"];
    eventually("lines are dropped", || (dropped() > 0.0).then_some(()));
    grows_by(admin, "tine_log_lines_dropped_total{log=\"access\"}", 1.0, || assert_eq!(server.get(&path).status, 200));
    assert_eq!(samples(admin)["tine_log_lines_dropped_total{log=\"server\"}"], 0.0);
}

#[test]
fn clients_that_a_flood_makes_the_table_forget_are_counted() {
    let options =
        ["--workers", "1", "--admin", "0", "--limit-client-rate", "2/min", "--limit-client-key", "header:X-Key"];
    let server = Server::start(&options);
    let admin = admin_of(&server);
    let forgotten = "tine_limit_clients_forgotten_total{limit=\"client_rate\"}";
    let mut client = server.connect();
    let mut ask = |keys: std::ops::Range<u32>| {
        let request = |key: u32| format!("GET /status/204 HTTP/1.1\r\nHost: a\r\nX-Key: {key}\r\n\r\n");
        client.send(keys.clone().map(request).collect::<String>());
        keys.for_each(|_| assert_eq!(client.response().status, 204, "none is refused"));
    };
    (0..2).for_each(|_| ask(0..100));
    assert_eq!(samples(admin)[forgotten], 0.0, "there is room for them");
    // The table has buckets of 8 for 65536 clients.
    (1..500).for_each(|batch| ask(batch * 100..batch * 100 + 100));
    assert!(samples(admin)[forgotten] > 10.0);
}
