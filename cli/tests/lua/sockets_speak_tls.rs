//! What goes over a TLS session of tine.socket: bytes in both directions, its end in both, and a start after cleartext.

use crate::support::lua::{SAID, folder_with, serve_from, text_of};
use crate::support::redis::Redis;
use crate::support::tls::{Pair, TlsServer, text, tls_peer, tls_peer_after};
use crate::support::{Client, Server};
use std::io::{ErrorKind, Read, Write};
use std::sync::mpsc::channel;

const PRELUDE: &str = r##"
local port, file = os.getenv("PEER"), os.getenv("CERT")
local function connect()
  local s = assert(tine.socket.connect("127.0.0.1", port))
  assert(s:sslhandshake(nil, "a.example", file))
  return s
end
"##;

fn serve(body: &str, port: u16, pair: &Pair) -> Server {
    let app = format!(
        "{SAID}{PRELUDE}\nfunction app(environ, start_response)\n  start_response('200 OK', {{}})\n{body}\nend\n"
    );
    let folder = folder_with(&[("app.lua", &app)]);
    let environment =
        [("PEER", &*port.to_string()), ("CERT", text(&pair.cert)), ("LUA_PATH", "/usr/share/lua/5.1/?.lua;;")];
    serve_from(&folder, "app.lua", &["--workers", "1"], &environment)
}

#[track_caller]
fn expect(body: &str, expected: &str, peer: impl Fn(TlsServer) + Send + Sync + 'static) {
    let pair = Pair::of(&["a.example"]);
    let server = serve(body, tls_peer(&pair, peer), &pair);
    assert_eq!(text_of(&server, "/"), expected, "{body}\n{}", server.log());
}

