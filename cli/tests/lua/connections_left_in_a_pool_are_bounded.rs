//! A worker keeps 1000 connections for later requests, of all pools together, each for as long as it was left for: beyond that the
//! one that was left first is closed.

use crate::support::lua::{folder_with, serve_from, text_of};
use crate::support::{eventually, sockets_of};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr};

const CONNECTIONS_MAX: usize = 1000;

const APP: &str = r#"
local port = os.getenv("PEER")
function app(environ, start_response)
  start_response("200 OK", {})
  local from, to = environ.QUERY_STRING:match("(%d+)-(%d+)")
  local reused = 0
  for i = from, to do
    local s = assert(tine.socket.connect("127.0.0.1", port, { pool = "pool" .. i }))
    reused = reused + s:getreusedtimes()
    assert(s:setkeepalive(0))
  end
  return tostring(reused)
end
"#;

/// A peer of which the kernel accepts this many connections.
fn listener(backlog: usize) -> (Socket, String) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))).expect("a port");
    socket.listen(backlog as i32).expect("it is bound");
    let port = socket.local_addr().expect("it is bound").as_socket().expect("an IP address").port();
    (socket, port.to_string())
}

#[test]
fn the_one_that_was_left_first_is_closed() {
    let (listener, port) = listener(2 * CONNECTIONS_MAX);
    let folder = folder_with(&[("app.lua", APP)]);
    let server = serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", &port)]);
    let worker = server.workers()[0];
    let before = sockets_of(worker).len();
    assert_eq!(text_of(&server, &format!("/?1-{}", CONNECTIONS_MAX + 5)), "0");
    for number in 1..=6 {
        let (mut stream, _) = listener.accept().expect("it has connected");
        if number <= 5 {
            assert_eq!(stream.read(&mut [0]).ok(), Some(0), "{number} was closed");
        } else {
            stream.set_nonblocking(true).expect("a socket");
            assert_eq!(stream.read(&mut [0]).map_err(|e| e.kind()), Err(ErrorKind::WouldBlock), "{number} is kept");
            // A time of 0 is for ever, and the others are still there.
            assert_eq!(text_of(&server, &format!("/?6-{}", CONNECTIONS_MAX + 5)), CONNECTIONS_MAX.to_string());
            eventually("no more are there", || (sockets_of(worker).len() == before + CONNECTIONS_MAX).then_some(()));
        }
    }
}
