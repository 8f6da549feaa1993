//! Ten thousand requests of random shape: an app echoes all it received of each, and that equals what was sent.
//!
//! A failure is shrunk, and its seed printed; PROPTEST_RNG_SEED runs it again, PROPTEST_CASES runs more or fewer.

use crate::support::lua::serve;
use crate::support::{Client, Server};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use std::cell::{Cell, RefCell};
use std::fmt::Write;

/// Each value is preceded by its length, so that nothing is ambiguous.
const APP: &str = r#"
local function with_length(text) return #text .. ":" .. text end
function app(environ, start_response)
  local wanted = { with_length(environ.REQUEST_METHOD), with_length(environ.PATH_INFO), with_length(environ.QUERY_STRING),
    with_length(environ.REQUEST_URI), with_length(environ.CONTENT_TYPE) }
  local names = {}
  -- Half of the requests look fields up by name first.
  local first = environ.QUERY_STRING:sub(1, 1) < "m" and with_length(environ.HTTP_X_A or "-") or nil
  for key in pairs(environ) do
    if key:find("^HTTP_") and key ~= "HTTP_TRANSFER_ENCODING" then names[#names + 1] = key end
  end
  table.sort(names)
  for _, name in ipairs(names) do wanted[#wanted + 1] = with_length(name) .. with_length(environ[name]) end
  assert(not first or first == with_length(environ.HTTP_X_A or "-"))
  local input, parts = environ["wsgi.input"], {}
  local size = tonumber(environ.HTTP_X_READ)
  if size then
    for part in function() return input:read(size) end do parts[#parts + 1] = part end
  else
    parts[1] = input:read()
  end
  wanted[#wanted + 1] = with_length(table.concat(parts))
  start_response("200 OK", { { "X-Number", environ.HTTP_X_NUMBER } })
  if environ.HTTP_X_STREAM then
    local at = 0
    return function() at = at + 1; return wanted[at] end
  end
  return table.concat(wanted)
end
"#;

#[derive(Debug, Clone)]
struct Shape {
    method: &'static str,
    path: String,
    query: Option<String>,
    fields: Vec<(String, String)>,
    content_type: Option<String>,
    body: Vec<u8>,
    /// Where chunks end, in 256ths of the body; `None`: sent with a length, or without a body.
    chunks: Option<Vec<u8>>,
    read_bytes: Option<usize>,
    is_streamed: bool,
    is_last: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "M-SEARCH", "X"]);
    let path = "/([a-zA-Z0-9._~!$&'()*+,;=:@/-]|%0[1-9a-fA-F]|%[1-9a-fA-F][0-9a-fA-F]){0,20}";
    let query = prop::option::of("[a-zA-Z0-9._~!$&'()*+,;=:@/?%-]{0,20}");
    let name = "[xX]-[a-dA-D]([a-dA-D0-9-]{0,3}[a-d])?";
    let value = "([!-~\u{a1}-\u{ff}]([ \t!-~\u{a1}-\u{ff}]{0,10}[!-~])?)?";
    let body = prop_oneof![
        3 => Just(Vec::new()),
        4 => vec(any::<u8>(), 0..200),
        2 => (any::<u8>(), 0..5000usize).prop_map(|(first, size)| (0..size).map(|at| (at as u8) ^ first).collect()),
        1 => (any::<u8>(), 60_000..140_000usize)
            .prop_map(|(first, size)| (0..size).map(|at| (at / 3) as u8 ^ first).collect()),
    ];
    (
        (method, path, query, vec((name, value), 0..8)),
        (prop::option::of("text/[a-z]{1,8}(; charset=utf-8)?"), body, prop::option::of(vec(any::<u8>(), 0..6))),
        (prop::option::of(1..400usize), any::<bool>(), prop::bool::weighted(0.05)),
    )
        .prop_map(|((method, path, query, fields), (content_type, body, chunks), (read, is_streamed, is_last))| {
            Shape {
                method,
                path,
                query,
                fields,
                content_type,
                // Many small reads of a large body are slow and test nothing more.
                read_bytes: read.map(|bytes| if body.len() > 5000 { bytes * 100 } else { bytes }),
                body,
                chunks,
                is_streamed,
                is_last,
            }
        })
}

impl Shape {
    fn target(&self) -> String {
        self.query.as_ref().map_or(self.path.clone(), |query| format!("{}?{query}", self.path))
    }

    /// The random fields, and those that tell the app what to do.
    fn all_fields(&self, number: usize) -> Vec<(String, String)> {
        let mut fields = vec![("Host".to_string(), "t".to_string()), ("X-Number".to_string(), number.to_string())];
        fields.extend(self.fields.iter().cloned());
        fields.extend(self.read_bytes.map(|bytes| ("x-read".to_string(), bytes.to_string())));
        if self.is_streamed {
            fields.push(("X-STREAM".to_string(), "1".to_string()));
        }
        if self.is_last {
            fields.push(("Connection".to_string(), "close".to_string()));
        }
        fields
    }

    fn bytes(&self, number: usize) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target());
        for (name, value) in self.all_fields(number) {
            write!(head, "{name}: {value}\r\n").expect("a string takes it");
        }
        if let Some(content_type) = &self.content_type {
            write!(head, "Content-Type: {content_type}\r\n").expect("a string takes it");
        }
        let mut bytes = head.into_bytes();
        match &self.chunks {
            None => {
                if !self.body.is_empty() {
                    bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).into_bytes());
                }
                bytes.extend(b"\r\n");
                bytes.extend(&self.body);
            }
            Some(ends) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                let mut ends: Vec<usize> = ends.iter().map(|&end| end as usize * self.body.len() / 256).collect();
                ends.push(self.body.len());
                ends.sort_unstable();
                let mut from = 0;
                for end in ends {
                    if end > from {
                        bytes.extend(format!("{:x}\r\n", end - from).into_bytes());
                        bytes.extend(&self.body[from..end]);
                        bytes.extend(b"\r\n");
                    }
                    from = end;
                }
                bytes.extend(b"0\r\n\r\n");
            }
        }
        bytes
    }

    /// The expected echo.
    fn expected(&self, number: usize) -> Vec<u8> {
        let mut expected = Vec::new();
        let mut tell = |bytes: &[u8]| {
            expected.extend(format!("{}:", bytes.len()).into_bytes());
            expected.extend(bytes);
        };
        tell(self.method.as_bytes());
        tell(&decoded(&self.path));
        tell(self.query.as_deref().unwrap_or_default().as_bytes());
        tell(self.target().as_bytes());
        tell(self.content_type.as_deref().unwrap_or_default().as_bytes());
        let mut joined: Vec<(String, String)> = Vec::new();
        for (name, value) in self.all_fields(number) {
            let key = format!("HTTP_{}", name.to_uppercase().replace('-', "_"));
            match joined.iter_mut().find(|(other, _)| *other == key) {
                Some((_, earlier)) => *earlier += &format!(", {value}"),
                None => joined.push((key, value)),
            }
        }
        joined.sort();
        for (key, value) in joined {
            tell(key.as_bytes());
            tell(value.as_bytes());
        }
        tell(&self.body);
        expected
    }
}

