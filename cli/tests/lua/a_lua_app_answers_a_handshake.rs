//! tine.websocket: a handshake is answered with 101 in every form that WSGI has, at once or after a wait, with the subprotocol
//! and the headers that the app chooses. A request that is not a handshake, or that the app refuses, gets a response.

use crate::support::Server;
use crate::support::lua::serve;
use crate::support::websocket::{BINARY, Frame, TEXT, WebSocket, accept_key};

const APP: &str = r#"
local function echo(ws)
  for message, kind in ws:messages() do
    ws:send(message, kind)
  end
end
local routes = {}
routes["/ws"] = function(environ)
  return tine.websocket(environ, echo)
end
routes["/later"] = function(environ)
  tine.sleep(0.01)
  return tine.websocket(environ, echo)
end
routes["/headers"] = function(environ, start_response)
  start_response("101 Switching Protocols", { { "Set-Cookie", "a=1" }, { "Set-Cookie", "b=2" }, { "Server", "mine" } })
  return tine.websocket(environ, echo)
end
routes["/protocol"] = function(environ)
  local options = { subprotocol = { "v2", "v1" } }
  return tine.websocket(environ, options, function(ws) ws:send(tostring(ws.subprotocol)) end)
end
routes["/refused"] = function(_, start_response)
  start_response(403, {})
  return "not you"
end
routes["/wrong status"] = function(environ, start_response)
  start_response(200, {})
  return tine.websocket(environ, echo)
end
routes["/wrong header"] = function(environ, start_response)
  start_response(101, { ["Sec-WebSocket-Accept"] = "x" })
  return tine.websocket(environ, echo)
end
routes["/no websocket"] = function(_, start_response)
  start_response(101, {})
  return "text"
end
routes["/environ"] = function(environ)
  return tine.websocket(environ, function(ws)
    local both = environ.REMOTE_ADDR .. " " .. environ.PATH_INFO
    ws:spawn(function() ws:send(environ.SERVER_NAME) end)
    ws:send(both)
    ws:receive()
  end)
end
routes["/wrong calls"] = function(environ, start_response)
  local said = {}
  for i, call in ipairs({
    function() tine.websocket() end,
    function() tine.websocket(environ, { protocol = "x" }, echo) end,
    function() tine.websocket(environ, { subprotocol = 1 }, echo) end,
    function() tine.websocket(environ, { close = 1 }, echo) end,
    function() tine.websocket(environ, {}, "echo") end,
  }) do
    said[i] = select(2, pcall(call)):gsub("^.-:%d+: ", "")
  end
  start_response(200, {})
  return table.concat(said, "\n")
end
routes["/wrong uses"] = function(environ)
  return tine.websocket(environ, function(ws)
    other = ws
    for _, call in ipairs({
      function() ws:send() end,
      function() ws:send("x", "ping") end,
      function() ws:send("\255") end,
      function() ws:receive(-1) end,
      function() ws:close(1005) end,
      function() ws:close(1000, ("x"):rep(124)) end,
      function() ws:close(1000, "\255") end,
      function() ws:close("1000") end,
      function() ws.send("x") end,
      function() ws:spawn(1) end,
      function() coroutine.yield() end,
    }) do
      ws:send((select(2, pcall(call)):gsub("^.-:%d+: ", "")))
    end
    ws:receive()
  end)
end
routes["/others"] = function(_, start_response)
  start_response(200, {})
  return select(2, pcall(other.send, other, "x"))
end
function app(environ, start_response)
  return routes[environ.PATH_INFO](environ, start_response)
end
"#;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The head of a handshake without its last empty line.
fn handshake(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: t\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{more}"
    )
}

fn text(text: &str) -> Frame {
    Frame::new(true, 0, TEXT, text)
}

#[track_caller]
fn expect_echo(server: &Server, path: &str) {
    let mut client = WebSocket::connect(server, path);
    for (opcode, payload) in [(TEXT, "gr\u{fc}n".as_bytes()), (BINARY, b"\xff\x00"), (TEXT, b""), (BINARY, b"")] {
        client.send_frame(true, 0, opcode, payload);
        assert_eq!(client.next_message(), Some(Frame::new(true, 0, opcode, payload)), "{path}");
    }
    assert_eq!(client.close(1000), Some(1000), "{path}");
}

#[test]
fn messages_come_back_in_their_kind() {
    let server = serve(APP, &[]);
    expect_echo(&server, "/ws");
    expect_echo(&server, "/later");
    expect_echo(&server, "/headers");
}

#[test]
fn the_101_has_what_the_app_gave_to_start_response() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    client.send(handshake("/headers", "\r\n"));
    let response = client.response();
    assert_eq!(response.status, 101, "{}", response.head);
    assert_eq!(response.header("sec-websocket-accept"), Some(accept_key(KEY).as_str()));
    assert_eq!(response.headers("set-cookie").collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(response.headers("server").collect::<Vec<_>>(), ["mine"]);
    assert!(response.header("date").is_some(), "{}", response.head);
}

