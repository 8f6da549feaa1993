//! `/delay/{ms}[/{read ms}]` does not answer before its time, and reads the body no faster than requested.

use crate::support::{Server, scheme};
use serde_json::Value;
use std::time::{Duration, Instant};

#[test]
fn delay_answers_late() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let began = Instant::now();
    client.send("POST /delay/300?x HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
    // Other requests are not delayed meanwhile: one worker serves both.
    assert_eq!(server.get("/health").status, 200);
    let response = client.response();
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    let echo: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!(
        (&echo["duration_ms"], &echo["body"], &echo["uri"]),
        (&300.into(), &"hello".into(), &format!("{}://t/delay/300?x", scheme()).into())
    );
    assert!(echo.get("read_chunks").is_none() && echo["usage"]["total_tokens"] == 300);
}

#[test]
fn delay_reads_slowly() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let body = "x".repeat(1_000_000);
    let began = Instant::now();
    client.send(format!("POST /delay/50/20 HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
    let echo: Value = serde_json::from_slice(&client.response().body).expect("JSON");
    // At most 64 KiB at a time: at least 16 reads with 15 pauses between them, then the delay of the answer.
    assert!(began.elapsed() >= Duration::from_millis(15 * 20 + 50), "{:?}", began.elapsed());
    assert_eq!(
        (&echo["duration_ms"], &echo["read_delay_ms"], &echo["body_size"]),
        (&50.into(), &20.into(), &1_000_000.into())
    );
    assert!(
        echo["read_chunks"].as_u64() >= Some(16) && echo["total_read_time_ms"].as_u64() >= Some(300),
        "{:.300}",
        echo.to_string()
    );
    assert_eq!(echo["body"].as_str().map(str::len), Some(1_000_000));
}

#[test]
fn wrong_delays_are_explained() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    let (invalid, zero) = ("invalid delay parameters", "at least one delay must be > 0");
    for (delays, error) in [
        ("", invalid),
        ("x", invalid),
        ("-1", invalid),
        ("-0", invalid),
        ("1.5", invalid),
        ("1/", invalid),
        ("/1", invalid),
        ("1/2/3", invalid),
        ("1/x", invalid),
        ("99999999999999999999", invalid),
        ("18446744073709551615", invalid),
        ("0", zero),
        ("0/0", zero),
        ("00/0", zero),
    ] {
        client.send(format!("GET /delay/{delays} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.status, response.header("content-type")), (400, Some("application/json")), "{delays}");
        let json: Value = serde_json::from_slice(&response.body).expect("JSON");
        assert!(json["error"] == error && json["examples"].is_array(), "{delays}: {json}");
        assert_eq!(json.get("format").is_some(), error == invalid, "{delays}: {json}");
    }
    // A sign is accepted; without a body no bytes are counted.
    client.send("GET /delay/+0/1 HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    let json: Value = serde_json::from_slice(&response.body).expect("JSON");
    assert_eq!((response.status, &json["duration_ms"], &json["read_delay_ms"]), (200, &0.into(), &1.into()));
    assert!(json.get("read_chunks").is_none() && json.get("total_read_time_ms").is_none(), "{json}");
}
