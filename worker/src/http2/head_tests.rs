use super::*;
use crate::http2::hpack::{Bounds, Decoder, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;

type Field = (&'static str, &'static str);

const GET: [Field; 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "example.com"), (":path", "/a?b=c")];

fn limits() -> Limits {
    Limits { request_line_bytes_max: 100, ..tine_common::config::WorkerConfig::default().limits }
}

/// A block of these fields as they are, whatever is wrong with them.
fn block(fields: &[(&[u8], &[u8])]) -> Block {
    let mut coded = Vec::new();
    for field in fields {
        coded.push(0);
        for string in [field.0, field.1] {
            assert!(string.len() < 127 + 128);
            match string.len() {
                short @ ..127 => coded.push(short as u8),
                long => coded.extend([127, (long - 127) as u8]),
            }
            coded.extend(string);
        }
    }
    let mut block = Block::default();
    Decoder::new().decode(&coded, Bounds { bytes_max: 10_000, fields_max: 60 }, &mut block).unwrap();
    block
}

fn read_bytes(fields: &[(&[u8], &[u8])], ends_stream: bool) -> Result<RequestHead, Refusal> {
    // It has had another head before.
    let mut head = RequestHead::default();
    let others = [GET.as_slice(), &[("cookie", "old"), ("content-length", "7"), ("priority", "u=0, i")]].concat();
    let others: Vec<_> = others.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    head.read(&block(&others), false, &limits()).unwrap();
    head.read(&block(fields), ends_stream, &limits()).map(|()| head)
}

fn read(fields: &[Field], ends_stream: bool) -> Result<RequestHead, Refusal> {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    read_bytes(&fields, ends_stream)
}

/// The usual pseudo-fields, and these.
fn with(fields: &[Field]) -> Vec<Field> {
    [&GET[..], fields].concat()
}

fn text(head: &RequestHead) -> String {
    let mut room = FieldRoom::new();
    let request = head.request(&mut room);
    String::from_utf8_lossy(request.text()).into_owned()
}

#[track_caller]
fn check_malformed(fields: &[Field], why: &str) {
    match read(fields, true) {
        Err(Refusal::Malformed(reason)) => assert_eq!(reason, why, "{fields:?}"),
        other => panic!("{fields:?}: {other:?}"),
    }
}

#[track_caller]
fn check_answered(fields: &[Field], status: u16) {
    match read(fields, true) {
        Err(Refusal::Answered { error, is_head: false }) => assert_eq!(error.status, status, "{fields:?}"),
        other => panic!("{fields:?}: {other:?}"),
    }
}

#[test]
fn a_request_is_as_an_app_knows_it() {
    let fields = with(&[
        ("accept", "*/*"),
        ("cookie", "a=b"),
        ("x-empty", ""),
        ("te", "trailers"),
        ("cookie", "c=d"),
        ("priority", "u=1, i"),
        ("cookie", "e"),
    ]);
    let head = read(&fields, true).unwrap();
    let mut room = FieldRoom::new();
    let request = head.request(&mut room);
    assert_eq!((request.method(), request.target(), request.path()), ("GET", "/a?b=c", "/a"));
    assert_eq!(
        (request.version(), request.host(), request.body_length()),
        (Version::Http2, "example.com", BodyLength::None)
    );
    let expected: [(&str, &[u8]); 6] = [
        ("host", b"example.com"),
        ("accept", b"*/*"),
        ("x-empty", b""),
        ("te", b"trailers"),
        ("priority", b"u=1, i"),
        ("cookie", b"a=b; c=d; e"),
    ];
    assert_eq!(request.headers().iter().collect::<Vec<_>>(), expected);
    assert_eq!(head.priority(), Priority { urgency: 1, incremental: true });
    assert_eq!(
        String::from_utf8_lossy(request.text()),
        "GET /a?b=c HTTP/2.0\r\nhost: example.com\r\naccept: */*\r\nx-empty: \r\nte: trailers\r\npriority: u=1, i\r\n\
         cookie: a=b; c=d; e\r\n\r\n"
    );
    assert!(!head.is_websocket());
}

