//! `/ip` gives the address that a request came from, `/uuid` makes a unique identifier.

use crate::support::{Client, Server};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;

fn json_of(client: &mut Client, request: &str) -> Value {
    client.send(request);
    let response = client.response();
    assert_eq!((response.status, response.header("content-type")), (200, Some("application/json")));
    serde_json::from_slice(&response.body).expect("JSON")
}

#[test]
fn ip_is_the_peers_address() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (fields, expected) in [
        ("", json!({"origin": "127.0.0.1"})),
        ("X-Forwarded-For: 192.0.2.1\r\n", json!({"origin": "127.0.0.1", "forwarded_for": "192.0.2.1"})),
        (
            "x-forwarded-for: a, b\r\nX-FORWARDED-FOR: \"c\"\r\n",
            json!({"origin": "127.0.0.1", "forwarded_for": "a, b, \"c\""}),
        ),
        ("X-Forwarded-For:\r\n", json!({"origin": "127.0.0.1", "forwarded_for": ""})),
    ] {
        assert_eq!(json_of(&mut client, &format!("GET /ip HTTP/1.1\r\nHost: t\r\n{fields}\r\n")), expected);
    }
}

#[test]
fn a_unix_socket_has_none() {
    let folder = crate::support::scratch_folder();
    let path: PathBuf = folder.join("s");
    let server = Server::start(&["--workers", "1", "--listen", &format!("unix:{}", path.display())]);
    let mut client = Client::try_connect_unix(&path).expect("the server accepts");
    assert_eq!(json_of(&mut client, "GET /ip HTTP/1.1\r\nHost: t\r\n\r\n"), json!({"origin": "unix"}));
    drop(server);
    std::fs::remove_dir_all(folder).expect("the folder is ours");
}

/// Two workers forked from one master do not make the same UUIDs.
#[test]
fn uuids_differ() {
    let server = Server::start(&["--workers", "2"]);
    let mut seen = HashSet::new();
    for _ in 0..40 {
        let mut client = server.connect();
        for _ in 0..5 {
            let json = json_of(&mut client, "GET /uuid HTTP/1.1\r\nHost: t\r\n\r\n");
            let uuid = json["uuid"].as_str().expect("text").to_string();
            let parts: Vec<&str> = uuid.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
            assert!(parts.concat().bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{uuid}");
            // Version 4, variant 10 (RFC 9562, 5.4).
            assert!(parts[2].starts_with('4') && parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
            assert!(seen.insert(uuid), "one came twice");
        }
    }
}
