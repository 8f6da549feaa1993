//! `wsgi.file_wrapper`: a file that the app has opened is sent from its position on, without being read into memory, and
//! closed after that; what is not a regular file is read block by block.

use crate::support::lua::{ask, leave, serve_from};
use crate::support::site::{Site, sparse_bytes};
use crate::support::{Server, eventually, peak_bytes};
use std::fs::File;

const MEBIBYTES: u64 = 64;

/// The path names what is wrapped; each `close` is a line of the log.
const APP: &str = r#"
local function app(environ, start_response)
  local what, wrap = environ.PATH_INFO:sub(2), environ["wsgi.file_wrapper"]
  local headers = { { "Content-Type", "text/plain" } }
  local function logged(file)
    return { read = function(_, ...) return file:read(...) end,
      close = function() file:close() tine.log("info", "closed " .. what) end }
  end
  local file
  if what == "rest" then
    file = assert(io.open("big"))
    file:read(1000)
  elseif what == "part" then
    file = assert(io.open("big"))
    file:seek("set", 3)
    headers[2] = { "Content-Length", "2000000" }
  elseif what == "few" then
    file = assert(io.open("small"))
    file:read("L")
    headers[2] = { "Content-Length", "3" }
  elseif what == "nothing" then
    file = assert(io.open("small"))
    headers[2] = { "Content-Length", "0" }
  elseif what == "at-end" then
    file = assert(io.open("small"))
    file:seek("end")
  elseif what == "too-long" then
    file = assert(io.open("small"))
    headers[2] = { "Content-Length", "100" }
  elseif what == "written" then
    file = io.tmpfile()
    file:write("abc", "def")
    file:seek("set", 1)
  elseif what == "pipe" then
    file = io.popen("echo one; echo two")
  elseif what == "proc" then
    file = assert(io.open("/proc/self/comm"))
  elseif what == "directory" then
    file = assert(io.open("."))
  elseif what == "input" then
    file = environ["wsgi.input"]
  elseif what == "object" then
    file = logged(assert(io.open("small")))
  elseif what == "closed" then
    file = assert(io.open("small"))
    file:close()
  elseif what == "no-file" then
    file = "small"
  elseif what == "unlinked" then
    os.execute("cp small gone")
    file = assert(io.open("gone"))
    os.remove("gone")
  else
    file = assert(io.open(what))
  end
  if what ~= "not-started" then
    start_response(environ.HTTP_X_STATUS or 200, headers)
  end
  local body = wrap(file, 4)
  return body
end
return { app = app }
"#;

fn site() -> (Site, Server) {
    let site =
        Site::of(&[("app.lua", APP.as_bytes()), ("small", b"one\ntwo\n"), ("empty", b""), ("not-started", b"x")]);
    site.write_sparse("big", MEBIBYTES);
    let server = serve_from(&site.path(""), "app.lua", &[], &[]);
    (site, server)
}

/// The files of the site that the worker has open.
fn open_files(server: &Server, site: &Site) -> usize {
    let folder = format!("/proc/{}/fd", server.workers()[0]);
    let links = std::fs::read_dir(folder).expect("the worker lives").flatten();
    let is_big = |target: std::path::PathBuf| target == site.path("big") || target == site.path("small");
    links.filter(|link| std::fs::read_link(link.path()).is_ok_and(is_big)).count()
}

