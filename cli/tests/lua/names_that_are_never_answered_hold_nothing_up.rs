//! A resolver that takes each question and never answers: a request that looks up a name waits no longer than its time, and holds
//! neither other requests nor the names of others up.
//!
//! The server gets the resolver by an /etc/resolv.conf of its own (unshare(1)); where that cannot be had, nothing is tested.

use crate::support::lua::{SAID, folder_with, leave, text_of};
use crate::support::{Server, TINE, eventually, patience};
use nix::sys::signal::Signal;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::Command;

const APP: &str = r#"
function app(environ, start_response)
  start_response("200 OK", {})
  local name, port, seconds = environ.QUERY_STRING:match("^(.-):(%d+)(.*)$")
  if name then
    local s = tine.socket.tcp()
    s:settimeout(tonumber(seconds:sub(2)))
    return said(s:connect(name, port))
  end
  return "answered"
end
"#;

const ENTER: &str = r#"
mount --bind "$1/resolv.conf" /etc/resolv.conf && mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf || exit 9
shift; exec "$@"
"#;

/// Names that are looked up and never answered at the same time.
const NAMES: usize = 40;

/// The command that runs this one with the resolver.
fn with_resolver(address: Ipv4Addr) -> (Command, std::path::PathBuf) {
    let resolver = format!("nameserver {address}\noptions timeout:30 attempts:5\n");
    let folder = folder_with(&[
        ("resolv.conf", &resolver),
        ("nsswitch.conf", "hosts: files dns\n"),
        ("app.lua", &[SAID, APP].concat()),
    ]);
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", ENTER, "sh"]).arg(&folder).current_dir(&folder);
    (command, folder)
}

#[test]
fn neither_requests_nor_other_names() {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, 53, high, low | 1);
    let may = with_resolver(address).0.arg("true").output();
    let (Ok(resolver), true) = (UdpSocket::bind((address, 53)), may.as_ref().is_ok_and(|out| out.status.success()))
    else {
        return eprintln!("not run: no port 53, or no namespace for a resolv.conf: {may:?}");
    };
    resolver.set_read_timeout(Some(patience())).expect("a time");
    let (mut command, _folder) = with_resolver(address);
    command.args([TINE, "run", "app.lua", "0", "--workers", "1", "--graceful-timeout", "300ms"]);
    let mut server = Server::start_command(&mut command);
    assert_eq!(text_of(&server, "/?never.test:80+0.2"), "nil timeout");
    let mut question = [0; 512];
    let length = resolver.recv(&mut question).expect("the resolver is asked");
    assert!(question[..length].windows(6).any(|part| part == b"\x05never"), "{:?}", &question[..length]);
    let mut clients: Vec<_> = (0..NAMES)
        .map(|number| {
            let mut client = server.connect();
            client.send(format!("GET /?never-{number}.test:80 HTTP/1.1\r\nHost: t\r\n\r\n"));
            client
        })
        .collect();
    eventually("they wait", || (server.in_flight() as usize == NAMES).then_some(()));
    assert_eq!(text_of(&server, "/"), "answered");
    let peer = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = peer.local_addr().expect("it is bound").port();
    assert_eq!(text_of(&server, &format!("/?localhost:{port}+60")), "1", "/etc/hosts is read meanwhile");
    clients.drain(..NAMES - 1).for_each(leave);
    eventually("one is left", || (server.in_flight() == 1).then_some(()));
    // Neither the request nor the threads hold the end up.
    assert!(server.stop(Signal::SIGTERM).code().is_some(), "{}", server.log());
    drop(clients);
}
