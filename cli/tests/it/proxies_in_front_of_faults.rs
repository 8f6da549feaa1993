//! What curl, nginx and HAProxy make of each fault is what the table of docs/faults.md says, and no proxy is confused
//! by a fault: the next request through it gets its own answer.
//!
//! A cell holds for the version in its column's heading. Where another version is installed, differences are printed on
//! standard error and fail nothing; that the next request is answered is expected of every version. Where a cell names
//! several outcomes, with "/" between them, the proxy's own timing decides, and each of them may occur.

use crate::support::Server;
use crate::support::curl::{curl, curl_version};
use crate::support::http2::Http2;
use crate::support::markdown::table;
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::seen::{End, Seen};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A peer that is silent for this long will send nothing more. The proxies themselves wait for 4 seconds.
const SILENCE: Duration = Duration::from_secs(10);

/// The columns: the fault, what it sends, and three clients that see it.
const SEEN_FROM: usize = 2;
/// The corner of the second table.
const OVER_HTTP2: &str = "fault over HTTP/2";

#[test]
fn the_table_is_true() {
    let server = Server::start(&["--workers", "2"]);
    let (headings, rows) = table("faults.md", "fault");
    assert_eq!(headings.len(), SEEN_FROM + 3, "{headings:?}");
    let faults: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    // In parallel: a fault that stalls takes its time in each column.
    let columns: [(String, Vec<String>); 3] = std::thread::scope(|scope| {
        let (server, faults) = (&server, &faults);
        let direct = scope.spawn(move || directly(server, faults));
        let [nginx, haproxy] = ProxyKind::ALL.map(|kind| scope.spawn(move || through(kind, server, faults)));
        [direct, nginx, haproxy].map(|column| column.join().expect("what a column sees"))
    });
    let mut wrong = String::new();
    for (column, (installed, seen)) in (SEEN_FROM..).zip(columns) {
        let described = headings[column].rsplit(' ').next().unwrap_or_default();
        let is_described = installed == described || installed.starts_with(&format!("{described}."));
        for (row, seen) in rows.iter().zip(seen) {
            let (fault, cell) = (&row[0], &row[column]);
            if cell.split(" / ").any(|outcome| outcome == seen) {
                continue;
            }
            let line = format!("{}, {fault}: {seen}; the table says: {cell}\n", headings[column]);
            if is_described {
                wrong.push_str(&line);
            } else {
                // Written past the test harness, which drops the output of a test that passes. A closed standard error
                // is not a failure.
                let _ = write!(std::io::stderr(), "docs/faults.md is not of version {installed}: {line}");
            }
        }
    }
    assert!(wrong.is_empty(), "docs/faults.md is not true:\n{wrong}");
}

#[test]
fn the_table_of_http2_is_true() {
    let server = Server::start(&["--workers", "2"]);
    let (headings, rows) = table("faults.md", OVER_HTTP2);
    let described = headings[SEEN_FROM].rsplit(' ').next().unwrap_or_default();
    let installed = curl_version();
    let is_described = installed.starts_with(&format!("{described}."));
    let seen: Vec<String> = std::thread::scope(|scope| {
        let server = &server;
        let curls: Vec<_> =
            rows.iter().map(|row| scope.spawn(move || by_curl(server, row[0].trim_matches('`'), true))).collect();
        curls.into_iter().map(|curl| curl.join().expect("what curl says")).collect()
    });
    let mut wrong = String::new();
    for (row, seen) in
        rows.iter().zip(seen).filter(|(row, seen)| !row[SEEN_FROM].split(" / ").any(|outcome| outcome == seen))
    {
        wrong.push_str(&format!("{}: {seen}; the table says: {}\n", row[0], row[SEEN_FROM]));
    }
    if !is_described && !wrong.is_empty() {
        let _ = write!(std::io::stderr(), "docs/faults.md is not of version {installed}: {wrong}"); // as above
        return;
    }
    assert!(wrong.is_empty(), "docs/faults.md is not true:\n{wrong}");
}

#[test]
fn the_tables_have_every_fault() {
    let server = Server::start(&["--workers", "1"]);
    let rows = [table("faults.md", "fault").1, table("faults.md", OVER_HTTP2).1].concat();
    let has_row = |is_it: &dyn Fn(&str) -> bool| rows.iter().any(|row| is_it(row[0].trim_matches('`')));
    let list = server.get("/fault/").text();
    let faults: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("  /fault/")).collect();
    assert!(faults.len() > 10, "the server lists its faults: {list}");
    for fault in faults {
        let path = format!("/fault/{}", fault.split(['?', ' ']).next().unwrap_or_default());
        assert!(has_row(&|row| row.split('?').next() == Some(&path)), "docs/faults.md has no row for {path}");
    }
    let mut http2 = Http2::connect(&server);
    for (path, refusal) in [
        ("/fault/bad-status-line", server.get("/fault/bad-status-line?kind=?").text()),
        ("/fault/bad-chunk", server.get("/fault/bad-chunk?kind=?").text()),
        ("/fault/bad-status-line", http2.get(1, "/fault/bad-status-line?kind=?").text()),
        ("/fault/bad-frame", http2.get(3, "/fault/bad-frame?kind=?").text()),
    ] {
        // "kind must be one of letters, negative, ..., not "?""; the first is that of the path alone.
        let kinds = refusal.split_once("one of ").and_then(|(_, kinds)| kinds.split_once(", not")).expect(&refusal).0;
        for kind in kinds.split(", ").skip(1) {
            let row = format!("{path}?kind={kind}");
            assert!(has_row(&|other| other == row), "docs/faults.md has no row for {row}");
        }
    }
}

