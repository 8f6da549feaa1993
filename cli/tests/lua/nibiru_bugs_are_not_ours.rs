//! Bugs of nibiru 76c23b0 against its own contract, one test per bug; those of its static files are tested elsewhere.

use crate::support::lua::{ask, serve, text_of};
use crate::support::{Client, Server, eventually, is_alive, send_signal};
use nix::sys::signal::Signal;

const APP: &str = r#"
local routes = {
  ["/"] = function(environ, s) s("200 OK", { ["Content-Type"] = { "text/plain" }, ["X-Route"] = { "a", "b" } }) return ipairs({ "root" }) end,
  ["/many"] = function(environ, s) s("200 OK", {}) return ipairs({ "one ", "two ", "three" }) end,
  ["/status"] = function(environ, s) s(environ.QUERY_STRING, {}) return ipairs({ "status" }) end,
  ["/silent"] = function() return ipairs({ "no start_response" }) end,
  ["/error"] = function() error(("e"):rep(1000)) end,
  ["/body"] = function(environ, s) s("200 OK", {}) return ipairs({ environ["wsgi.input"]:read() }) end,
  ["/server"] = function(environ, s) s("200 OK", {}) return ipairs({ environ.SERVER_NAME .. ":" .. environ.SERVER_PORT }) end,
  ["/stream"] = function(environ, s)
    s("200 OK", {})
    return function(_, i) if i > 0 then tine.sleep(3600) end return i + 1, "first" end, nil, 0
  end,
}
function app(environ, start_response)
  local route = routes[environ.PATH_INFO]
  if not route then
    start_response("404 Not Found", {})
    return ipairs({ "Not Found" })
  end
  return route(environ, start_response)
end
"#;

fn server() -> Server {
    serve(APP, &["--defer-accept", "0"])
}

fn get(client: &mut Client, path: &str) -> (u16, String) {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    let response = client.response();
    (response.status, response.text())
}

#[test]
fn a_query_does_not_hide_the_route() {
    let server = server();
    for path in ["/", "/?x=1", "/?", "/?a=/b?c"] {
        assert_eq!(text_of(&server, path), "root", "{path}");
    }
    assert_eq!(server.get("/x?/").status, 404);
}

#[test]
fn server_name_and_port_are_the_listeners() {
    let server = server();
    assert_eq!(text_of(&server, "/server"), server.address().to_string());
}

