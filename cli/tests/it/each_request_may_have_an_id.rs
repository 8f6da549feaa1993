//! `--request-id`: the client's `X-Request-ID` if it is sane, or a new one, in the response, the app's environ and the
//! access log.

use crate::support::access_log::Logged;
use crate::support::{Server, lua};

const APP: &str = r#"
function app(environ, start_response)
  start_response("200 OK", environ.PATH_INFO == "/own" and { { "X-Request-Id", "the-apps" } } or {})
  local all = {}
  for key in pairs(environ) do
    if key == "HTTP_X_REQUEST_ID" or key == "tine.request_id" or key == "HTTP_" then
      all[#all + 1] = key .. "=" .. tostring(environ[key])
    end
  end
  table.sort(all)
  return tostring(environ["tine.request_id"]) .. " " .. table.concat(all, " ")
end
"#;

/// The ID in the response, and its body.
fn ask(server: &Server, path: &str, fields: &str) -> (Vec<String>, String) {
    let mut client = server.connect();
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n{fields}\r\n"));
    let response = client.response();
    (response.headers("x-request-id").map(str::to_string).collect(), response.text())
}

fn is_made(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

#[test]
fn a_sane_one_is_taken_and_any_other_replaced() {
    let server = lua::serve(APP, &["--request-id"]);
    for id in ["abc", "f058ebd6-02f7-4d3f-942e-904344e8cde5", &"x".repeat(128)] {
        let (ids, body) = ask(&server, "/", &format!("x-request-id: {id}\r\n"));
        assert_eq!(ids, [id]);
        assert_eq!(body, format!("{id} HTTP_X_REQUEST_ID={id} tine.request_id={id}"));
    }
    let long = format!("X-Request-ID: {}\r\n", "x".repeat(129));
    let hostile = [
        "",
        "X-Request-ID: a b\r\n",
        "X-Request-ID: a\"b\r\n",
        "X-Request-ID: \r\n",
        "X-Request-ID: é\r\n",
        "X-Request-ID: <a>\r\n",
        "X-Request-ID: a\r\nX-Request-ID: b\r\n",
        &long,
    ];
    let mut seen = std::collections::BTreeSet::new();
    for fields in hostile {
        let (ids, body) = ask(&server, "/", fields);
        let [id] = &ids[..] else { panic!("one ID: {ids:?}") };
        assert!(is_made(id), "{fields:?}: {id}");
        assert_eq!(body, format!("{id} HTTP_X_REQUEST_ID={id} tine.request_id={id}"));
        assert!(seen.insert(id.clone()), "{id} twice");
    }
    assert_eq!(ask(&server, "/own", "X-Request-ID: c\r\n").0, ["the-apps"], "the app's own takes precedence");
}

#[test]
fn without_the_option_there_is_none() {
    let server = lua::serve(APP, &[]);
    assert_eq!(ask(&server, "/", "X-Request-ID: a\r\n"), (vec![], "nil HTTP_X_REQUEST_ID=a".to_string()));
}

#[test]
fn it_is_in_the_log_of_every_request_and_in_the_servers_own_answers() {
    let logged = Logged::start(&["--request-id", "--access-log-format", "json"]);
    let id_in = |line: &str| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["request_id"].clone();
    let (ids, _) = ask(
        &logged.server,
        "/health",
        "X-Request-ID: mine\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n",
    );
    assert_eq!(ids, ["mine"]);
    let line = logged.lines(1).pop().expect("a line");
    assert_eq!(id_in(&line), "mine");
    let parsed: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&parsed["trace_id"], &parsed["span_id"]),
        (&"0af7651916cd43dd8448eb211c80319c".into(), &"b7ad6b7169203331".into())
    );
    let mut client = logged.server.connect();
    client.send("nonsense\r\n\r\n");
    let response = client.response();
    let id = response.header("x-request-id").expect("an ID");
    assert!(response.status == 400 && is_made(id), "{id}");
    assert_eq!(id_in(&logged.lines(2)[1]), id);
}
