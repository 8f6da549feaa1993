//! Addresses marked `proxy:`: each connection begins with a header of the PROXY protocol, which names its client; nothing else is
//! accepted there.

use crate::support::access_log::Logged;
use crate::support::admin::{admin_of, samples};
use crate::support::curl::curl;
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::tls::{Pair, TlsClients, text};
use crate::support::{Client, Server, busy, eventually};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\xc6\x33\x64\x01\x13\x88\x01\xbb";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
const GET: &[u8] = b"GET /anything HTTP/1.1\r\nHost: t\r\n\r\n";

fn echo(client: &mut Client) -> serde_json::Value {
    let response = client.response();
    serde_json::from_slice(&response.body).unwrap_or_else(|e| panic!("{e}: {response:?}"))
}

fn wait_failed(server: &Server, cause: &str, count: f64) {
    let (admin, sample) = (admin_of(server), format!("tine_proxy_headers_failed_total{{cause=\"{cause}\"}}"));
    eventually(&sample, || (samples(admin).get(&sample) == Some(&count)).then_some(()));
}

#[test]
fn whole_or_byte_by_byte_before_any_version() {
    let server = Server::start(&["--workers", "1", "--listen", "proxy:127.0.0.1:0"]);
    for (header, from, to) in [(V1, "192.0.2.7:5000", "198.51.100.1:443"), (V2, "192.0.2.8:5000", "198.51.100.1:443")] {
        let mut client = Client::connect(server.proxied());
        client.send([header, GET].concat());
        let first = echo(&mut client);
        assert_eq!((first["source_addr"].as_str(), first["destination_addr"].as_str()), (Some(from), Some(to)));
        client.send(GET);
        assert_eq!(echo(&mut client)["source_addr"], from, "for all requests of the connection");
        let mut client = Client::connect(server.proxied());
        client.stream.set_nodelay(true).expect("an option");
        for byte in [header, GET].concat() {
            client.send([byte]);
        }
        assert_eq!(echo(&mut client)["source_addr"], from);
    }
    for header in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = Client::connect(server.proxied());
        let own = client.stream.local_addr().expect("an address").to_string();
        client.send([header, GET].concat());
        assert_eq!(echo(&mut client)["source_addr"], own);
    }
    // A header on another address is a malformed request.
    let mut client = server.connect();
    client.send([V1, GET].concat());
    assert_eq!(client.response().status, 400);
}

#[test]
fn what_is_none_is_closed_counted_and_logged_once() {
    let options = ["--workers", "1", "--admin", "127.0.0.1:0", "--header-timeout", "400ms", "--defer-accept", "0"];
    let server = Server::start(&[&options[..], &["--listen", "proxy:127.0.0.1:0"]].concat());
    let refused = |bytes: &[u8]| {
        let mut client = Client::connect(server.proxied());
        client.send(bytes);
        let (answer, _) = client.read_to_end();
        assert!(answer.is_empty(), "{bytes:?}: {answer:?}");
    };
    refused(GET);
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    refused(b"\x16\x03\x01\x02\0");
    let mut broken = V2.to_vec();
    broken.extend([3, 0, 4, 0, 0, 0, 0]);
    broken[15] += 7;
    refused(&broken);
    drop(Client::connect(server.proxied()));
    // Half a header, and nothing.
    let half: Vec<TcpStream> = (0..300)
        .map(|number| {
            let mut socket = TcpStream::connect(server.proxied()).expect("connect");
            socket.write_all(&[V1, V2, b""][number % 3][..13.min([V1, V2, b""][number % 3].len())]).expect("sent");
            socket
        })
        .collect();
    assert_eq!(server.get("/health").status, 200);
    for (cause, count) in [("malformed", 3.0), ("checksum", 1.0), ("left", 1.0), ("timeout", 300.0)] {
        wait_failed(&server, cause, count);
    }
    drop(half);
    let log = server.log();
    assert_eq!(log.matches("closed a connection from").count(), 1, "{log}");
    assert!(log.contains("it does not begin with a header of the PROXY protocol"), "{log}");
}

#[test]
fn only_of_trusted_proxies_if_some_are() {
    let options = ["--workers", "1", "--admin", "127.0.0.1:0", "--trusted-proxies", "127.0.0.2,192.0.2.7"];
    let server = Server::start(&[&options[..], &["--listen", "proxy:127.0.0.1:0"]].concat());
    let mut client = Client::connect(server.proxied());
    // It may be closed before or after.
    let _ = client.try_send([V1, GET].concat());
    assert!(client.read_to_end().0.is_empty());
    wait_failed(&server, "untrusted", 1.0);
    // The announced client is the peer whose fields count or not.
    for (header, expected) in [(V1, "203.0.113.9:0"), (V2, "192.0.2.8:5000")] {
        let mut client = Client::connect_from([127, 0, 0, 2], server.proxied());
        client.send([header, b"GET /anything HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n"].concat());
        assert_eq!(echo(&mut client)["source_addr"], expected);
    }
}

#[test]
fn shares_are_those_of_the_announced_clients() {
    let pair = Pair::of(&["localhost"]);
    let options = ["--workers", "1", "--max-connections-per-address", "2", "--tls-listen", "proxy:127.0.0.1:0"];
    let server = Server::start(&[&options[..], &["--listen", "proxy:127.0.0.1:0"], &pair.options()].concat());
    let connect = |header: &[u8]| {
        let mut client = Client::connect(server.proxied());
        client.send([header, GET].concat());
        let status = client.response().status;
        (client, status)
    };
    let kept = [connect(V1), connect(V1), connect(V2)];
    assert_eq!(kept.each_ref().map(|(_, status)| *status), [200; 3]);
    let (mut refused, status) = connect(V1);
    assert_eq!(status, 503);
    refused.expect_end();
    drop(kept);
    eventually("there is room again", || (connect(V1).1 == 200).then_some(()));
}

