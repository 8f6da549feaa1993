//! Each response ends where its head says, whatever the status, the method and the version; then the next one follows.

use crate::support::lua::{ask, serve};

const APP: &str = r#"
function app(environ, start_response)
  local status, form = environ.PATH_INFO:match("^/(%d+)/(%w+)$")
  start_response(tonumber(status), {})
  if form == "one" then return "abc" end
  if form == "many" then return { "a", "b", "c" } end
  if form == "slow" then return coroutine.wrap(function() coroutine.yield("a") tine.sleep(0.01) coroutine.yield("bc") end) end
  if form == "large" then return ("0123456789abcdef"):rep(655360) end
  return {}
end
"#;

#[test]
fn a_body_is_sent_where_one_is_allowed() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    for status in ["200", "204", "205", "304", "404", "500"] {
        for form in ["one", "many", "slow", "none"] {
            for method in ["GET", "HEAD", "POST"] {
                client.send(format!("{method} /{status}/{form} HTTP/1.1\r\nHost: t\r\n\r\n"));
                let response = client.response_to(method);
                let what = format!("{method} {status} {form}: {}", response.head);
                assert_eq!(response.status.to_string(), status, "{what}\n{}", server.log());
                let has_body = method != "HEAD" && !["204", "205", "304"].contains(&status) && form != "none";
                assert_eq!(response.text(), if has_body { "abc" } else { "" }, "{what}");
                if status == "204" {
                    assert!(!response.head.to_lowercase().contains("content-length"), "{what}");
                }
                if status == "205" {
                    assert_eq!(response.header("content-length"), Some("0"), "{what}");
                }
                if ["204", "205", "304"].contains(&status) {
                    assert_eq!(response.header("transfer-encoding"), None, "{what}");
                }
            }
        }
    }
    client.send("HEAD /200/one HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response_to("HEAD").header("content-length"), Some("3"));
}

#[test]
fn http_10_and_close_end_the_connection() {
    let server = serve(APP, &[]);
    for form in ["one", "many", "slow"] {
        let mut client = server.connect();
        client.send(format!("GET /200/{form} HTTP/1.0\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.text().as_str(), response.header("transfer-encoding")), ("abc", None), "{form}");
        client.expect_end();
        let mut client = server.connect();
        client.send(format!("GET /200/{form} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        let response = client.response();
        assert_eq!((response.text().as_str(), response.header("connection")), ("abc", Some("close")), "{form}");
        client.expect_end();
    }
    // The length is known, so HTTP/1.0 may keep the connection.
    let mut client = server.connect();
    for _ in 0..2 {
        client.send("GET /200/one HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().text(), "abc");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = serve(APP, &[]);
    let mut client = server.connect();
    let forms = [("200", "slow"), ("201", "one"), ("202", "many"), ("204", "slow"), ("203", "one"), ("404", "none")];
    let requests: String =
        forms.iter().map(|(status, form)| format!("GET /{status}/{form} HTTP/1.1\r\nHost: t\r\n\r\n")).collect();
    client.send(requests.repeat(20));
    for (status, form) in forms.iter().cycle().take(forms.len() * 20) {
        let response = client.response();
        assert_eq!(response.status.to_string(), *status);
        assert_eq!(response.text(), if *form == "none" || *status == "204" { "" } else { "abc" }, "{status} {form}");
    }
}

#[test]
fn ten_mebibytes_arrive_whole() {
    let server = serve(APP, &[]);
    let response = ask(&server, "GET /200/large HTTP/1.1\r\nHost: t", b"");
    assert_eq!(response.header("content-length"), Some("10485760"));
    assert!(response.body == b"0123456789abcdef".repeat(655_360));
}

/// The head alone fills the output; the body follows later.
#[test]
fn the_smallest_watermarks_are_enough() {
    let server = serve(
        r#"
        function app(environ, start_response)
          if environ.PATH_INFO == "/slept" then tine.sleep(0) end
          start_response("200 OK", { ["X-Long"] = ("x"):rep(1000) })
          if environ.PATH_INFO == "/many" then return { "a", "b", "c" } end
          return "abc"
        end
        "#,
        &["--write-high-watermark", "1", "--write-low-watermark", "1"],
    );
    for path in ["/", "/slept", "/many"] {
        let response = server.get(path);
        assert_eq!((response.status, response.text().as_str()), (200, "abc"), "{path}\n{}", server.log());
    }
}
