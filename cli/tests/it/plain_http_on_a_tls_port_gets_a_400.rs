//! A client that speaks plain HTTP to a port of HTTPS is told so; one that speaks neither gets an alert, and nothing is logged of
//! either.

use crate::support::admin::{admin_of, samples};
use crate::support::curl::curl;
use crate::support::tls::{Pair, text};
use crate::support::{Client, Server, eventually};
use std::net::TcpStream;

fn wait_sample(server: &Server, sample: &str, wanted: f64) {
    let admin = admin_of(server);
    eventually(sample, || (samples(admin).get(sample) == Some(&wanted)).then_some(()));
}

#[test]
fn and_each_failed_handshake_is_counted_by_its_cause() {
    let pair = Pair::of(&["localhost", "*.example.test"]);
    let options = ["--workers", "1", "--admin", "127.0.0.1:0", "--header-timeout", "300ms"];
    let server = Server::start_https(&pair, &options);
    let address = server.https();
    let mut client = Client::connect(address);
    client.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().contains("use https://")), (400, true), "{response:?}");
    client.expect_end();
    let mut client = Client::connect(address);
    client.send(b"\x16\x03\x01\x00\x04\x99\0\0\0");
    let (alert, _) = client.read_to_end();
    assert_eq!(alert.first(), Some(&0x15), "an alert: {alert:?}");
    let _half_open = TcpStream::connect(address).expect("connect");
    for (cause, count) in [("plain_http", 1.0), ("malformed", 1.0), ("timeout", 1.0)] {
        wait_sample(&server, &format!("tine_tls_handshakes_failed_total{{cause=\"{cause}\"}}"), count);
    }
    // HTTP/2: a name that no certificate has is not this server's.
    let port = address.port();
    let misdirected = |name: &str| {
        let (connect, url) = (format!("{name}:{port}:127.0.0.1"), format!("https://{name}:{port}/health"));
        curl(&["-k", "--http2", "--resolve", &connect, "-o", "/dev/null", "-w", "%{http_code}", &url]).text()
    };
    assert_eq!(misdirected("other.test"), "421");
    assert_eq!(misdirected("a.example.test"), "200");
    assert_eq!(
        curl(&[
            "-k",
            "--cacert",
            text(&pair.cert),
            "-w",
            "%{http_code}",
            "-o",
            "/dev/null",
            &format!("https://{address}/health")
        ])
        .text(),
        "200",
        "addresses are not refused"
    );
    wait_sample(&server, "tine_tls_handshakes_total{kind=\"full\"}", 3.0);
    assert!(!server.log().contains("ERROR") && !server.log().contains("WARN"), "{}", server.log());
}
