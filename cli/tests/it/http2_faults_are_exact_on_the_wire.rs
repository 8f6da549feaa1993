//! Over HTTP/2 each fault is exactly these frames and this end of the stream or the connection. Other connections do not notice it, nor
//! do other streams, unless the connection ends.

use crate::support::Server;
use crate::support::http2::{
    ACK, CONTINUATION, DATA, END_HEADERS, Frame, GOAWAY, HEADERS, Http2, PING, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    block, request, setting,
};
use std::io::ErrorKind;

const OK: &str = "HEADERS :status=200 content-type=text/plain";

/// The faults with what comes of each, a line a frame.
#[rustfmt::skip] // a table
fn faults() -> Vec<(&'static str, Vec<String>)> {
    let ok = |more: &str| format!("{OK}{more}");
    let text = |text: &str| text.to_string();
    let bad = |frame: &str| vec![ok(""), text("DATA good\n"), text(frame), text("DATA  END")];
    let status = |status: &str| vec![format!("HEADERS{status} content-type=text/plain content-length=9"), text("DATA bad line\n END")];
    let mut faults = vec![
        ("reset", vec![text("RST_STREAM 2")]),
        ("reset?code=REFUSED_STREAM", vec![text("RST_STREAM 7")]),
        ("reset?after=5&code=4294967295", vec![ok(" content-length=1029"), text("DATA ABCDE"), text("RST_STREAM 4294967295")]),
        ("close", vec![ok(" content-length=1024"), text("FIN")]),
        ("close?after=5", vec![ok(" content-length=1029"), text("DATA ABCDE"), text("FIN")]),
        ("no-response", vec![text("FIN")]),
        ("half-header", vec![text("half a frame")]),
        ("huge-header?size=3", vec![ok(" content-length=5 x-fill=&&&"), text("DATA fill\n END")]),
        ("huge-header", vec![format!("{OK} content-length=5 x-fill={} in 5", "&".repeat(64 << 10)), text("DATA fill\n END")]),
        ("lf-only", vec![ok(" content-length=8 x-lines=one\ntwo"), text("DATA LF only\n END")]),
        ("dribble-head", vec![ok(" content-length=5 in 47"), text("DATA slow\n END")]),
        ("http09", vec![text("DATA <html>an answer without a head</html>\n END")]),
        ("wrong-length", vec![ok(" content-length=100"), text("DATA ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCDEFGHIJKLMN END")]),
        ("wrong-length?declared=9&sent=5&then=keep", vec![ok(" content-length=9"), text("DATA ABCDE")]),
        ("wrong-length?declared=5&sent=9&then=keep", vec![ok(" content-length=5"), text("DATA ABCDEFGHI END")]),
        ("extra-body", vec![ok(" content-length=5"), text("DATA body\n"), text("DATA  END"), text("DATA these bytes are too many\n END")]),
        ("extra-body?as=response", vec![ok(" content-length=5"), text("DATA body\n"), text("DATA  END"), text("HEADERS :status=200 END")]),
        ("duplicate-length", vec![ok(" content-length=5 content-length=12"), text("DATA two lengths\n END")]),
        ("duplicate-length?same=1", vec![ok(" content-length=12 content-length=12"), text("DATA two lengths\n END")]),
        ("te-and-length", vec![ok(" content-length=4 transfer-encoding=chunked"), text("DATA both\n END")]),
        ("body-on-204", vec![text("HEADERS :status=204 content-length=5"), text("DATA body\n END")]),
        ("short-chunked", vec![ok(""), text("DATA good\n"), text("FIN")]),
        ("short-chunked?inside=1", vec![ok(""), text("DATA good\n"), text("half a frame")]),
        ("unknown-coding", vec![ok(" transfer-encoding=x-unknown"), text("DATA unknown coding.\n END")]),
        ("bad-chunk", bad("frame 0 8 4")),
        ("goaway?last=0&code=ENHANCE_YOUR_CALM", vec![ok(" content-length=1024"), text("GOAWAY 0 11"), text("DATA 1024 END"), text("FIN")]),
        ("goaway?after=1", vec![ok(" content-length=1025"), text("DATA A"), text("GOAWAY 1 0"), text("DATA 1024 END"), text("FIN")]),
    ];
    for (kind, pseudo) in [
        ("no-status", ""), ("letters", " :status=2x0"), ("two-digits", " :status=20"), ("four-digits", " :status=2000"),
        ("zero", " :status=000"), ("high", " :status=999"), ("spaces", " :status= 200 "), ("control", " :status=200\0"), ("empty", " :status="),
        ("twice", " :status=200 :status=200"), ("late", " x-early=1 :status=200"), ("unknown", " :status=200 :unknown=1"),
        ("request", " :method=GET :scheme=http :path=/"),
    ] {
        faults.push((format!("bad-status-line?kind={kind}").leak(), status(pseudo)));
    }
    for (kind, frame) in [
        ("padding", "frame 0 8 4"), ("long", "DATA 16385"), ("size", "PING 7 of 0"), ("stream-0", "DATA bad\n of 0"),
        ("even-stream", "HEADERS :status=200 END of 2"), ("push", "frame 5 4 7"), ("continuation", "frame 9 4 1"), ("window-0", "frame 8 0 4"),
        ("window-overflow", "frame 8 0 4"), ("settings", "frame 4 0 6 of 0"), ("hpack", "frame 1 4 3"), ("idle-stream", "RST_STREAM 8 of 2147483647"),
        ("unknown", "frame 250 255 11"),
    ] {
        faults.push((format!("bad-frame?kind={kind}").leak(), bad(frame)));
    }
    faults
}

