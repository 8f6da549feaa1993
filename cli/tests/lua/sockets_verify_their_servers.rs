//! The handshake of tine.socket: whose certificate is good, what is said of one that is not, and of a peer that does not shake hands.

use crate::support::lua::{SAID, folder_with, serve_from, text_of};
use crate::support::tls::{Authority, Pair, text, tls_peer};
use crate::support::{Server, eventually};
use rcgen::{BasicConstraints, IsCa};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime};

/// `/?return PORT, NAME, VERIFY`: what a handshake comes to, and whether the socket can be used after it.
const APP: &str = r##"
function app(environ, start_response)
  start_response("200 OK", {})
  local port, name, verify = (loadstring or load)(environ.QUERY_STRING:gsub("%%20", " "), "=query")()
  if not port then
    return said(kept:send("x")) .. ", " .. said(kept:receive(1))
  end
  local s = assert(tine.socket.connect("127.0.0.1", port))
  kept = s
  s:settimeout(tonumber(environ.HTTP_TIMEOUT) or 60)
  local shaken = said(s:sslhandshake(nil, name, verify))
  return shaken .. ", " .. said(s:send("x"))
end
"##;

fn serve(trusted: &str) -> Server {
    let folder = folder_with(&[("app.lua", &format!("{SAID}{APP}"))]);
    serve_from(&folder, "app.lua", &["--workers", "1"], &[("SSL_CERT_FILE", trusted), ("SSL_CERT_DIR", "/nonexistent")])
}

fn shaken(server: &Server, port: u16, rest: &str) -> String {
    text_of(server, &format!("/?return%20{port},{rest}"))
}

fn quiet(pair: &Pair) -> u16 {
    tls_peer(pair, |mut peer| {
        // The error: of a client that refuses.
        let _ = peer.read(&mut [0; 8]);
    })
}

fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 3600)
}

#[test]
fn a_certificate_has_to_be_trusted_valid_and_for_the_name() {
    let authority = Authority::new("an authority");
    let (certificate, key) = authority.issue(&["a.example", "127.0.0.1", "*.b.example"]);
    let issued = quiet(&Pair::write(&certificate, &key));
    let trusted = Pair::write(&authority.certificate, &key);
    let server = serve(text(&trusted.cert));
    let file = format!("'{}'", text(&trusted.cert));
    for (rest, expected) in [
        ("'a.example',true", "true, 1"),
        ("'a.example'", "true, 1"),
        ("nil,true", "true, 1"),
        ("'x.b.example'", "true, 1"),
        (&format!("'a.example',{file}"), "true, 1"),
        ("'b.example',false", "true, 1"),
        ("nil,false", "true, 1"),
        (
            "'b.example',true",
            "nil the certificate is not for b.example but for a.example, 127.0.0.1, *.b.example, nil closed 0",
        ),
        (
            "'b.example'",
            "nil the certificate is not for b.example but for a.example, 127.0.0.1, *.b.example, nil closed 0",
        ),
        ("'a..example',false", "nil \"a..example\" is not the name of a host, nil closed 0"),
        ("'a.example','/none'", "nil /none: No such file or directory (os error 2), nil closed 0"),
        ("'a.example','/dev/null'", "nil /dev/null: it has to be a regular file, nil closed 0"),
        ("'a.example','app.lua'", "nil app.lua: no certificate in it can be used, nil closed 0"),
    ] {
        assert_eq!(shaken(&server, issued, rest), expected, "{rest}\n{}", server.log());
    }
}

#[test]
fn a_certificate_of_nobody_is_refused_but_for_its_own_file() {
    let strange = Pair::of(&["c.example"]);
    let server = serve(text(&strange.cert));
    for is_authority in [false, true] {
        let own = Pair::with(&["a.example"], |params| {
            if is_authority {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
        });
        let port = quiet(&own);
        let why = if is_authority { "it is self-signed" } else { "its issuer is unknown" };
        let refused = format!("nil the certificate is not trusted: {why}, nil closed 0");
        assert_eq!(shaken(&server, port, "'a.example'"), refused);
        // An unverified session is not resumed where one has to be verified.
        assert_eq!(shaken(&server, port, "'a.example',false"), "true, 1");
        assert_eq!(shaken(&server, port, "'a.example'"), refused);
        assert_eq!(shaken(&server, port, &format!("'a.example','{}'", text(&strange.cert))), refused);
        let file = text(&own.cert);
        assert_eq!(shaken(&server, port, &format!("'a.example','{file}'")), "true, 1");
        let other = "nil the certificate is not for b.example but for a.example, nil closed 0";
        assert_eq!(shaken(&server, port, &format!("'b.example','{file}'")), other);
    }
}

#[test]
fn a_certificate_has_its_time() {
    let server = serve("/nonexistent");
    for is_authority in [false, true] {
        for (from, to, expected) in [
            (SystemTime::now() - days(9), SystemTime::now() - days(1), "nil the certificate has expired, nil closed 0"),
            (
                SystemTime::now() + days(1),
                SystemTime::now() + days(9),
                "nil the certificate is not valid yet, nil closed 0",
            ),
        ] {
            let pair = Pair::with(&["a.example"], |params| {
                (params.not_before, params.not_after) = (from.into(), to.into());
                if is_authority {
                    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
                }
            });
            let port = quiet(&pair);
            assert_eq!(shaken(&server, port, &format!("'a.example','{}'", text(&pair.cert))), expected);
        }
    }
    let port = quiet(&Pair::of(&["a.example"]));
    let nothing = "nil this system trusts no authority: install ca-certificates, or give a file, nil closed 0";
    assert_eq!(shaken(&server, port, "'a.example'"), nothing);
}

/// A peer without TLS; its port.
fn plain(treat: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(treat));
    port
}

#[test]
fn a_peer_without_tls_is_told_apart() {
    let server = serve("/nonexistent");
    for (said, expected) in [
        (&b"220 hello\r\n"[..], "nil the peer does not speak TLS, nil closed 0"),
        (b"", "nil closed, nil closed 0"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "nil the peer has sent the TLS alert HandshakeFailure, nil closed 0"),
    ] {
        let port = plain(move |mut stream| {
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(said);
        });
        assert_eq!(shaken(&server, port, "'a.example',false"), expected, "{said:?}");
    }
}

#[test]
fn a_peer_that_hangs_in_the_handshake_holds_only_its_request_up() {
    let (told, ends) = std::sync::mpsc::channel::<TcpStream>();
    let port = plain(move |stream| told.send(stream).expect("the test takes it"));
    let server = serve("/nonexistent");
    let mut client = server.connect();
    client.send(format!("GET /?return%20{port},'a.example',false HTTP/1.1\r\nHost: t\r\n\r\n"));
    let mut hanging = ends.recv().expect("it connects");
    eventually("the handshake has begun", || (hanging.read(&mut [0; 64]).ok()? > 0).then_some(()));
    // Another request is served, and does not send in between.
    let busy = "nil the TLS handshake is not over";
    assert_eq!(text_of(&server, "/?"), format!("{busy} 0, {busy} "));
    drop(hanging);
    assert!(client.response().text().starts_with("nil closed, "));
    let mut client = server.connect();
    client.send(format!("GET /?return%20{port},'a.example',false HTTP/1.1\r\nHost: t\r\nTimeout: 0.05\r\n\r\n"));
    assert_eq!(client.response().text(), "nil timeout, nil closed 0");
}