#[test]
fn many_fields_are_kept_as_well() {
    let fields: Vec<(Vec<u8>, Vec<u8>)> = (0..50).map(|at| (format!("x-{at}").into(), vec![0x80 + at; 3])).collect();
    let pseudo = GET.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let all: Vec<_> = pseudo.chain(fields.iter().map(|(name, value)| (&name[..], &value[..]))).collect();
    let head = read_bytes(&all, true).unwrap();
    let mut room = FieldRoom::new();
    let seen: Vec<_> =
        head.request(&mut room).headers().iter().map(|(n, v)| (n.as_bytes().to_vec(), v.to_vec())).collect();
    assert_eq!(seen[1..], fields);
    assert_eq!(head.priority(), Priority::UNSAID);
}

#[test]
fn pseudo_fields_are_there_once_and_first() {
    for name in [":method", ":scheme", ":path"] {
        let without: Vec<_> = GET.into_iter().filter(|field| field.0 != name).collect();
        check_malformed(&without, &format!("there is no {name}"));
    }
    for field in GET {
        check_malformed(&with(&[field]), "there are two of a pseudo-field");
        check_malformed(&with(&[("accept", "a"), field]), "a pseudo-field follows a field");
    }
    for name in [":status", ":", ":Method", ":x"] {
        check_malformed(&with(&[(name, "x")]), "there is an unknown pseudo-field");
    }
    let [method, scheme, authority, path] = GET;
    for (fields, why) in [
        ([(":method", ""), scheme, authority, path], "the method is not a token"),
        ([(":method", "G T"), scheme, authority, path], "the method is not a token"),
        ([method, (":scheme", ""), authority, path], ":scheme is not a scheme"),
        ([method, (":scheme", "1a"), authority, path], ":scheme is not a scheme"),
        ([method, scheme, (":authority", ""), path], ":authority is not a host"),
        ([method, scheme, (":authority", "user@example.com"), path], ":authority is not a host"),
        ([method, scheme, (":authority", "a:b"), path], ":authority is not a host"),
        ([method, scheme, authority, (":path", "")], ":path is not a path"),
        ([method, scheme, authority, (":path", "a")], ":path is not a path"),
        ([method, scheme, authority, (":path", "*")], ":path is not a path"),
        ([method, scheme, authority, (":path", "http://a/")], ":path is not a path"),
        ([method, scheme, authority, (":path", "/\n")], "a field's value has a control character"),
        ([method, scheme, authority, (":path", "/ ")], "a field's value begins or ends with a space"),
    ] {
        check_malformed(&fields, why);
    }
    // What HTTP/1.1 answers with 400 is so here.
    for path in ["/a b", "/%", "/%2", "/%zz", "/#a"] {
        check_answered(&[method, scheme, authority, (":path", path)], 400);
    }
    let bytes = [
        (b":method".as_slice(), b"GET".as_slice()),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/\xff"),
    ];
    assert!(matches!(read_bytes(&bytes, true), Err(Refusal::Answered { error: NOT_UTF8, .. })));
    let head = read(&[(":method", "OPTIONS"), scheme, authority, (":path", "*")], true).unwrap();
    assert!(text(&head).starts_with("OPTIONS * HTTP/2.0\r\n"));
}

#[test]
fn names_and_values_are_those_of_the_rfc() {
    const NAME: &str = "a field's name has a character that is not allowed";
    for name in ["", "A", "x-Y", "a b", "a:b", "a\n", "a\0", "\u{e9}", "a\x7f", "a(", "a/"] {
        check_malformed(&with(&[(name, "x")]), NAME);
    }
    for value in ["a\n", "\r", "a\0b", "\x7f", "\x1f"] {
        check_malformed(&with(&[("x", value)]), "a field's value has a control character");
    }
    for value in [" a", "a ", "\ta", "a\t", " "] {
        check_malformed(&with(&[("x", value)]), "a field's value begins or ends with a space");
    }
    for (name, value) in [("x", ""), ("x", "a\tb c"), ("x", "\u{e9}"), ("!#$%&'*+-.^_`|~09az", "x")] {
        assert!(read(&with(&[(name, value)]), true).is_ok(), "{name}: {value}");
    }
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"] {
        check_malformed(&with(&[(name, "")]), "there is a field of the connection");
    }
    for value in ["", "gzip", "trailers, gzip", "trailers;q=1"] {
        check_malformed(&with(&[("te", value)]), "te is not trailers");
    }
}