/// One frame as a line of the table; `None`: nothing that a fault sends.
fn told(http2: &mut Http2, frame: Frame, stream: u32) -> Option<String> {
    let of = if frame.stream == stream { String::new() } else { format!(" of {}", frame.stream) };
    let end = if frame.ends_stream() { " END" } else { "" };
    let Frame { kind, flags, ref payload, .. } = frame;
    Some(match (kind, flags) {
        (DATA, 0 | 1) if payload.len() > 100 => format!("DATA {}{end}{of}", payload.len()),
        (DATA, 0 | 1) => format!("DATA {}{end}{of}", String::from_utf8_lossy(payload)),
        // One that cannot be decoded.
        (HEADERS, END_HEADERS) if payload == b"\xff\xff\x7f" => "frame 1 4 3".into(),
        (HEADERS, _) => {
            let (mut block, mut frames, mut ends) = (payload.clone(), 1, frame.has(END_HEADERS));
            while !ends {
                let more = http2.frame().expect("a frame").expect("the rest of the head");
                assert_eq!((more.kind, more.stream), (CONTINUATION, frame.stream));
                (frames, ends) = (frames + 1, more.has(END_HEADERS));
                block.extend_from_slice(&more.payload);
            }
            let fields: String = http2.fields(&block).iter().map(|(name, value)| format!(" {name}={value}")).collect();
            let frames = if frames > 1 { format!(" in {frames}") } else { String::new() };
            format!("HEADERS{fields}{frames}{end}{of}")
        }
        (RST_STREAM, 0) => format!("RST_STREAM {}{of}", frame.code()?),
        (GOAWAY, 0) => {
            format!("GOAWAY {} {}", u32::from_be_bytes(*payload.first_chunk()?), frame.code()?)
        }
        (PING, 0) => format!("PING {}{of}", payload.len()),
        (SETTINGS, ACK) => return None,
        (WINDOW_UPDATE, 0) if frame.stream == 0 => return None,
        _ => format!("frame {kind} {flags} {}{of}", payload.len()),
    })
}

fn next(http2: &mut Http2, stream: u32) -> Option<String> {
    match http2.frame() {
        Ok(Some(frame)) => told(http2, frame, stream),
        Ok(None) => Some("FIN".into()),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => Some("half a frame".into()),
        Err(e) => panic!("stream {stream}: {e}"),
    }
}

/// What comes of a fault: as many frames as are expected, and whatever else is there by then. Whether the connection goes on.
#[track_caller]
fn expect(http2: &mut Http2, stream: u32, method: &str, path: &str, expected: &[String]) -> bool {
    let has_body = method == "POST";
    http2.send(&[Frame::headers(stream, !has_body, block(&request(method, &format!("/fault/{path}"))))]);
    if has_body {
        http2.send(&[Frame::data(stream, false, "some"), Frame::data(stream, true, "body")]);
    }
    let mut seen = Vec::new();
    let mut is_over = false;
    while seen.len() < expected.len() && !is_over {
        seen.extend(next(http2, stream));
        is_over = seen.last().is_some_and(|line| line == "FIN" || line == "half a frame");
    }
    if !is_over {
        http2.send(&[Frame::ping(*b"the rest")]);
        loop {
            match next(http2, stream).expect("a frame") {
                ack if ack == "frame 6 1 8 of 0" => break,
                more => seen.push(more),
            }
        }
    }
    assert_eq!(seen, expected, "{method} {path}");
    !is_over
}

