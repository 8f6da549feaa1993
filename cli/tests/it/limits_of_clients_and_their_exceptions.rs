//! `--limit-client-*` limit each client by 429, `--limit-exempt` and the health path are never limited, `--limit-dry-run`
//! limits nothing, `--ratelimit-headers` says what is left, and a reload changes the limits.

use crate::apps::turnstile_server::{Turnstile, is_waiting};
use crate::support::site::Site;
use crate::support::websocket::WebSocket;
use crate::support::{Client, Response, Server, TINE, eventually};
use std::process::Command;

fn ask(client: &mut Client, path: &str, fields: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    client.response()
}

fn seconds(response: &Response) -> u64 {
    response.header("retry-after").expect("a Retry-After").parse().expect("a number of seconds")
}

#[test]
fn each_client_has_its_own_rate() {
    let key = ["--limit-client-key", "header:X-Api-Key"];
    let server = Server::start(&[&["--limit-client-rate", "3/h", "--limit-wait", "0"], &key[..]].concat());
    let mut client = server.connect();
    let as_a = "X-Api-Key: a\r\n";
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "/status/200", as_a).status, 200);
    }
    let refused = ask(&mut client, "/status/200", as_a);
    assert_eq!(refused.status, 429);
    assert!((1..=1200).contains(&seconds(&refused)) && seconds(&refused) > 900, "{}", seconds(&refused));
    assert!(refused.text().contains("the client's rate limit of 3/h is reached; try again in"), "{}", refused.text());
    // In every worker.
    for _ in 0..10 {
        assert_eq!(ask(&mut server.connect(), "/status/200", as_a).status, 429);
    }
    assert_eq!(ask(&mut client, "/status/200", "X-Api-Key: b\r\n").status, 200);
    // Without the field the address is the key.
    assert_eq!(ask(&mut client, "/status/200", "").status, 200);
    assert_eq!(ask(&mut client, "/health", as_a).status, 200, "the health path is never limited");
}

#[test]
fn an_ipv6_client_is_its_64() {
    let options = ["--trusted-proxies", "127.0.0.1", "--limit-client-rate", "2/h", "--limit-wait", "0"];
    let server = Server::start(&options);
    let mut client = server.connect();
    for (address, status) in [
        ("2001:db8::1", 200),
        ("2001:db8::ffff:2", 200),
        ("2001:db8::3", 429),
        ("2001:db8:0:1::3", 200),
        ("192.0.2.1", 200),
        ("192.0.2.1", 200),
        ("192.0.2.2", 200),
        ("192.0.2.1", 429),
    ] {
        let field = format!("X-Forwarded-For: {address}\r\n");
        assert_eq!(ask(&mut client, "/status/200", &field).status, status, "{address}");
    }
}

#[test]
fn a_flood_of_clients_costs_no_memory_and_refuses_none_of_them() {
    let key = ["--limit-client-key", "header:X-Api-Key", "--limit-client-concurrency", "1"];
    let server = Server::start(&[&["--workers", "1", "--limit-client-rate", "3/h"], &key[..]].concat());
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(ask(&mut client, "/health/", "X-Api-Key: hog\r\n").status, 200);
    }
    let flood = |client: &mut Client, from: u32, to: u32| {
        for first in (from..to).step_by(100) {
            let one = |number| format!("GET /help HTTP/1.1\r\nHost: t\r\nX-Api-Key: {number}\r\n\r\n");
            client.send((first..first + 100).map(one).collect::<String>());
            (0..100).for_each(|_| assert_eq!(client.response().status, 200));
        }
    };
    flood(&mut client, 0, 1000);
    let before = server.memory_bytes();
    flood(&mut client, 1000, 10_000);
    let grown = server.memory_bytes().saturating_sub(before);
    assert!(grown < 2 << 20, "{grown} bytes for 9000 clients"); // both tables have 1.5 MiB
    let mut hog = server.connect();
    hog.send("GET /help HTTP/1.1\r\nHost: t\r\nX-Api-Key: hog\r\n\r\n");
    assert_eq!(hog.response().status, 429, "it is still known");
}

#[test]
fn a_client_waits_for_its_own_requests_and_holds_no_other_up() {
    let options = ["--workers", "1", "--limit-client-concurrency", "1", "--limit-client-key", "header:X-Api-Key"];
    let server = Turnstile::start(&[&options, &["--limit-wait", "20s"][..]].concat());
    let hold = |key: &str| {
        let mut client = server.0.connect();
        client.send(format!("GET /hold HTTP/1.1\r\nHost: t\r\nX-Api-Key: {key}\r\n\r\n"));
        server.counts();
        client
    };
    let (mut first, mut waits, mut other) = (hold("a"), hold("a"), hold("b"));
    server.wait_held(2);
    assert!(is_waiting(&waits));
    server.release(3);
    assert_eq!((first.response().text(), other.response().text()), ("0".to_string(), "1".to_string()));
    assert_eq!(waits.response().text(), "2");
    assert_eq!(server.counts().peak, 2);
}

