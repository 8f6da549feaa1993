//! A Unix socket whose backlog is full takes no connection, and the kernel does not tell when it does: a request that connects to one
//! tries again until its time is up, and holds no other up.

use crate::support::lua::{SAID, folder_with, leave, serve_from, text_of};
use crate::support::{Server, eventually, scratch_folder};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::ErrorKind;
use std::net::Shutdown;
use std::path::Path;

const APP: &str = r#"
local path = os.getenv("PEER")
tries = 0
function app(environ, start_response)
  start_response("200 OK", {})
  local seconds = tonumber(environ.QUERY_STRING)
  if environ.PATH_INFO == "/connect" then
    local s = tine.socket.tcp()
    s:settimeout(seconds)
    local ok, why = s:connect("unix:" .. path)
    return said(ok, why, ok and s:send("hello"))
  end
  return "answered"
end
"#;

/// A listener that accepts nothing by itself, and as many connections to it as its backlog takes.
fn full(path: &Path) -> (Socket, Vec<Socket>) {
    let address = SockAddr::unix(path).expect("a short path");
    let new = || Socket::new(Domain::UNIX, Type::STREAM, None).expect("a socket");
    let listener = new();
    listener.bind(&address).expect("a free path");
    listener.listen(1).expect("it is bound");
    let mut waiting = Vec::new();
    loop {
        let client = new();
        client.set_nonblocking(true).expect("a socket");
        match client.connect(&address) {
            Ok(()) => waiting.push(client),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (listener, waiting),
            Err(error) => panic!("{error}"),
        }
    }
}

fn serve(path: &Path) -> Server {
    let folder = folder_with(&[("app.lua", &[SAID, APP].concat())]);
    serve_from(&folder, "app.lua", &["--workers", "1"], &[("PEER", path.to_str().expect("UTF-8"))])
}

#[test]
fn until_there_is_room_or_the_time_is_up() {
    let path = scratch_folder().join("peer");
    let (listener, waiting) = full(&path);
    let server = serve(&path);
    assert_eq!(text_of(&server, "/connect?0.2"), "nil timeout nil");
    assert_eq!(text_of(&server, "/connect?0"), "nil timeout nil");
    let request = "GET /connect HTTP/1.1\r\nHost: t\r\n\r\n";
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send(request));
    let mut left = server.connect();
    left.send(request);
    eventually("they wait", || (server.in_flight() == 4).then_some(()));
    assert_eq!(text_of(&server, "/"), "answered");
    leave(left);
    eventually("one is gone", || (server.in_flight() == 3).then_some(()));
    // The kernel's own connections first, and then those of the app.
    let accepted: Vec<_> = (0..waiting.len() + 3).map(|_| listener.accept().expect("a connection")).collect();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "1 nil 5"));
    drop(accepted);
    // Not by its drop: a process that another test starts has the descriptor, too, until its exec.
    listener.shutdown(Shutdown::Both).expect("it listens");
    assert_eq!(text_of(&server, "/connect?9"), "nil connection refused nil");
}
