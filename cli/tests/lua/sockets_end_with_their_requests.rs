//! The sockets of a request are closed when it is over, however it ends, unless it has left them in a pool; nothing of them
//! is left in the worker.

use crate::support::lua::{folder_with, leave, serve_from, text_of};
use crate::support::{Server, eventually, patience, sockets_of};
use nix::sys::signal::Signal;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const APP: &str = r#"
local kept = {}
local port = os.getenv("PEER")
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/many" then
    start_response("200 OK", {})
    local failures = {}
    for i = 1, 300 do
      local s, why = tine.socket.connect("127.0.0.1", port)
      failures[#failures + 1] = why
      kept[#kept + 1] = s
    end
    return failures[1] or "none"
  end
  local s = assert(tine.socket.connect("127.0.0.1", port, { pool = environ.QUERY_STRING, pool_size = 2 }))
  start_response("200 OK", {})
  if path == "/forgotten" then
    kept[1] = s
    return "x"
  elseif path == "/used" then
    return tostring(kept[1]:send("x")) .. tostring(select(2, kept[1]:send("x")))
  elseif path == "/failed" then
    error("on purpose")
  elseif path == "/wait" then
    s:settimeout()
    s:receive()
  elseif path == "/pcall" then
    pcall(s.receive, s)
    s:setkeepalive()
  elseif path == "/pool" then
    s:send("x")
    local got = s:receive(1)
    local times = s:getreusedtimes()
    return got .. times .. tostring(s:setkeepalive(60000))
  elseif path == "/short" then
    local times = s:getreusedtimes()
    s:setkeepalive(1)
    return tostring(times)
  elseif path == "/two" then
    local t, u = tine.socket.connect("127.0.0.1", port), tine.socket.connect("127.0.0.1", port)
    for _, each in ipairs({ s, t, u }) do
      each.pool, each.pool_size = "two", 2
      each:setkeepalive()
    end
    return "x"
  end
  return "x"
end
"#;

/// Accepts what the app opens.
struct Peer {
    listener: TcpListener,
}

impl Peer {
    fn new() -> Peer {
        Peer { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    fn serve(&self, options: &[&str]) -> Server {
        let port = self.listener.local_addr().expect("it is bound").port().to_string();
        let folder = folder_with(&[("app.lua", APP)]);
        serve_from(&folder, "app.lua", options, &[("PEER", &port)])
    }

    fn accept(&self) -> TcpStream {
        let (stream, _) = self.listener.accept().expect("the app connects");
        stream.set_read_timeout(Some(patience())).expect("a timeout");
        stream
    }
}

#[track_caller]
fn expect_closed(mut stream: TcpStream) {
    match stream.read(&mut [0]) {
        Ok(0) => {}
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn when_it_has_answered_or_failed() {
    let peer = Peer::new();
    let server = peer.serve(&[]);
    for path in ["/", "/forgotten"] {
        assert_eq!(text_of(&server, path), "x");
        expect_closed(peer.accept());
    }
    assert_eq!(text_of(&server, "/used"), "nilclosed", "another request cannot use it");
    expect_closed(peer.accept());
    assert_eq!(server.get("/failed").status, 500);
    expect_closed(peer.accept());
}

#[test]
fn when_its_client_leaves_or_its_time_is_up() {
    let peer = Peer::new();
    let server = peer.serve(&[]);
    let mut client = server.connect();
    client.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    let stream = peer.accept();
    leave(client);
    expect_closed(stream);
    let server = peer.serve(&["--request-timeout", "200ms"]);
    for path in ["/wait", "/pcall?late"] {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let stream = peer.accept();
        let response = client.response();
        assert_eq!(response.status, 504, "{path}");
        expect_closed(stream);
    }
    assert!(server.log().contains("app.lua:"), "the traceback of the wait: {}", server.log());
    assert_eq!(text_of(&server, "/short?late"), "0", "it was not left in the pool");
}

#[test]
fn when_the_server_stops() {
    let peer = Peer::new();
    let mut server = peer.serve(&["--graceful-timeout", "30s"]);
    let mut answered = server.connect();
    answered.send("GET /pool HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut stream = peer.accept();
    stream.read_exact(&mut [0]).expect("the app asks");
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    stream.write_all(b"y").expect("the app waits");
    assert!(answered.response().text().starts_with("y0"), "a wait that is answered in time goes on");
    assert!(server.wait_exit().success());
    expect_closed(stream);
    let mut server = peer.serve(&["--graceful-timeout", "200ms"]);
    let mut cut = server.connect();
    cut.send("GET /wait HTTP/1.1\r\nHost: t\r\n\r\n");
    let stream = peer.accept();
    server.stop(Signal::SIGTERM);
    expect_closed(stream);
}

/// A request that waits during a reload is finished by the worker that has it.
#[test]
fn when_its_worker_is_replaced() {
    let peer = Peer::new();
    let server = peer.serve(&[]);
    let mut client = server.connect();
    client.send("GET /pool HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut stream = peer.accept();
    stream.read_exact(&mut [0]).expect("the app asks");
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    server.wait_log("reloaded: 1 worker");
    assert_eq!(text_of(&server, "/"), "x", "others are answered by its successor");
    expect_closed(peer.accept());
    stream.write_all(b"y").expect("the app waits");
    assert_eq!(client.response().text(), "y01", "it is left in the pool of a worker that leaves");
    expect_closed(stream);
    server.wait_gone(&before);
    // The successor's pool is its own.
    client = server.connect();
    client.send("GET /pool HTTP/1.1\r\nHost: t\r\n\r\n");
    let mut stream = peer.accept();
    stream.read_exact(&mut [0]).expect("the app asks");
    stream.write_all(b"z").expect("the app waits");
    assert_eq!(client.response().text(), "z01");
}

#[test]
fn unless_it_is_left_in_a_pool() {
    let peer = Peer::new();
    let server = peer.serve(&[]);
    let ask = |path: &str| {
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        client
    };
    let answer = |stream: &mut TcpStream, byte: &[u8]| {
        stream.read_exact(&mut [0]).expect("the app asks");
        stream.write_all(byte).expect("the app reads");
    };
    let mut client = ask("/pool?a");
    let mut stream = peer.accept();
    answer(&mut stream, b"1");
    assert_eq!(client.response().text(), "101");
    for times in 1..5 {
        let mut client = ask("/pool?a");
        answer(&mut stream, b"1");
        assert_eq!(client.response().text(), format!("1{times}1"));
    }
    // Of another pool.
    let mut client = ask("/pool?b");
    let mut other = peer.accept();
    // With more than was asked for, it is not kept.
    answer(&mut other, b"12");
    assert_eq!(client.response().text(), "10nil");
    expect_closed(other);
    // Its peer closes it, and the next request gets a new one.
    drop(stream);
    let mut client = ask("/pool?a");
    let mut stream = peer.accept();
    answer(&mut stream, b"1");
    assert_eq!(client.response().text(), "101");
    // Those that were closed by the peer, or whose time is over, do not wait for a request.
    let worker = server.workers()[0];
    let before = sockets_of(worker).len();
    drop(stream);
    eventually("it is closed here, too", || (sockets_of(worker).len() < before).then_some(()));
    assert_eq!(text_of(&server, "/short?c"), "0");
    expect_closed(peer.accept());
    // No more than the pool has room for.
    assert_eq!(text_of(&server, "/two"), "x");
    expect_closed(peer.accept());
}

#[test]
fn thousands_leave_no_descriptor() {
    let peer = Peer::new();
    let server = peer.serve(&["--request-timeout", "20s"]);
    let worker = server.workers()[0];
    let fds = || std::fs::read_dir(format!("/proc/{worker}/fd")).expect("the worker").count();
    assert_eq!(text_of(&server, "/"), "x");
    drop(peer.accept());
    let before = fds();
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2000).for_each(|_| drop(peer.accept())));
        for _ in 0..20 {
            let mut clients: Vec<_> = (0..100).map(|_| server.connect()).collect();
            clients.iter_mut().for_each(|client| client.send("GET /pcall HTTP/1.1\r\nHost: t\r\n\r\n"));
            for (number, mut client) in clients.into_iter().enumerate() {
                match number % 2 {
                    0 => leave(client),
                    _ => assert_eq!(client.response().text(), "x"),
                }
            }
        }
    });
    eventually("no descriptor is left", || (fds() <= before).then_some(()));
}

#[test]
fn without_a_descriptor_it_is_an_error_of_the_app() {
    let peer = Peer::new();
    let server = peer.serve(&[]);
    let worker = server.workers()[0];
    let pid = worker.to_string();
    let set = std::process::Command::new("prlimit").args(["--pid", &pid, "--nofile=100:"]).status();
    assert!(set.expect("prlimit").success());
    assert_eq!(text_of(&server, "/many"), "Too many open files");
    let until = Instant::now() + patience();
    // Its sockets are closed with it, so the next ones find room.
    while server.get("/").status != 200 {
        assert!(Instant::now() < until, "{}", server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}