#[test]
fn what_is_exempt_is_answered_under_full_load() {
    let server = Turnstile::start(&["--workers", "2", "--limit-concurrency", "1", "--limit-queue", "0"]);
    let _held = server.hold();
    server.wait_held(1);
    let mut client = server.0.connect();
    assert_eq!(ask(&mut client, "/anything", "").status, 503);
    for _ in 0..20 {
        assert_eq!(ask(&mut client, "/counts", "").status, 200);
    }
    assert_eq!(ask(&mut client, "/release/../anything", "").status, 503, "it may be taken for another path");
    drop(server);
    // The origin's health check, and one that the server answers itself; and a network.
    for (options, path) in
        [(&[][..], "/health"), (&["--health-path", "/up"], "/up"), (&["--limit-exempt", "127.0.0.0/8"], "/")]
    {
        let options = [&["--limit-rate", "1/h", "--limit-wait", "0"], options].concat();
        let server = Server::start(&options);
        let mut client = server.connect();
        for _ in 0..3 {
            assert_eq!(ask(&mut client, path, "").status, 200, "{options:?}");
        }
    }
}

#[test]
fn a_websocket_counts_until_it_ends() {
    let server = Server::start(&["--workers", "2", "--limit-concurrency", "1", "--limit-wait", "0"]);
    let websocket = WebSocket::connect(&server, "/ws");
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "/", "").status, 503);
    drop(websocket);
    eventually("its permit is given back", || (ask(&mut client, "/", "").status == 200).then_some(()));
}

#[test]
fn what_is_left_is_told_in_the_fields() {
    let rates = ["--limit-client-rate", "3/min", "--limit-rate", "10/h", "--limit-wait", "0", "--ratelimit-headers"];
    let server = Server::start(&rates);
    let mut client = server.connect();
    let fields = |response: &Response| {
        let field = |name| response.header(name).expect("the field").to_string();
        (field("ratelimit-policy"), field("ratelimit"))
    };
    for (path, client_left, server_left) in [("/status/201", 2, 9), ("/chunked/2", 1, 8), ("/status/404", 0, 7)] {
        let (policy, left) = fields(&ask(&mut client, path, ""));
        assert_eq!(policy, r#""client";q=3;w=60, "server";q=10;w=3600"#);
        let told = [("client", client_left), ("server", server_left)].map(|(name, left_now)| {
            let after = left.split_once(&format!("\"{name}\";a={left_now};w=")).expect("what is left").1;
            let time = after.split(';').next().expect("a time");
            // The names of the older drafts follow.
            format!("\"{name}\";a={left_now};w={time};r={left_now};t={time}")
        });
        assert_eq!(left, told.join(", "));
    }
    let refused = ask(&mut client, "/", "");
    let (_, left) = fields(&refused);
    assert_eq!(refused.status, 429);
    let time = left.strip_prefix("\"client\";a=0;w=").and_then(|rest| rest.split(';').next()).expect("a time");
    assert_eq!(time.parse(), Ok(seconds(&refused)), "the same as Retry-After: {left}");
    assert!(left.contains("\"server\";a=7;"), "a refused request does not count: {left}");
    assert_eq!(ask(&mut client, "/health", "").header("ratelimit"), None);
}

#[test]
fn a_dry_run_serves_everything_and_logs_two_lines() {
    let server = Server::start(&["--workers", "1", "--limit-rate", "2/h", "--limit-dry-run"]);
    let mut client = server.connect();
    for _ in 0..30 {
        assert_eq!(ask(&mut client, "/", "").status, 200);
    }
    server.wait_log("28 requests within");
    let log = server.log();
    assert_eq!(log.matches(" would ").count(), 2, "{log}");
}

#[test]
fn a_reload_changes_the_limits() {
    let site = Site::of(&[("tine.toml", b"workers = 2\nlimit-concurrency = 1\nlimit-wait = \"0\"\n")]);
    let server = Server::start_command(
        Command::new(TINE).args(["run", "0", "--config", "tine.toml"]).current_dir(site.path("")),
    );
    let held = WebSocket::connect(&server, "/ws");
    assert_eq!(server.get("/").status, 503);
    site.write(
        "tine.toml",
        b"workers = 2\nlimit-concurrency = 2\nlimit-wait = \"0\"\nlimit-exempt = [\"/status/*\"]\n",
    );
    assert!(server.ctl(&["reload"]).status.success(), "{}", server.log());
    assert_eq!(server.get("/").status, 200);
    site.write("tine.toml", b"workers = 2\nlimit-rate = \"1/h\"\nlimit-wait = \"0\"\nlimit-exempt = [\"/status/*\"]\n");
    assert!(server.ctl(&["reload"]).status.success(), "{}", server.log());
    let statuses: Vec<u16> = (0..3).map(|_| server.get("/").status).collect();
    assert_eq!(statuses, [200, 503, 503]);
    assert_eq!(server.get("/status/200").status, 200);
    drop(held);
}
