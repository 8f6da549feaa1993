//! Behind trusted proxies environ is that of the client: its address, the scheme, the host; also long after the request's head, and in a
//! WebSocket. What the PROXY protocol announces has keys of its own. `SCRIPT_NAME` is `--root-path`.

use crate::support::lua::{leave, serve};
use crate::support::websocket::WebSocket;
use crate::support::{Client, Response, Server};

/// Responds with these keys of environ, `key=value` each.
const APP: &str = r#"
local KEYS = { "REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "HTTPS", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST", "SCRIPT_NAME", "PATH_INFO",
  "SSL_PROTOCOL", "SSL_CIPHER", "SSL_TLS_SNI", "SSL_CLIENT_S_DN", "SSL_CLIENT_I_DN", "SSL_CLIENT_FINGERPRINT",
  "tine.proxy_authority", "tine.proxy_alpn", "tine.proxy_unique_id" }
local function shown(environ)
  local lines = {}
  for _, key in ipairs(KEYS) do
    if environ[key] then lines[#lines + 1] = key .. "=" .. environ[key] end
  end
  return table.concat(lines, " ")
end
function app(environ, start_response)
  if environ.QUERY_STRING == "websocket" then
    return tine.websocket(environ, function(ws)
      while ws:receive() do ws:send(shown(environ)) end
      tine.log("info", "left: " .. shown(environ))
    end)
  end
  if environ.QUERY_STRING == "all" then
    for _ in pairs(environ) do end
  end
  if environ.QUERY_STRING == "later" then
    environ["wsgi.input"]:read()
  end
  start_response("200 OK", { ["Content-Type"] = "text/plain" })
  return { shown(environ) }
end
"#;

fn ask(client: &mut Client, target: &str, fields: &str) -> Response {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: own.test:1\r\n{fields}\r\n"));
    client.response()
}

const FIELDS: &str = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.test\r\n";
const EXPECTED: &str = "REMOTE_ADDR=192.0.2.7 REMOTE_PORT= wsgi.url_scheme=https HTTPS=on SERVER_NAME=public.test SERVER_PORT=443 \
                        HTTP_HOST=public.test SCRIPT_NAME=/shop PATH_INFO=/a";

fn server() -> Server {
    let proxied = ["--listen", "proxy:127.0.0.1:0"];
    serve(APP, &[&["--trusted-proxies", "127.0.0.1", "--root-path", "/shop/"][..], &proxied].concat())
}

#[test]
fn looked_up_key_by_key_or_all_at_once() {
    let server = server();
    let mut client = server.connect();
    for target in ["/shop/a", "/a", "/a?all", "/%73hop/a", "http://t/shop/a"] {
        assert_eq!(ask(&mut client, target, FIELDS).text(), EXPECTED, "{target}");
    }
    // A proxy that says nothing.
    let own = server.address().port();
    let port = client.stream.local_addr().expect("an address").port();
    assert_eq!(
        ask(&mut client, "/shop", "").text(),
        format!(
            "REMOTE_ADDR=127.0.0.1 REMOTE_PORT={port} wsgi.url_scheme=http SERVER_NAME=127.0.0.1 SERVER_PORT={own} \
             HTTP_HOST=own.test:1 SCRIPT_NAME=/shop PATH_INFO=/"
        )
    );
    let text = ask(&mut client, "/shopping", "X-Forwarded-Host: [::1]:8443\r\n").text();
    assert!(text.contains("SERVER_NAME=[::1] SERVER_PORT=8443 HTTP_HOST=[::1]:8443"), "{text}");
    assert!(text.ends_with("PATH_INFO=/shopping"), "{text}");
}

#[test]
fn long_after_the_head_while_others_ask() {
    let server = server();
    let mut late = server.connect();
    late.send(format!("POST /a?later HTTP/1.1\r\nHost: own.test:1\r\n{FIELDS}Content-Length: 2\r\n\r\nh"));
    let mut websocket =
        WebSocket::over(server.connect(), &format!("/a?websocket HTTP/1.1\r\n{FIELDS}X: ")).expect("a WebSocket");
    let mut other = server.connect();
    for number in 0..3 {
        let address = format!("198.51.100.{number}");
        let text = ask(&mut other, "/a", &format!("X-Forwarded-For: {address}\r\n")).text();
        assert!(text.contains(&format!("REMOTE_ADDR={address} ")), "{text}");
    }
    late.send("i");
    assert_eq!(late.response().text(), EXPECTED);
    websocket.send_frame(true, 0, 1, "?");
    let message = websocket.next_message().expect("an answer");
    assert_eq!(String::from_utf8_lossy(&message.payload), EXPECTED);
}

#[test]
fn and_never_that_of_another() {
    let server = server();
    let websocket = WebSocket::connect(&server, "/a?websocket");
    let mut other = server.connect();
    assert_eq!(ask(&mut other, "/a", FIELDS).text(), EXPECTED);
    leave(websocket.client);
    let log = server.wait_log("left: ");
    assert!(!log.contains("public.test") && !log.contains("https") && !log.contains("192.0.2.7"), "{log}");
}

fn vector(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, 0, value.len() as u8][..], value].concat()
}

#[test]
fn and_what_a_header_announces() {
    let server = server();
    let said = server.stdout();
    let proxied = said.lines().find_map(|line| line.trim().strip_prefix("proxy:http://")).expect("an address");
    let tls =
        [&[3, 0, 0, 0, 0][..], &vector(0x21, b"TLSv1.2"), &vector(0x23, b"ECDHE"), &vector(0x22, b"alice")].concat();
    let vectors = [vector(1, b"h2"), vector(2, b"sni.test"), vector(5, b"42"), vector(0x20, &tls)].concat();
    let addresses = [192, 0, 2, 8, 198, 51, 100, 1, 0x13, 0x88, 1, 0xbb];
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0".to_vec();
    header.push((addresses.len() + vectors.len()) as u8);
    for query in ["", "?all"] {
        let mut client = Client::connect(proxied.parse().expect("an address"));
        client.send([&header[..], &addresses, &vectors].concat());
        assert_eq!(
            ask(&mut client, &format!("/a{query}"), FIELDS).text(),
            "REMOTE_ADDR=192.0.2.8 REMOTE_PORT=5000 wsgi.url_scheme=https HTTPS=on SERVER_NAME=198.51.100.1 SERVER_PORT=443 \
             HTTP_HOST=own.test:1 SCRIPT_NAME=/shop PATH_INFO=/a SSL_PROTOCOL=TLSv1.2 SSL_CIPHER=ECDHE SSL_TLS_SNI=sni.test \
             SSL_CLIENT_S_DN=CN=alice tine.proxy_authority=sni.test tine.proxy_alpn=h2 tine.proxy_unique_id=42",
            "fields of a client do not count"
        );
    }
}