#[test]
fn each_is_these_frames_and_touches_no_other_connection() {
    let server = Server::start(&["--workers", "1"]);
    let mut other = Http2::connect(&server);
    for (at, (path, expected)) in faults().into_iter().enumerate() {
        for method in ["GET", "HEAD", "POST"] {
            let mut http2 = Http2::connect(&server);
            if expect(&mut http2, 1, method, path, &expected) {
                // The server goes on with the connection, as a client might.
                http2.send(&[Frame::headers(3, true, block(&request("GET", "/health")))]);
                let answer = loop {
                    match next(&mut http2, 3) {
                        Some(line) if line.starts_with("HEADERS :status=200") => break line,
                        Some(line) if line == "FIN" => panic!("{path}: the connection has ended"),
                        _ => {}
                    }
                };
                assert!(answer.contains("application/json"), "{path}: {answer}");
            }
        }
        assert_eq!(other.get(at as u32 * 2 + 1, "/health").status, 200, "{path}");
    }
}

#[test]
fn other_streams_of_the_connection_go_on() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    http2.send(&[Frame::headers(1, true, block(&request("GET", "/delay/300")))]);
    for (at, path) in ["reset?after=5", "wrong-length?then=keep", "extra-body", "te-and-length"].into_iter().enumerate()
    {
        http2.send(&[Frame::headers(at as u32 * 2 + 3, true, block(&request("GET", &format!("/fault/{path}"))))]);
    }
    let answer = http2.answer(1);
    assert_eq!((answer.status, answer.reset), (200, None));
}

#[test]
fn a_body_obeys_the_windows_before_its_reset() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 10)]);
    http2.send(&[Frame::headers(1, true, block(&request("GET", "/fault/reset?after=30&code=CANCEL")))]);
    let mut seen = Vec::new();
    for more in [10, 20, 0] {
        while seen.last().is_none_or(|line: &String| !line.starts_with("DATA") && !line.starts_with("RST")) {
            seen.extend(next(&mut http2, 1));
        }
        if more > 0 {
            seen.push("WINDOW_UPDATE".into());
            http2.send(&[Frame::window_update(1, more)]);
        }
    }
    seen.extend(next(&mut http2, 1));
    let expected = [
        &format!("{OK} content-length=1054"),
        "DATA ABCDEFGHIJ",
        "WINDOW_UPDATE",
        "DATA KLMNOPQRST",
        "WINDOW_UPDATE",
        "DATA UVWXYZ0123",
        "RST_STREAM 8",
    ];
    assert_eq!(seen, expected);
}

#[test]
fn raw_data_counts_in_the_connections_window() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]);
    let body = "DATA <html>an answer without a head</html>\n END".to_string();
    expect(&mut http2, 1, "GET", "http09", &[body]);
    http2.send(&[Frame::headers(3, true, block(&request("GET", "/bin/70K")))]);
    let mut came = 0;
    while came < 65_535 - 38 {
        came += http2.frame_of(DATA).payload.len();
    }
    assert_eq!(came, 65_535 - 38, "what is left of the window");
}

#[test]
fn what_is_not_acknowledged_any_more() {
    let server = Server::start(&["--workers", "1"]);
    for (of, settings, pings) in
        [("", false, false), ("?of=both", false, false), ("?of=settings", false, true), ("?of=pings", true, false)]
    {
        let mut http2 = Http2::connect(&server);
        let answer = http2.get(1, &format!("/fault/no-acks{of}"));
        assert_eq!(answer.text(), "no more acknowledgements on this connection\n");
        http2.send(&[
            Frame::settings(&[]),
            Frame::ping(*b"anyone??"),
            Frame::headers(3, true, block(&request("GET", "/health"))),
        ]);
        let mut acked = (false, false);
        loop {
            match next(&mut http2, 3) {
                Some(line) if line.starts_with("HEADERS :status=200") => break,
                Some(line) if line == "frame 6 1 8 of 0" => acked.1 = true,
                None => acked.0 = true,
                Some(other) => panic!("{other}"),
            }
        }
        assert_eq!(acked, (settings, pings), "{of}");
    }
}

