//! `--drain-delay`: after TERM all clients are served as before for this long, new connections too, while `/health`
//! answers 503, so that a load balancer takes the server out of rotation; then it drains. Without a delay `/health`
//! answers 200 to the end.

use crate::support::load::{Habit, Load, Target};
use crate::support::lua::serve;
use crate::support::{Client, Response, Server, eventually};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

/// Longer than the test needs even on a slow machine; the test ends it by a second signal.
const LONG: &str = "60s";

fn ask(client: &mut Client, path: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.response()
}

#[track_caller]
fn expect_stopping(response: &Response) {
    assert_eq!((response.status, response.header("content-type")), (503, Some("application/json")));
    assert_eq!(response.text(), "{\"status\":\"stopping\"}");
    assert_eq!(response.header("connection"), None, "the connection is kept open");
}

/// Waits until every worker knows of it: on a connection to each.
fn wait_stopping(server: &Server, clients: &mut [Client]) {
    for client in clients.iter_mut() {
        eventually("/health answers 503", || (ask(client, "/health").status == 503).then_some(()));
    }
    assert_eq!(server.get("/health").status, 503);
}

/// Connections to every worker.
fn connect_to_all(server: &Server) -> Vec<Client> {
    let mut clients = Vec::new();
    let mut met = Vec::new();
    eventually("every worker has a connection", || {
        let mut client = server.connect();
        assert_eq!(ask(&mut client, "/health").text(), "{\"status\":\"ok\"}");
        if let Some(worker) = server.worker_of(&client)
            && !met.contains(&worker)
        {
            met.push(worker);
        }
        clients.push(client);
        (met.len() == server.workers().len()).then_some(())
    });
    clients
}

/// Sends the stop signal again, until it counts as a signal of its own and not as a duplicate of the first one.
fn stop_again(server: &Server) {
    eventually("the drain begins", || {
        server.signal(Signal::SIGTERM);
        server.log().contains(": draining ").then_some(())
    });
}

#[test]
fn all_clients_are_served_meanwhile() {
    for accept in ["shared", "per-worker"] {
        let mut server = Server::start(&["--workers", "2", "--accept", accept, "--drain-delay", LONG]);
        let mut clients = connect_to_all(&server);
        server.signal(Signal::SIGTERM);
        wait_stopping(&server, &mut clients);
        for client in &mut clients {
            expect_stopping(&ask(client, "/health"));
            let echo = ask(client, "/other");
            assert_eq!((echo.status, echo.header("connection")), (200, None));
        }
        for _ in 0..20 {
            assert_eq!(server.get("/new").status, 200, "new connections are accepted");
        }
        // A second signal cuts the delay short; what is in flight is finished all the same.
        let mut slow = server.connect();
        slow.send("GET /delay/700 HTTP/1.1\r\nHost: t\r\n\r\n");
        eventually("the request is in flight", || server.worker_of(&slow));
        stop_again(&server);
        assert_eq!(slow.response().status, 200);
        assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    }
}

#[test]
fn the_drain_follows_by_itself() {
    let delay = Duration::from_millis(1500);
    let mut server = Server::start(&["--workers", "2", "--drain-delay", "1500ms"]);
    let load = Load::start(
        &Target::Tcp(server.address()),
        &[(Habit::KeepAlive, "/other"), (Habit::Close, "/other"), (Habit::Close, "/delay/5")],
    );
    load.wait_answered(50);
    load.expect_refusals();
    let began = Instant::now();
    server.signal(Signal::SIGTERM);
    let mut prober = server.connect();
    eventually("/health answers 503", || (ask(&mut prober, "/health").status == 503).then_some(()));
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(began.elapsed() >= delay, "it served for the whole delay: {:?}", began.elapsed());
    let tally = load.join();
    assert!(tally.failures.is_empty(), "{:#?}", tally.failures);
    assert!(tally.told_to_close > 0, "the drain sent clients `Connection: close`");
}

#[test]
fn without_a_delay_health_is_200_to_the_end() {
    let mut server = Server::start(&["--workers", "1"]);
    let mut client = server.connect();
    assert_eq!(ask(&mut client, "/health").status, 200);
    server.signal(Signal::SIGTERM);
    server.wait_log("SIGTERM");
    // Until the drain has reached this connection, which its head shows.
    loop {
        let health = ask(&mut client, "/health");
        assert_eq!((health.status, health.text().as_str()), (200, "{\"status\":\"ok\"}"));
        if health.header("connection") == Some("close") {
            break;
        }
    }
    assert_eq!(server.wait_exit().code(), Some(0));
}

#[test]
fn a_lua_app_can_report_it_too() {
    let app = r#"
function app(environ, start_response)
  start_response(environ["tine.unready"] and 503 or 200, {})
  local all = {}
  for key, value in pairs(environ) do all[key] = value end
  return tostring(all["tine.unready"])
end
"#;
    let mut server = serve(app, &["--drain-delay", LONG]);
    let mut client = server.connect();
    let first = ask(&mut client, "/");
    assert_eq!((first.status, first.text().as_str()), (200, "false"));
    server.signal(Signal::SIGTERM);
    eventually("the app answers 503", || (ask(&mut client, "/").status == 503).then_some(()));
    assert_eq!(ask(&mut client, "/").text(), "true");
    stop_again(&server);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}
