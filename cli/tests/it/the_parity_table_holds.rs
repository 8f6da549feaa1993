//! The origin answers what docs/parity.md says: every row's request is sent. The page explains how to read a row.

use crate::support::{Client, Response, Server};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tine_apps::testbed::{ENDPOINTS, Routes};

/// The text that `{echo}` stands for.
const ECHO: &str =
    "_myhostname, uri, method, headers, content_type, body, body_size, usage, source_addr, destination_addr";

/// A row of the page that begins with a request.
struct Row {
    request: Vec<String>,
    /// Interim ones, then the final one.
    statuses: Vec<u16>,
    /// `-` means none.
    content_type: String,
    expectations: Vec<String>,
    model: String,
}

/// The answer that arrived.
struct Answer {
    statuses: Vec<u16>,
    response: Response,
    /// Sizes of the chunks on the wire.
    chunks: Vec<usize>,
    took: Duration,
}

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn rows() -> Vec<Row> {
    let text = page("parity.md");
    let is_request = |line: &&str| {
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE"];
        methods.iter().any(|method| line.starts_with(&format!("| `{method} /")))
    };
    text.lines().filter(is_request).map(row).collect()
}

fn row(line: &str) -> Row {
    let inner = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")).unwrap_or_else(|| panic!("{line}"));
    let cells: Vec<&str> = inner.split(" | ").collect();
    let [request, statuses, content_type, expectations, model] = cells[..] else {
        panic!("{} cells instead of five: {line}", cells.len());
    };
    Row {
        request: spans(request),
        statuses: statuses.split(", ").map(|status| status.parse().expect("a status")).collect(),
        content_type: content_type.to_string(),
        expectations: spans(expectations),
        model: model.to_string(),
    }
}

/// The spans that are written as code.
fn spans(cell: &str) -> Vec<String> {
    assert!(cell.matches('`').count().is_multiple_of(2), "{cell}");
    cell.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

/// Replaces `\r\n` by the bytes that it stands for.
fn unescape(text: &str) -> String {
    text.replace("\\r", "\r").replace("\\n", "\n")
}

fn ask(server: &Server, request: &[String]) -> Answer {
    let (line, rest) = request.split_first().expect("a request line");
    let line = if line.ends_with(" HTTP/1.0") { line.clone() } else { format!("{line} HTTP/1.1") };
    let (mut fields, mut body) = (Vec::new(), String::new());
    for part in rest {
        if let Some(text) = part.strip_prefix('"').and_then(|part| part.strip_suffix('"')) {
            body = unescape(text);
        } else if let Some(bytes) = part.strip_suffix(" bytes") {
            body = "x".repeat(bytes.parse().expect("a number of bytes"));
        } else {
            fields.push(part.clone());
        }
    }
    let has = |name: &str| fields.iter().any(|field| field.starts_with(name));
    let host = if has("Host:") { "" } else { "Host: t\r\n" };
    let length = match body.len() {
        0 => String::new(),
        _ if has("Transfer-Encoding:") => String::new(),
        length => format!("Content-Length: {length}\r\n"),
    };
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    let mut client = server.connect();
    let began = Instant::now();
    client.send(format!("{line}\r\n{host}{fields}{length}\r\n{body}"));
    let mut answer = read(&mut client, line.split(' ').next().unwrap_or_default());
    answer.took = began.elapsed();
    answer
}

/// Interim responses, then the final one, and how it was chunked.
fn read(client: &mut Client, method: &str) -> Answer {
    let mut statuses = Vec::new();
    let head = loop {
        let head = client.head();
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        statuses.push(status);
        if status >= 200 || status == 101 {
            break head;
        }
    };
    let status = statuses[statuses.len() - 1];
    let mut response = Response { status, head, body: Vec::new(), trailers: String::new() };
    let mut chunks = Vec::new();
    let length = response.header("content-length").map(|length| length.parse().expect("a length"));
    if method == "HEAD" || [101, 204, 304].contains(&status) {
    } else if response.header("transfer-encoding") == Some("chunked") {
        loop {
            let chunk = client.chunk().expect("a chunk");
            if chunk.is_empty() {
                break;
            }
            chunks.push(chunk.len());
            response.body.extend(chunk);
        }
    } else if let Some(length) = length {
        response.body = client.take(length).expect("the body");
    } else {
        response.body = client.rest().expect("the body");
    }
    Answer { statuses, response, chunks, took: Duration::ZERO }
}

/// The part of an expectation that does not hold.
fn mismatch(expectation: &str, answer: &Answer) -> Option<String> {
    let Answer { response, chunks, took, .. } = answer;
    let (word, rest) = expectation.split_once(' ').unwrap_or((expectation, ""));
    let json = || serde_json::from_slice::<Value>(&response.body).unwrap_or_default();
    let (holds, found) = match word {
        "text" => (response.text() == unescape(rest), response.text()),
        "begins" => (response.text().starts_with(&unescape(rest)), response.text()),
        "bytes" => (response.body.len().to_string() == rest, response.body.len().to_string()),
        "chunks" => {
            let (count, size) = rest.split_once(" x ").expect("a number and a size");
            let expected = vec![size.parse::<usize>().expect("a size"); count.parse().expect("a number")];
            (*chunks == expected, format!("{chunks:?}"))
        }
        "keys" => {
            let keys = json().as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>().join(", "));
            (keys.as_deref() == Some(&rest.replace("{echo}", ECHO)), format!("{keys:?}"))
        }
        "json" => {
            let expected: Value = serde_json::from_str(rest).expect("the page has JSON");
            let (json, fields) = (json(), expected.as_object().expect("an object"));
            (fields.iter().all(|(name, value)| json.get(name) == Some(value)), json.to_string())
        }
        "header" => {
            let (name, value) = rest.split_once(": ").expect("a header line");
            (response.header(name) == Some(value), response.head.clone())
        }
        "starts" => {
            let (name, value) = rest.split_once(": ").expect("a header line");
            (response.header(name).is_some_and(|found| found.starts_with(value)), response.head.clone())
        }
        "no" => {
            let name = rest.strip_prefix("header ").expect("no header");
            (response.header(name).is_none(), response.head.clone())
        }
        "after" => {
            let ms = rest.strip_suffix(" ms").and_then(|ms| ms.parse().ok()).expect("milliseconds");
            (*took >= Duration::from_millis(ms), format!("{took:?}"))
        }
        _ => (false, "a word that this test does not know".to_string()),
    };
    (!holds).then(|| format!("`{expectation}`, not {found:.500}"))
}

