//! A client that reads a file slowly, or not at all, costs a descriptor and next to no memory, and slows down no other
//! client.

use crate::support::site::Site;
use crate::support::{Client, SESSION_BYTES};

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
        client.read_exact(&mut [0; 20_000]).expect("the answer begins");
    }
    // One of them reads as fast as it can: two requests of other clients between each of its mebibytes.
    for _ in 0..20 {
        clients[0].read_exact(&mut vec![0; 1 << 20]).expect("more of it");
        assert_eq!(server.get("/y").text(), "y");
    }
    let grown = server.memory_bytes().saturating_sub(before) / CLIENTS as u64;
    println!("each slow reader of a file: {grown} bytes");
    assert!(grown <= 4_000 + SESSION_BYTES, "each costs {grown} bytes");
    assert!(clients.iter().all(|client| !client.is_hung_up()));
}