#[test]
fn at_capacity_the_announced_client_is_refused() {
    let options = ["--max-connections", "1", "--listen", "proxy:127.0.0.1:0", "--access-log-format", "%h %r %s"];
    let logged = Logged::start(&options);
    let server = &logged.server;
    let _kept = busy(server).expect("the first is admitted");
    for (header, answer) in [(V1, "192.0.2.7 GET /anything HTTP/1.1 503"), (V2, "192.0.2.8 GET /anything HTTP/1.1 503")]
    {
        let before = logged.text().lines().count();
        let mut client = Client::connect(server.proxied());
        client.send([header, GET].concat());
        assert_eq!(client.response().status, 503);
        client.expect_end();
        assert_eq!(logged.lines(before + 1)[before], answer);
    }
}

#[test]
fn before_tls() {
    let pair = Pair::of(&["localhost"]);
    let options = ["--workers", "1", "--tls-listen", "proxy:127.0.0.1:0"];
    let server = Server::start(&[&options[..], &pair.options()].concat());
    let clients = TlsClients::trusting(&pair);
    for header in [V1, V2] {
        let mut client = clients.connect(server.proxied(), "localhost");
        client.sock.write_all(header).expect("sent");
        client.write_all(b"GET /anything HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("sent");
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut client, &mut answer).expect("an answer");
        assert!(answer.contains("\"source_addr\":\"192.0.2.") && answer.contains("\"uri\":\"https://"), "{answer}");
    }
    // Without a header there is no alert either.
    let mut client = clients.connect(server.proxied(), "localhost");
    assert!(client.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| client.flush()).is_err());
}

const HAPROXY: &str = "
global
    log stderr format raw daemon
    nbthread 1
defaults
    mode MODE
    timeout connect 10s
    timeout client 30s
    timeout server 30s
frontend front
    bind unix@FOLDER/socket accept-proxy
    unique-id-format %{+X}o\\ %ci:%cp_%rt
    default_backend origin
backend origin
    server tine ORIGIN OPTIONS
";

#[test]
fn haproxy_sends_both_versions() {
    let server = Server::start(&["--workers", "1", "--listen", "proxy:127.0.0.1:0"]);
    for mode in ["tcp", "http"] {
        for options in [
            "send-proxy",
            "send-proxy-v2",
            "send-proxy-v2 proxy-v2-options crc32c,unique-id",
            "send-proxy-v2-ssl-cn proxy-v2-options crc32c,ssl,cert-cn,ssl-cipher,authority",
            "send-proxy-v2 check inter 20 check-send-proxy",
        ] {
            let configuration = HAPROXY.replace("MODE", mode).replace("OPTIONS", options);
            let proxy = Proxy::start_with(ProxyKind::HaProxy, &configuration, &server.proxied().to_string());
            for client in ["TCP4 192.0.2.7 198.51.100.1 5000 443", "TCP6 2001:db8::7 2001:db8::1 5000 443"] {
                let mut connection = proxy.connect();
                connection.send([format!("PROXY {client}\r\n").as_bytes(), GET].concat());
                let from = echo(&mut connection)["source_addr"].as_str().expect("a text").to_string();
                let expected = if client.starts_with("TCP4") { "192.0.2.7:5000" } else { "[2001:db8::7]:5000" };
                assert_eq!(from, expected, "{mode} {options}: {}", proxy.log());
            }
        }
    }
    assert!(!server.log().contains("closed a connection"), "{}", server.log());
}

#[test]
fn haproxy_tells_of_the_tls_that_it_has_ended() {
    let (pair, own) = (Pair::of(&["shop.test"]), Pair::of(&["alice, O=Example"]));
    let both = [&pair.cert, &pair.key].map(|path| std::fs::read_to_string(path).expect("a file")).concat();
    std::fs::write(&pair.cert, both).expect("written");
    let format = "%h %{tls_protocol}x %{tls_server_name}x %{tls_client_subject}x";
    let logged = Logged::start(&["--listen", "proxy:127.0.0.1:0", "--access-log-format", format]);
    // Kept for HAProxy: bound, and never listening.
    let port = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    port.set_reuse_port(true).expect("a shared port");
    port.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = port.local_addr().expect("an address").as_socket().expect("an IP address");
    let tls = format!(
        "accept-proxy\n    bind {address} ssl crt {} ca-file {} verify optional",
        pair.cert.display(),
        own.cert.display()
    );
    let configuration = HAPROXY
        .replace("MODE", "tcp")
        .replace("accept-proxy", &tls)
        .replace("OPTIONS", "send-proxy-v2 proxy-v2-options ssl,cert-cn,ssl-cipher,authority,crc32c");
    let proxy = Proxy::start_with(ProxyKind::HaProxy, &configuration, &logged.server.proxied().to_string());
    let (resolve, url) =
        (format!("shop.test:{}:127.0.0.1", address.port()), format!("https://shop.test:{}/", address.port()));
    let ask = |certificate: &[&str]| {
        let text = curl(&[&["-k", "--resolve", &resolve, &url], certificate].concat()).text();
        let echo: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        echo["uri"].as_str().expect("a text").to_string()
    };
    assert_eq!(ask(&[]), url);
    assert_eq!(ask(&["--cert", text(&own.cert), "--key", text(&own.key)]), url, "{}", proxy.log());
    let lines = logged.lines(2);
    assert!(lines[0].ends_with(" TLSv1.3 shop.test -"), "{lines:?}");
    assert!(lines[1].ends_with(" TLSv1.3 shop.test CN=alice\\\\, O\\\\=Example"), "one name: {lines:?}");
}
