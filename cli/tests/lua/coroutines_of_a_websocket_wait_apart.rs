//! A WebSocket of a Lua application has as many coroutines as it spawns, each of which waits for something of its own: a message, a
//! time, a channel, a socket, room for what it sends.

use crate::support::lua::serve;
use crate::support::redis::Redis;
use crate::support::websocket::{Frame, TEXT, WebSocket};

const APP: &str = r#"
local routes = {}
routes["/channel"] = function(ws, room)
  local messages = tine.subscribe(room)
  ws:spawn(function(prefix)
    while true do
      ws:send(prefix .. messages:receive())
    end
  end, "heard ")
  for text in ws:messages() do
    tine.publish(room, text)
  end
end
routes["/timeout"] = function(ws)
  ws:send(table.concat({ tostring(ws:receive(0.01)), select(2, ws:receive(0)) }, " "))
  ws:send(ws:receive(60))
  ws:receive()
end
routes["/poll"] = function(ws)
  local count = 0
  local message
  repeat
    message = ws:receive(0)
    count = count + 1
  until message
  ws:send(message)
  ws:receive()
end
routes["/generators"] = function(ws)
  local received = coroutine.wrap(function()
    for text in ws:messages() do
      coroutine.yield(text)
    end
  end)
  for text in received do
    local send = coroutine.wrap(function() ws:send("got " .. text) end)
    send()
  end
end
routes["/nested"] = function(ws)
  ws:spawn(function()
    ws:spawn(function()
      tine.sleep(0.01)
      ws:send("innermost")
    end)
    ws:send("inner")
  end)
  ws:receive()
end
routes["/redis"] = function(ws)
  local socket = assert(tine.socket.connect("127.0.0.1", tonumber(os.getenv("REDIS_PORT"))))
  for text in ws:messages() do
    socket:send("INCR " .. text .. "\r\n")
    ws:send(socket:receive("*l"))
  end
end
routes["/many"] = function(ws)
  local done = 0
  for _ = 1, 100 do
    ws:spawn(function()
      for _ = 1, 10 do
        tine.sleep(0)
      end
      done = done + 1
      ws:send(done)
    end)
  end
  ws:receive()
end
function app(environ)
  return tine.websocket(environ, function(ws)
    routes[environ.PATH_INFO](ws, environ.QUERY_STRING)
  end)
end
"#;

fn text(text: &str) -> Frame {
    Frame::new(true, 0, TEXT, text)
}

#[track_caller]
fn expect(client: &mut WebSocket, expected: &str) {
    assert_eq!(client.next_message(), Some(text(expected)));
}

#[test]
fn clients_of_all_workers_hear_each_other() {
    let server = serve(APP, &["--workers", "4"]);
    let mut clients: Vec<WebSocket> = (0..8).map(|_| WebSocket::connect(&server, "/channel?a")).collect();
    // Each has subscribed once it hears itself.
    for (number, client) in clients.iter_mut().enumerate() {
        let own = format!("heard {number}");
        client.send_frame(true, 0, TEXT, number.to_string());
        while client.next_message() != Some(text(&own)) {}
    }
    for round in 0..20 {
        let speaker = round % clients.len();
        clients[speaker].send_frame(true, 0, TEXT, format!("round {round}"));
        for client in &mut clients {
            let expected = text(&format!("heard round {round}"));
            while client.next_message().expect("a message") != expected {}
        }
    }
    for client in &mut clients {
        assert_eq!(client.close(1000), Some(1000));
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn receive_waits_as_long_as_it_is_told() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/timeout");
    expect(&mut client, "nil timeout");
    client.send_frame(true, 0, TEXT, "in time");
    expect(&mut client, "in time");
    // With 0 it does not wait, and gets what has come.
    let mut client = WebSocket::connect(&server, "/poll");
    client.send_frame(true, 0, TEXT, "polled");
    expect(&mut client, "polled");
}

#[test]
fn waits_pass_through_the_apps_own_coroutines() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/generators");
    for word in ["one", "two", "three"] {
        client.send_frame(true, 0, TEXT, word);
        expect(&mut client, &format!("got {word}"));
    }
    assert_eq!(client.close(1000), Some(1000));
    let mut client = WebSocket::connect(&server, "/nested");
    expect(&mut client, "inner");
    expect(&mut client, "innermost");
}

#[test]
fn a_socket_is_used_between_messages() {
    let redis = Redis::start();
    let folder = crate::support::lua::folder_with(&[("app.lua", APP)]);
    let port = redis.port().to_string();
    let server = crate::support::lua::serve_from(&folder, "app.lua", &[], &[("REDIS_PORT", &port)]);
    let mut client = WebSocket::connect(&server, "/redis");
    for count in 1..4 {
        client.send_frame(true, 0, TEXT, "visits");
        expect(&mut client, &format!(":{count}"));
    }
}

#[test]
fn a_hundred_take_turns() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/many");
    for number in 1..=100 {
        expect(&mut client, &number.to_string());
    }
}
