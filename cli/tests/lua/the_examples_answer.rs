//! examples/hello.lua, examples/redis.lua, examples/download.lua, examples/guestbook.lua, examples/room.lua,
//! examples/wsapi.lua and every route of examples/docs/app.lua. What examples/websocket.lua echoes are Autobahn's cases.

use crate::support::Server;
use crate::support::curl::curl;
use crate::support::lua::{folder_with, serve_file, serve_from, text_of};
use crate::support::peak_bytes;
use crate::support::redis::Redis;
use crate::support::tls::{Pair, text};
use crate::support::websocket::{BINARY, Frame, TEXT, WebSocket, handshake};
use std::path::{Path, PathBuf};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn docs(options: &[&str]) -> Server {
    serve_file(examples().join("docs/app.lua").to_str().expect("a path in UTF-8"), options)
}

/// One request with curl: returns the body, a line break, the status and the content type.
fn ask(server: &Server, path: &str, options: &[&str]) -> String {
    let url = server.url(path);
    curl(&[options, &["-w", "\n%{http_code} %{content_type}", &url]].concat()).text()
}

const HTML: &str = "200 text/html; charset=utf-8";

#[test]
fn hello_greets() {
    let server = serve_file(examples().join("hello.lua").to_str().expect("a path in UTF-8"), &[]);
    assert_eq!(ask(&server, "/a%20b?c", &[]), "Hello, you asked for /a b\n\n200 text/plain; charset=utf-8");
}

#[test]
fn redis_counts_visits() {
    let mut redis = Redis::start();
    let address = format!("127.0.0.1:{}", redis.port());
    let server = serve_from(&examples(), "redis.lua", &[], &[("REDIS", &address)]);
    for visit in 1..4 {
        assert_eq!(text_of(&server, "/page"), format!("visit {visit}\n"));
    }
    assert_eq!(text_of(&server, "/other"), "visit 1\n");
    redis.kill();
    let refused = server.get("/page");
    assert_eq!((refused.status, refused.text().as_str()), (503, "the Redis does not answer: connection refused\n"));
}

#[test]
fn redis_counts_visits_over_tls() {
    let pair = Pair::of(&["127.0.0.1"]);
    let redis = Redis::start_tls(&pair);
    let address = format!("127.0.0.1:{}", redis.tls_port());
    let of_ca =
        |ca: &Pair| serve_from(&examples(), "redis.lua", &[], &[("REDIS", &address), ("REDIS_CA", text(&ca.cert))]);
    let server = of_ca(&pair);
    for visit in 1..4 {
        assert_eq!(text_of(&server, "/page"), format!("visit {visit}\n"));
    }
    let refused = of_ca(&Pair::of(&["b.example"])).get("/page").text();
    assert_eq!(refused, "the Redis does not answer: the certificate is not trusted: its issuer is unknown\n");
}

#[test]
fn download_sends_files_that_the_client_may_have() {
    let server = serve_from(&examples(), "download.lua", &["--sendfile-root", "public"], &[]);
    let index = std::fs::read_to_string(examples().join("public/index.html")).expect("a page");
    assert_eq!(ask(&server, "/file/index.html?key=open", &[]), format!("{index}\n200 text/html; charset=utf-8"));
    assert_eq!(ask(&server, "/file/index.html?key=open", &["-r", "0-4"]).lines().next(), index[..5].lines().next());
    assert_eq!(ask(&server, "/file/index.html", &[]), "Say ?key=open.\n\n403 text/plain");
    assert_eq!(server.get("/file/../download.lua?key=open").status, 404);
    assert_eq!(ask(&server, "/list/3?key=open", &[]), "1\n2\n3\n\n200 text/csv");
    assert_eq!(ask(&server, "/?key=open", &["-o", "/dev/null"]), "\n404 text/plain");
}

#[test]
fn wsapi_greets() {
    let server = serve_from(&examples(), "wsapi.lua", &[], &[]);
    let greeted = server.get("/?name=Ada");
    assert_eq!((greeted.status, greeted.text().as_str()), (200, "Hello, Ada!\n"));
    assert_eq!(greeted.headers("set-cookie").collect::<Vec<_>>(), ["seen=1", "name=Ada"]);
    assert_eq!(text_of(&server, "/"), "Hello, World!\n");
}

