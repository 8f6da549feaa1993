//! `/fault/flaky`: the n-th answer of a seed is always the same, on whichever connection, worker or server.

use crate::support::{Client, Server};

fn status(client: &mut Client, query: &str) -> u16 {
    client.send(format!("GET /fault/flaky{query} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let response = client.response();
    let says = if response.status == 503 { " is below the rate " } else { " is not below the rate " };
    assert!(response.text().contains(says), "{}", response.text());
    response.status
}

/// SplitMix64 by position, as the endpoint's documentation defines it.
fn drawn(seed: u64, n: u64) -> f64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / 2f64.powi(53)
}

#[test]
fn the_failures_can_be_computed() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (seed, rate) in [(0, 0.1), (7, 0.1), (7, 0.5), (u64::MAX, 0.9)] {
        let mut failed = 0;
        for n in 1..=500 {
            let fails = drawn(seed, n) < rate;
            let expected = if fails { 503 } else { 200 };
            assert_eq!(status(&mut client, &format!("?rate={rate}&seed={seed}&n={n}")), expected, "{seed} {n}");
            failed += u32::from(fails);
        }
        assert!((f64::from(failed) / 500.0 - rate).abs() < 0.06, "{failed} of 500 at {rate}");
    }
    for n in 1..=50 {
        assert_eq!(status(&mut client, &format!("?rate=0&n={n}")), 200);
        assert_eq!(status(&mut client, &format!("?rate=1&n={n}")), 503);
    }
}

#[test]
fn by_the_position_on_the_connection_too() {
    let server = Server::start(&["--workers", "2"]);
    let by_n = |n| status(&mut server.connect(), &format!("?rate=0.3&seed=42&n={n}"));
    let expected: Vec<u16> = (1..=40).map(by_n).collect();
    assert!(expected.contains(&200) && expected.contains(&503));
    for _ in 0..4 {
        let mut client = server.connect();
        let by_place: Vec<u16> = expected.iter().map(|_| status(&mut client, "?rate=0.3&seed=42")).collect();
        assert_eq!(by_place, expected);
    }
    // A request of another kind has a position, too.
    let mut client = server.connect();
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(status(&mut client, "?rate=0.3&seed=42"), expected[1]);
}

#[test]
fn with_a_body_however_large() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for expected in [503, 200] {
        let rate = if expected == 503 { 1 } else { 0 };
        client.send(format!(
            "POST /fault/flaky?rate={rate} HTTP/1.1\r\nHost: t\r\nContent-Length: 3000000\r\n\r\n{}",
            "x".repeat(3_000_000)
        ));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (expected, None), "the connection is kept");
    }
}
