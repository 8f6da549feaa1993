//! The examples in deploy/ for proxies are accepted by these, and the options of Tine in them by Tine; with them applications know the
//! client, whatever it claims.

use crate::support::curl::curl;
use crate::support::proxy::{Proxy, ProxyKind};
use crate::support::tls::{Pair, text};
use crate::support::{Client, Server, eventually, options, run_to_end};
use socket2::{Domain, Socket, Type};
use std::fs;
use std::net::SocketAddr;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

fn example(path: &str) -> String {
    fs::read_to_string(format!("{DEPLOY}/{path}")).expect("an example")
}

#[test]
fn by_nginx_and_by_haproxy() {
    Proxy::check(ProxyKind::HaProxy, &example("haproxy/haproxy.cfg")).unwrap_or_else(|said| panic!("{said}"));
    let http = within_http(&example("nginx/tine.conf").replace("listen 8080", "listen unix:FOLDER/socket"));
    Proxy::check(ProxyKind::Nginx, &http).unwrap_or_else(|said| panic!("{said}"));
    assert!(Proxy::check(ProxyKind::Nginx, &http.replace("proxy_pass", "proxy_past")).is_err(), "it is looked at");
}

fn within_http(part: &str) -> String {
    format!(
        "pid FOLDER/pid;\nerror_log stderr;\nevents {{}}\nhttp {{\naccess_log off;\nclient_body_temp_path FOLDER/b;\nproxy_temp_path \
         FOLDER/p;\nfastcgi_temp_path FOLDER/f;\nscgi_temp_path FOLDER/s;\nuwsgi_temp_path FOLDER/u;\n{}}}\n",
        part
    )
}

/// Clients of the examples' ports, past what they claim to be.
#[test]
fn and_they_name_the_client() {
    let server = Server::start(&["--workers", "1", "--trusted-proxies", "127.0.0.1", "--listen", "proxy:127.0.0.1:0"]);
    // Kept for the proxies: bound, and never listening.
    let ports = [(); 3].map(|()| {
        let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        port.set_reuse_port(true).expect("a shared port");
        port.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        port
    });
    let [nginx_at, haproxy_at, tcp_at] =
        ports.each_ref().map(|port| port.local_addr().expect("an address").as_socket().expect("an IP address"));
    let origin = server.address().to_string();
    let nginx = example("nginx/tine.conf")
        .replace("listen 8080", &format!("listen unix:FOLDER/socket; listen {nginx_at} reuseport"))
        .replace("unix:/run/tine/http.sock", &origin);
    let _nginx =
        Proxy::start_with(ProxyKind::Nginx, &format!("daemon off;\nuser root root;\n{}", within_http(&nginx)), "");
    let haproxy = example("haproxy/haproxy.cfg")
        .replace("bind :8080", &format!("bind unix@FOLDER/socket\n    bind {haproxy_at}"))
        .replace("bind :8081", &format!("bind {tcp_at}"))
        .replace("10.0.0.5:8080", &origin)
        .replace("10.0.0.5:8081", &server.proxied().to_string());
    let _haproxy = Proxy::start_with(ProxyKind::HaProxy, &haproxy, "");
    for (address, path, own_port) in [(nginx_at, "/shop/a", false), (haproxy_at, "/a", false), (tcp_at, "/a", true)] {
        // HAProxy takes a moment to find its servers up.
        let echo = eventually("an answer", || {
            let mut client = Client::connect_from([127, 0, 0, 5], address);
            let port = client.stream.local_addr().expect("an address").port();
            client.send(format!(
                "GET {path} HTTP/1.1\r\nHost: shop.example:{}\r\nX-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\n\
                 X-Real-IP: 6.6.6.6\r\n\r\n",
                address.port()
            ));
            let response = client.response();
            (response.status == 200).then(|| (response.text(), port))
        });
        let (text, port) = echo;
        let from = if own_port { format!("127.0.0.5:{port}") } else { "127.0.0.5:0".to_string() };
        assert!(text.contains(&format!("\"source_addr\":\"{from}\"")), "{address} {from}: {text}");
        assert!(text.contains(&format!("\"uri\":\"http://shop.example:{}{path}\"", address.port())), "{text}");
    }
}

/// nginx passes connections of TLS on, and says where they come from.
#[test]
fn and_so_does_nginx_that_passes_connections_on() {
    let pair = Pair::of(&["localhost"]);
    let options = ["--workers", "1", "--tls-listen", "proxy:127.0.0.1:0", "--trusted-proxies", "127.0.0.1"];
    let server = Server::start(&[&pair.options()[..], &options].concat());
    let port = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    port.set_reuse_port(true).expect("a shared port");
    port.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
    let address = port.local_addr().expect("an address").as_socket().expect("an IP address");
    let origin = server.proxied().to_string();
    let example = example("nginx/stream.conf")
        .replace("listen 443", &format!("listen unix:FOLDER/socket; listen {address} reuseport"))
        .replace("10.0.0.5:8443", &origin)
        .replace("server 10.0.0.6:8443;", "");
    let whole = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\ndaemon off;\nuser root root;\npid FOLDER/pid;\nerror_log \
         stderr;\nevents {{}}\n{example}"
    );
    let _nginx = Proxy::start_with(ProxyKind::Nginx, &whole, "");
    let url = format!("https://localhost:{}/a", address.port());
    let echo = curl(&[
        "--cacert",
        text(&pair.cert),
        "--connect-to",
        "localhost::127.0.0.1:",
        "--interface",
        "127.0.0.5",
        "-H",
        "X-Forwarded-For: 6.6.6.6",
        &url,
    ]);
    let echo = echo.text();
    assert!(echo.contains("\"source_addr\":\"127.0.0.5:") && echo.contains(&format!("\"uri\":\"{url}\"")), "{echo}");
}

/// The command lines in the comments: `tine run app.lua --listen ...`, checked with the built-in app and without its addresses.
#[test]
fn by_tine() {
    let mut lines = 0;
    for path in ["nginx/tine.conf", "nginx/stream.conf", "haproxy/haproxy.cfg"] {
        let text = example(path);
        for line in
            text.lines().filter_map(|line| line.trim_start_matches(['#', ' ']).strip_prefix("tine run app.lua "))
        {
            let words: Vec<&str> = line.split(' ').collect();
            let is_pair = |word: &str| word.starts_with("--tls-");
            let kept: Vec<&str> = words
                .chunks(2)
                .filter(|pair| !is_pair(pair[0]))
                .flatten()
                .map(|word| match word.contains("10.0.0.5") || word.starts_with("unix:/") {
                    true => "proxy:127.0.0.1:0",
                    false => word,
                })
                .collect();
            let output = run_to_end(&[&["check"], &kept[..]].concat());
            assert!(output.status.success(), "{path}: {line}: {}", String::from_utf8_lossy(&output.stderr));
            lines += 1;
        }
    }
    assert_eq!(lines, 3);
    let known: Vec<String> =
        options::names().iter().map(|name| format!("TINE_{}", name.replace('-', "_").to_uppercase())).collect();
    let yaml = example("kubernetes/tine.yaml");
    let variables: Vec<&str> = yaml.split("name: TINE_").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    assert!(variables.len() >= 8, "{variables:?}");
    for name in variables {
        let name = format!("TINE_{name}");
        assert!(known.contains(&name) || ["TINE_APP", "TINE_PORT"].contains(&name.as_str()), "{name}");
    }
}
