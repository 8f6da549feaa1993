//! `--access-log`: a line for each request, whatever became of it, written when its response has left.

use crate::support::access_log::Logged;
use crate::support::eventually;
use nix::sys::signal::Signal;

/// The line with `TIME` for a time in the form of Apache.
#[track_caller]
fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').expect("a time");
    let (time, after) = rest.split_once(']').expect("a time");
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    let (day, rest) = shape.split_once('/').expect("a date");
    let (month, rest) = rest.split_once('/').expect("a date");
    let is_month = "JanFebMarAprMayJunJulAugSepOctNovDec".contains(month) && month.len() == 3;
    assert!(day == "00" && is_month && ["0000:00:00:00 +0000", "0000:00:00:00 -0000"].contains(&rest), "{time}");
    format!("{before}TIME{after}")
}

const HEAD: &str = "GET /health?a=b HTTP/1.1\r\nHost: t\r\nUser-Agent: test/1 \"x\"\r\nReferer: http://r/\r\n\r\n";

#[test]
fn common_and_combined_are_apaches() {
    for (options, more) in [
        (&["--access-log-format", "common"][..], ""),
        (&["--access-log-format", "combined"], r#" "http://r/" "test/1 \"x\"""#),
        (&[], r#" "http://r/" "test/1 \"x\"""#),
    ] {
        let logged = Logged::start(options);
        let mut client = logged.server.connect();
        client.send(HEAD);
        let length = client.response().body.len();
        let expected = format!(r#"127.0.0.1 - - TIME "GET /health?a=b HTTP/1.1" 200 {length}{more}"#);
        assert_eq!(without_time(&logged.lines(1)[0]), expected);
    }
}

#[test]
fn json_is_json_whatever_a_client_sends() {
    let logged = Logged::start(&["--access-log-format", "json"]);
    let mut client = logged.server.connect();
    client.send(HEAD);
    client.response();
    client.send(
        b"GET /health?\xc3\xa9=\"\\ HTTP/1.1\r\nHost: t\r\nUser-Agent: \xff\t\"\\\r\nReferer: \x80\xe2\x80\xa8\r\n\r\n",
    );
    client.response();
    client.send(b"G\x01T\xff \"\x1b\n");
    let (_, _) = client.read_to_end();
    let lines = logged.lines(3);
    let parsed: Vec<serde_json::Value> =
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect();
    let first = &parsed[0];
    for (key, expected) in [
        ("client_address", serde_json::json!("127.0.0.1")),
        ("http_request_method", "GET".into()),
        ("url_path", "/health".into()),
        ("url_query", "a=b".into()),
        ("network_protocol_version", "1.1".into()),
        ("http_response_status_code", 200.into()),
        ("http_request_size", HEAD.len().into()),
        ("user_agent_original", "test/1 \"x\"".into()),
        ("referer", "http://r/".into()),
        ("outcome", "complete".into()),
        ("worker", 0.into()),
    ] {
        assert_eq!(first[key], expected, "{key}: {first}");
    }
    assert!(first["duration"].as_f64() >= first["time_to_first_byte"].as_f64(), "{first}");
    assert_eq!(
        (&parsed[1]["user_agent_original"], &parsed[1]["url_query"]),
        (&"\u{fffd}\t\"\\".into(), &"é=\"\\".into())
    );
    assert_eq!((&parsed[2]["http_response_status_code"], parsed[2].get("url_path")), (&400.into(), None));
}

/// Its head is malformed, too long or late, or its version is another one.
#[test]
fn json_has_what_the_request_line_of_a_refused_request_says() {
    let options = ["--access-log-format", "json", "--header-max", "2K", "--header-timeout", "300ms"];
    let logged = Logged::start(&options);
    let too_long = format!("GET /p?q HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(3000));
    for (count, (bytes, method, path, query, version, status)) in [
        ("GET /p?q=\" HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", "GET", "/p", "q=\"".into(), "1.1", 400),
        ("GE\"T /\u{1f600} HTTP/1.0\r\n: x\r\n\r\n", "GE\"T", "/\u{1f600}", None, "1.0", 400),
        (&too_long, "GET", "/p", Some("q"), "1.1", 431),
        ("GET / HTTP/1.1\r\nHo", "GET", "/", None, "1.1", 408),
        ("GET / HTTP/3.0\r\n\r\n", "GET", "/", None, "3.0", 505),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = logged.server.connect();
        client.send(bytes);
        client.read_to_end();
        let line = logged.lines(count + 1).pop().expect("a line");
        let json: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let known = ["http_request_method", "url_path", "url_query", "network_protocol_version"];
        assert_eq!(known.map(|key| json[key].as_str()), [Some(method), Some(path), query, Some(version)], "{line}");
        assert_eq!((&json["http_response_status_code"], json.get("host")), (&status.into(), None));
    }
}

#[test]
fn no_control_byte_of_a_client_reaches_a_line() {
    let logged = Logged::start(&["--access-log-format", "%h \"%r\" \"%{User-Agent}i\" \"%{X}i\" %u"]);
    // `\x1b\n127.0.0.1` as a user, `\r\n` as another.
    for (fields, user) in
        [("User-Agent: \x7f", "-"), ("User-Agent: a\r\nAuthorization: Basic GwoxMjcuMC4wLjE6", "\\x1b\\x0a127.0.0.1")]
    {
        let mut client = logged.server.connect();
        client.send(format!(
            "GET /health HTTP/1.1\r\nHost: t\r\n{fields}\r\nX: \u{9b}31m\t\"\r\nConnection: close\r\n\r\n"
        ));
        let _ = client.read_to_end();
        let line = eventually("the line", || logged.text().lines().last().map(str::to_string));
        let is_refused = line.contains("\"GET /health HTTP/1.1\" \"-\" \"-\" -");
        let is_escaped = line.ends_with(&format!("\"\\xc2\\x9b31m\\x09\\\"\" {user}"));
        assert!(is_refused || is_escaped, "{line}");
    }
    let mut client = logged.server.connect();
    client.send(b"GET /\x1b]0;evil\x07\"\\\xff HTTP/1.1\r\n\r\n");
    let _ = client.read_to_end();
    let text = eventually("the line", || Some(logged.text()).filter(|text| text.contains("evil")));
    assert!(text.bytes().all(|b| b == b'\n' || (0x20..0x7f).contains(&b)), "{text:?}");
    assert!(text.contains(r#""GET /\x1b]0;evil\x07\"\\\xff HTTP/1.1""#), "{text}");
}

#[test]
fn what_the_server_refuses_has_a_line_too() {
    let options = [
        "--access-log-format",
        "\"%r\" %s %m %B",
        "--header-max",
        "2K",
        "--header-timeout",
        "300ms",
        "--max-connections",
        "2",
    ];
    let logged = Logged::start(&options);
    let refuse = |bytes: &str| {
        let mut client = logged.server.connect();
        client.send(bytes);
        let (all, _) = client.read_to_end();
        let text = String::from_utf8_lossy(&all).into_owned();
        text.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len())
    };
    let mut expected = Vec::new();
    for (bytes, line, status) in [
        ("nonsense\r\n\r\n", "nonsense", 400),
        ("GET / HTTP/1.1\r\nHost: t\r\nHost: u\r\n\r\n", "GET / HTTP/1.1", 400),
        ("GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1", 408),
        (&format!("GET /l HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(3000)), "GET /l HTTP/1.1", 431),
        ("GET / HTTP/3.0\r\n\r\n", "GET / HTTP/3.0", 505),
    ] {
        let length = refuse(bytes);
        let method = if line == "nonsense" { "-" } else { "GET" };
        expected.push(format!("\"{line}\" {status} {method} {length}"));
        assert_eq!(logged.lines(expected.len()), expected);
    }
    let held = [logged.server.connect(), logged.server.connect()];
    for mut client in held {
        client.send("GET /delay/20000 HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("it is in flight", || (logged.server.in_flight() > 0).then_some(()));
        std::mem::forget(client);
    }
    eventually("both are in flight", || (logged.server.in_flight() == 2).then_some(()));
    let length = refuse("GET /full HTTP/1.1\r\nHost: t\r\n\r\n");
    let line = logged.lines(expected.len() + 1).pop().expect("a line");
    assert!(
        [format!("\"GET /full HTTP/1.1\" 503 GET {length}"), format!("\"-\" 503 - {length}")].contains(&line),
        "{line}"
    );
}

#[test]
fn bytes_are_those_that_left() {
    let logged = Logged::start(&["--access-log-format", "%U %s %B %O %X %{outcome}x", "--graceful-timeout", "200ms"]);
    // Reads a little of a large response, and leaves.
    let mut client = logged.server.connect_narrow();
    client.send("GET /bin/100000000 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    client.take(1000).expect("some of the body");
    drop(client);
    let line = logged.lines(1).pop().expect("a line");
    let words: Vec<&str> = line.split(' ').collect();
    let [body, all]: [u64; 2] = [words[2], words[3]].map(|word| word.parse().expect("a number"));
    assert_eq!((words[0], words[1], words[4], words[5]), ("/bin/100000000", "200", "X", "aborted"), "{line}");
    assert!((1000..100_000_000).contains(&body) && (body + 50..body + 1000).contains(&all), "{line}");
    // One that leaves before the response.
    let mut client = logged.server.connect();
    client.send("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nabc");
    eventually("it is in flight", || (logged.server.in_flight() == 1).then_some(()));
    drop(client);
    assert_eq!(logged.lines(2)[1], "/upload - 0 0 X aborted");
    // One that the end of the server cuts.
    let mut client = logged.server.connect();
    client.send("GET /delay/100000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is in flight", || (logged.server.in_flight() == 1).then_some(()));
    logged.server.signal(Signal::SIGTERM);
    assert_eq!(logged.lines(3)[2], "/delay/100000 - 0 0 X cut");
}

#[test]
fn pipelined_requests_have_a_line_each_in_order() {
    let logged = Logged::start(&["--access-log-format", "%k %U %s %B %X"]);
    let mut client = logged.server.connect();
    let requests: String = (0..50).map(|n| format!("GET /health/{n} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    client.send(requests);
    let lengths: Vec<usize> = (0..50).map(|_| client.response().body.len()).collect();
    let expected: Vec<String> =
        lengths.iter().enumerate().map(|(n, length)| format!("{n} /health/{n} 200 {length} +")).collect();
    assert_eq!(logged.lines(50), expected);
}

#[test]
fn a_websocket_has_a_line_when_it_ends() {
    let logged = Logged::start(&["--access-log-format", "%U %s %B %{ms}T %{outcome}x"]);
    let mut client = logged.server.connect();
    client.send("GET /ws HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert!(client.head().starts_with("HTTP/1.1 101"));
    assert_eq!(logged.server.get("/health").status, 200);
    assert_eq!(logged.lines(1)[0].split(' ').next(), Some("/health"));
    drop(client);
    let line = logged.lines(2).pop().expect("a line");
    assert!(line.starts_with("/ws 101 ") && line.ends_with(" aborted"), "{line}");
}

#[test]
fn only_failures_or_one_in_n_if_so_asked() {
    let logged = Logged::start(&["--access-log-format", "%U %s", "--access-log-min-status", "404"]);
    for path in ["/health", "/status/404", "/status/302", "/status/500", "/status/403"] {
        logged.server.get(path);
    }
    assert_eq!(logged.lines(2), ["/status/404 404", "/status/500 500"]);
    let options =
        ["--access-log-format", "%U %s", "--access-log-sample", "10", "--slow-log", "300ms", "--log-level", "warn"];
    let logged = Logged::start(&options);
    for _ in 0..40 {
        logged.server.get("/health");
    }
    logged.server.get("/status/503");
    logged.server.get("/delay/301");
    let lines = logged.lines(6);
    assert_eq!(lines[..4], ["/health 200"; 4]);
    assert_eq!(lines[4..], ["/status/503 503", "/delay/301 200"]);
    let said = logged.server.wait_log("slow: GET /delay/301: 200 after ");
    assert_eq!(said.matches("slow: ").count(), 1, "{said}");
}

#[test]
fn a_drain_and_the_end_of_a_worker_write_what_is_left() {
    let mut logged = Logged::start(&["--access-log-format", "%U %s"]);
    let mut client = logged.server.connect();
    client.send("GET /delay/300 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is in flight", || (logged.server.in_flight() == 1).then_some(()));
    logged.server.signal(Signal::SIGTERM);
    assert_eq!(client.response().status, 200);
    assert_eq!(logged.server.wait_exit().code(), Some(0));
    assert_eq!(logged.text(), "/delay/300 200\n");
}
