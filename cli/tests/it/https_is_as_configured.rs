//! `--tls-min` and `--tls-ocsp`: which versions of TLS are spoken, and what comes with the certificate.

use crate::support::tls::{Pair, TlsClients, text};
use crate::support::{Server, one_line_of, run_to_end, scratch_folder};
use rustls::version::{TLS12, TLS13};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[test]
fn the_lowest_version() {
    let pair = Pair::of(&["localhost"]);
    for (options, has_12) in [(&[][..], true), (&["--tls-min", "1.2"], true), (&["--tls-min", "1.3"], false)] {
        let server = Server::start_https(&pair, &[options, &["--workers", "1"]].concat());
        let get = |version| TlsClients::of_version(&pair, version).try_get(server.https(), "localhost", "/health");
        assert!(get(&TLS13).is_ok(), "{options:?}");
        match get(&TLS12) {
            Ok(_) => assert!(has_12, "{options:?}"),
            Err(e) => assert!(!has_12 && e.to_string().contains("ProtocolVersion"), "{options:?}: {e}"),
        }
    }
    let output =
        run_to_end(&[&["run", "0", "--tls-listen", "127.0.0.1:0", "--tls-min", "1.1"], &pair.options()[..]].concat());
    assert!(one_line_of(&output).contains("--tls-min"), "{output:?}");
}

/// The output of openssl, which may have succeeded or not.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).stdin(Stdio::null()).output().expect("openssl");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// A file with a response for this certificate, which is its own issuer.
fn response_for(pair: &Pair) -> PathBuf {
    let folder = scratch_folder();
    let (index, response) = (folder.join("index.txt"), folder.join("response.der"));
    let (cert, key) = (text(&pair.cert), text(&pair.key));
    let serial = openssl(&["x509", "-noout", "-serial", "-in", cert]);
    let serial = serial.trim().strip_prefix("serial=").expect("a serial number");
    fs::write(&index, format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=localhost\n")).expect("written");
    let signer = ["ocsp", "-index", text(&index), "-CA", cert, "-rsigner", cert, "-rkey", key];
    let said =
        openssl(&[&signer[..], &["-issuer", cert, "-cert", cert, "-ndays", "1", "-respout", text(&response)]].concat());
    assert!(response.exists(), "{said}");
    response
}

#[test]
fn a_response_of_ocsp_is_stapled() {
    let (pair, other) = (Pair::of(&["localhost"]), Pair::of(&["localhost"]));
    let (response, of_another) = (response_for(&pair), response_for(&other));
    let server = Server::start_https(&pair, &["--tls-ocsp", text(&response), "--workers", "1"]);
    let address = server.https().to_string();
    let status =
        |version: &str| openssl(&["s_client", "-connect", &address, "-servername", "localhost", "-status", version]);
    for version in ["-tls1_2", "-tls1_3"] {
        let said = status(version);
        assert!(said.contains("OCSP Response Status: successful") && said.contains("Cert Status: good"), "{said}");
    }
    // A reload reads it again, and refuses what is wrong.
    for (wrong, words) in [
        (fs::read(&of_another).expect("a response"), "the response is of another certificate"),
        (b"<html>".to_vec(), "not an OCSP response"),
        // OCSPResponse { responseStatus tryLater (3) }, RFC 6960, 4.2.1
        (vec![0x30, 0x03, 0x0a, 0x01, 0x03], "the responder has failed, with status 3"),
    ] {
        fs::write(&response, &wrong).expect("written");
        let reload = server.ctl(&["reload"]);
        let line = one_line_of(&reload);
        assert!(!reload.status.success() && line.contains(words) && line.contains("--tls-ocsp"), "{line}");
        assert!(status("-tls1_3").contains("Cert Status: good"), "the one before is served");
    }
}
