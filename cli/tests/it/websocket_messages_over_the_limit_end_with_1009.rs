//! A message of exactly `--ws-message-max` bytes is echoed; a longer one ends the connection with 1009: in one frame,
//! as soon as its length is known; in fragments, as soon as their sum is too large.

use crate::support::Server;
use crate::support::websocket::{BINARY, CONTINUATION, Frame, TEXT, WebSocket};

const MIB: usize = 1 << 20;

#[test]
fn websocket_messages_over_the_limit_end_with_1009() {
    let server = Server::start(&["--workers", "1"]);
    let mut socket = WebSocket::connect(&server, "/ws");
    // The length alone: 16 MiB and one byte, none of which is sent.
    socket.send_raw([&[0x82, 0x80 | 127][..], &(16 * MIB as u64 + 1).to_be_bytes(), &[0; 4]].concat());
    assert_eq!(socket.expect_close().close_code(), Some(1009));

    let mut socket = WebSocket::connect(&server, "/ws");
    socket.send_frame(false, 0, BINARY, vec![1; 8 * MIB]);
    socket.send_frame(false, 0, CONTINUATION, vec![2; 8 * MIB]);
    socket.send_frame(false, 0, CONTINUATION, [3]);
    assert_eq!(socket.expect_close().close_code(), Some(1009));
}

#[test]
fn websocket_message_limit_is_an_option() {
    let server = Server::start(&["--workers", "1", "--ws-message-max", "1K"]);
    let mut socket = WebSocket::connect(&server, "/ws");
    let longest = Frame::new(true, 0, TEXT, "x".repeat(1024));
    socket.send_frame(true, 0, TEXT, longest.payload.clone());
    assert_eq!(socket.next_frame(), Some(longest.clone()));
    socket.send_frame(false, 0, TEXT, &longest.payload[1..]);
    socket.send_frame(true, 0, CONTINUATION, "x");
    assert_eq!(socket.next_message(), Some(longest.clone()));
    assert_eq!(socket.close(1000), Some(1000));

    let mut socket = WebSocket::connect(&server, "/ws");
    socket.send_frame(true, 0, TEXT, [&longest.payload[..], b"x"].concat());
    assert_eq!(socket.expect_close().close_code(), Some(1009));
}
