//! A client that does not read suspends the app that sends, and an app that does not receive stops its client: neither costs
//! memory, and others are served meanwhile.

use crate::support::lua::{serve, text_of};
use crate::support::websocket::{BINARY, Frame, PING, PONG, TEXT, WebSocket};
use crate::support::{Server, eventually, peak_bytes};

const APP: &str = r#"
sent, received = 0, 0
local routes = {}
routes["/sends"] = function(ws)
  local rest, number = ("x"):rep(9992), 0
  while true do
    ws:send(("%08d"):format(number) .. rest)
    sent, number = sent + 1, number + 1
  end
end
routes["/sleeps"] = function(ws)
  ws:send("begun")
  tine.sleep(3600)
end
routes["/on demand"] = function(ws)
  local messages = tine.subscribe("demand")
  ws:send("begun")
  while true do
    messages:receive()
    ws:send(ws:receive())
    received = received + 1
  end
end
function app(environ, start_response)
  local path = environ.PATH_INFO
  if path == "/sent" or path == "/received" then
    start_response(200, {})
    return tostring(path == "/sent" and sent or received)
  elseif path == "/demand" then
    start_response(200, {})
    return tostring(tine.publish("demand", "x"))
  end
  return tine.websocket(environ, routes[path])
end
"#;

/// More than the kernel keeps for a connection.
const MOST: usize = 32 << 20;

fn narrow(server: &Server, path: &str) -> WebSocket {
    WebSocket::over(server.connect_narrow(), path).expect("a handshake")
}

#[test]
fn a_client_that_does_not_read_suspends_the_app() {
    let server = serve(APP, &["--write-timeout", "1h"]);
    let worker = server.workers()[0];
    let mut clients: Vec<WebSocket> = (0..4).map(|_| narrow(&server, "/sends")).collect();
    let mut last = String::new();
    eventually("the app is suspended", || {
        let before = std::mem::replace(&mut last, text_of(&server, "/sent"));
        // Two answers in a row, each of which takes turns in which the app could have sent.
        (last != "0" && before == last).then_some(())
    });
    let before = peak_bytes(worker);
    // It goes on as the client reads: several megabytes pass through.
    for number in 0..500 {
        let payload = clients[0].next_message().expect("a message").payload;
        assert_eq!(payload.len(), 10000);
        assert!(payload.starts_with(format!("{number:08}").as_bytes()), "none is lost: {number}");
    }
    let grown = peak_bytes(worker).saturating_sub(before);
    assert!(grown < 4 << 20, "5 MB passed through, and the worker's memory grew by {} KiB", grown >> 10);
}

#[test]
fn an_app_that_does_not_receive_stops_the_client() {
    let server = serve(APP, &[]);
    let worker = server.workers()[0];
    let mut client = narrow(&server, "/sleeps");
    assert_eq!(client.next_message(), Some(Frame::new(true, 0, TEXT, "begun")));
    let before = peak_bytes(worker);
    let message = Frame::new(true, 0, BINARY, vec![0; 100_000]).masked([1, 2, 3, 4]);
    assert!(client.client.send_until_blocked(&message, MOST) < MOST, "the server does not stop reading");
    let grown = peak_bytes(worker).saturating_sub(before);
    assert!(grown < 4 << 20, "the worker's memory grew by {} KiB", grown >> 10);
    assert_eq!(text_of(&server, "/sent"), "0", "others are served");
}

#[test]
fn one_message_is_read_ahead() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/on%20demand");
    assert_eq!(client.next_message(), Some(Frame::new(true, 0, TEXT, "begun")));
    // Before a message, pings are answered although the app waits for something else.
    client.send_frame(true, 0, PING, "1");
    assert_eq!(client.next_frame(), Some(Frame::new(true, 0, PONG, "1")));
    for number in 0..5 {
        client.send_frame(true, 0, TEXT, number.to_string());
    }
    client.send_frame(true, 0, PING, "2");
    for number in 0..5 {
        assert_eq!(text_of(&server, "/received"), number.to_string());
        assert_eq!(text_of(&server, "/demand"), "true");
        let expected = Frame::new(true, 0, TEXT, number.to_string());
        let mut frame = client.next_frame().expect("a frame");
        // The pong comes after the last message was read ahead, whose echo comes later.
        if frame.opcode == PONG {
            assert_eq!(number, 4);
            frame = client.next_frame().expect("a frame");
        }
        assert_eq!(frame, expected);
        eventually("it is counted", || (text_of(&server, "/received") == (number + 1).to_string()).then_some(()));
    }
    assert_eq!(client.close(1000), Some(1000));
}