#[test]
fn the_host_is_one() {
    let [method, scheme, _, path] = GET;
    let text_of = |fields: &[Field]| text(&read(fields, true).unwrap());
    let host = |value| [method, scheme, path, ("accept", "a"), ("host", value)];
    assert_eq!(text_of(&host("b:1")), "GET /a?b=c HTTP/2.0\r\naccept: a\r\nhost: b:1\r\n\r\n");
    check_malformed(&host(""), "host is not a host");
    check_malformed(&host("a b"), "host is not a host");
    check_malformed(&[method, scheme, path], "there is neither :authority nor host");
    for host in ["example.com", "EXAMPLE.com", "example.com:80"] {
        let expected = "GET /a?b=c HTTP/2.0\r\nhost: example.com\r\n\r\n";
        assert_eq!(text_of(&with(&[("host", host)])), expected);
    }
    for host in ["example.org", "example.com:8080", "example.com:443", ""] {
        check_malformed(&with(&[("host", host)]), "host differs from :authority");
    }
    let https = |host| [method, (":scheme", "https"), (":authority", "a:443"), path, ("host", host)];
    assert!(read(&https("a"), true).is_ok());
    check_malformed(&https("a:80"), "host differs from :authority");
    check_malformed(&with(&[("host", "example.com"), ("host", "example.com")]), "there is more than one host");
}

#[test]
fn the_body_is_announced_by_its_length_or_by_the_stream() {
    let body = |fields: &[Field], ends_stream| {
        let head = read(&with(fields), ends_stream)?;
        Ok((head.body, text(&head).contains("\r\ntransfer-encoding: chunked\r\n\r\n")))
    };
    assert_eq!(body(&[], true), Ok((BodyLength::None, false)));
    assert_eq!(body(&[], false), Ok((BodyLength::Chunked, true)));
    for ends_stream in [false, true] {
        assert_eq!(body(&[("content-length", "0")], ends_stream), Ok((BodyLength::Known(0), false)));
    }
    assert_eq!(body(&[("content-length", "12")], false), Ok((BodyLength::Known(12), false)));
    const NONE: Refusal = Refusal::Malformed("there is no body, but a content-length");
    assert_eq!(body(&[("content-length", "12")], true), Err(NONE));
    for value in ["", "+1", "1, 1", "0x1", "-0"] {
        check_malformed(&with(&[("content-length", value)]), "the Content-Length is not a number");
    }
    check_answered(&with(&[("content-length", "9223372036854775808")]), 413);
    let two = [("content-length", "0"), ("content-length", "0")];
    check_malformed(&with(&two), "there is more than one content-length");
    assert!(read(&with(&[("expect", "100-continue")]), false).unwrap().expects_continue());
    assert!(!read(&GET, false).unwrap().expects_continue());
    check_answered(&with(&[("expect", "other")]), 417);
}

#[test]
fn connect_is_refused_but_for_a_protocol() {
    let [_, scheme, authority, path] = GET;
    let method = (":method", "CONNECT");
    check_answered(&[method, authority], 501);
    const WHY: &str = "CONNECT has :authority, and neither :scheme nor :path";
    check_malformed(&[method], WHY);
    check_malformed(&[method, scheme, authority], WHY);
    check_malformed(&[method, scheme, authority, path], WHY);
    let protocol = (":protocol", "websocket");
    let head = read(&[method, protocol, scheme, authority, path], false).unwrap();
    assert!(head.is_websocket());
    let as_http1 = "GET /a?b=c HTTP/2.0\r\nhost: example.com\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n";
    assert_eq!(text(&head), as_http1);
    check_answered(&[method, (":protocol", "connect-udp"), scheme, authority, path], 501);
    const PROTOCOL: &str = ":protocol is for CONNECT with :authority";
    check_malformed(&with(&[protocol]), PROTOCOL);
    check_malformed(&[method, protocol, scheme, path, ("host", "a")], PROTOCOL);
    check_malformed(&[method, (":protocol", ""), scheme, authority, path], PROTOCOL);
    check_malformed(&[method, protocol, scheme, authority], "there is no :path");
    check_malformed(&[method, protocol, authority, path], "there is no :scheme");
}

