//! `--buffer-size`: a worker asks the kernel for this much of a body at once, and never for less than a head may need.

use crate::support::{Server, Trace};

const UPLOAD_BYTES: usize = 32 << 20;

/// The room for each recvfrom(2) of a connection in a trace: its third argument.
fn rooms(calls: &str) -> Vec<usize> {
    let room = |line: &str| line.rsplit(", 0, NULL, NULL)").nth(1)?.rsplit(", ").next()?.parse().ok();
    calls.lines().filter(|line| line.starts_with("recvfrom(")).filter_map(room).collect()
}

#[test]
fn a_worker_reads_a_buffer_at_once() {
    for (options, expected) in [
        (&[][..], 256 << 10),
        (&["--buffer-size", "64K"], 64 << 10),
        (&["--buffer-size", "1M"], 1 << 20),
        (&["--buffer-size", "64K", "--header-max", "128K"], (128 + 8 + 4) << 10),
    ] {
        let server = Server::start(&[&["--workers", "1"], options].concat());
        let mut client = server.connect();
        let Some(trace) = Trace::begin(server.workers()[0]) else { return };
        client.send(format!("POST /upload HTTP/1.1\r\nHost: t\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"));
        for _ in 0..UPLOAD_BYTES >> 20 {
            client.send(vec![b'x'; 1 << 20]);
        }
        assert!(client.response().text().contains(&format!("\"bytes_received\":{UPLOAD_BYTES}")), "{options:?}");
        let rooms = rooms(&trace.end());
        // What a read leaves in the buffer makes less room for the next one; /upload leaves nothing.
        assert!(!rooms.is_empty() && rooms.iter().all(|&room| room == expected), "{options:?}: {rooms:?}");
    }
}