#[test]
fn response_headers_are_sent() {
    let response = server().get("/");
    assert_eq!(response.header("content-type"), Some("text/plain"));
    assert_eq!(response.headers("x-route").collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn the_connection_is_kept_and_each_answer_is_framed() {
    let server = server();
    let mut client = server.connect();
    for _ in 0..3 {
        assert_eq!(get(&mut client, "/"), (200, "root".to_string()));
        assert_eq!(get(&mut client, "/many"), (200, "one two three".to_string()));
    }
}

#[test]
fn request_bodies_arrive() {
    let server = server();
    let body = "x".repeat(100_000);
    let head = "POST /body HTTP/1.1\r\nHost: t\r\nContent-Length: 100000";
    assert!(ask(&server, head, body.as_bytes()).text() == body);
}

#[test]
fn chunks_are_sent_as_they_are_made() {
    let server = server();
    let mut client = server.connect();
    client.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().expect("the first chunk, long before the second"), b"first");
}

#[test]
fn head_gets_no_body() {
    let server = server();
    let mut client = server.connect();
    for path in ["/", "/many"] {
        client.send(format!("HEAD {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        assert_eq!(client.response_to("HEAD").status, 200);
        assert_eq!(get(&mut client, "/"), (200, "root".to_string()));
    }
}

#[test]
fn an_unknown_status_is_sent() {
    let server = server();
    for code in ["299", "418", "499", "599"] {
        assert_eq!(server.get(&format!("/status?{code}")).status.to_string(), code);
    }
}

#[test]
fn http_10_is_spoken() {
    let response = ask(&server(), "GET /many HTTP/1.0", b"");
    assert_eq!((response.status, response.text().as_str()), (200, "one two three"));
}

/// nibiru answered a head in two packets with 400.
#[test]
fn a_request_may_arrive_in_many_packets() {
    let server = server();
    let mut client = server.connect();
    for part in ["G", "ET / HT", "TP/1.1\r", "\nHost", ": t\r\n\r", "\n"] {
        client.send(part);
        std::thread::yield_now();
    }
    assert_eq!(client.response().text(), "root");
}

/// nibiru's buffer had 10 000 bytes, and a NUL was written after them.
#[test]
fn a_request_of_ten_thousand_bytes_is_like_any_other() {
    let server = serve(APP, &["--header-max", "32K"]);
    for size in [9_999, 10_000, 10_001, 20_000] {
        let head = "GET / HTTP/1.1\r\nHost: t\r\nX-Fill: ";
        let fill = "x".repeat(size - head.len() - 4);
        assert_eq!(ask(&server, &format!("{head}{fill}"), b"").text(), "root", "{size}");
    }
}

/// nibiru's parser continued with uninitialised pointers.
#[test]
fn half_a_request_line_is_a_400() {
    let server = server();
    for request in
        ["GET\r\n\r\n", "GET \r\n\r\n", "GET /\r\n\r\n", " / HTTP/1.1\r\n\r\n", "\0\r\n\r\n", "GET / \r\n\r\n"]
    {
        let mut client = server.connect();
        client.send(request);
        assert_eq!(client.response().status, 400, "{request:?}");
    }
    assert_eq!(text_of(&server, "/"), "root");
}

/// The status was a global variable of nibiru's connector.
#[test]
fn an_app_without_a_status_does_not_send_the_last_one() {
    let server = server();
    let mut client = server.connect();
    assert_eq!(get(&mut client, "/status?201").0, 201);
    assert_eq!(get(&mut client, "/silent").0, 500);
    assert_eq!(get(&mut client, "/status?202").0, 202);
    assert_eq!(get(&mut client, "/silent").0, 500);
}

/// In nibiru each error left its value on the Lua stack.
#[test]
fn thousands_of_errors_do_not_leak() {
    let server = server();
    let workers = server.workers();
    let mut client = server.connect();
    let mut errors = |count: usize| {
        for _ in 0..count / 100 {
            client.send("GET /error HTTP/1.1\r\nHost: t\r\n\r\n".repeat(100));
            for _ in 0..100 {
                assert_eq!(client.response().status, 500);
            }
        }
        server.memory_bytes()
    };
    let before = errors(2_000);
    let grown = errors(10_000).saturating_sub(before);
    // 10 000 errors of a kilobyte would be 10 MB.
    assert!(grown < 2 << 20, "grew by {grown} bytes");
    assert_eq!(server.workers(), workers);
    assert_eq!(text_of(&server, "/"), "root");
}

#[test]
fn idle_clients_do_not_block_others() {
    let server = server();
    let mut idle: Vec<Client> = (0..20).map(|_| server.connect()).collect();
    for (i, client) in idle.iter_mut().enumerate() {
        client.send(&b"GET / HTTP/1.1\r\nHost: t\r\n\r\n"[..i]);
    }
    assert_eq!(text_of(&server, "/"), "root");
    // Nor does a client that does not read, or one whose app sleeps.
    let mut sleeper = server.connect();
    sleeper.send("GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    sleeper.head();
    assert_eq!(text_of(&server, "/"), "root");
}

/// nibiru's master did not wait for its children: they became zombies and were not replaced.
#[test]
fn a_dead_worker_is_replaced_and_leaves_no_zombie() {
    let server = serve(APP, &["--workers", "2"]);
    let before = server.workers();
    send_signal(before[0], Signal::SIGKILL);
    server.wait_replaced(&before);
    eventually("the dead one is gone", || {
        (!std::path::Path::new(&format!("/proc/{}", before[0])).exists()).then_some(())
    });
    assert_eq!(text_of(&server, "/"), "root");
}

/// nibiru's master exited at once, and requests in flight were lost.
#[test]
fn a_stop_waits_for_requests_in_flight_and_leaves_no_process() {
    let mut server = serve(
        r#"
        function app(environ, start_response)
          start_response("200 OK", {})
          return coroutine.wrap(function()
            coroutine.yield("begun,")
            environ["wsgi.input"]:read(1)
            coroutine.yield("ended")
          end)
        end
        "#,
        &["--workers", "2"],
    );
    let workers = server.workers();
    let mut client = server.connect();
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\n");
    client.head();
    assert_eq!(client.chunk().expect("a chunk"), b"begun,");
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    client.send("x");
    assert_eq!(client.chunk().expect("a chunk"), b"ended");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(workers.iter().all(|&pid| !is_alive(pid)));
}

/// nibiru's table had room for 64 workers.
#[test]
fn sixty_five_workers_are_no_more_than_asked_for() {
    let server = serve(APP, &["--workers", "65"]);
    assert_eq!(server.workers().len(), 65);
    assert_eq!(text_of(&server, "/"), "root");
}