/// curl's version, and its outcome for each fault.
fn directly(server: &Server, faults: &[&str]) -> (String, Vec<String>) {
    let outcomes = std::thread::scope(|scope| {
        let curls: Vec<_> = faults.iter().map(|fault| scope.spawn(move || by_curl(server, fault, false))).collect();
        curls.into_iter().map(|curl| curl.join().expect("what curl says")).collect()
    });
    (curl_version(), outcomes)
}

/// curl's exit code and the number of bytes of the body; then the status, or curl's error.
fn by_curl(server: &Server, fault: &str, over_http2: bool) -> String {
    // Long enough for all faults but those that stall for longer than any client waits. Over HTTP/2 none of the table is slow.
    let version = if over_http2 { "--http2-prior-knowledge" } else { "--http1.1" };
    let write = ["-o", "/dev/null", "-w", "%{http_code} %{size_download}"];
    let time = if over_http2 { "3" } else { "6" };
    let got = curl(&[&["--max-time", time, version], &write[..], &[&server.url(fault)]].concat());
    let told = String::from_utf8_lossy(&got.stdout).into_owned();
    let (status, bytes) = told.split_once(' ').unwrap_or_else(|| panic!("curl did not write what was asked: {told:?}"));
    if got.status == 0 {
        return format!("0, {bytes} bytes: {status}");
    }
    // "curl: (28) Operation timed out after 6001 milliseconds with ...": the time does not matter.
    let said = got.stderr.trim_end().split_once(") ").map_or(got.stderr.as_str(), |(_, said)| said);
    let said = said.split(" after ").next().unwrap_or_default();
    // After the first sentence comes what this curl was built with.
    let said = said.split(". ").next().unwrap_or_default();
    format!("{}, {bytes} bytes: {said}", got.status)
}

/// The proxy's version, and what its client gets of each fault.
fn through(kind: ProxyKind, server: &Server, faults: &[&str]) -> (String, Vec<String>) {
    let proxy = &Proxy::start(kind, server);
    let outcomes = std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            // First a good answer, so that the proxy has a connection that it can keep.
            expect_own_answer(&mut connect(proxy), &format!("{kind:?} before {fault}"), number);
            let (over, is_over) = std::sync::mpsc::channel();
            clients.push(scope.spawn(move || {
                let outcome = by_client(proxy, fault, number);
                // The client may have given up by then.
                let _ = over.send(());
                outcome
            }));
            // A client of a fault without an end waits while the next ones run.
            let _ = is_over.recv_timeout(Duration::from_millis(200));
            for _ in 0..3 {
                let mut other = connect(proxy);
                expect_own_answer(&mut other, &format!("{kind:?} after {fault}"), number);
                // Over whichever connection was kept. If the server has closed it by now, that is not confusion.
                has_own_answer(&mut other, &format!("{kind:?} after {fault}, and another request"), number);
            }
        }
        clients.into_iter().map(|client| client.join().expect("what the client sees")).collect()
    });
    (kind.version(), outcomes)
}

/// What a client of the proxy gets, and whether its connection can still be used.
fn by_client(proxy: &Proxy, fault: &str, number: usize) -> String {
    let mut client = connect(proxy);
    let seen = Seen::of(&mut client, &format!("GET {fault} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let when = format!("{:?} after {fault}, on the same connection", proxy.kind);
    let is_kept = seen.end == End::Whole && has_own_answer(&mut client, &when, number);
    outcome(&seen, is_kept)
}

/// A cell of the table.
fn outcome(seen: &Seen, is_kept: bool) -> String {
    let interims: String = seen.interims.iter().map(|status| format!("{status}, ")).collect();
    let what = match (seen.status, seen.body.len(), seen.declared) {
        (None, 0, _) => "no answer".to_string(),
        (None, bytes, _) => format!("{bytes} bytes without a head"),
        // A page of the proxy's own, whose wording does not matter.
        (Some(status), ..) if seen.header("content-type") == Some("text/html") => status.to_string(),
        (Some(status), bytes, Some(declared)) if declared != bytes as u64 => {
            format!("{status}, {bytes} of {declared} bytes")
        }
        (Some(status), bytes, _) => format!("{status}, {bytes} bytes"),
    };
    let end = match seen.end {
        End::Whole if is_kept => "kept",
        End::Whole => "closed",
        End::Cut => "cut",
        End::Silence => "then silence",
    };
    format!("{interims}{what}, {end}")
}

#[track_caller]
fn expect_own_answer(client: &mut UnixStream, when: &str, number: usize) {
    assert!(has_own_answer(client, when, number), "{when}: a plain request gets no answer");
}

/// Whether the connection still answers. The answer has to be the echo of this very request, which cannot be mistaken
/// for remains of another request.
#[track_caller]
fn has_own_answer(client: &mut UnixStream, when: &str, number: usize) -> bool {
    let path = format!("/own/answer/{number}");
    let seen = Seen::of(client, &format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let body = String::from_utf8_lossy(&seen.body);
    let is_own = seen.end == End::Whole && seen.status == Some(200) && body.contains(&format!("http://t{path}\""));
    assert!(is_own || seen.is_nothing(), "{when}: a plain request gets {seen:?}");
    is_own
}

fn connect(proxy: &Proxy) -> UnixStream {
    let stream = UnixStream::connect(proxy.socket()).expect("the proxy accepts");
    stream.set_read_timeout(Some(SILENCE)).expect("a time limit");
    stream.set_write_timeout(Some(SILENCE)).expect("a time limit");
    stream
}
