//! A reset from the client is noticed while an answer is being made, although nothing is written to the connection: the
//! exchange is dropped and the descriptor closed.

use crate::support::{Server, eventually};
use std::time::Duration;

#[test]
fn a_client_that_resets_is_forgotten_at_once() {
    let server = Server::start(&["--workers", "1"]);
    let before = server.sockets();
    let mut client = server.connect();
    client.send("GET /delay/3600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("the request is being answered", || (server.sockets() == before + 1).then_some(()));
    socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
    drop(client);
    eventually("its socket is closed", || (server.sockets() == before).then_some(()));
}
