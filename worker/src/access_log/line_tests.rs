//! Whole lines, as tables.

use super::Layout;
use super::capture::{Asked, Asking};
use super::clock::Clock;
use super::test_json::fields;
use crate::app::WorkerInfo;
use crate::dispatch::{Outcome, Record};
use crate::http::{Headers, Request, StatusCode, Version};
use crate::request_log::Captured;
use std::time::{Duration, Instant};
use tine_common::method::Method;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nServer: tine\r\nX-Note: a\"b\r\n\r\n";

/// The line of one request, however it is asked for.
fn line(format: &str, head: Asking<'_>, line_bytes_max: usize) -> String {
    let began = Instant::now();
    let mut clock = Clock::new(began);
    let worker = WorkerInfo { index: 3, workers: 4, generation: 2, ..WorkerInfo::alone(0) };
    let layout = Layout::new(&format.parse().expect(format), line_bytes_max, &worker, true);
    let asked = Asked {
        head,
        client: "127.0.0.1:4711".parse().ok(),
        local: "127.0.0.2:80".parse().ok(),
        request_id: Some("id-1"),
        began,
        tls: None,
    };
    let mut captured = Captured::default();
    let mut scratch = layout.scratch(line_bytes_max);
    layout.on_request(&asked, captured.line_mut(), &mut clock, &mut scratch);
    let mut record = Record::new(Method::Get, None, 0, began);
    if matches!(head, Asking::Request(_)) {
        captured.set_head(HEAD.len(), true);
        if let Layout::Directives(template) = &layout {
            template.on_head(HEAD, captured.line_mut(), &mut clock, &mut scratch);
        }
        record.status = Some(StatusCode::OK);
    }
    record.outcome = Outcome::Answered;
    record.request_bytes = 77;
    record.written(HEAD.len() as u64 + 5);
    record.end(u64::MAX, began + Duration::from_micros(1_234_567));
    let mut out = vec![0; line_bytes_max];
    let length = layout.finish(&record, &captured, &mut out, &mut clock);
    String::from_utf8(out[..length].to_vec()).expect("text")
}

const FIELDS: [(&str, &[u8]); 7] = [
    ("Host", b"example.org:8080"),
    ("Referer", b"http://a/\"b"),
    ("USER-AGENT", b"curl\\8\xff"),
    ("Authorization", b"Basic YWRhOnNlY3JldA=="),
    ("Cookie", b"a=1; session=s3"),
    ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("X-Empty", b""),
];

fn of_request(format: &str, target: &str, line_bytes_max: usize) -> String {
    of_request_by("GET", format, target, line_bytes_max)
}

fn of_request_by(method: &str, format: &str, target: &str, line_bytes_max: usize) -> String {
    let fields = FIELDS.map(|(name, value)| httparse::Header { name, value });
    let none = crate::http::BodyLength::None;
    let mut request = Request::new(method, target, 0, Version::Http11, Headers::new(&fields), none);
    request.set_place(3);
    line(format, Asking::Request(&request), line_bytes_max)
}

#[test]
fn each_directive_has_its_value() {
    for (format, expected) in [
        ("%h %a %A %l", "127.0.0.1 127.0.0.1 127.0.0.2 -"),
        ("%p %{local}p %{remote}p", "80 80 4711"),
        ("%u", "ada"),
        ("%r|%m|%U|%q|%H", "GET /p/\\xc3\\xa9?a=b&c=\\\"d HTTP/1.1|GET|/p/\\xc3\\xa9|?a=b&c=\\\"d|HTTP/1.1"),
        ("%(q)s", "a=b&c=\\\"d"),
        ("%s %>s", "200 200"),
        ("%b %B %I %O %S", "5 5 77 51 128"),
        ("%D %T %{ms}T %{us}T %M %(L)s", "1234567 1 1234 1234567 1234 1.234567"),
        ("%^FB %{ttfb}x", "1234567 1234567"),
        ("%v %{Host}i", "example.org:8080 example.org:8080"),
        ("\"%{Referer}i\" \"%{User-Agent}i\"", "\"http://a/\\\"b\" \"curl\\\\8\\xff\""),
        ("%{X-Empty}i|%{X-None}i|%{session}C|%{b}C", "|-|s3|-"),
        ("%{Server}o|%{x-note}o|%{X-None}o", "tine|a\\\"b|-"),
        ("%k %X %{outcome}x", "2 + complete"),
        ("%{worker}x %{generation}x %{protocol}x", "3 2 1.1"),
        ("%L %{request_id}x", "id-1 id-1"),
        ("%{trace_id}x %{span_id}x", "0af7651916cd43dd8448eb211c80319c b7ad6b7169203331"),
        ("%{SSL_PROTOCOL}x %{tls_cipher}x", "- -"),
        ("%s %m %s", "200 GET 200"),
    ] {
        assert_eq!(of_request(format, "/p/é?a=b&c=\"d", 4096), expected, "{format}");
    }
    let pid = std::process::id();
    assert_eq!(of_request("%P %(p)s", "/", 4096), format!("{pid} <{pid}>"));
}

