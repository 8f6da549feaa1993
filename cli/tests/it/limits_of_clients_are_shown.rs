//! How the clients stand to the limits that each of them has is on the status page, in `tine ctl limit` and in the metrics.

use crate::support::Server;
use crate::support::admin::{admin_of, get, json, samples};

const OPTIONS: [&str; 6] =
    ["--limit-client-rate", "3/h", "--limit-wait", "0", "--limit-client-key", "header:X-Api-Key"];

#[test]
fn the_busiest_client_and_those_at_their_limit_are_shown() {
    let server = Server::start(&[&["--workers", "2", "--admin", "0"], &OPTIONS[..]].concat());
    let admin = admin_of(&server);
    for (key, requests, last) in [("a", 4, 429), ("b", 1, 200), ("c", 2, 200)] {
        let mut status = 0;
        for _ in 0..requests {
            let mut client = server.connect();
            client.send(format!("GET / HTTP/1.1\r\nHost: t\r\nX-Api-Key: {key}\r\n\r\n"));
            status = client.response().status;
        }
        assert_eq!(status, last, "{key}");
    }
    let line = "client-rate 3 of 3/h by the busiest of 3 clients, 1 at the limit";
    for command in ["limit", "status"] {
        let output = server.ctl(&[command]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.lines().any(|one| one.ends_with(line)), "{text}");
    }
    let page = get(admin, "/status").text();
    for part in ["<span>client-rate</span>", "3 of 3/h, busiest of 3<", "1 at limit<", "1 refused (client_rate 1)"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let expected = serde_json::json!([
        { "name": "client-rate", "limit": 3, "clients": 3, "at_limit": 1, "busiest": 3, "forgotten": 0 }
    ]);
    assert_eq!(json(admin)["limits"]["clients"], expected);
    let samples = samples(admin);
    for (name, value) in [
        ("tine_limit", 3.0),
        ("tine_limit_clients", 3.0),
        ("tine_limit_clients_at_limit", 1.0),
        ("tine_limit_busiest_client", 3.0),
        ("tine_requests_refused_total", 1.0),
    ] {
        assert_eq!(samples[&format!("{name}{{limit=\"client_rate\"}}")], value, "{name}");
    }
}