#[test]
fn a_window_stays_closed_for_a_time() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    let length = 1 << 20;
    http2.send(&[Frame::headers(1, false, block(&request("POST", "/fault/stalled-window?after=100K&for=300")))]);
    // All that the stream's window takes.
    let window = 256 << 10;
    http2.send(&vec![Frame::data(1, false, vec![b'x'; 16 << 10]); window / (16 << 10)]);
    // The stall ends; only then there is a window for the rest.
    let mut opened = 0;
    while opened < window - 4096 {
        let frame = http2.frame().expect("a frame").expect("the connection goes on");
        if frame.kind == WINDOW_UPDATE && frame.stream == 1 {
            opened += u32::from_be_bytes(*frame.payload.first_chunk().expect("an increment")) as usize;
        }
    }
    let mut left = length - window;
    while left > 0 {
        let most = left.min(16 << 10).min(opened);
        (left, opened) = (left - most, opened - most);
        http2.send(&[Frame::data(1, left == 0, vec![b'x'; most])]);
        while opened == 0 && left > 0 {
            let frame = http2.frame_of(WINDOW_UPDATE);
            if frame.stream == 1 {
                opened = u32::from_be_bytes(*frame.payload.first_chunk().expect("an increment")) as usize;
            }
        }
    }
    assert_eq!(http2.answer(1).text(), "1048576 bytes after a stall of 300 ms\n");
    // Over HTTP/1, and with a body that is shorter.
    let mut client = server.connect();
    for (path, expected) in
        [("?for=20", "4 bytes after a stall of 20 ms\n"), ("?after=9&for=60000", "4 bytes after a stall of 60000 ms\n")]
    {
        client.send(format!("POST /fault/stalled-window{path} HTTP/1.1\r\nHost: t\r\nContent-Length: 4\r\n\r\nbody"));
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn parameters_have_bounds_and_some_faults_need_http2() {
    let server = Server::start(&["--workers", "1"]);
    let mut http2 = Http2::connect(&server);
    for (at, (path, expected)) in [
        ("reset?code=NOTHING", "code must be a number below 2^32 or one of NO_ERROR, PROTOCOL_ERROR"),
        ("huge-header?size=1M", "a number of bytes from 0 to 262144"),
        ("bad-frame?kind=x", "kind must be one of padding, long, size"),
        ("bad-status-line?kind=protocol", "kind must be one of no-status, letters"),
        ("goaway?last=-1", "last must be a whole number from 0 to 2147483647"),
        ("no-acks?of=x", "of must be one of both, settings, pings"),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = http2.get(at as u32 * 2 + 1, &format!("/fault/{path}"));
        assert_eq!(answer.status, 400, "{path}");
        assert!(answer.text().contains(expected), "{path}: {}", answer.text());
    }
    for path in ["/fault/bad-frame", "/fault/goaway", "/fault/no-acks"] {
        let response = server.get(path);
        assert_eq!((response.status, response.text()), (505, format!("{path} is possible only over HTTP/2\n")));
    }
    let off = Server::start(&["--workers", "1", "--no-faults"]);
    let mut http2 = Http2::connect(&off);
    for (at, path) in ["reset", "goaway", "stalled-window"].into_iter().enumerate() {
        let answer = http2.get(at as u32 * 2 + 1, &format!("/fault/{path}"));
        assert_eq!((answer.status, answer.text().contains("--no-faults")), (404, true), "{path}");
    }
}

#[test]
fn huge_headers_and_long_bodies_cost_no_memory() {
    let server = Server::start(&["--workers", "1"]);
    Http2::connect(&server).get(1, "/fault/reset?after=10M");
    let before = server.memory_bytes();
    let connections: Vec<_> = (0..20)
        .map(|_| {
            let mut http2 = Http2::connect_with(&server, &[(setting::INITIAL_WINDOW_SIZE, 0x7fff_ffff)]);
            let ask = |stream, path| Frame::headers(stream, true, block(&request("GET", path)));
            let huge = (0..60).map(|at| ask(at * 4 + 1, "/fault/huge-header?size=256K"));
            let long = (0..60).map(|at| ask(at * 4 + 3, "/fault/reset?after=1G"));
            let mut asked: Vec<_> = huge.chain(long).collect();
            asked.sort_by_key(|frame| frame.stream);
            http2.send(&asked);
            http2
        })
        .collect();
    assert_eq!(Http2::connect(&server).get(1, "/health").status, 200);
    let grown = server.memory_bytes().saturating_sub(before);
    // A response of each connection is written whole; the others wait.
    assert!(grown < 20 << 20, "{grown} bytes");
    drop(connections);
}
