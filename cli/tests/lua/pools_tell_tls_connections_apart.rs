//! A connection of a pool is taken for what it is: verified with this name or not. What is not good enough is replaced.

use crate::support::lua::{SAID, folder_with, serve_from, text_of};
use crate::support::tls::{Pair, text, tls_peer, tls_peer_after};
use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;

/// `/?NAME,FILE`: the outcome of the handshake, how often the connection was used before, and what the peer says.
const APP: &str = r##"
local port, file = os.getenv("PEER"), os.getenv("CERT")
function app(environ, start_response)
  start_response("200 OK", {})
  local name, how = environ.QUERY_STRING:match("^(.*),(.*)$")
  local s = assert(tine.socket.connect("127.0.0.1", port, { pool = "one" }))
  if how == "used" then
    assert(s:send("x"))
    s:receive(1)
  end
  local outcome = how == "none" or said(s:sslhandshake(nil, name, how == "verified" and file or how == "system"))
  s:send("x")
  return said(outcome, s:getreusedtimes()) .. " " .. said(s:receive(1)) .. " " .. said(s:setkeepalive())
end
"##;

#[test]
fn by_name_and_verification() {
    let pair = Pair::of(&["a.example", "b.example"]);
    let port = tls_peer(&pair, |mut peer| {
        while peer.read_exact(&mut [0]).is_ok() {
            let _ = peer.write_all(b"y");
        }
    });
    let folder = folder_with(&[("app.lua", &format!("{SAID}{APP}"))]);
    let (port, other) = (port.to_string(), Pair::of(&["c.example"]));
    let environment = [("PEER", &*port), ("CERT", text(&pair.cert)), ("SSL_CERT_FILE", text(&other.cert))];
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &environment);
    for (query, expected) in [
        ("a.example,no", "true 0 y 1"),
        ("a.example,no", "true 1 y 1"),
        // An unverified one is not for an app that verifies; a verified one is for both.
        ("a.example,verified", "true 0 y 1"),
        ("a.example,verified", "true 1 y 1"),
        ("a.example,no", "true 2 y 1"),
        ("b.example,no", "true 0 y 1"),
        ("b.example,verified", "true 0 y 1"),
        // Once bytes were exchanged it is too late for another connection.
        (
            "a.example,used",
            "nil there is TLS already, with another name or verification nil closed nil closed  nil closed",
        ),
        ("b.example,verified", "true 0 y 1"),
        // As modules do that shake hands only on new connections.
        ("-,none", "true 1 y 1"),
        (
            "b.example,system",
            "nil the certificate is not trusted: its issuer is unknown nil closed nil closed  nil closed",
        ),
    ] {
        assert_eq!(text_of(&server, &format!("/?{query}")), expected, "{query}\n{}", server.log());
    }
}

/// A new connection would have to begin in cleartext, as PostgreSQL's does: it cannot take the place of one that has.
#[test]
fn none_is_replaced_that_began_in_cleartext() {
    let app = r##"
        local port, file = os.getenv("PEER"), os.getenv("CERT")
        function app(environ, start_response)
          start_response("200 OK", {})
          local s = assert(tine.socket.connect("127.0.0.1", port))
          if s:getreusedtimes() == 0 then
            assert(s:send("?") and s:receive(1) == "S")
          end
          return said(s:sslhandshake(nil, "a.example", environ.QUERY_STRING == "verified" and file)) .. " " .. said(s:setkeepalive())
        end
    "##;
    let pair = Pair::of(&["a.example"]);
    let greet = |stream: &mut std::net::TcpStream| {
        // The error: of one that begins with a handshake.
        let _ = stream.read_exact(&mut [0]).and_then(|()| stream.write_all(b"S"));
    };
    let port = tls_peer_after(&pair, greet, |mut peer| {
        let _ = peer.read(&mut [0]);
    });
    let folder = folder_with(&[("app.lua", &format!("{SAID}{app}"))]);
    let environment = [("PEER", &*port.to_string()), ("CERT", text(&pair.cert))];
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &environment);
    for (query, expected) in [
        ("", "true 1"),
        ("", "true 1"),
        ("verified", "nil there is TLS already, with another name or verification nil closed"),
        ("verified", "true 1"),
        ("", "true 1"),
    ] {
        assert_eq!(text_of(&server, &format!("/?{query}")), expected, "{query}\n{}", server.log());
    }
}

/// What a peer has sent unasked would be taken for the answer to the next request.
#[test]
fn none_is_handed_out_that_has_received() {
    let app = r##"
        function app(environ, start_response)
          start_response("200 OK", {})
          local s = assert(tine.socket.connect("127.0.0.1", os.getenv("PEER")))
          assert(s:sslhandshake(nil, nil, false))
          assert(s:send("x"))
          return said(s:getreusedtimes()) .. " " .. said(s:receive(1)) .. " " .. said(s:setkeepalive())
        end
    "##;
    let (go, goes) = channel::<()>();
    let (told, done) = channel();
    let ends = Mutex::new((goes, told));
    let port = tls_peer(&Pair::of(&["a.example"]), move |mut peer| {
        while peer.read_exact(&mut [0]).is_ok() {
            let _ = peer.write_all(b"y");
            let (goes, told) = &*ends.lock().expect("one at a time");
            if goes.recv().is_ok() {
                let _ = peer.write_all(b"z");
                told.send(()).expect("the test takes it");
            }
        }
    });
    let folder = folder_with(&[("app.lua", &format!("{SAID}{app}"))]);
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", &port.to_string())]);
    for _ in 0..3 {
        assert_eq!(text_of(&server, "/"), "0 y 1", "{}", server.log());
        go.send(()).expect("the peer takes it");
        done.recv().expect("the peer tells");
    }
}
