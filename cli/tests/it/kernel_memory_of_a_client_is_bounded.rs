//! What the kernel holds for a client is bounded like everything else: data sent to a client that never reads is gone
//! after `--write-timeout`, also after the close, and unread input takes at most `--receive-buffer` bytes.

use crate::support::{Client, Server, eventually, freeze, send_signal};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The bytes in the queues of this port's connections, in any process: to be sent, and to be read (proc_net_tcp).
fn queued_bytes(port: u16) -> Vec<(u64, u64)> {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()? == port;
        // Not the listener, whose queues are connections.
        let (sent, read) = fields.get(4)?.split_once(':').filter(|_| is_ours && fields[3] != "0A")?;
        Some((u64::from_str_radix(sent, 16).ok()?, u64::from_str_radix(read, 16).ok()?))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// Its segments are large, so that the server's kernel accepts a whole answer at once.
fn with_little_room(address: SocketAddr) -> Client {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a receive buffer");
    socket.connect(&address.into()).expect("the server accepts");
    Client::over(socket.into()).expect("timeouts can be set")
}

#[test]
fn an_answer_that_is_not_read_is_dropped() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "2s"]);
    let port = server.address().port();
    let clients: Vec<Client> = (0..50)
        .map(|_| {
            let mut client = with_little_room(server.address());
            client.send("GET /bin/120K HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            client
        })
        .collect();
    eventually("all are answered", || {
        (queued_bytes(port).iter().filter(|(sent, _)| *sent > 0).count() == 50).then_some(())
    });
    eventually("the kernel has given them up", || queued_bytes(port).iter().all(|(sent, _)| *sent == 0).then_some(()));
    drop(clients);
    assert_eq!(server.get("/health").status, 200);
}

/// A client that reads now and then gets everything, however long it takes.
#[test]
fn a_slow_reader_gets_its_answer() {
    let server = Server::start(&["--workers", "1", "--write-timeout", "3s"]);
    let mut client = server.connect_narrow();
    client.send("GET /bin/1M HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    client.head();
    let began = Instant::now();
    let mut taken = 0;
    while began.elapsed() < Duration::from_secs(5) {
        taken += client.take(16 << 10).expect("more of the answer").len();
        std::thread::sleep(Duration::from_millis(100)); // it reads slowly
    }
    taken += client.rest().expect("the rest").len();
    assert_eq!(taken, 1 << 20);
}

/// The bytes queued for reading once a worker that reads fast has stopped reading.
fn unread_bytes(options: &[&str]) -> u64 {
    let server = Server::start(&[&["--workers", "1"], options].concat());
    let (mut client, worker) = (server.connect(), server.workers()[0]);
    client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {}\r\n\r\n", 1u64 << 40));
    let block = vec![0; 1 << 20];
    // The kernel lets the buffer grow, where it may.
    (0..200).for_each(|_| client.send(&block));
    freeze(worker);
    client.send_until_blocked(&block, 256 << 20);
    let unread = queued_bytes(server.address().port()).iter().map(|(_, read)| *read).max();
    send_signal(worker, nix::sys::signal::Signal::SIGCONT);
    unread.unwrap_or(0)
}

#[test]
fn unread_input_is_bounded() {
    for (options, most) in [(&[][..], 1 << 20), (&["--receive-buffer", "64K"], 64 << 10)] {
        let unread = unread_bytes(options);
        assert!(unread > 0 && unread <= most, "{options:?}: {unread} bytes");
    }
    // As it would be without the option.
    assert!(unread_bytes(&["--receive-buffer", "auto"]) > 0);
}
