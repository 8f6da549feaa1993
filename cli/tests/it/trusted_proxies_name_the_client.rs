//! `--trusted-proxies`: what a proxy says of its client counts, for applications, the access log and the limits, over every version and
//! with TLS; what others say is only a header.

use crate::support::access_log::Logged;
use crate::support::curl::curl;
use crate::support::tls::Pair;
use crate::support::{Client, Response, Server, eventually};

const PROXY: [u8; 4] = [127, 0, 0, 2];
const OTHER: [u8; 4] = [127, 0, 0, 1];

fn ask(server: &Server, from: [u8; 4], path: &str, fields: &str) -> Response {
    let mut client = Client::connect_from(from, server.address());
    client.send(format!("GET {path} HTTP/1.1\r\nHost: own.test\r\n{fields}\r\n"));
    client.response()
}

fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("{e}: {response:?}"))
}

const FIELDS: &str = "X-Forwarded-For: 6.6.6.6, 192.0.2.7:70, 127.0.0.3\r\nX-Forwarded-Proto: https\r\n\
                      X-Forwarded-Host: public.test:8443\r\n";

#[test]
fn and_nobody_else_does() {
    let logged =
        Logged::start(&["--trusted-proxies", "127.0.0.2,127.0.0.3", "--access-log-format", "%h %{remote}p %r"]);
    let server = &logged.server;
    let echo = json(&ask(server, PROXY, "/a?b", FIELDS));
    assert_eq!(
        (echo["source_addr"].as_str(), echo["uri"].as_str()),
        (Some("192.0.2.7:70"), Some("https://public.test:8443/a?b"))
    );
    let absolute = ask(server, PROXY, "/redirect/1?absolute=1", FIELDS);
    assert_eq!(absolute.header("location"), Some("https://public.test:8443/anything?absolute=1"));
    let echo = json(&ask(server, OTHER, "/a?b", FIELDS));
    assert_eq!(echo["uri"].as_str(), Some("http://own.test/a?b"));
    assert!(echo["source_addr"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")), "{echo}");
    let ip = |from, fields: &str| json(&ask(server, from, "/ip", fields))["origin"].as_str().map(str::to_string);
    for (fields, expected) in [
        ("Forwarded: for=\"[2001:db8::1]:80\"\r\n", "2001:db8::1"),
        ("X-Real-IP: 192.0.2.8\r\n", "192.0.2.8"),
        ("X_Forwarded_For: 192.0.2.9\r\n", "127.0.0.2"),
        ("X-Forwarded-For: unknown\r\n", "127.0.0.2"),
        ("", "127.0.0.2"),
    ] {
        assert_eq!(ip(PROXY, fields).as_deref(), Some(expected), "{fields}");
        assert_eq!(ip(OTHER, fields).as_deref(), Some("127.0.0.1"), "{fields}");
    }
    // A body that comes later, to an exchange.
    let mut client = Client::connect_from(PROXY, server.address());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\nContent-Length: 2\r\n\r\nh");
    client.send("i");
    assert_eq!(json(&client.response())["source_addr"], "192.0.2.7:0");
    // The next request of the same connection is another client's.
    client.send("GET /ip HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.8\r\n\r\n");
    assert_eq!(json(&client.response())["origin"], "192.0.2.8");
    let lines = logged.lines(15);
    assert_eq!(lines[0], "192.0.2.7 70 GET /a?b HTTP/1.1");
    assert!(lines[2].starts_with("127.0.0.1 "), "{lines:?}");
    assert_eq!(lines[13], "192.0.2.7 - POST / HTTP/1.1", "a port that is not known");
}

#[test]
fn over_http2_and_over_tls() {
    let pair = Pair::of(&["localhost"]);
    let options =
        ["--workers", "1", "--trusted-proxies", "127.0.0.0/8", "--access-log", "-", "--access-log-format", "json"];
    let server = Server::start_https(&pair, &options);
    let (plain, https) = (server.url("/anything"), format!("https://{}/anything", server.https()));
    // `start_https` gives a port of plain HTTP, too, since tests run `tine run 0`.
    for (options, url, own) in [
        (&["--http1.1"][..], &plain, "http"),
        (&["--http2-prior-knowledge"], &plain, "http"),
        (&["-k", "--http1.1"], &https, "https"),
        (&["-k", "--http2"], &https, "https"),
    ] {
        let uri = |fields: &[&str]| {
            let fields: Vec<&str> = fields.iter().flat_map(|field| ["-H", *field]).collect();
            let text = curl(&[options, &fields, &[url.as_str()]].concat()).text();
            let echo: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            let text = |name: &str| echo[name].as_str().expect("a text").to_string();
            (text("uri").split(':').next().expect("a scheme").to_string(), text("source_addr"))
        };
        assert_eq!(uri(&[]).0, own, "{options:?}");
        assert_eq!(uri(&["X-Forwarded-Proto: https"]).0, "https", "{options:?}");
        assert_eq!(uri(&["X-Forwarded-Proto: http"]).0, "http", "{options:?}");
        assert_eq!(uri(&["Forwarded: for=192.0.2.7;proto=https"]), ("https".to_string(), "192.0.2.7:0".to_string()));
    }
    let clients = |text: &str| server.stdout().matches(text).count();
    // A line follows its answer.
    eventually("four lines are of the client", || (clients("\"client_address\":\"192.0.2.7\"") == 4).then_some(()));
    assert_eq!(clients("\"client_port\":0"), 0, "{}", server.stdout());
}

#[test]
fn limits_are_those_of_the_client() {
    let options = [
        "--workers",
        "1",
        "--trusted-proxies",
        "127.0.0.2",
        "--limit-client-rate",
        "2/min",
        "--limit-wait",
        "0",
        "--limit-exempt",
        "192.0.2.0/24",
        "--max-connections-per-address",
        "2",
    ];
    let server = Server::start(&options);
    let status = |from, client: &str| ask(&server, from, "/ip", &format!("X-Forwarded-For: {client}\r\n")).status;
    let statuses = |from, client: &str| [(); 3].map(|()| status(from, client));
    for client in ["198.51.100.1", "198.51.100.2", "2001:db8::1"] {
        assert_eq!(statuses(PROXY, client), [200, 200, 429], "{client}");
    }
    assert_eq!(statuses(PROXY, "192.0.2.1"), [200; 3], "an exempt network");
    assert_eq!(statuses(OTHER, "192.0.2.1"), [200, 200, 429], "others have one address, whatever they say");
    // A proxy's connections are not a client's; those of others are.
    let _proxys: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = Client::connect_from(PROXY, server.address());
            client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
            assert_eq!(client.response().status, 200);
            client
        })
        .collect();
}

#[test]
fn of_unix_sockets_only_if_they_are_named() {
    let ip = |trusted: &str| {
        let folder = crate::support::scratch_folder();
        let path = folder.join("socket");
        let listen = format!("unix:{}", path.display());
        let _server = Server::start(&["--workers", "1", "--listen", &listen, "--trusted-proxies", trusted]);
        let mut client = Client::try_connect_unix(&path).expect("it listens");
        client.send("GET /ip HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n");
        let origin = json(&client.response())["origin"].as_str().expect("a text").to_string();
        std::fs::remove_dir_all(&folder).expect("the folder is ours");
        origin
    };
    assert_eq!([ip("0.0.0.0/0"), ip("unix:"), ip("*")], ["unix", "192.0.2.7", "192.0.2.7"]);
}
