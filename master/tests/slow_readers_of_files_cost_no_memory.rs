//! Who reads a file slowly, or not at all, costs a descriptor and next to no memory; and slows nobody else.

mod support;

use std::io::Read;
use support::Client;
use support::site::Site;

const CLIENTS: usize = 300;

#[test]
fn slow_readers_of_files_cost_no_memory() {
    let site = Site::of(&[("y", b"y")]);
    site.write_sparse("x", 1024);
    let server = site.serve(&["--defer-accept", "0"]);
    assert_eq!(server.get("/y").text(), "y");
    let before = server.memory_bytes();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.send("GET /x HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    for client in &mut clients {
        client.stream.read_exact(&mut [0; 20_000]).expect("the answer begins");
    }
    // One of them reads as fast as it can: two requests of others between each of its mebibytes.
    for _ in 0..20 {
        clients[0].stream.read_exact(&mut vec![0; 1 << 20]).expect("more of it");
        assert_eq!(server.get("/y").text(), "y");
    }
    let grown = server.memory_bytes().saturating_sub(before) / CLIENTS as u64;
    println!("each slow reader of a file: {grown} bytes");
    assert!(grown <= 4_000, "each costs {grown} bytes");
    assert!(clients.iter().all(|client| !client.is_hung_up()));
}

/// A client that takes a whole gibibyte as fast as it comes does not keep others waiting until it is over.
#[test]
fn a_fast_reader_leaves_others_their_turn() {
    let site = Site::of(&[("y", b"y")]);
    site.write_sparse("x", 1024);
    let server = site.serve(&[]);
    let address = server.address();
    let (begun, begins) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut client = Client::connect(address);
        client.send("GET /x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let mut buffer = vec![0; 1 << 20];
        let mut left: u64 = 1 << 30;
        while left > 0 {
            let count = client.stream.read(&mut buffer).expect("more of it");
            assert!(count > 0 || left < 1000, "{left} bytes are missing");
            if count == 0 {
                break; // the head was counted as well
            }
            left = left.saturating_sub(count as u64);
            let _ = begun.send(left); // nobody listens any more: the others are served
        }
    });
    let mut other = server.connect();
    let mut served_meanwhile = 0;
    while begins.recv().is_ok() {
        other.send("GET /y HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(other.response().text(), "y");
        served_meanwhile += 1;
        if served_meanwhile == 20 {
            break;
        }
    }
    let left = begins.try_iter().last().unwrap_or(1 << 30);
    assert_eq!(served_meanwhile, 20);
    assert!(left > 0, "twenty small requests took as long as a gibibyte");
    drop(begins);
    reader.join().expect("the whole file");
}
