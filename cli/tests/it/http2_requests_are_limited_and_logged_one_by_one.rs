//! Over HTTP/2, limits, the access log, request IDs and metrics are of each request: one that is refused leaves its connection
//! and the other streams as they are.

use crate::apps::turnstile_server::Turnstile;
use crate::support::access_log::Logged;
use crate::support::admin::{admin_of, samples};
use crate::support::http2::{Answer, Frame, HEADERS, Http2, block, code, handshake, request};
use crate::support::{Server, eventually};

fn ask(http2: &mut Http2, stream: u32, path: &str) {
    http2.send(&[Frame::headers(stream, true, block(&request("GET", path)))]);
}

fn seconds(answer: &Answer) -> u64 {
    answer.field("retry-after").expect("a Retry-After").parse().expect("a number of seconds")
}

#[test]
fn one_over_the_servers_limit_gets_503_and_the_others_go_on() {
    let server = Turnstile::start(&["--workers", "1", "--limit-concurrency", "1", "--limit-wait", "0"]);
    let mut http2 = Http2::connect(&server.0);
    ask(&mut http2, 1, "/hold");
    server.wait_held(1);
    for stream in [3, 5] {
        let refused = http2.get(stream, "/hold");
        assert_eq!((refused.status, seconds(&refused), refused.reset), (503, 1, None), "{}", refused.text());
        assert_eq!(refused.field("connection"), None);
    }
    // With a body that still comes, only its stream ends early.
    http2.send(&[Frame::headers(7, false, block(&request("POST", "/hold")))]);
    assert_eq!(http2.answer(7).status, 503);
    http2.send(&[Frame::data(7, true, b"late".as_slice())]);
    assert_eq!(http2.get(9, "/counts").text(), "1 1 1", "what is exempt is answered on the same connection");
    server.release(1);
    let held = http2.answer(1);
    assert_eq!((held.status, held.text(), held.reset), (200, "0".to_string(), None));
    server.release(1);
    assert_eq!(http2.get(11, "/hold").text(), "1");
}

#[test]
fn streams_wait_their_turn_and_one_that_is_cancelled_leaves_its_place() {
    let options = ["--workers", "1", "--limit-concurrency", "1", "--limit-wait", "20s", "--limit-queue", "1"];
    let server = Turnstile::start(&options);
    let mut http2 = Http2::connect(&server.0);
    ask(&mut http2, 1, "/hold");
    server.wait_held(1);
    ask(&mut http2, 3, "/hold");
    assert_eq!(http2.get(5, "/hold").status, 503, "there is no place to wait");
    http2.send(&[Frame::rst_stream(3, code::CANCEL)]);
    ask(&mut http2, 7, "/hold");
    assert_eq!(http2.get(9, "/hold").status, 503);
    server.release(2);
    assert_eq!(http2.answer(1).text(), "0");
    assert_eq!(http2.answer(7).text(), "1", "it has waited in the place of the other one");
}

#[test]
fn a_client_over_its_own_limit_gets_429_on_a_connection_that_is_kept() {
    let server = Server::start(&["--limit-client-rate", "2/h", "--limit-wait", "0", "--ratelimit-headers"]);
    let mut http2 = Http2::connect(&server);
    ask(&mut http2, 1, "/delay/1000");
    assert_eq!(http2.get(3, "/status/204").status, 204);
    let refused = http2.get(5, "/status/204");
    assert_eq!(refused.status, 429);
    assert!((900..=1800).contains(&seconds(&refused)), "{}", seconds(&refused));
    assert!(refused.text().contains("the client's rate limit of 2/h is reached"), "{}", refused.text());
    assert_eq!(refused.field("ratelimit-policy"), Some(r#""client";q=2;w=3600"#));
    assert_eq!(http2.get(7, "/health").status, 200);
    assert_eq!(http2.answer(1).status, 200, "what was admitted before goes on");
    // The client has one limit, whatever it speaks.
    assert_eq!(server.get("/status/204").status, 429);
}

#[test]
fn each_has_its_line_its_id_and_its_version() {
    let logged = Logged::start(&["--admin", "0", "--request-id", "--access-log-format", "json"]);
    let mut http2 = Http2::connect(&logged.server);
    let with_id = [request("GET", "/status/404"), vec![("x-request-id", "mine")]].concat();
    http2.send(&[Frame::headers(1, true, block(&with_id))]);
    assert_eq!(http2.answer(1).field("x-request-id"), Some("mine"));
    let made = http2.get(3, "/health").field("x-request-id").expect("an ID").to_string();
    assert_eq!(made.len(), 32, "{made}");
    let lines: Vec<serde_json::Value> =
        logged.lines(2).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for (line, path, status, id) in [(&lines[0], "/status/404", 404, "mine"), (&lines[1], "/health", 200, &*made)] {
        let expected = serde_json::json!([path, status, id, "2", "complete"]);
        let names = ["url_path", "http_response_status_code", "request_id", "network_protocol_version", "outcome"];
        assert_eq!(serde_json::json!(names.map(|name| &line[name])), expected, "{line}");
    }
    let admin = admin_of(&logged.server);
    let count = |status: u16| {
        format!(
            "http_server_request_duration_seconds_count{{http_request_method=\"GET\",\
             http_response_status_code=\"{status}\",network_protocol_version=\"2\"}}"
        )
    };
    eventually("both are counted", || {
        let samples = samples(admin);
        (samples.get(&count(404)) == Some(&1.0) && samples.get(&count(200)) == Some(&1.0)).then_some(())
    });
}

#[test]
fn a_line_of_text_has_the_version_too() {
    let logged = Logged::start(&["--access-log-format", "%r|%H|%{protocol}x|%>s|%b"]);
    assert_eq!(Http2::connect(&logged.server).get(1, "/status/418").status, 418);
    let line = logged.lines(1).remove(0);
    assert!(line.starts_with("GET /status/418 HTTP/2") && line.contains("|2|418|"), "{line}");
}

#[test]
fn a_websocket_of_a_stream_counts_until_it_ends() {
    let server = Server::start(&["--workers", "1", "--limit-concurrency", "1", "--limit-wait", "0"]);
    let mut http2 = Http2::connect(&server);
    http2.send(&[Frame::headers(1, false, block(&handshake("/ws")))]);
    let head = http2.frame_of(HEADERS);
    assert!(head.stream == 1 && http2.fields(&head.payload)[0].1 == "200");
    assert_eq!(http2.get(3, "/status/204").status, 503);
    http2.send(&[Frame::rst_stream(1, code::CANCEL)]);
    let mut stream = 3;
    eventually("its permit is given back", || {
        stream += 2;
        (http2.get(stream, "/status/204").status == 204).then_some(())
    });
}
