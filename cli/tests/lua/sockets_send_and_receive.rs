//! The methods of tine.socket against a peer that the test writes: what each returns, whole, in part, late or never.

use crate::support::lua::{SAID, folder_with, serve_from, text_of};
use crate::support::{Server, eventually, scratch_folder};
use socket2::{Domain, Socket, Type};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;

/// Runs the chunk that is the path's name, in a request, with `said` for what a call returns.
const PRELUDE: &str = r##"
local port = os.getenv("PEER")
local function connect(options)
  return assert(tine.socket.connect("127.0.0.1", port, options))
end
"##;

fn serve(body: &str, peer: &str) -> Server {
    let app = format!(
        "{SAID}{PRELUDE}\nfunction app(environ, start_response)\n  start_response('200 OK', {{}})\n{body}\nend\n"
    );
    let folder = folder_with(&[("app.lua", &app)]);
    serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", peer)])
}

/// A peer that treats each connection like this, in a thread of its own; its port.
fn peer(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let treat = std::sync::Arc::new(treat);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = std::sync::Arc::clone(&treat);
            std::thread::spawn(move || treat(stream));
        }
    });
    port.to_string()
}

/// Sends these pieces, each after a byte of the app, and closes after one more.
fn pieces(pieces: &'static [&'static str]) -> String {
    peer(move |mut stream| {
        for piece in pieces {
            if stream.read_exact(&mut [0]).is_err() {
                return;
            }
            let _ = stream.write_all(piece.as_bytes()); // the app may have closed
        }
        let _ = stream.read_exact(&mut [0]);
    })
}

#[track_caller]
fn expect(body: &str, peer: &str, expected: &str) {
    let server = serve(body, peer);
    let text = text_of(&server, "/");
    assert_eq!(text, expected, "{body}\n{}", server.log());
}