#[test]
fn the_first_subprotocol_of_the_apps_that_is_offered_is_chosen() {
    let server = serve(APP, &[]);
    for (offered, chosen) in [("v1, v2", Some("v2")), ("v0,v1", Some("v1")), ("V1", None), ("", None)] {
        let mut client = server.connect();
        let field = if offered.is_empty() { "" } else { &format!("Sec-WebSocket-Protocol: {offered}\r\n") };
        client.send(handshake("/protocol", &format!("{field}\r\n")));
        let response = client.response();
        assert_eq!((response.status, response.header("sec-websocket-protocol")), (101, chosen), "{offered}");
        let said = chosen.unwrap_or("nil");
        assert_eq!(client.take(2 + said.len()).expect("a frame")[2..], *said.as_bytes(), "{offered}");
    }
}

#[test]
fn a_request_that_is_refused_gets_a_response() {
    let server = serve(APP, &[]);
    let status = |head: &str| {
        let mut client = server.connect();
        client.send(format!("{head}\r\n"));
        let response = client.response();
        (response.status, response.text())
    };
    assert_eq!(status(&handshake("/refused", "")), (403, "not you".to_string()));
    for (path, why) in [
        ("/wrong%20status", "a WebSocket begins with the status 101, not 200"),
        ("/wrong%20header", "Sec-WebSocket-Accept is set by the server"),
        ("/no%20websocket", "status 101 is not a final one"),
    ] {
        assert_eq!(status(&handshake(path, "")).0, 500, "{path}");
        server.wait_log(why);
    }
    expect_echo(&server, "/ws");
}

/// Whether the app waits before it decides makes no difference.
#[test]
fn what_is_not_a_handshake_is_told_why() {
    let server = serve(APP, &[]);
    let respond = |head: &str| {
        let mut client = server.connect();
        client.send(format!("{head}\r\n"));
        let response = client.response_to(head.split(' ').next().expect("a method"));
        // The connection goes on.
        client.send("GET /refused HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 403, "{head}");
        response
    };
    for path in ["/ws", "/later"] {
        let valid = handshake(path, "");
        let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
        for (head, status) in [
            (format!("GET {path} HTTP/1.1\r\nHost: t\r\n"), 400),
            (valid.replace(&key, ""), 400),
            (valid.replace(KEY, "c2hvcnQ="), 400),
            (valid.replace("Upgrade: websocket\r\n", ""), 400),
            (valid.replace("Connection: Upgrade\r\n", ""), 400),
            (valid.replace("Version: 13", "Version: 12"), 426),
            (valid.replace("Version: 13", "Version: 12").replace(&key, ""), 426),
            (valid.replace("Sec-WebSocket-Version: 13\r\n", ""), 426),
            (format!("POST {path} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n"), 405),
            (format!("HEAD {path} HTTP/1.1\r\nHost: t\r\n"), 405),
            (valid.replace("GET", "POST"), 405),
        ] {
            let response = respond(&head);
            assert_eq!(response.status, status, "{head}");
            match status {
                426 => {
                    assert_eq!(response.header("sec-websocket-version"), Some("13"), "{head}");
                    assert_eq!(response.header("upgrade"), Some("websocket"), "{head}");
                    assert_eq!(response.text(), "Sec-WebSocket-Version has to be 13\n");
                }
                405 => assert_eq!(response.header("allow"), Some("GET"), "{head}"),
                _ => assert_eq!(response.text(), "Not a websocket handshake\n", "{head}"),
            }
        }
    }
    assert_eq!(server.log().matches(" ERROR ").count(), 0, "{}", server.log());
}

#[test]
fn environ_is_there_in_all_coroutines() {
    let server = serve(APP, &[]);
    let mut client = WebSocket::connect(&server, "/environ");
    let both = [client.next_message(), client.next_message()].map(|frame| frame.expect("a message"));
    assert!(both.contains(&text("127.0.0.1 /environ")) && both.contains(&text("127.0.0.1")), "{both:?}");
}

#[test]
fn wrong_calls_are_explained() {
    let server = serve(APP, &[]);
    let said = server.get("/wrong%20calls").text();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "tine.websocket takes environ, options if there are any, and a function",
            "tine.websocket: there is no option protocol",
            "tine.websocket: subprotocol is a string or a list of strings",
            "tine.websocket: close is a function",
            "tine.websocket takes environ, options if there are any, and a function",
        ]
    );
    let mut client = WebSocket::connect(&server, "/wrong%20uses");
    let own = "a WebSocket is used as ws:method(...), and only by its own connection; tine.publish reaches others";
    for expected in [
        "send takes a string, and its kind, \"text\" or \"binary\"",
        "send takes a string, and its kind, \"text\" or \"binary\"",
        "send: the text is not UTF-8; send(data, \"binary\") sends any bytes",
        "receive takes a number of seconds, from 0, or nothing to wait for ever",
        "close: the code is one of 1000 to 1003, 1007 to 1014, 3000 to 4999",
        "close: the reason is longer than 123 bytes",
        "close: the reason is not UTF-8",
        "close takes a code, a whole number, and a reason, a string",
        own,
        "spawn takes a function, and its arguments",
        "attempt to yield from outside a coroutine: only the server suspends the request itself",
    ] {
        assert_eq!(client.next_message(), Some(text(expected)));
    }
    assert!(server.get("/others").text().contains(own));
    assert_eq!(client.close(1000), Some(1000));
}
