//! What programs that watch a server expect of `--admin`: the paths, the methods, fields against caches, nginx's stub_status,
//! and JSON with the names of `tine ctl status --json`.

use crate::support::admin::{admin_of, get, json};
use crate::support::{Client, Server, eventually};

const PATHS: [&str; 6] = ["/", "/livez", "/readyz", "/status", "/status.json", "/stub_status"];

#[test]
fn admin_answers_get_and_head_at_its_paths_and_nothing_else() {
    let server = Server::start(&["--workers", "1", "--admin", "0"]);
    let admin = admin_of(&server);
    eventually("it is ready", || (get(admin, "/readyz").status == 200).then_some(()));
    let mut client = Client::connect(admin);
    let mut ask = |method: &str, path: &str| {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: rebound.example\r\n\r\n"));
        client.response_to(method)
    };
    for path in PATHS {
        for method in ["GET", "HEAD"] {
            let response = ask(method, path);
            assert_eq!((response.status, response.header("cache-control")), (200, Some("no-store")), "{method} {path}");
            assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
            let response = ask(method, path);
            assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")), "{method} {path}");
        }
    }
    for path in ["/x", "/status/", "/..", "/%2e%2e/etc/passwd", "//", "/Status", "*"] {
        let method = if path == "*" { "OPTIONS" } else { "GET" };
        assert_eq!(ask(method, path).status, 404, "{path}");
    }
}

#[test]
fn admin_has_nginxs_stub_status() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let admin = admin_of(&server);
    let mut idle = server.connect();
    idle.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(idle.response().status, 200);
    let mut waiting = server.connect();
    waiting.send("GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    let is_shown = |what: &str, expected: &str| {
        let expected = format!("Active connections: {expected} \n");
        eventually(what, || (get(admin, "/stub_status").text() == expected).then_some(()));
    };
    let counted = "server accepts handled requests\n";
    is_shown("both are counted", &format!("2 \n{counted} 2 2 1 \nReading: 0 Writing: 1 Waiting: 1"));
    // A part of a head, twice; one more after a request.
    let mut reading = server.connect();
    reading.send("GET /health");
    is_shown("it is read", &format!("3 \n{counted} 3 3 1 \nReading: 1 Writing: 1 Waiting: 1"));
    reading.send(" HTTP/1.1\r\nHo");
    idle.send("GE");
    is_shown("both are read", &format!("3 \n{counted} 3 3 1 \nReading: 2 Writing: 1 Waiting: 0"));
    reading.send("st: t\r\n\r\n");
    assert_eq!(reading.response().status, 200);
    is_shown("one is whole", &format!("3 \n{counted} 3 3 2 \nReading: 1 Writing: 1 Waiting: 1"));
    drop(idle);
    is_shown("the other has left", &format!("2 \n{counted} 3 3 2 \nReading: 0 Writing: 1 Waiting: 1"));
    let metrics = get(admin, "/metrics").text();
    assert!(metrics.contains("\ntine_connections_reading 0\n"), "{metrics}");
    assert_eq!(get(admin, "/stub_status").header("content-type"), Some("text/plain; charset=utf-8"));
}

#[test]
fn admin_has_the_names_of_ctl_status() {
    let server = Server::start(&["--workers", "2", "--admin", "0"]);
    let admin = admin_of(&server);
    eventually("both workers are known", || (json(admin)["workers_ready"] == 2).then_some(()));
    let (ctl, page) = (server.ctl(&["workers", "--json"]), json(admin));
    let ctl: serde_json::Value = serde_json::from_slice(&ctl.stdout).expect("JSON");
    let names = |value: &serde_json::Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let missing: Vec<String> = names(&ctl["status"]).into_iter().filter(|name| page.get(name).is_none()).collect();
    assert_eq!(missing, [""; 0]);
    assert_eq!(names(&ctl["status"]["workers"][0]), names(&page["workers"][0]));
    for name in ["pid", "name", "listen", "state", "workers_wanted", "generations"] {
        assert_eq!(ctl["status"][name], page[name], "{name}");
    }
}
