//! How a server's connections ended on the wire, as tcpdump saw it: a client's socket does not report that reliably.

use super::{Client, Server, eventually};
use nix::sys::signal::Signal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

pub struct Capture {
    tcpdump: Server,
    address: SocketAddr,
}

#[derive(Debug)]
pub struct Endings {
    /// Connections that the server closed cleanly, from its side.
    pub fins: usize,
    /// tcpdump's lines for those that it reset.
    pub resets: Vec<String>,
}

fn program() -> PathBuf {
    // Debian installs it outside of a user's PATH.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let found = std::env::split_paths(&path).map(|folder| folder.join("tcpdump")).find(|program| program.exists());
    found.expect("tcpdump is not installed; scripts/test does that")
}

impl Capture {
    /// Captures what a server sends from this address on the loopback; `None`, after a line with the reason, if
    /// capturing is not permitted.
    #[track_caller]
    pub fn start(address: SocketAddr) -> Option<Capture> {
        let filter = format!("tcp and src port {} and tcp[tcpflags] & (tcp-fin|tcp-rst) != 0", address.port());
        let mut command = Command::new(program());
        // Each place in the ring is as large as a packet may be: capture heads only, or there are few places.
        let options = ["-i", "lo", "-nn", "-l", "--immediate-mode", "-s", "96", "-B", "4096"];
        command.args(options).arg(&filter).stdin(Stdio::null());
        let mut tcpdump = Server::spawn(&mut command);
        let listens = eventually("tcpdump listens", || {
            if tcpdump.try_exit().is_some() {
                return Some(false);
            }
            tcpdump.log().contains("listening on").then_some(true)
        });
        if listens {
            return Some(Capture { tcpdump, address });
        }
        let said = tcpdump.log();
        println!("no capture here, only the sockets are checked: {}", said.lines().last().unwrap_or_default());
        None
    }

    /// What was seen. Ends the capture once everything before this call has been captured.
    #[track_caller]
    pub fn stop(mut self) -> Endings {
        // A packet of our own is the marker: the end of a connection, or the refusal of one.
        let socket = socket2::Socket::new(socket2::Domain::for_address(self.address), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any = SocketAddr::new(self.address.ip(), 0);
        socket.bind(&any.into()).expect("a port");
        let port = socket.local_addr().expect("an address").as_socket().expect("an IP address").port();
        if socket.connect(&self.address.into()).is_ok() {
            let mut client = Client::over(socket.into()).expect("timeouts can be set");
            client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            client.response();
            client.rest().expect("the end");
        }
        let mark = format!(".{port}: Flags");
        eventually("the mark is seen", || self.tcpdump.stdout().contains(&mark).then_some(()));
        self.tcpdump.signal(Signal::SIGINT);
        self.tcpdump.wait_exit();
        let said = self.tcpdump.log();
        assert!(said.contains("\n0 packets dropped by kernel"), "packets are missing: {said}");
        let seen = self.tcpdump.stdout();
        let lines = seen.lines().filter(|line| line.contains(": Flags [") && !line.contains(&mark));
        let (resets, fins): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.contains("Flags [R"));
        Endings { fins: fins.len(), resets: resets.into_iter().map(str::to_string).collect() }
    }
}
