//! A client that offers subprotocols gets the first of them from the origin: some libraries (Node's ws) close the
//! connection if none is chosen. A client that offers none is sent none (RFC 6455, 4.1).

use crate::support::Server;
use crate::support::websocket::handshake;

#[test]
fn the_first_offered_is_taken() {
    let server = Server::start(&["--workers", "1"]);
    for path in ["/ws", "/ws/close", "/ws/ticker"] {
        for (fields, expected) in [
            ("", None),
            ("Sec-WebSocket-Protocol: chat\r\n", Some("chat")),
            ("Sec-WebSocket-Protocol: chat, superchat\r\n", Some("chat")),
            ("sec-websocket-protocol: soap\r\nSec-WebSocket-Protocol: wamp\r\n", Some("soap")),
        ] {
            let mut client = server.connect();
            let request =
                handshake(path, "dGhlIHNhbXBsZSBub25jZQ==").replacen("\r\n\r\n", &format!("\r\n{fields}\r\n"), 1);
            client.send(request);
            let response = client.response();
            assert_eq!(
                (response.status, response.header("sec-websocket-protocol")),
                (101, expected),
                "{path} {fields}"
            );
        }
    }
}