#[test]
fn from_its_position_with_its_length() {
    let (site, server) = site();
    let last = (MEBIBYTES << 20) - 1;
    for (what, body) in [
        ("small", b"one\ntwo\n".to_vec()),
        ("big", sparse_bytes(0, last)),
        ("rest", sparse_bytes(1000, last)),
        ("part", sparse_bytes(3, 2_000_002)),
        ("few", b"two".to_vec()),
        ("nothing", Vec::new()),
        ("at-end", Vec::new()),
        ("empty", Vec::new()),
        ("written", b"bcdef".to_vec()),
        ("unlinked", b"one\ntwo\n".to_vec()),
    ] {
        for version in ["1.1", "1.0"] {
            let response = ask(&server, &format!("GET /{what} HTTP/{version}\r\nHost: t"), b"");
            assert_eq!(response.status, 200, "{what}: {}", server.log());
            assert_eq!(response.header("content-length"), Some(body.len().to_string().as_str()), "{what}");
            assert!(response.body == body, "{what}: {} bytes came", response.body.len());
        }
    }
    // None is left open.
    eventually("all are closed", || (open_files(&server, &site) == 0).then_some(()));
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn what_has_no_length_is_read() {
    let (_site, server) = site();
    for (what, text) in [("pipe", "one\ntwo\n"), ("object", "one\ntwo\n"), ("proc", "tine: worker 0\n")] {
        let response = server.get(&format!("/{what}"));
        let framing = (response.header("content-length"), response.header("transfer-encoding"));
        assert_eq!((response.text().as_str(), framing), (text, (None, Some("chunked"))), "{what}");
    }
    server.wait_log("closed object");
    let echoed = ask(&server, "POST /input HTTP/1.1\r\nHost: t\r\nContent-Length: 10", b"0123456789");
    assert_eq!(echoed.text(), "0123456789");
}

#[test]
fn what_is_wrong_is_a_500() {
    let (_site, server) = site();
    for (what, why) in [
        ("too-long", "the file has 8 more bytes, but Content-Length says 100"),
        ("closed", "the file is closed"),
        ("no-file", "wsgi.file_wrapper takes a file"),
        ("directory", "the file cannot be read: Is a directory"),
        ("not-started", "did not call start_response"),
    ] {
        assert_eq!(server.get(&format!("/{what}")).status, 500, "{what}");
        server.wait_log(why);
    }
    assert_eq!(server.get("/small").text(), "one\ntwo\n");
}

#[test]
fn where_no_body_is_sent_it_is_only_closed() {
    let (site, server) = site();
    let response = ask(&server, "HEAD /big HTTP/1.1\r\nHost: t", b"");
    assert_eq!((response.status, response.body.len()), (200, 0));
    assert_eq!(response.header("content-length"), Some((MEBIBYTES << 20).to_string().as_str()));
    let response = ask(&server, "GET /big HTTP/1.1\r\nHost: t\r\nX-Status: 304", b"");
    assert_eq!((response.status, response.body.len()), (304, 0));
    eventually("both are closed", || (open_files(&server, &site) == 0).then_some(()));
}

#[test]
fn no_client_costs_memory_and_one_that_leaves_closes_it() {
    let (site, server) = site();
    server.get("/small");
    let worker = server.workers()[0];
    let before = peak_bytes(worker);
    let mut clients: Vec<_> = (0..8).map(|_| server.connect_narrow()).collect();
    for client in &mut clients {
        client.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
        client.read_exact(&mut vec![0; 1 << 20]).expect("the first of it");
    }
    let grown = peak_bytes(worker).saturating_sub(before);
    assert!(grown < 8 << 20, "8 clients of 64 MiB each cost {grown} bytes");
    // The app's and the server's own.
    assert_eq!(open_files(&server, &site), 16);
    clients.into_iter().for_each(leave);
    eventually("all are closed", || (open_files(&server, &site) == 0).then_some(()));
}

#[test]
fn one_that_shrinks_cuts_its_connection() {
    let (site, server) = site();
    let mut other = server.connect();
    let mut client = server.connect_narrow();
    client.send("GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    client.read_exact(&mut vec![0; 8 << 20]).expect("the first of it");
    File::options().write(true).open(site.path("big")).and_then(|file| file.set_len(0)).expect("it is truncated");
    // A reset ends it as well.
    let (rest, _) = client.read_to_end();
    assert!((8 << 20) + (rest.len() as u64) < MEBIBYTES << 20, "{} more bytes came", rest.len());
    server.wait_log("GET /big: ");
    server.wait_log("before the length that it had");
    eventually("it is closed", || (open_files(&server, &site) == 0).then_some(()));
    other.send("GET /small HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(other.response().text(), "one\ntwo\n");
}