/// Implemented independently of the server's decoder.
fn decoded(path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < path.len() {
        if let Some(code) = path[at..].strip_prefix('%') {
            out.push(u8::from_str_radix(&code[..2], 16).expect("two digits"));
            at += 3;
        } else {
            out.push(path.as_bytes()[at]);
            at += 1;
        }
    }
    out
}

/// Sends the requests pipelined or one by one, and compares each response. Reconnects after a request that ends its
/// connection.
fn ask(server: &Server, client: &mut Client, shapes: &[Shape], is_pipelined: bool) -> Result<(), TestCaseError> {
    // Nothing is sent after a request that ends its connection.
    let connections = shapes.split_inclusive(|shape| shape.is_last);
    for group in connections.flat_map(|shapes| shapes.chunks(if is_pipelined { 20 } else { 1 })) {
        let bytes: Vec<u8> = group.iter().enumerate().flat_map(|(number, shape)| shape.bytes(number)).collect();
        // What fits into the kernel's buffers is sent at once; with more, the responses have to be read in between.
        let rest = if bytes.len() <= 32 << 10 {
            client.try_send(&bytes).map_err(|e| TestCaseError::fail(format!("sending: {e}")))?;
            None
        } else {
            let mut sending = client.sender();
            Some(std::thread::spawn(move || std::io::Write::write_all(&mut sending, &bytes)))
        };
        for (number, shape) in group.iter().enumerate() {
            let response = client.try_response(shape.method);
            let response = response.map_err(|e| TestCaseError::fail(format!("request {number}: {e}")))?;
            prop_assert_eq!(response.status, 200, "{}: {:?}: {}", response.text(), shape, server.log());
            prop_assert_eq!(response.header("x-number").map(str::to_string), Some(number.to_string()));
            let expected = shape.expected(number);
            prop_assert!(
                response.body == expected,
                "request {}:\n got {:?}\nsent {:?}",
                number,
                String::from_utf8_lossy(&response.body),
                String::from_utf8_lossy(&expected)
            );
        }
        if let Some(sending) = rest {
            sending.join().expect("no panic").map_err(|e| TestCaseError::fail(format!("sending: {e}")))?;
        }
        if group.last().is_some_and(|shape| shape.is_last) {
            *client = server.connect();
        }
    }
    Ok(())
}

#[test]
fn random_requests_come_back_as_sent() {
    let server = serve(APP, &[]);
    let config = Config::default();
    // The same requests in each run, unless the environment says otherwise.
    let seed = if config.rng_seed == RngSeed::Random { RngSeed::Fixed(20_261_121) } else { config.rng_seed };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 500 };
    let config = Config { cases, rng_seed: seed, failure_persistence: None, max_shrink_iters: 2000, ..config };
    let client = RefCell::new(server.connect());
    let asked = Cell::new(0);
    let result =
        TestRunner::new(config).run(&(vec(shape(), 20..21), prop::bool::weighted(0.8)), |(shapes, is_pipelined)| {
            let mut client = client.borrow_mut();
            let agreed = ask(&server, &mut client, &shapes, is_pipelined);
            if agreed.is_err() {
                *client = server.connect();
            }
            asked.set(asked.get() + shapes.len());
            agreed
        });
    result.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(asked.get(), 20 * cases as usize);
}
