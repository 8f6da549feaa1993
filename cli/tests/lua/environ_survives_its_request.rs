//! An environ that the app keeps and completes after its request shows that request and no other.

use crate::support::eventually;
use crate::support::lua::{ask, serve, text_of};

/// `/keep` keeps its environ; `/late` reads it, and the body if it can.
const APP: &str = r#"
local kept
local function late()
  local other = kept
  local input = other["wsgi.input"]
  local ok, bytes = pcall(input.read, input)
  local parts = { other.PATH_INFO, other.HTTP_X or "none", other.REMOTE_ADDR, other.REMOTE_PORT }
  parts[#parts + 1] = ok and ("[" .. tostring(bytes) .. "]") or "refused"
  return table.concat(parts, "|")
end
function app(environ, start_response)
  start_response("200 OK", {})
  local path = environ.PATH_INFO
  if path == "/keep" then
    kept = environ
    return "kept"
  elseif path == "/keep-full" then
    kept = environ
    for key in pairs(environ) do end
    return environ.REMOTE_PORT
  elseif path == "/hold" then
    kept = environ
    tine.sleep(3600)
  elseif path == "/late-own" then
    local own = environ["wsgi.input"]:read(2)
    return late() .. "|" .. own .. environ["wsgi.input"]:read()
  end
  return late()
end
"#;

#[test]
fn completed_late_it_has_no_other_clients_addresses_or_body() {
    let server = serve(APP, &[]);
    assert_eq!(ask(&server, "GET /keep HTTP/1.1\r\nHost: t\r\nX: first", b"").text(), "kept");
    // By the request of another client, whose body has arrived.
    let response = ask(&server, "POST /late HTTP/1.1\r\nHost: t\r\nX: second\r\nContent-Length: 6", b"secret");
    assert_eq!(response.text(), "/keep|first|||[]", "{}", server.log());
}

#[test]
fn an_unread_body_is_gone() {
    let server = serve(APP, &[]);
    ask(&server, "POST /keep HTTP/1.1\r\nHost: t\r\nX: first\r\nContent-Length: 3", b"own");
    let response = ask(&server, "POST /late-own HTTP/1.1\r\nHost: t\r\nContent-Length: 6", b"secret");
    assert_eq!(response.text(), "/keep|first|||[]|secret", "{}", server.log());
}

#[test]
fn completed_in_time_it_keeps_its_addresses_and_its_body_is_closed() {
    let server = serve(APP, &[]);
    let port = ask(&server, "POST /keep-full HTTP/1.1\r\nHost: t\r\nX: first\r\nContent-Length: 3", b"own").text();
    let response = ask(&server, "POST /late-own HTTP/1.1\r\nHost: t\r\nContent-Length: 6", b"secret");
    assert_eq!(response.text(), format!("/keep-full|first|127.0.0.1|{port}|refused|secret"), "{}", server.log());
}

#[test]
fn completed_by_another_request_while_its_own_runs_it_takes_nothing_from_either() {
    let server = serve(APP, &[]);
    let mut holder = server.connect();
    holder.send("POST /hold HTTP/1.1\r\nHost: t\r\nX: held\r\nContent-Length: 3\r\n\r\nown");
    eventually("the worker has the request", || server.worker_of(&holder));
    let seen = eventually("it is kept", || {
        let response = ask(&server, "POST /late-own HTTP/1.1\r\nHost: t\r\nContent-Length: 6", b"secret");
        (response.status == 200).then(|| response.text())
    });
    assert_eq!(seen, "/hold|held|||[]|secret", "{}", server.log());
}

#[test]
fn a_start_response_of_another_request_is_refused() {
    let server = serve(
        r#"
        local kept
        function app(environ, start_response)
          if environ.PATH_INFO == "/hold" then
            kept = start_response
            tine.sleep(3600)
          end
          start_response("200 OK", {})
          local ok, why = pcall(kept, "418 Stale", { ["X-Stale"] = "1" })
          return tostring(ok) .. ": " .. tostring(why)
        end
        "#,
        &[],
    );
    let mut holder = server.connect();
    holder.send("GET /hold HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("it is held", || {
        text_of(&server, "/").contains("start_response is called outside of its request").then_some(())
    });
}
