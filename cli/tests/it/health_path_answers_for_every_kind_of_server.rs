//! `--health-path` answers health checks whatever is served: 200, and 503 while `--drain-delay` runs. The log names the
//! paths that answer so, and only those.

use crate::support::lua::{PATH_APP, folder_with, serve_from};
use crate::support::{Client, Response, Server, eventually, one_line_of, run_to_end};
use nix::sys::signal::Signal;

/// Longer than the test needs even on a slow machine; the test ends it by a second signal.
const LONG: &str = "60s";
fn ask(client: &mut Client, path: &str) -> Response {
    client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
    client.response()
}

/// A server of each kind with these options, and the kind's name.
fn servers(options: &[&str]) -> Vec<(&'static str, Server)> {
    let folder = folder_with(&[("app.lua", PATH_APP), ("files/x", "a file")]);
    let files = folder.join("files");
    let all = |first: &[&str]| Server::start(&[first, &["--workers", "1", "--drain-delay", LONG], options].concat());
    vec![
        ("origin", all(&[])),
        ("files", all(&["--static", files.to_str().expect("UTF-8")])),
        ("Lua", serve_from(&folder, "app.lua", &[&["--drain-delay", LONG], options].concat(), &[])),
    ]
}

fn stop(mut server: Server) {
    eventually("the drain begins", || {
        server.signal(Signal::SIGTERM);
        server.log().contains(": draining ").then_some(())
    });
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
}

#[test]
fn for_every_kind_of_server() {
    for (kind, server) in servers(&["--health-path", "/up/"]) {
        let mut client = server.connect();
        for path in ["/up", "/up?x=1", "/%75p"] {
            let health = ask(&mut client, path);
            assert_eq!((health.status, health.text().as_str()), (200, "{\"status\":\"ok\"}"), "{kind} {path}");
        }
        assert_ne!(ask(&mut client, "/up/x").text(), "{\"status\":\"ok\"}", "{kind}: paths below it are the app's");
        server.signal(Signal::SIGTERM);
        eventually("health checks fail", || (ask(&mut client, "/up").status == 503).then_some(()));
        assert_eq!(ask(&mut client, "/up").text(), "{\"status\":\"stopping\"}", "{kind}");
        let paths = if kind == "origin" { "/health, as does /up" } else { "/up" };
        server.wait_log(&format!("stopping in 60.0s; {paths} answers 503 until then"));
        assert!(!server.log().contains("--drain-delay only waits"), "{kind}: {}", server.log());
        stop(server);
    }
}

#[test]
fn without_it_the_log_does_not_promise_one() {
    for (kind, server) in servers(&[]) {
        assert_eq!(server.log().contains("--drain-delay only waits"), kind == "files", "{kind}: {}", server.log());
        let expected = match kind {
            "origin" => "/health answers 503 until then",
            "files" => "load balancers cannot see it without --health-path",
            _ => "without --health-path, load balancers see it only if the application tells them",
        };
        server.signal(Signal::SIGTERM);
        server.wait_log(&format!("stopping in 60.0s; {expected}"));
        stop(server);
    }
}

#[test]
fn its_value_has_to_be_a_path() {
    for path in ["health", "/", "", "/a?b", "/a b", "http://h/x"] {
        let output = run_to_end(&["check", "--health-path", path]);
        assert_eq!(output.status.code(), Some(2), "{path:?}");
        let line = one_line_of(&output);
        assert!(line.contains("--health-path") && line.contains("/health"), "{path:?}: {line}");
    }
}
