//! wsgi.input reads like a Lua file: bytes, lines and the rest, in any mix, however the body is framed and split into
//! packets.

use crate::support::Server;
use crate::support::lua::{ask, serve};

/// Runs the reads that the query names, and responds with their results.
const APP: &str = r#"
local function shown(value)
  return value == nil and "nil" or "[" .. value .. "]"
end
function app(environ, start_response)
  local input, out = environ["wsgi.input"], {}
  for word in environ.QUERY_STRING:gmatch("[^,]+") do
    if word == "all" then
      out[#out + 1] = shown(input:read())
    elseif word == "line" then
      out[#out + 1] = shown(input:read_line())
    elseif word == "lines" then
      for line in input:lines() do out[#out + 1] = shown(line) end
    elseif tonumber(word) then
      out[#out + 1] = shown(input:read(tonumber(word)))
    else
      out[#out + 1] = shown(input:read((word:gsub("star", "*"))))
    end
  end
  start_response("200 OK", {})
  return table.concat(out, " ")
end
"#;

const TABLE: [(&str, &str, &str); 20] = [
    ("all", "a\nb", "[a\nb]"),
    ("all,all,1", "ab", "[ab] [] nil"),
    ("a,stara", "ab", "[ab] []"),
    ("1,2,3,4", "abcdef", "[a] [bc] [def] nil"),
    ("4,4", "abcdef", "[abcd] [ef]"),
    ("0,0,6,1", "abcdef", "[] [] [abcdef] nil"),
    ("100000", "ab", "[ab]"),
    ("9007199254740992", "ab", "[ab]"),
    ("line,line,line", "a\r\nb\n", "[a\r] [b] nil"),
    ("l,starl,L,starL,L", "a\nb\nc\nd", "[a] [b] [c\n] [d] nil"),
    ("line,line,line,line", "\n\nx", "[] [] [x] nil"),
    ("lines", "a\n\nb", "[a] [] [b]"),
    ("lines,all,line,l,L,1,0", "a\n", "[a] [] nil nil nil nil nil"),
    ("line,2,line,all", "a\nbcd\ne\nf", "[a] [bc] [d] [e\nf]"),
    ("1,lines", "ab\nc", "[a] [b] [c]"),
    ("2,L,1,a", "ab\ncd", "[ab] [\n] [c] [d]"),
    ("all", "", "[]"),
    ("1", "", "nil"),
    ("line,lines,all", "", "nil []"),
    ("all", "a\0b\u{fffd}", "[a\0b\u{fffd}]"),
];

fn chunked(body: &str, size: usize) -> String {
    let chunks = body.as_bytes().chunks(size).map(|c| format!("{:x}\r\n{}\r\n", c.len(), String::from_utf8_lossy(c)));
    chunks.collect::<String>() + "0\r\n\r\n"
}

fn server() -> Server {
    serve(APP, &[])
}

#[test]
fn reads_of_every_kind_mix() {
    let server = server();
    for (reads, body, expected) in TABLE {
        let framed = format!("POST /?{reads} HTTP/1.1\r\nHost: t\r\nContent-Length: {}", body.len());
        assert_eq!(ask(&server, &framed, body.as_bytes()).text(), expected, "{reads}\n{}", server.log());
        if body.is_ascii() {
            let head = format!("POST /?{reads} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked");
            for size in [1, 3, 100] {
                assert_eq!(ask(&server, &head, chunked(body, size).as_bytes()).text(), expected, "{reads}, by {size}");
            }
        }
    }
    // Without a body.
    assert_eq!(ask(&server, "GET /?all,1,line HTTP/1.1\r\nHost: t", b"").text(), "[] nil nil");
    assert_eq!(ask(&server, "GET /?0 HTTP/1.1\r\nHost: t", b"").text(), "nil");
}

/// Each byte in its own packet, so the app waits in the middle of every read.
#[test]
fn reads_wait_across_packets() {
    let server = server();
    for (reads, body, expected) in TABLE {
        for coded in [false, true] {
            if coded && !body.is_ascii() {
                continue;
            }
            let mut client = server.connect();
            let (field, bytes) = match coded {
                true => ("Transfer-Encoding: chunked".to_string(), chunked(body, 2)),
                false => (format!("Content-Length: {}", body.len()), body.to_string()),
            };
            client.send(format!("POST /?{reads} HTTP/1.1\r\nHost: t\r\n{field}\r\n\r\n"));
            for byte in bytes.as_bytes() {
                // The app may respond before the last byte; the connection is kept all the same.
                client.send([*byte]);
                std::thread::yield_now();
            }
            assert_eq!(client.response().text(), expected, "{reads}, {field}");
            client.send("GET /?all HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.response().text(), "[]", "{reads}, {field}: the next request");
        }
    }
}

#[test]
fn a_large_body_arrives_in_pieces_of_the_requested_size() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local input, count, sum = environ["wsgi.input"], 0, 0
          while true do
            local piece = input:read(70000)
            if piece == nil then break end
            count, sum = count + 1, sum + #piece
            assert(#piece == 70000 or sum == 5 * 1024 * 1024)
          end
          start_response("200 OK", {})
          return count .. " " .. sum
        end
        "#,
        &[],
    );
    let body = vec![b'x'; 5 << 20];
    let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {}", body.len());
    assert_eq!(ask(&server, &head, &body).text(), "75 5242880");
}

#[test]
fn a_wrong_argument_is_an_error_of_the_app() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local input, out = environ["wsgi.input"], {}
          local wrong = { -1, 1.5, 0 / 0, 1 / 0, "x", "*n", "", {}, true }
          for i = 1, #wrong do
            local ok, why = pcall(function() local bytes = input:read(wrong[i]) end)
            assert(not ok and why:find("app.lua:%d+: wsgi.input:read takes"), tostring(why))
          end
          start_response("200 OK", {})
          return input:read()
        end
        "#,
        &[],
    );
    let response = ask(&server, "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2", b"hi");
    assert_eq!(response.text(), "hi", "{}", server.log());
}

#[test]
fn nested_coroutines_and_iterators_read_too() {
    let server = serve(
        r#"
        function app(environ, start_response)
          local input = environ["wsgi.input"]
          local pieces = coroutine.wrap(function()
            while true do
              local line = input:read_line()
              if not line then return end
              coroutine.yield("<" .. line .. ">")
            end
          end)
          start_response("200 OK", {})
          return pieces
        end
        "#,
        &[],
    );
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n2\r\na\n\r\n");
    let head = client.head();
    assert!(head.contains("chunked"), "the answer begins before the body ends: {head}");
    assert_eq!(client.chunk().expect("a chunk"), b"<a>");
    client.send("3\r\nbc\n\r\n");
    assert_eq!(client.chunk().expect("a chunk"), b"<bc>");
    client.send("0\r\n\r\n");
    assert_eq!(client.chunk().expect("the end"), b"");
}