#[test]
fn what_is_too_long_is_answered() {
    let [method, scheme, authority, _] = GET;
    // `GET ` and ` HTTP/2.0`
    let path = |length: usize| [b"/".to_vec(), vec![b'a'; length - 1]].concat();
    for (length, fits) in [(87, true), (88, false)] {
        let (path, as_bytes) = (path(length), |field: Field| (field.0.as_bytes(), field.1.as_bytes()));
        let fields = [as_bytes(method), as_bytes(scheme), as_bytes(authority), (b":path", &path)];
        match read_bytes(&fields, true) {
            Ok(_) => assert!(fits),
            Err(refusal) => {
                assert_eq!((fits, refusal), (false, Refusal::Answered { error: Error::LINE_TOO_LONG, is_head: false }));
            }
        }
    }
    for (method, is_head) in [("GET", false), ("HEAD", true)] {
        let fields = [&[(":method", method)], &GET[1..], &[("x", "y"); 60]].concat();
        assert_eq!(read(&fields, true).unwrap_err(), Refusal::Answered { error: Error::TOO_MANY_FIELDS, is_head });
    }
}

#[test]
fn trailers_are_fields_and_no_pseudo_fields() {
    let check = |fields: &[(&[u8], &[u8])]| check_trailers(&block(fields));
    assert_eq!(check(&[(b"grpc-status", b"0"), (b"x", b"")]), Ok(()));
    for (name, value) in [(":path", "/"), ("X", "a"), ("x", "\n"), ("connection", "close"), ("te", "gzip"), ("", "")] {
        assert!(matches!(check(&[(name.as_bytes(), value.as_bytes())]), Err(Refusal::Malformed(_))), "{name}");
    }
    assert!(check(&[(b"x".as_slice(), b"y".as_slice()); 61]).is_err());
}

fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        ":(method|path|scheme|authority|protocol)",
        "host|cookie|te|content-length|expect|priority|connection|upgrade",
        "[a-z]{0,3}",
        "[ -~]{0,3}",
    ];
    let value = prop_oneof![
        3 => "GET|CONNECT|OPTIONS|http|/|[*]|example.com|trailers|7|0|100-continue|websocket",
        1 => "[ -~]{0,5}",
    ];
    let value = prop_oneof![9 => value.prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..5)];
    (name.prop_map(String::into_bytes), value)
}

proptest! {
    /// No field brings an app a head that HTTP/1.1 would read differently.
    #[test]
    fn a_head_that_is_accepted_is_one_of_http1(
        usual in any::<bool>(), fields in vec(field(), 0..9), ends_stream in any::<bool>(),
    ) {
        let usual: &[Field] = if usual { &GET } else { &[] };
        let usual = usual.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let all: Vec<_> = usual.chain(fields.iter().map(|(name, value)| (&name[..], &value[..]))).collect();
        let Ok(head) = read_bytes(&all, ends_stream) else { return Ok(()) };
        let mut room = FieldRoom::new();
        let request = head.request(&mut room);
        let text = request.text().to_vec();
        let mut seen: Vec<_> = request.headers().iter().collect();
        if request.body_length() == BodyLength::Chunked {
            seen.push(("transfer-encoding", b"chunked"));
        }
        let mut raw = [httparse::EMPTY_HEADER; 20];
        let line = format!("{} {} HTTP/2.0\r\n", request.method(), request.target());
        let text = [b"GET / HTTP/1.1\r\n", text.strip_prefix(line.as_bytes()).unwrap()].concat();
        let mut parsed = httparse::Request::new(&mut raw);
        prop_assert_eq!(parsed.parse(&text), Ok(httparse::Status::Complete(text.len())));
        let parsed: Vec<_> = parsed.headers.iter().map(|field| (field.name, field.value)).collect();
        prop_assert_eq!(parsed, seen);
    }
}

#[test]
fn a_browsers_head_is_the_same_through_the_encoder() {
    let mut out = Vec::new();
    let mut encoder = Encoder::new();
    encoder.begin(&mut out);
    for (name, value) in with(&[("user-agent", "Mozilla/5.0"), ("accept-language", "en")]) {
        encoder.field(name.as_bytes(), value.as_bytes(), &mut out);
    }
    let mut block = Block::default();
    Decoder::new().decode(&out, Bounds { bytes_max: 1000, fields_max: 10 }, &mut block).unwrap();
    let mut head = RequestHead::default();
    assert_eq!(head.read(&block, true, &limits()), Ok(()));
    assert_eq!(head.fields.len(), 3);
}
