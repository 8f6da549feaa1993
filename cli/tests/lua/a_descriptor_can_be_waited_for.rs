//! tine.wait, for a descriptor that is not the server's: here those of luasocket, whose calls block or fail at once.

use crate::support::eventually;
use crate::support::lua::{SAID, serve, text_of};
use std::io::{Read, Write};
use std::net::TcpStream;

const APP: &str = r##"
local socket = require("socket")
local listener = assert(socket.bind("127.0.0.1", 0))
listener:settimeout(0)
local _, port = listener:getsockname()
local waiting = 0
function app(environ, start_response)
  start_response("200 OK", {})
  local path = environ.PATH_INFO
  if path == "/port" then
    return said(port)
  elseif path == "/waiting" then
    return said(waiting)
  elseif path == "/late" then
    return said(tine.wait(listener, "r", 0.01)) .. said(tine.wait(listener:getfd(), "r", 0))
  elseif path == "/twice" then
    return said(pcall(tine.wait, listener:getfd(), "r", 60))
  elseif path == "/wrong" then
    local lines = {}
    for _, arguments in ipairs({ { 12345, "r" }, { 0, "r" }, { -1, "r" }, { 1.5, "r" }, { {}, "r" }, { 1, "x" }, { 1, "r", -1 } }) do
      local _, why = pcall(tine.wait, arguments[1], arguments[2], arguments[3])
      lines[#lines + 1] = why
    end
    return table.concat(lines, "\n")
  end
  waiting = waiting + 1
  local ready = tine.wait(listener, "r")
  waiting = waiting - 1
  local client = assert(listener:accept())
  client:settimeout(0)
  local both = tine.wait(client, "rw", 60)
  local line, why, got = client:receive()
  while why == "timeout" do
    tine.wait(client:getfd(), "r", 60)
    line, why, got = client:receive("*l", got)
  end
  client:close()
  return said(ready, both, line)
end
"##;

#[test]
fn of_luasocket() {
    let server = serve(&format!("{SAID}{APP}"), &[]);
    assert_eq!(text_of(&server, "/late"), "nil timeoutnil timeout");
    let port: u16 = text_of(&server, "/port").parse().expect("a port");
    let mut client = server.connect();
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it waits", || (text_of(&server, "/waiting") == "1").then_some(()));
    let twice = text_of(&server, "/twice");
    assert!(twice.starts_with("false ") && twice.ends_with("it is watched already"), "{twice}");
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    // The client's own socket stays open after each wait for it.
    for piece in ["half", " a line\n"] {
        eventually("it has accepted", || (text_of(&server, "/waiting") == "0").then_some(()));
        peer.write_all(piece.as_bytes()).expect("it reads");
    }
    assert_eq!(client.response().text().replace("rw", "w"), "r w half a line");
    assert_eq!(peer.read(&mut [0]).expect("it has closed"), 0);
    assert_eq!(text_of(&server, "/late"), "nil timeoutnil timeout", "the listener was not closed");
}

#[test]
fn a_wrong_one_is_an_error_with_its_reason() {
    let server = serve(&format!("{SAID}{APP}"), &[]);
    let usage = "tine.wait takes a descriptor, \"r\", \"w\" or \"rw\", and a number of seconds or nil";
    let text = text_of(&server, "/wrong");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("descriptor 12345: Bad file descriptor (os error 9)"), "{text}");
    assert!(lines[1].contains("a file of this kind is always ready"), "{text}");
    assert!(lines[2..].len() == 5 && lines[2..].iter().all(|line| line.ends_with(usage)), "{text}");
}