#[test]
fn every_row_is_answered_as_written() {
    let server = Server::start(&["--workers", "1"]);
    let rows = rows();
    let mut wrong = Vec::new();
    for Row { request, statuses, content_type, expectations, .. } in &rows {
        let answer = ask(&server, request);
        let mut mismatches: Vec<String> = expectations.iter().filter_map(|each| mismatch(each, &answer)).collect();
        if answer.statuses != *statuses {
            mismatches.push(format!("{statuses:?}, not {:?}", answer.statuses));
        }
        let found = answer.response.header("content-type").unwrap_or("-");
        if found != content_type {
            mismatches.push(format!("{content_type}, not {found}"));
        }
        if !mismatches.is_empty() {
            wrong.push(format!("{}: {}", request.join(" "), mismatches.join("; ")));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows do not hold:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Each endpoint of the models has rows, and each row describes its model's answer.
#[test]
fn nothing_is_missing() {
    let rows = rows();
    for (path, rows_min) in [
        ("/", 5),
        ("/health", 2),
        ("/help", 2),
        ("/bin/", 20),
        ("/chunked/", 15),
        ("/delay/", 10),
        ("/status/", 20),
        ("/upload", 4),
        ("/nousage", 6),
        ("/ws", 8),
        ("/stream", 8),
    ] {
        let is_of = |row: &&Row| row.request[0].split(' ').nth(1).is_some_and(|target| target.starts_with(path));
        let found = rows.iter().filter(is_of).count();
        assert!(found >= rows_min, "{path} has {found} rows");
    }
    for Row { request, expectations, model, .. } in &rows {
        let says = model.starts_with("same") || model.strip_prefix("differs: ").is_some_and(|why| !why.is_empty());
        assert!(says, "{request:?} does not say whether its model answers the same: {model:?}");
        assert!(!expectations.is_empty(), "{request:?} expects nothing of the answer");
    }
}

/// Each endpoint of the origin is in a row here, or in a heading of docs/origin.md.
#[test]
fn every_endpoint_is_documented() {
    let origin = page("origin.md");
    let headings = origin.lines().filter(|line| line.starts_with("## ")).flat_map(spans);
    let requests = rows().into_iter().filter_map(|row| Some(row.request[0].split(' ').nth(1)?.to_string()));
    let routes = Routes::of(ENDPOINTS);
    let path = |target: &str| target.split(['?', '{', '[']).next().unwrap_or_default().to_string();
    let usages: Vec<&str> =
        requests.chain(headings).map(|target| routes.find(&path(&target)).0.lines()[0].usage).collect();
    let missing: Vec<&str> =
        ENDPOINTS.iter().map(|endpoint| endpoint.lines()[0].usage).filter(|usage| !usages.contains(usage)).collect();
    assert!(missing.is_empty(), "neither in docs/parity.md nor in a heading of docs/origin.md: {missing:?}");
}

/// The check itself can fail.
#[test]
fn a_mismatch_is_found() {
    let head = "HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n".to_string();
    let response = Response { status: 200, head, body: b"{\"a\":1,\"b\":\"x\"}\n".to_vec(), trailers: String::new() };
    let answer = Answer { statuses: vec![200], response, chunks: vec![8, 8], took: Duration::from_millis(50) };
    for (right, wrong) in [
        (r#"text {"a":1,"b":"x"}\n"#, r#"text {"a":1,"b":"x"}"#),
        (r#"begins {"a""#, "begins {}"),
        ("bytes 16", "bytes 15"),
        ("chunks 2 x 8", "chunks 1 x 16"),
        ("keys a, b", "keys b, a"),
        (r#"json {"b":"x"}"#, r#"json {"b":"y"}"#),
        (r#"json {"a":1}"#, r#"json {"c":null}"#),
        ("header x-a: b", "header x-a: c"),
        ("starts x-a: b", "starts x-a: c"),
        ("no header X-B", "no header X-A"),
        ("after 50 ms", "after 51 ms"),
        ("bytes 16", "unheard of"),
    ] {
        assert_eq!(mismatch(right, &answer), None);
        assert!(mismatch(wrong, &answer).is_some(), "{wrong}");
    }
}