#[test]
fn guestbook_takes_an_entry_with_a_picture() {
    let server = serve_from(&examples(), "guestbook.lua", &["--workers", "2"], &[("SECRET", "a secret of the test")]);
    let folder = folder_with(&[("<i>.png", "not really a picture")]);
    let [jar, picture] =
        ["jar", "<i>.png"].map(|name| folder.join(name).to_str().expect("a path in UTF-8").to_string());
    let visit = |path: &str, more: &[&str]| ask(&server, path, &[&["-b", &jar, "-c", &jar], more].concat());
    let token_of = |page: &str| {
        let (_, rest) = page.split_once("name=token value=\"").unwrap_or_else(|| panic!("no token in {page}"));
        format!("token={}", rest.split('"').next().unwrap_or_default())
    };
    let token = token_of(&visit("/", &[]));
    assert_eq!(
        visit("/sign-in", &["-d", "name=Ada"]).lines().next(),
        Some("The form has expired. Load the page again.")
    );
    let signed_in = visit("/sign-in", &["-L", "-d", &token, "--data-urlencode", "name=<Ada>"]);
    assert!(signed_in.contains("You are &lt;Ada&gt;.") && signed_in.ends_with(HTML), "{signed_in}");
    // After signing in the token is another one.
    assert!(visit("/entries", &["-F", &token, "-F", "text=x"]).contains("\n403 "));
    let token = token_of(&signed_in);
    for (form, status) in [
        (vec!["-F", "text="], "400"),
        (vec!["-F", "text=x", "-F", "picture=@/dev/null;type=text/html;filename=x"], "400"),
        (vec!["-F", "text=x", "-F", "text=y", "-F", "a=1"], "303"),
    ] {
        let told = visit("/entries", &[&["-F", &token], form.as_slice()].concat());
        assert!(told.contains(&format!("\n{status} ")), "{form:?}: {told}");
    }
    let file = format!("picture=@{picture};type=image/png");
    let written = visit("/entries", &["-L", "-F", &token, "--form-string", "text=\"hello\" & <b>", "-F", &file]);
    assert!(
        written.contains(
            "<b>&lt;Ada&gt;</b>: &quot;hello&quot; &amp; &lt;b&gt;<br><img src=/pictures/2 alt=\"&lt;i&gt;.png\">"
        ),
        "{written}"
    );
    assert_eq!(visit("/pictures/2", &[]), "not really a picture\n200 image/png");
    assert!(visit("/pictures/1", &[]).contains("\n404 "));
    let tag = server.get("/pictures/2").header("etag").expect("a tag").to_string();
    assert_eq!(visit("/pictures/2", &["-H", &format!("If-None-Match: {tag}")]), "\n304 image/png");
    let gone = visit("/sign-out", &["-L", "-F", &token]);
    assert!(gone.contains("action=/sign-in"), "{gone}");
    // Without the cookie nothing is written.
    assert!(ask(&server, "/entries", &["-F", &token, "-F", "text=x"]).contains("\n403 "));
    assert!(
        visit("/entries", &["-X", "POST", "-d", "a"]).contains("\n403 ") && visit("/entries", &[]).contains("\n405 ")
    );
}

