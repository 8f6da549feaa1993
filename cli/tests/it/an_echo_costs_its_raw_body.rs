//! A body whose JSON is six times as long costs the worker the raw bytes, not those of the answer.

use crate::support::{Client, Server};

const BODY_BYTES: usize = 1 << 20;

fn post_nuls(server: &Server, path: &str) -> Client {
    let mut client = server.connect_narrow();
    client.send(format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: {BODY_BYTES}\r\n\r\n"));
    client.send(vec![0; BODY_BYTES]);
    client
}

/// 20 clients that post 1 MiB of NULs and never read cost at most that and 150 KB each; a last one that reads gets its
/// whole answer.
fn unread_echoes(path: &str) {
    const CLIENTS: usize = 20;
    let server = Server::start(&["--workers", "1", "--defer-accept", "0"]);
    assert_eq!(server.get("/").status, 200);
    let before = server.memory_bytes();
    let clients: Vec<Client> = (0..CLIENTS).map(|_| post_nuls(&server, path)).collect();
    for client in &clients {
        client.peek().expect("the answer begins");
    }
    let each = server.memory_bytes().saturating_sub(before) / CLIENTS as u64;
    assert!(each <= BODY_BYTES as u64 + 150_000, "each costs {each} bytes");
    println!("each unread echo of {path}: {each} bytes");

    let answer = post_nuls(&server, path).response();
    let json: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert!(json["body"].as_str().expect("text").bytes().eq(std::iter::repeat_n(0, BODY_BYTES)));
    assert_eq!((&json["body_size"], json.get("body_truncated")), (&BODY_BYTES.into(), None));
    assert!(clients.iter().all(|client| !client.is_hung_up()));
}

#[test]
fn of_the_echo() {
    unread_echoes("/");
}

#[test]
fn of_a_delayed_echo() {
    unread_echoes("/delay/1");
}
