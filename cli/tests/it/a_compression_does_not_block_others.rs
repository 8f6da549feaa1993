//! A long body is compressed in slices, and long bodies one at a time: other requests are answered meanwhile, and
//! memory is needed for one encoder only.

use crate::support::{Client, Server, eventually, patience};
use std::io::Write;

const MIB: usize = 1 << 20;

/// Input that is slow to compress, from Marsaglia's xorshift generator.
fn noise(bytes: usize) -> Vec<u8> {
    let mut x = 1u64;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        b"abcdefghijklmnopqrstuvwxyz012345"[x as usize % 32]
    };
    (0..bytes).map(|_| next()).collect()
}

fn head(path: &str, bytes: usize) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {bytes}\r\n\r\n")
}

/// If it were compressed in one go, few other requests would be answered between its last byte and its answer.
#[test]
fn a_compression_does_not_block_others() {
    let server = Server::start(&["--workers", "1"]);
    let body = noise(MIB / 2);
    for path in ["/gzip?level=9", "/brotli?level=5", "/zstd?level=6"] {
        eventually("others are answered while a body is compressed", || {
            let mut long = server.connect();
            let mut other = server.connect();
            long.send(head(path, body.len()));
            long.send(&body);
            let mut answered = 0;
            while !has_input(&long) {
                other.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
                assert_eq!(other.response().status, 200);
                answered += 1;
            }
            assert_eq!(long.response().status, 200);
            (answered > 10).then_some(())
        });
    }
}

fn has_input(client: &Client) -> bool {
    client.stream.set_nonblocking(true).expect("a socket");
    let peeked = client.peek();
    client.stream.set_nonblocking(false).expect("a socket");
    peeked.is_ok_and(|count| count > 0)
}

/// Each client costs a mebibyte until its body is compressed, and less than one for the output until that is read. 20
/// encoders of at least 4 MiB each would show.
#[test]
fn many_compressions_need_one_encoder() {
    const CLIENTS: usize = 20;
    let server = Server::start(&["--workers", "1"]);
    let [worker] = server.workers()[..] else { panic!("one worker") };
    let body = noise(MIB);
    for path in ["/brotli?level=5", "/zstd?level=6"] {
        // While one body is compressed, the others wait; a client that leaves in the meantime is not waited for.
        let mut clients: Vec<Client> = (0..=CLIENTS).map(|_| server.connect()).collect();
        for client in &mut clients {
            client.stream.set_read_timeout(Some(3 * patience())).expect("a timeout");
            client.write_all(head(path, body.len()).as_bytes()).expect("the server takes it");
            client.write_all(&body).expect("the server takes it");
        }
        drop(clients.remove(CLIENTS / 2));
        for mut client in clients {
            let response = client.response();
            assert_eq!((response.status, response.header("content-encoding").is_some()), (200, true));
        }
    }
    let peak = crate::support::peak_bytes(worker);
    let kept = CLIENTS as u64 * 2 * MIB as u64;
    assert!(peak < kept + (40 << 20), "the worker's memory was {} MiB", peak >> 20);
}