#[test]
fn room_is_a_chat_of_all_workers() {
    let server = serve_from(&examples(), "room.lua", &["--workers", "16"], &[]);
    assert!(ask(&server, "/", &[]).contains("new WebSocket("));
    assert_eq!(server.get("/else").status, 404);
    let hears = |client: &mut WebSocket, text: &str| {
        while client.next_message().expect("a message").payload != text.as_bytes() {}
    };
    let mut clients: Vec<WebSocket> = (0..16).map(|_| WebSocket::connect(&server, "/ws")).collect();
    for client in &mut clients {
        hears(client, "(a visitor has come)");
    }
    clients[0].send_frame(true, 0, TEXT, "hello, room");
    for client in &mut clients {
        hears(client, "hello, room");
    }
    clients[0].send_frame(true, 0, BINARY, "x");
    assert_eq!(clients[0].expect_close(), Frame::close(1003, b"only text"));
    clients[1].send_frame(true, 0, TEXT, "x".repeat(1001));
    assert_eq!(clients[1].expect_close(), Frame::close(1009, b"too long"));
    hears(&mut clients[2], "(a visitor has left)");
    let elsewhere =
        handshake("/ws", "dGhlIHNhbXBsZSBub25jZQ==").replace("Host: t\r\n", "Host: t\r\nOrigin: http://u\r\n");
    let mut client = server.connect();
    client.send(elsewhere);
    assert_eq!(client.response().status, 403);
    // A reload closes all, and browsers connect again.
    assert!(server.ctl(&["reload"]).status.success());
    for client in &mut clients[2..] {
        assert_eq!(client.expect_close().close_code(), Some(1001));
    }
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn docs_runs_as_a_module_too() {
    let server = serve_from(&examples(), "docs.app:app", &["--workers", "2"], &[]);
    assert!(ask(&server, "/", &[]).ends_with(HTML));
}

#[test]
fn docs_has_a_page_and_errors() {
    let server = docs(&[]);
    let index = ask(&server, "/", &[]);
    assert!(index.ends_with(HTML) && index.contains("<form action=/greet method=post>"), "{index}");
    assert_eq!(ask(&server, "/nothing", &[]), "404 Not Found\n\n404 text/plain; charset=utf-8");
    assert_eq!(ask(&server, "/greet", &[]), "405 Method Not Allowed\n\n405 text/plain; charset=utf-8");
    let allowed = server.get("/upload");
    assert_eq!((allowed.status, allowed.header("allow")), (405, Some("POST, PUT")), "{}", allowed.head);
    let head = curl(&["-I", &server.url("/")]).text();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Type: text/html"), "{head}");
    assert_eq!(ask(&server, "/old", &["-o", "/dev/null"]), "\n303 text/plain; charset=utf-8");
    assert_eq!(ask(&server, "/old", &["-L"]), index);
}

#[test]
fn docs_reads_a_form_and_escapes_its_fields() {
    let server = docs(&[]);
    let greeted = ask(&server, "/greet", &["--data-urlencode", "name=<Ada> & \"co\""]);
    assert!(
        greeted.contains("<h1>Hello, &lt;Ada&gt; &amp; &quot;co&quot;!</h1>") && greeted.ends_with(HTML),
        "{greeted}"
    );
    assert!(ask(&server, "/greet", &["-d", "a=1&name=x+y%21"]).contains("<h1>Hello, x y!!</h1>"));
    for form in ["name=", "other=1", ""] {
        assert!(ask(&server, "/greet", &["-d", form]).contains("\n400 "), "{form:?}");
    }
    let mut client = server.connect();
    client.send(format!("POST /greet HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n{}", "x".repeat(100_000)));
    assert_eq!(client.response().status, 413);
}

#[test]
fn docs_shows_the_request_as_json() {
    let server = docs(&[]);
    let told = ask(&server, "/request?b=2&a=%22%5C%0A&b=3&c", &["-A", "me"]);
    let expected =
        r#"{"method":"GET","path":"/request","agent":"me","query":{"a":"\u0022\u005c\u000a","b":"3","c":""}}"#;
    assert_eq!(told, format!("{expected}\n\n200 application/json"));
    let value: serde_json::Value = serde_json::from_str(expected).expect("JSON");
    assert_eq!(value["query"]["a"], "\"\\\n");
}

#[test]
fn docs_counts_visits_by_a_cookie() {
    let server = docs(&[]);
    let visit = |cookie: &str| {
        let mut client = server.connect();
        client.send(format!("GET /visits HTTP/1.1\r\nHost: t\r\n{cookie}\r\n"));
        client.response()
    };
    for (cookie, seen) in [
        ("", 1),
        ("Cookie: visits=1\r\n", 2),
        ("Cookie: other=5; visits=41\r\n", 42),
        ("Cookie: visits=<b>\r\n", 1),
        ("Cookie: visits=1e9\r\n", 1),
    ] {
        let response = visit(cookie);
        assert!(response.text().contains(&format!("<h1>Visit {seen}</h1>")), "{cookie}: {}", response.text());
        let set = format!("visits={seen}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax");
        assert_eq!(response.header("set-cookie"), Some(set.as_str()), "{cookie}");
    }
}

#[test]
fn docs_sends_its_report_line_by_line() {
    let server = docs(&[]);
    let mut client = server.connect();
    client.send("GET /report?lines=3 HTTP/1.1\r\nHost: t\r\n\r\n");
    let head = client.head();
    assert!(head.contains("\r\nTransfer-Encoding: chunked\r\n"), "{head}");
    for line in 1..=3 {
        assert_eq!(client.chunk().expect("a line"), format!("line {line} of the report\n").as_bytes());
    }
    assert_eq!(client.chunk().expect("the end"), b"");
    client.send("GET /report?lines=0 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().text(), "");
}

#[test]
fn docs_counts_an_upload_in_constant_memory() {
    let server = docs(&["--max-body", "100M"]);
    assert_eq!(ask(&server, "/upload", &["-d", ""]), "{\"bytes\":0,\"lines\":0}\n\n200 application/json");
    let worker = server.workers()[0];
    let before = peak_bytes(worker);
    let mut client = server.connect();
    client.send("PUT /upload HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    // 64 lines of 1 MiB.
    let line = [vec![b'x'; (1 << 20) - 1], b"\n".to_vec()].concat();
    for _ in 0..64 {
        client.send(b"100000\r\n");
        client.send(&line);
        client.send(b"\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), format!("{{\"bytes\":{},\"lines\":64}}\n", 64 << 20));
    let grown = peak_bytes(worker) - before;
    assert!(grown < 16 << 20, "64 MiB passed through, and the worker's memory grew by {} KiB", grown >> 10);
}
