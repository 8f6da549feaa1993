//! `--tls-client-ca`: clients without a certificate of that authority are refused, or are not known; the access log names the
//! others.

use crate::support::tls::{Authority, Pair, TlsClients, text};
use crate::support::{Server, eventually, scratch_folder};
use std::fs;

#[test]
fn required_or_optional() {
    let pair = Pair::of(&["localhost"]);
    let authority = Authority::new("Client CA");
    let ca = Pair::write(&authority.certificate, "");
    let of = |authority: &Authority| {
        let (certificate, key) = authority.issue(&["alice.test"]);
        Pair::write(&certificate, &key)
    };
    let (alice, mallory) = (of(&authority), of(&Authority::new("Client CA")));
    let clients = |own: Option<&Pair>| TlsClients::trusting_as(&pair, own, &[]);
    let log = scratch_folder().join("log");
    let format = "%{tls_client_subject}x|%{tls_client_names}x|%{tls_client_fingerprint}x|%s";
    for mode in ["required", "optional"] {
        let options = ["--tls-client-ca", text(&ca.cert), "--tls-client-auth", mode, "--workers", "1"];
        let logged = ["--access-log", text(&log), "--access-log-format", format];
        let server = Server::start_https(&pair, &[&options[..], &logged].concat());
        let is_served = |own: Option<&Pair>| clients(own).try_get(server.https(), "localhost", "/health").is_ok();
        assert!(is_served(Some(&alice)) && !is_served(Some(&mallory)), "{mode}");
        assert_eq!(is_served(None), mode == "optional");
        let line = eventually("a line of alice's", || {
            let lines = fs::read_to_string(&log).ok()?;
            lines.lines().find(|line| line.contains("alice")).map(str::to_string)
        });
        let parts: Vec<&str> = line.split('|').collect();
        assert!(parts[0].contains("CN=alice.test") && parts[1] == "DNS:alice.test" && parts[2].len() == 64, "{line}");
        fs::remove_file(&log).expect("removed");
    }
}