#[test]
fn of_a_refused_head_only_its_first_line_is_known() {
    let refused = |bytes: &[u8]| line("%h %u \"%r\" %m %U %>s %{X}o \"%{Referer}i\"", Asking::Refused(bytes), 4096);
    assert_eq!(refused(b"BAD \x1b[1m\"\r\nReferer: x\r\n"), "127.0.0.1 - \"BAD \\x1b[1m\\\"\" - - - - \"-\"");
    assert_eq!(refused(b""), "127.0.0.1 - \"-\" - - - - \"-\"");
    assert_eq!(refused(b"GET /a?b HTTP/1.1\r\n"), "127.0.0.1 - \"GET /a?b HTTP/1.1\" GET /a - - \"-\"");
    assert_eq!(line("%q %(q)s %H", Asking::Refused(b"GET /a?b HTTP/1.1\n"), 4096), "?b b HTTP/1.1");
    let json = fields(&line("json", Asking::Refused(b"\xff"), 4096));
    assert_eq!((json["client_address"].as_str(), json.get("url_path")), ("127.0.0.1", None));
    let json = fields(&line("json", Asking::Refused(b"B\"D /a\xff?b HTTP/1.0\r\nReferer: x\r\n"), 4096));
    let known =
        ["http_request_method", "url_path", "url_query", "network_protocol_version"].map(|key| json[key].as_str());
    assert_eq!(known, ["B\"D", "/a\u{fffd}", "b", "1.0"]);
    assert_eq!(json.get("referer"), None);
}

#[test]
fn json_has_each_value_as_it_was() {
    let text = of_request("json", "/p/é?a=b&c=\"d", 4096);
    let json = fields(&text);
    let pid = std::process::id().to_string();
    for (key, expected) in [
        ("request_id", "id-1"),
        ("trace_id", "0af7651916cd43dd8448eb211c80319c"),
        ("span_id", "b7ad6b7169203331"),
        ("client_address", "127.0.0.1"),
        ("client_port", "4711"),
        ("user_name", "ada"),
        ("http_request_method", "GET"),
        ("url_path", "/p/é"),
        ("url_query", "a=b&c=\"d"),
        ("host", "example.org:8080"),
        ("network_protocol_version", "1.1"),
        ("http_response_status_code", "200"),
        ("http_request_size", "77"),
        ("http_response_size", "51"),
        ("http_response_body_size", "5"),
        ("duration", "1.234567"),
        ("time_to_first_byte", "1.234567"),
        ("outcome", "complete"),
        ("referer", "http://a/\"b"),
        ("user_agent_original", "curl\\8\u{fffd}"),
        ("worker", "3"),
        ("process_pid", &pid),
    ] {
        assert_eq!(json[key], expected, "{key}");
    }
    assert_eq!(json["time"].len(), "2026-12-01T13:01:45.123456Z".len());
    assert_eq!(json.len(), 23);
    assert_eq!(fields(&of_request("json", "/", 4096)).get("url_query"), None);
}

#[test]
fn a_line_is_never_longer_than_its_sink_takes() {
    for target in ["/".to_string() + &"x".repeat(9000), "/".to_string() + &"\"?é".repeat(3000)] {
        for format in ["json", "combined", "%r %U %q %{Host}i %{Cookie}i %{X-Note}o"] {
            let text = of_request(format, &target, 4096);
            assert!((3000..4096).contains(&text.len()), "{format}: {} bytes: {text}", text.len());
            if format == "json" {
                let json = fields(&text);
                assert_eq!((json["user_agent_original"].as_str(), json["worker"].as_str()), ("curl\\8\u{fffd}", "3"));
            } else {
                assert!(
                    text.contains("...") && (format != "combined" || text.ends_with("\"curl\\\\8\\xff\"")),
                    "{text}"
                );
            }
        }
    }
}

#[test]
fn a_method_is_cut_as_any_other_value() {
    let method = "M".repeat(9000);
    let json = fields(&of_request_by(&method, "json", "/p", 4096));
    assert!(json["http_request_method"].ends_with("M..."), "{json:?}");
    assert_eq!((json["url_path"].as_str(), json["worker"].as_str()), ("/p", "3"));
    let text = of_request_by(&method, "%m %U %s", "/p", 4096);
    assert!(text.len() < 4096 && text.ends_with("... /p 200"), "{text}");
}

#[test]
fn what_is_escaped_stays_in_its_place_wherever_it_is() {
    for length in [1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 40] {
        for place in 0..length {
            for (byte, as_text, as_json) in
                [('"', "\\\"", "\""), ('\\', "\\\\", "\\"), ('\u{1}', "\\x01", "\u{1}"), ('é', "\\xc3\\xa9", "é")]
            {
                let around = ["a".repeat(place), "b".repeat(length - place - 1)];
                let target = format!("/{}{byte}{}", around[0], around[1]);
                let expected = format!("\"/{}{as_text}{}\" 200", around[0], around[1]);
                assert_eq!(of_request("\"%U\" %s", &target, 4096), expected);
                let json = fields(&of_request("json", &target, 4096));
                assert_eq!(json["url_path"], format!("/{}{as_json}{}", around[0], around[1]));
                assert_eq!(json["http_response_status_code"], "200");
            }
        }
    }
}
