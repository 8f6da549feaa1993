//! Records of one byte, changes of keys without end, renegotiation, handshakes that trickle and bytes that are not TLS: the server
//! serves what can be served, ends the rest, grows by nothing, and others are served meanwhile.

use crate::support::tls::{Pair, TlsClient, TlsClients};
use crate::support::{Server, eventually, within_patience};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::Stdio;
use std::time::Duration;

/// What a server may have grown by after any of this: its allocator's own.
const GROWTH_MAX: u64 = 4 << 20;

const GET: &[u8] = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";

struct Trial {
    server: Server,
    clients: TlsClients,
}

impl Trial {
    fn start(options: &[&str]) -> Trial {
        let pair = Pair::of(&["localhost"]);
        let server = Server::start_https(&pair, &[&["--workers", "1"], options].concat());
        let trial = Trial { server, clients: TlsClients::trusting(&pair) };
        trial.expect_served();
        trial
    }

    fn connect(&self) -> TlsClient {
        self.clients.connect(self.server.https(), "localhost")
    }

    /// A session in which a response has come, in part.
    #[track_caller]
    fn connect_and_get(&self) -> TlsClient {
        let mut client = self.connect();
        client.write_all(GET).expect("sent");
        client.read_exact(&mut [0; 15]).expect("a response");
        client
    }

    #[track_caller]
    fn expect_served(&self) {
        let response = self.clients.get(self.server.https(), "localhost", "/health");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    }

    /// The worker is the same one, no larger, and serves.
    #[track_caller]
    fn expect_unharmed_by(&self, act: impl FnOnce()) {
        let (workers, before) = (self.server.workers(), self.server.memory_bytes());
        act();
        self.expect_served();
        eventually("the memory is given back", || {
            let grown = self.server.memory_bytes().saturating_sub(before);
            (grown < GROWTH_MAX).then_some(())
        });
        assert_eq!(self.server.workers(), workers);
    }
}

/// Each byte in a record of its own.
fn write_bytewise(client: &mut TlsClient, bytes: &[u8]) {
    for byte in bytes {
        client.conn.writer().write_all(&[*byte]).expect("sealed");
    }
    client.flush().expect("sent");
}

#[test]
fn records_of_one_byte() {
    let trial = Trial::start(&[]);
    trial.expect_unharmed_by(|| {
        let mut client = trial.connect_and_get();
        let body = vec![b'x'; 20_000];
        let head = format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        write_bytewise(&mut client, head.as_bytes());
        body.chunks(1000).for_each(|part| write_bytewise(&mut client, part));
        let mut response = String::new();
        client.read_to_string(&mut response).expect("all of it");
        assert!(response.contains("HTTP/1.1 200") && response.contains("20000"), "{response}");
    });
}

#[test]
fn changes_of_keys_without_end() {
    let trial = Trial::start(&[]);
    trial.expect_unharmed_by(|| {
        let mut client = trial.connect_and_get();
        let is_cut = (0..100_000).any(|_| client.conn.refresh_traffic_keys().is_err() || client.flush().is_err());
        assert!(is_cut, "100 000 changes of keys were taken");
    });
}

#[test]
fn renegotiation_is_refused() {
    let trial = Trial::start(&[]);
    trial.expect_unharmed_by(|| {
        let address = trial.server.https().to_string();
        let mut client = within_patience("openssl")
            .args(["s_client", "-tls1_2", "-connect", &address, "-servername", "localhost"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("timeout runs");
        let mut input = client.stdin.take().expect("a pipe");
        input.write_all(b"R\n").expect("sent");
        let said = client.wait_with_output().expect("its end");
        drop(input);
        let errors = String::from_utf8_lossy(&said.stderr);
        assert!(errors.contains("RENEGOTIATING") && errors.contains("no renegotiation"), "{errors}");
    });
}

#[test]
fn a_handshake_that_trickles_ends_at_its_deadline() {
    let trial = Trial::start(&["--header-timeout", "1s"]);
    trial.expect_unharmed_by(|| {
        let mut hello = Vec::new();
        trial.connect().conn.write_tls(&mut hello).expect("a hello");
        let mut socket = TcpStream::connect(trial.server.https()).expect("connect");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
        let ended = eventually("the connection is ended", || {
            let mut answer = [0; 64];
            if hello.len() > 1 {
                // It may be ended already.
                let _ = socket.write_all(&[hello.remove(0)]);
            }
            match socket.read(&mut answer) {
                Ok(count) => Some(count),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => Some(0),
                Err(_) => None,
            }
        });
        assert!(ended == 0 && hello.len() > 1, "{ended} bytes are answered with {} to come", hello.len());
    });
}

/// A hello, with some of its bytes changed, taken out or doubled; sometimes none of it is left.
fn mutated(hello: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let mut bytes = hello.to_vec();
    for _ in 0..random.usize(1..8) {
        let at = random.usize(..bytes.len());
        match random.u8(..5) {
            0 => bytes[at] = random.u8(..),
            1 => bytes[at] ^= 1 << random.u8(..8),
            2 => bytes.truncate(at.max(1)),
            3 => bytes.extend_from_within(at..),
            _ => drop(bytes.splice(at.., (0..random.usize(1..64)).map(|_| random.u8(..)).collect::<Vec<u8>>())),
        }
    }
    bytes
}

#[test]
fn bytes_that_are_not_tls() {
    let trial = Trial::start(&["--header-timeout", "1s"]);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut hello = Vec::new();
    trial.connect().conn.write_tls(&mut hello).expect("a hello");
    trial.expect_unharmed_by(|| {
        for _ in 0..500 {
            let mut socket = TcpStream::connect(trial.server.https()).expect("connect");
            // It may be ended before all is sent.
            let _ = socket.write_all(&mutated(&hello, &mut random)).and_then(|()| socket.shutdown(Shutdown::Write));
            let _ = socket.read_to_end(&mut Vec::new());
        }
        // The same within a session.
        for _ in 0..200 {
            let mut client = trial.connect_and_get();
            let mut record = Vec::new();
            client.conn.writer().write_all(GET).expect("sealed");
            client.conn.write_tls(&mut record).expect("a record");
            let _ = client
                .sock
                .write_all(&mutated(&record, &mut random))
                .and_then(|()| client.sock.shutdown(Shutdown::Write));
            let _ = client.sock.read_to_end(&mut Vec::new());
        }
    });
    assert!(!trial.server.log().contains("panicked"), "{}", trial.server.log());
}