#[test]
fn lines_bytes_and_all_come_in_pieces() {
    let peer = pieces(&["first\r\nsec", "ond\n12345", "67890rest"]);
    let body = r##"
      local s = connect()
      local lines = {}
      lines[#lines + 1] = said(s:send("x"), s:receive("*l"))
      s:send("x")
      lines[#lines + 1] = said(s:receive())
      s:send("x")
      lines[#lines + 1] = said(s:receive(7))
      lines[#lines + 1] = said(s:receive(5, "<>:"))
      lines[#lines + 1] = said(s:receive(0))
      s:send("x")
      lines[#lines + 1] = said(s:receive("*a"))
      lines[#lines + 1] = said(s:receive("*a"))
      lines[#lines + 1] = said(s:close(), s:close())
      lines[#lines + 1] = said(s:receive())
      lines[#lines + 1] = said(s:send("x"))
      return table.concat(lines, "\n")
    "##;
    expect(
        body,
        &peer,
        "1 first\nsecond\n1234567\n<>:89\n\n0rest\nnil closed \n1 nil closed\nnil closed \nnil closed 0",
    );
}

#[test]
fn what_has_come_before_the_time_or_the_end_is_not_lost() {
    let peer = pieces(&["half a line\r", "abc"]);
    let body = r##"
      local s = connect()
      s:settimeout(0.05)
      s:send("x")
      local lines = { said(s:receive("*l")), said(s:receive("*l", "so far: ")) }
      s:settimeout(0)
      lines[#lines + 1] = said(s:receive(3))
      s:settimeouts(1000, 1000, 50)
      s:send("x")
      lines[#lines + 1] = said(s:receive(5))
      s:settimeout()
      s:send("x")
      lines[#lines + 1] = said(s:receive(5, "ab"))
      lines[#lines + 1] = said(s:setkeepalive())
      return table.concat(lines, "\n")
    "##;
    let expected = [
        "nil timeout half a line",
        "nil timeout so far: ",
        "nil timeout ",
        "nil timeout abc",
        "nil closed ab",
        "nil connection in dubious state",
    ];
    expect(body, &peer, &expected.join("\n"));
}

#[test]
fn a_pattern_ends_what_is_received() {
    let peer = pieces(&["head-", "-body--tail--", "0123456789--"]);
    let body = r##"
      local s = connect()
      local read, whole = s:receiveuntil("--"), s:receiveuntil("--", { inclusive = true })
      s:send("xx")
      local lines = { said(read()), said(whole()), said(read()) }
      s:send("x")
      local parts = s:receiveuntil("--")
      lines[#lines + 1] = said(parts(4), parts(4))
      lines[#lines + 1] = said(parts(4))
      lines[#lines + 1] = said(parts(4))
      s:settimeout(0.05)
      lines[#lines + 1] = said(s:receiveany(5))
      s:send("x")
      lines[#lines + 1] = said(s:receiveany(5))
      return table.concat(lines, "\n")
    "##;
    expect(body, &peer, "head\nbody--\ntail\n0123 4567\n89\nnil nil nil\nnil timeout\nnil closed");
}

#[test]
fn an_endless_line_ends_at_the_maximum() {
    let peer = peer(|mut stream| while stream.write_all(&[b'x'; 65536]).is_ok() {});
    let body = r##"
      local lines = {}
      for _, pattern in ipairs({ "*l", "*a" }) do
        local s = connect()
        s:setmax(1000000)
        local got, why, rest = s:receive(pattern)
        lines[#lines + 1] = said(got, why, #rest >= 1000000 and #rest < 1100000)
        s:close()
      end
      local s = connect()
      local got, why, rest = s:receive("*l")
      lines[#lines + 1] = said(got, why, #rest >= 2 ^ 24 and #rest < 2 ^ 24 + 70000)
      lines[#lines + 1] = said(#s:receive(20000000))
      return table.concat(lines, "\n")
    "##;
    expect(body, &peer, "nil too long true\nnil too long true\nnil too long true\n20000000");
}

#[test]
fn what_is_sent_arrives_whole_however_slowly_it_is_read() {
    let peer = peer(|mut stream| {
        let mut count = 0;
        let mut bytes = vec![0; 10_000];
        while count < 5_000_000 + 8 {
            match stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(read) => {
                    assert!(bytes[..read].iter().all(|byte| b"abcde12x".contains(byte)));
                    count += read;
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted),
            }
        }
        stream.write_all(format!("{count}\n").as_bytes()).expect("the app reads");
    });
    let body = r##"
      local s = connect()
      local lines = { said(s:send(("x"):rep(5000000))), said(s:send({ "a", { "b", 1 }, 2 })), said(s:send("xcdex", 2, -2)) }
      lines[#lines + 1] = said(s:send("e"))
      lines[#lines + 1] = said(s:receive())
      return table.concat(lines, "\n")
    "##;
    expect(body, &peer, "5000000\n4\n4\n1\n5000008");
}

#[test]
fn a_send_that_is_not_read_times_out() {
    let peer = peer(|stream| {
        std::thread::park_timeout(crate::support::patience());
        drop(stream);
    });
    let body = r##"
      local s = connect()
      s:settimeout(0.05)
      local ok, why, sent = s:send(("x"):rep(50000000))
      return said(ok, why, sent > 0 and sent < 50000000, s:setkeepalive())
    "##;
    expect(body, &peer, "nil timeout true nil connection in dubious state");
}

#[test]
fn what_cannot_be_connected_says_why() {
    // A port that the test keeps, on which nothing listens.
    let bound = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    bound.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let refused = bound.local_addr().expect("it is bound").as_socket().expect("an IP address").port();
    let body = r##"
      local tcp = tine.socket.tcp()
      local lines = {
        said(tcp:connect("127.0.0.1", port)),
        said(tcp:connect("localhost", port)),
        said(tcp:connect("unix:/nothing/here")),
        said(tcp:connect("unix:/" .. ("x"):rep(200))),
        said(tcp:sslhandshake()),
        said(tcp:getreusedtimes()),
      }
      local ok, why = tcp:connect("no.such.name.invalid", 80)
      lines[#lines + 1] = said(ok, why:match("^no.such.name.invalid: ") ~= nil)
      for _, call in ipairs({
        function() tcp:connect() end,
        function() tcp:connect("localhost", 70000) end,
        function() tcp:connect("localhost", 80, { backlog = 3 }) end,
        function() tcp:receive("*n") end,
        function() tcp:send({ {}, print }) end,
        function() tcp:sslhandshake(nil, 1) end,
        function() tcp:sslhandshake(nil, "a.example", 1) end,
      }) do
        lines[#lines + 1] = select(2, pcall(call)):gsub("^[^:]*app.lua:%d+: ", "line: ")
      end
      return table.concat(lines, "\n")
    "##;
    let expected = [
        "nil connection refused",
        "nil connection refused",
        "nil No such file or directory",
        "nil path must be shorter than SUN_LEN",
        "nil closed",
        "nil closed",
        "nil true",
        "line: connect takes a host and a port, or \"unix:/path\"",
        "line: connect: the port is a number from 0 to 65535",
        "line: connect: the options are pool, a string, and pool_size, a number; not backlog",
        "line: receive takes a number of bytes, \"*l\" or \"*a\"",
        "line: send takes a string, a number, or a table of these, not a function",
        "line: sslhandshake: the name of the server is a string, not a number",
        "line: sslhandshake: verify is true, false, or the name of a file, not a number",
    ];
    expect(body, &refused.to_string(), &expected.join("\n"));
}

#[test]
fn a_unix_socket_is_a_peer_too() {
    let path = scratch_folder().join("peer");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        }
    });
    let body = r##"
      local s = assert(tine.socket.connect("unix:" .. port))
      local lines = { said(s:send("a"), s:receive(1), s:getreusedtimes()), said(s:setkeepalive()) }
      s = assert(tine.socket.connect("unix:" .. port))
      lines[#lines + 1] = said(s:send("b"), s:receive(1), s:getreusedtimes())
      lines[#lines + 1] = said(s:getpeername() == port)
      return table.concat(lines, "\n")
    "##;
    expect(body, path.to_str().expect("UTF-8"), "1 a 0\n1\n1 b 1\ntrue");
}

#[test]
fn an_app_may_use_sockets_while_it_loads() {
    let peer = pieces(&["one\n", "two\n"]);
    let app = format!(
        "{SAID}{PRELUDE}
         local s = connect()
         s:send('x')
         local one = s:receive()
         local late = said(tine.wait(s, 'r', 0.01))
         function app(environ, start_response)
           start_response('200 OK', {{}})
           s:send('x')
           return one .. ' ' .. s:receive() .. ' ' .. late
         end"
    );
    let folder = folder_with(&[("app.lua", &app)]);
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", &peer)]);
    assert_eq!(text_of(&server, "/"), "one two nil timeout");
    // One request at a time waits for it.
    let app = format!(
        "{SAID}{PRELUDE}
         local s = connect()
         function app(environ, start_response)
           start_response('200 OK', {{}})
           if environ.PATH_INFO == '/wait' then
             return said(s:receive())
           end
           return said(s:receive())
         end"
    );
    let folder = folder_with(&[("app.lua", &app)]);
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", &peer)]);
    let mut waiting = server.connect();
    waiting.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("another is refused", || {
        (text_of(&server, "/") == "nil the socket is busy: another request waits for it ").then_some(())
    });
}