#[test]
fn megabytes_pass_in_both_directions() {
    let body = r##"
      local s = connect()
      local sent = ("0123456789abcdef"):rep(300000)
      assert(s:send(sent) == #sent and s:send("") == 0 and s:send("xx.", 3) == 3)
      s:shutdown("send")
      local got = assert(s:receive(#sent))
      return said(got == sent, s:receive("*a"), s:receive("*a"))
    "##;
    expect(body, "true . nil closed ", |mut peer| {
        // More slowly than the app sends, so that its last bytes have to wait.
        let (mut all, mut piece) = (Vec::new(), [0; 100]);
        loop {
            match peer.read(&mut piece).expect("an end that was announced") {
                0 => break,
                count => all.extend_from_slice(&piece[..count]),
            }
        }
        peer.write_all(&all).expect("it is read");
        peer.conn.send_close_notify();
        peer.flush().expect("it is read");
    });
}

#[test]
fn an_end_that_is_not_announced_is_an_error() {
    let body = r##"
      local s = connect()
      local all, why, rest = s:receive("*a")
      local line, cut, part = connect():receive()
      return said(all, why, rest, line, cut, part)
    "##;
    expect(body, "nil truncated all of it nil closed all of it", |mut peer| {
        let _ = peer.write_all(b"all of it");
    });
    expect(body, "all of it nil nil nil closed all of it", |mut peer| {
        let _ = peer.write_all(b"all of it");
        peer.conn.send_close_notify();
        let _ = peer.flush();
    });
}

#[test]
fn the_peer_is_told_of_the_end_if_all_was_sent() {
    let body = r##"
      local s = connect()
      assert(s:receive(1) == "r")
      if environ.PATH_INFO == "/whole" then
        return said(s:send("x"), s:close())
      elseif environ.PATH_INFO == "/left" then
        return said(s:send("x"))
      end
      -- Without any time it ends between two pieces, with some within one.
      s:settimeout(environ.PATH_INFO == "/slow" and 0.05 or 0)
      local _, why = s:send(("x"):rep(30000000))
      return said(why, s:close())
    "##;
    let pair = Pair::of(&["a.example"]);
    let (told, ends) = channel();
    let may_read = std::sync::Mutex::new(told);
    let (go, goes) = channel::<()>();
    let goes = std::sync::Mutex::new(goes);
    let port = tls_peer(&pair, move |mut peer| {
        // After its tickets: with bytes that nothing has read, a close would be a reset.
        peer.write_all(b"r").expect("it is read");
        let _ = goes.lock().expect("one at a time").recv();
        let end = peer.read_to_end(&mut Vec::new()).map_err(|e| e.kind());
        may_read.lock().expect("one at a time").send(end.map(|_| ())).expect("the test takes it");
    });
    let server = serve(body, port, &pair);
    for (path, said, expected) in [
        ("/whole", "1 1", Ok(())),
        ("/left", "1", Ok(())),
        ("/slow", "timeout 1", Err(ErrorKind::UnexpectedEof)),
        ("/cut", "timeout 1", Err(ErrorKind::UnexpectedEof)),
    ] {
        assert_eq!(text_of(&server, path), said, "{}", server.log());
        go.send(()).expect("the peer takes it");
        assert_eq!(ends.recv().expect("the peer tells"), expected, "{path}");
    }
}

/// As PostgreSQL begins it. What is put in between, in cleartext, would be taken for the server's.
#[test]
fn a_session_begins_after_cleartext() {
    let body = r##"
      local s = assert(tine.socket.connect("127.0.0.1", port))
      assert(s:send("SSLRequest"))
      local answer = s:receive(1)
      return said(answer, s:sslhandshake(false, "a.example", file)) .. " " .. said(s:receive())
    "##;
    for (answer, expected) in
        [(&b"S"[..], "S true hello"), (b"S!", "S nil bytes precede the TLS handshake nil closed ")]
    {
        let pair = Pair::of(&["a.example"]);
        let greet = move |stream: &mut std::net::TcpStream| {
            stream.read_exact(&mut [0; 10]).expect("a request");
            stream.write_all(answer).expect("it is read");
        };
        let port = tls_peer_after(&pair, greet, |mut peer| {
            let _ = peer.write_all(b"hello\r\n");
            let _ = peer.read(&mut [0]);
        });
        let server = serve(body, port, &pair);
        assert_eq!(text_of(&server, "/"), expected, "{}", server.log());
    }
}

#[test]
fn luasecs_interface_is_there() {
    let body = r##"
      local socket = tine.socket.install()
      local ssl = require("ssl")
      local function wrapped(parameters, name)
        local s = assert(socket.connect("127.0.0.1", port))
        local made, why = ssl.wrap(s, parameters)
        if not made then
          return why
        end
        if name then
          made:sni(name)
        end
        return said(made:dohandshake()) .. " " .. said(made:receive(2))
      end
      local none = { mode = "client", protocol = "any", verify = "none", options = { "all", "no_sslv3" } }
      local peer = { mode = "client", protocol = "any", verify = { "peer", "fail_if_no_peer_cert" }, cafile = file }
      return table.concat({
        wrapped(none), wrapped(none, "b.example"), wrapped(peer, "a.example"), wrapped(peer, "b.example"),
        wrapped({ mode = "server" }), wrapped({ protocol = "sslv3" }), wrapped({ ciphers = "ALL" }),
        said(ssl.wrap({}, {})), (said(pcall(tine.socket.tcp().dohandshake, tine.socket.tcp())):gsub("app.lua:%d+: ", "")),
      }, "\n")
    "##;
    let refusal = "tine.socket does not support this of ssl.wrap:";
    let expected = [
        "true hi",
        "true hi",
        "true hi",
        "nil the certificate is not for b.example but for a.example nil closed ",
        &format!("{refusal} mode = server"),
        &format!("{refusal} protocol = sslv3"),
        &format!("{refusal} ciphers = ALL"),
        "nil ssl.wrap takes a connected socket of tine.socket",
        "false dohandshake follows ssl.wrap",
    ];
    expect(body, &expected.join("\n"), |mut peer| {
        let _ = peer.write_all(b"hi");
        let _ = peer.read(&mut [0]);
    });
}

/// Over TLS, with Debian's redis-lua, which has none itself: requests that wait for the same Redis hold no other up.
#[test]
fn redis_lua_runs_over_it() {
    let body = r##"
      local socket = assert(tine.socket.connect("127.0.0.1", os.getenv("PEER")))
      assert(socket:sslhandshake(nil, "a.example", file))
      local client = require("redis").connect({ socket = socket })
      assert(client:ping() == true and client:set("large", ("x"):rep(200000)) and #client:get("large") == 200000)
      local got = client:blpop("jobs", 60)
      assert(socket:setkeepalive())
      return got[2]
    "##;
    let pair = Pair::of(&["a.example"]);
    let redis = Redis::start_tls(&pair);
    let server = serve(body, redis.tls_port(), &pair);
    for _ in 0..2 {
        let mut clients: Vec<Client> = (0..20).map(|_| server.connect()).collect();
        clients.iter_mut().for_each(|client| client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n"));
        (0..20).for_each(|number| redis.tell(&format!("RPUSH jobs job{number}")));
        let mut got: Vec<String> = clients.iter_mut().map(|client| client.response().text()).collect();
        let mut expected: Vec<String> = (0..20).map(|number| format!("job{number}")).collect();
        got.sort();
        expected.sort();
        assert_eq!(got, expected, "{}", server.log());
    }
}
