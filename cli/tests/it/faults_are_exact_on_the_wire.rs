//! Each fault is exactly these bytes and this end of the connection, whatever the method, with a request body or
//! without, also after another answer and on a Unix socket.

use crate::support::{Client, Ending, Server};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ngood\n\r\n";
const LINE: &str = "\r\nContent-Type: text/plain\r\nContent-Length: 9\r\nConnection: close\r\n\r\nbad line\n";

/// Faults that end the connection: path and query, with the bytes before the end.
fn ended() -> Vec<(&'static str, String)> {
    let of = |head: &str, rest: &str| format!("{head}{rest}");
    vec![
        ("no-response", String::new()),
        ("half-header", of(OK, "Content-Len")),
        ("close", of(OK, "Content-Length: 1024\r\n\r\n")),
        ("close?after=5", of(OK, "Content-Length: 1029\r\n\r\nABCDE")),
        ("close?after=38", of(OK, "Content-Length: 1062\r\n\r\nABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789AB")),
        ("lf-only", of(OK, "Content-Length: 8\r\nConnection: close\r\n\r\nLF only\n").replace('\r', "")),
        ("http09", "<html>an answer of HTTP/0.9</html>\n".into()),
        ("wrong-length?declared=9&sent=5", of(OK, "Content-Length: 9\r\n\r\nABCDE")),
        ("wrong-length?declared=5&sent=9&then=close", of(OK, "Content-Length: 5\r\n\r\nABCDEFGHI")),
        ("short-chunked", CHUNKED.into()),
        ("short-chunked?inside=0", CHUNKED.into()),
        ("short-chunked?inside=1", of(CHUNKED, "64\r\ncut")),
        ("unknown-coding", of(OK, "Transfer-Encoding: x-unknown\r\n\r\nunknown coding.\n")),
        ("bad-chunk", of(CHUNKED, "xyz\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=letters", of(CHUNKED, "xyz\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=negative", of(CHUNKED, "-4\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=prefix", of(CHUNKED, "0x4\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=space", of(CHUNKED, " 4\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=empty", of(CHUNKED, "\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=overflow", of(CHUNKED, "10000000000000004\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-chunk?kind=lf-only", of(CHUNKED, "4\nbad\n\n0\n\n")),
        ("bad-chunk?kind=too-long", of(CHUNKED, "2\r\nbad\n\r\n0\r\n\r\n")),
        ("bad-status-line", of("HTTP/1.1 OK", LINE)),
        ("bad-status-line?kind=no-status", of("HTTP/1.1 OK", LINE)),
        ("bad-status-line?kind=protocol", of("HTTQ/1.1 200 OK", LINE)),
        ("bad-status-line?kind=version", of("HTTP/3.7 200 OK", LINE)),
        ("bad-status-line?kind=no-version", of("HTTP 200 OK", LINE)),
        ("bad-status-line?kind=letters", of("HTTP/1.1 2x0 OK", LINE)),
        ("bad-status-line?kind=two-digits", of("HTTP/1.1 20 OK", LINE)),
        ("bad-status-line?kind=four-digits", of("HTTP/1.1 2000 OK", LINE)),
        ("bad-status-line?kind=zero", of("HTTP/1.1 000 OK", LINE)),
        ("bad-status-line?kind=high", of("HTTP/1.1 999 OK", LINE)),
        ("bad-status-line?kind=no-space", of("HTTP/1.1 200OK", LINE)),
        ("bad-status-line?kind=spaces", of("HTTP/1.1  200  OK", LINE)),
        ("bad-status-line?kind=lower-case", of("http/1.1 200 ok", LINE)),
        ("bad-status-line?kind=control", of("HTTP/1.1 200 O\0K", LINE)),
        ("bad-status-line?kind=request", of("GET / HTTP/1.1", LINE)),
        ("bad-status-line?kind=empty", LINE.into()),
        ("bad-status-line?kind=garbage", of("\u{1}\u{2}~~~ no protocol at all ~~~", LINE)),
    ]
}

/// Faults that the connection survives.
fn kept() -> Vec<(&'static str, String)> {
    let of = |rest: &str| format!("{OK}{rest}");
    let second = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\na second answer";
    vec![
        ("wrong-length?declared=9&sent=5&then=keep", of("Content-Length: 9\r\n\r\nABCDE")),
        ("wrong-length?declared=5&sent=9", of("Content-Length: 5\r\n\r\nABCDEFGHI")),
        ("extra-body", of("Content-Length: 5\r\n\r\nbody\nthese bytes are too many\n")),
        ("extra-body?as=response", of(&format!("Content-Length: 5\r\n\r\nbody\n{second}"))),
        ("duplicate-length", of("Content-Length: 5\r\nContent-Length: 12\r\n\r\ntwo lengths\n")),
        ("duplicate-length?same", of("Content-Length: 12\r\nContent-Length: 12\r\n\r\ntwo lengths\n")),
        ("te-and-length", of("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nboth\n\r\n0\r\n\r\n")),
        ("body-on-204", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nbody\n".into()),
        ("huge-header?size=0", of("Content-Length: 5\r\nX-Fill: \r\n\r\nfill\n")),
        ("huge-header?size=5000", of(&format!("Content-Length: 5\r\nX-Fill: {}\r\n\r\nfill\n", "x".repeat(5000)))),
        ("dribble-head?every=1", of("Content-Length: 5\r\n\r\nslow\n")),
    ]
}

/// Faults that reset the connection, with the bytes before the reset.
fn reset() -> Vec<(&'static str, String)> {
    vec![
        ("reset", String::new()),
        ("reset?after=0", format!("{OK}Content-Length: 1024\r\n\r\n")),
        ("reset?after=5", format!("{OK}Content-Length: 1029\r\n\r\nABCDE")),
    ]
}

fn requests(path: &str) -> [String; 5] {
    [
        format!("GET /fault/{path} HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!("HEAD /fault/{path} HTTP/1.1\r\nHost: t\r\n\r\n"),
        format!("POST /fault/{path} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"),
        format!("PUT /fault/{path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"),
        format!("ODD /fault/{path} HTTP/1.1\r\nHost: t\r\n\r\n"),
    ]
}

#[track_caller]
fn expect(client: &mut Client, request: &str, expected: &str, ending: Ending) {
    client.send(request);
    let (bytes, ended) = client.read_to_end();
    assert_eq!((String::from_utf8_lossy(&bytes), ended), (expected.into(), ending), "{request}");
}

#[track_caller]
fn expect_kept(client: &mut Client, request: &str, expected: &str) {
    client.send(request);
    let bytes = client.take(expected.len()).unwrap_or_else(|e| panic!("{request}: {e}"));
    assert_eq!(String::from_utf8_lossy(&bytes), expected, "{request}");
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "{\"status\":\"ok\"}", "{request}");
}

#[test]
fn whatever_the_method() {
    let server = Server::start(&["--workers", "1"]);
    for (endings, ending) in [(ended(), Ending::Fin), (reset(), Ending::Reset)] {
        for (path, expected) in endings {
            for request in requests(path) {
                expect(&mut server.connect(), &request, &expected, ending);
            }
        }
    }
    let mut client = server.connect();
    for (path, expected) in kept() {
        for request in requests(path) {
            expect_kept(&mut client, &request, &expected);
        }
    }
}

/// A pipelined request that is never answered does not turn the end into a reset.
#[test]
fn after_another_answer_and_before_a_request() {
    let server = Server::start(&["--workers", "1"]);
    let others = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n".repeat(3);
    for (endings, ending) in [(ended(), Ending::Fin), (reset(), Ending::Reset)] {
        for (path, expected) in endings {
            let mut client = server.connect();
            client.send(format!("GET /bin/100000 HTTP/1.1\r\nHost: t\r\n\r\n{}{others}", requests(path)[2]));
            assert_eq!(client.response().body.len(), 100_000, "{path}");
            let (bytes, ended) = client.read_to_end();
            assert_eq!((String::from_utf8_lossy(&bytes), ended), (expected.into(), ending), "{path}");
        }
    }
    let mut client = server.connect();
    client.send(kept().iter().map(|(path, _)| requests(path)[0].clone()).collect::<String>() + &others);
    for (path, expected) in kept() {
        assert_eq!(String::from_utf8_lossy(&client.take(expected.len()).expect("the next answer")), expected, "{path}");
    }
    assert_eq!(client.response().status, 200);
}

/// A Unix socket has no reset: the client reads everything and then sees the end.
#[test]
fn on_a_unix_socket() {
    let path = crate::support::scratch_folder().join("socket");
    let listen = format!("unix:{}", path.display());
    let server = Server::start_command(std::process::Command::new(crate::support::TINE).args([
        "run",
        "--workers",
        "1",
        "--listen",
        &listen,
    ]));
    let connect = || Client::try_connect_unix(&path).expect("the server listens");
    for (path, expected) in ended().into_iter().chain(reset()) {
        expect(&mut connect(), &requests(path)[0], &expected, Ending::Fin);
    }
    for (path, expected) in kept() {
        expect_kept(&mut connect(), &requests(path)[0], &expected);
    }
    drop(server);
    let _ = std::fs::remove_dir_all(path.parent().expect("a folder")); // a killed server does not remove its socket
}

/// HTTP/1.0 keeps a connection only on request; the bytes are the same.
#[test]
fn for_http_10_every_fault_ends_the_connection() {
    let server = Server::start(&["--workers", "1"]);
    for (path, expected) in kept() {
        let request = format!("GET /fault/{path} HTTP/1.0\r\n\r\n");
        expect(&mut server.connect(), &request, &expected, Ending::Fin);
        expect_kept(
            &mut server.connect(),
            &request.replace("\r\n\r\n", "\r\nConnection: keep-alive\r\n\r\n"),
            &expected,
        );
    }
}

#[test]
fn to_a_client_that_has_shut_down_its_side() {
    let server = Server::start(&["--workers", "1"]);
    let all = [(ended(), Ending::Fin), (kept(), Ending::Fin), (reset(), Ending::Reset)];
    let all = all.into_iter().flat_map(|(faults, ending)| faults.into_iter().map(move |fault| (fault, ending)));
    let asked: Vec<_> = all
        .map(|((path, expected), ending)| {
            let mut client = server.connect();
            // The client's FIN arrives before the fault is due.
            client.send(format!("GET /delay/500 HTTP/1.1\r\nHost: t\r\n\r\n{}", requests(path)[2]));
            client.finish_sending();
            (client, path, expected, ending)
        })
        .collect();
    for (mut client, path, expected, ending) in asked {
        assert_eq!(client.response().status, 200, "{path}");
        let (bytes, ended) = client.read_to_end();
        assert_eq!((String::from_utf8_lossy(&bytes), ended), (expected.into(), ending), "{path}");
    }
}

/// The body is read first: what the client gets is the fault, not a reset because of unread bytes.
#[test]
fn after_the_whole_request() {
    let server = Server::start(&["--workers", "1"]);
    let length = 3_000_000;
    for (path, expected, ending) in [
        ("no-response", String::new(), Ending::Fin),
        ("reset?after=5", format!("{OK}Content-Length: 1029\r\n\r\nABCDE"), Ending::Reset),
    ] {
        let mut client = server.connect();
        client.send(format!(
            "POST /fault/{path} HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert_eq!(client.response().status, 100, "the server asks for the body");
        client.send(vec![b'x'; length]);
        let (bytes, ended) = client.read_to_end();
        assert_eq!((String::from_utf8_lossy(&bytes), ended), (expected.into(), ending), "{path}");
    }
}
