//! `/mix` draws its delays so that a client can compute them, whichever worker answers and whatever came before.

use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// As documented for clients in docs/origin.md. Points are shares and milliseconds.
fn delay_ms(points: &[(f64, f64)], seed: u64, n: u64) -> u64 {
    let z = seed.wrapping_add(n.wrapping_mul(0x9E3779B97F4A7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58476D1CE4E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D049BB133111EB);
    let u = ((z ^ (z >> 31)) >> 11) as f64 / 9007199254740992.0;
    let pair = points.windows(2).find(|pair| u < pair[1].0).expect("the last share is 1");
    let ((qa, a), (qb, b)) = (pair[0], pair[1]);
    (a + (b - a) * ((u - qa) / (qb - qa)) + 0.5).floor() as u64
}

const PATH: &str = "/mix?p50=5&p90=20&p999=60&max=90";
const POINTS: [(f64, f64); 5] = [(0.0, 0.0), (0.5, 5.0), (0.9, 20.0), (0.999, 60.0), (1.0, 90.0)];

fn json_of(client: &mut Client) -> Value {
    let response = client.response();
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn the_nth_delay_of_a_seed_is_always_the_same() {
    let server = Server::start(&["--workers", "2"]);
    for (n, seed) in [(1, 7), (2, 7), (3, 7), (1_000_000, 7), (3, 8), (u64::MAX, u64::MAX)] {
        let expected = json!({"n": n, "seed": seed, "delay_ms": delay_ms(&POINTS, seed, n)});
        for _ in 0..3 {
            let began = Instant::now();
            let response = server.get(&format!("{PATH}&seed={seed}&n={n}"));
            let json: Value = serde_json::from_slice(&response.body).expect("JSON");
            assert_eq!(json, expected);
            assert!(began.elapsed() >= Duration::from_millis(json["delay_ms"].as_u64().expect("a number")));
        }
    }
    // The example in the documentation.
    assert_eq!(
        server.get("/mix?p50=20&p99=200&max=1000").text(),
        r#"{"n":1,"seed":0,"delay_ms":161}"#,
        "the fields are in the documented order"
    );
}

#[test]
fn without_n_it_is_the_position_on_the_connection() {
    let server = Server::start(&["--workers", "1"]);
    for _ in 0..2 {
        let mut client = server.connect();
        client.send(format!("GET {PATH}&seed=7 HTTP/1.1\r\nHost: t\r\n\r\n").repeat(11));
        let delays: Vec<Value> = (1..=11)
            .map(|n| {
                let json = json_of(&mut client);
                assert_eq!(json["n"], n);
                json["delay_ms"].clone()
            })
            .collect();
        assert_eq!(delays, [4, 0, 20, 8, 5, 2, 5, 3, 1, 4, 1]);
        // Other requests have positions, too.
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client.send(format!("GET {PATH} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(json_of(&mut client), json!({"n": 13, "seed": 0, "delay_ms": delay_ms(&POINTS, 0, 13)}));
    }
}

#[test]
fn malformed_values_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (query, text) in [
        ("", "Please specify max and any quantiles between: /mix?p50=20&p99=200&max=1000 "),
        ("?p50=20", "Please specify max "),
        ("?p50=20&p99=10&max=1000", "delays must not decrease from min to max: p50=20 is more than p99=10\n"),
        ("?p100=20&max=1000", "p100 is not a quantile: "),
        ("?max=1s", "max must be a whole number from 0 to 86400000, not \"1s\"\n"),
        ("?max=1&seed=x", "seed must be a whole number from 0 to 18446744073709551615, not \"x\"\n"),
        ("?max=1&n=0", "n must be a whole number from 1 to 18446744073709551615, not \"0\"\n"),
    ] {
        client.send(format!("GET /mix{query} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (400, None), "{query}");
        assert!(response.text().starts_with(text) && response.text().ends_with('\n'), "{query}: {}", response.text());
    }
}
