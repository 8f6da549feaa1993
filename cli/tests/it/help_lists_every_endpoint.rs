//! `/help` lists the endpoints: as text by default, and as a page for clients that prefer HTML.

use crate::support::{Client, Response, Server};
use tine_apps::testbed::{ENDPOINTS, Endpoint, HelpLine};

/// What a browser sends.
const BROWSER: &str = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n";

fn help(client: &mut Client, lines: &str) -> Response {
    client.send(format!("GET /help?x HTTP/1.1\r\nHost: t\r\n{lines}\r\n"));
    let response = client.response();
    assert_eq!((response.status, response.header("vary")), (200, Some("Accept")));
    response
}

fn is_page(response: &Response) -> bool {
    match response.header("content-type") {
        Some("text/html; charset=utf-8") => true,
        Some("text/plain; charset=utf-8") => false,
        other => panic!("neither text nor a page: {other:?}"),
    }
}

#[test]
fn in_the_format_that_the_client_prefers() {
    let server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    for (lines, page) in [
        ("", false),
        ("Accept: */*\r\n", false),
        ("Accept: text/plain\r\n", false),
        ("Accept: text/*\r\n", false),
        ("Accept: text/html;q=0.5, text/plain;q=0.6\r\n", false),
        ("Accept: application/json\r\n", false),
        (BROWSER, true),
        ("Accept: text/html\r\n", true),
        ("accept: text/plain;q=0.5\r\nACCEPT: text/html;q=0.6\r\n", true),
        ("Accept: text/html, */*;q=0.1\r\n", true),
    ] {
        assert_eq!(is_page(&help(&mut client, lines)), page, "{lines}");
    }
}

#[test]
fn each_has_a_line_in_the_text() {
    let server = Server::start(&["--workers", "1"]);
    let text = help(&mut server.connect(), "").text();
    assert!(text.starts_with("Available endpoints:\n"));
    let mut listed: Vec<&str> = text.lines().filter(|line| line.starts_with("  /")).collect();
    for HelpLine { usage, does, .. } in ENDPOINTS.iter().flat_map(Endpoint::lines) {
        let says_it = |line: &str| {
            line.trim_start().strip_prefix(usage).is_some_and(|rest| rest.starts_with("  ") && rest.trim() == *does)
        };
        let Some(at) = listed.iter().position(|line| says_it(line)) else { panic!("{usage} is not in {text}") };
        listed.remove(at);
    }
    assert!(listed.is_empty(), "listed, but in no table: {listed:?}");
    assert!(text.lines().all(|line| line.len() <= 120), "no line is too long for a terminal: {text}");
}

/// Each has a row with an example, and the examples are valid.
#[test]
fn each_has_a_link_on_the_page() {
    let server = Server::start(&["--workers", "1"]);
    let page = help(&mut server.connect(), BROWSER).text();
    let table = &page[..page.find("<h2 id=\"live\">").expect("a live section")];
    let links: Vec<String> = table
        .split("<a href=\"")
        .skip(1)
        .filter_map(|rest| Some(rest.split('"').next()?.replace("&amp;", "&")))
        .collect();
    let mut examples: Vec<&str> = ENDPOINTS.iter().flat_map(Endpoint::lines).map(|line| line.example).collect();
    let mut found: Vec<&str> = links.iter().map(String::as_str).collect();
    examples.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, examples);
    for link in examples.iter().filter_map(|link| link.split('#').next()) {
        // HEAD, because some of them never end.
        let mut client = server.connect();
        client.send(format!("HEAD {link} HTTP/1.1\r\nHost: t\r\n\r\n"));
        let Ok(response) = client.try_response("HEAD") else {
            assert!(link.starts_with("/fault/"), "{link} is not answered");
            continue;
        };
        assert!(response.status != 400, "{link}: {}", response.head);
    }
}

#[test]
fn without_external_resources() {
    let server = Server::start(&["--workers", "1"]);
    let page = help(&mut server.connect(), BROWSER).text();
    assert!(page.starts_with("<!DOCTYPE html>"), "{page:.100}");
    for elsewhere in ["http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "the page has {elsewhere}");
    }
    for needed in ["<meta charset=\"utf-8\">", "prefers-color-scheme: dark", "new EventSource(", "new WebSocket("] {
        assert!(page.contains(needed), "the page lacks {needed}");
    }
}
