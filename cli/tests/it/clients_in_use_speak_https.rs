//! Clients that are in use get everything over HTTPS, with the certificate verified: openssl, Python, Node, Java, the load generators,
//! and a browser, which negotiates HTTP/2. curl is in https_is_served_over_both_versions.rs.

use crate::support::hey::Hey;
use crate::support::python::run_python;
use crate::support::tls::{Authority, Pair, text};
use crate::support::{Server, eventually, within_patience};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// A server whose certificate an authority has issued, and the file of the authority's.
struct Site {
    server: Server,
    ca: Pair,
    port: String,
}

impl Site {
    fn start() -> Site {
        let authority = Authority::new("Test Authority");
        let (certificate, key) = authority.issue(&["localhost", "*.example.test"]);
        let server = Server::start_https(&Pair::write(&certificate, &key), &["--workers", "2"]);
        let port = server.https().port().to_string();
        Site { server, ca: Pair::write(&authority.certificate, ""), port }
    }

    fn ca(&self) -> &str {
        text(&self.ca.cert)
    }
}

/// What a program says when it is run to its end.
#[track_caller]
fn run(program: &str, arguments: &[&str]) -> String {
    let output = within_patience(program).args(arguments).stdin(Stdio::null()).output().expect("timeout runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(
        output.status.success(),
        "{program} {arguments:?}, which scripts/test installs: {}:\n{said}",
        output.status
    );
    said
}

fn client(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

#[test]
fn openssl() {
    let site = Site::start();
    let address = format!("127.0.0.1:{}", site.port);
    let base = ["s_client", "-connect", &address, "-CAfile", site.ca(), "-verify_return_error"];
    for (options, words) in [
        (&["-tls1_2", "-servername", "localhost"][..], &["Verify return code: 0 (ok)", "Protocol  : TLSv1.2"][..]),
        (&["-tls1_3", "-verify_hostname", "localhost"], &["Verification: OK", "New, TLSv1.3", "CN = localhost"]),
        (&["-verify_hostname", "a.example.test"], &["Verified peername: *.example.test"]),
        (&["-alpn", "h2,http/1.1"], &["ALPN protocol: h2"]),
        (&["-alpn", "http/1.1"], &["ALPN protocol: http/1.1"]),
        (&["-status"], &["OCSP response: no response sent"]),
        (&["-tls1_2"], &["Secure Renegotiation IS supported", "Compression: NONE"]),
    ] {
        let said = run("openssl", &[&base[..], options].concat());
        for words in words {
            assert!(said.contains(words), "{options:?}: {words} is not in\n{said}");
        }
    }
    // Sessions of TLS 1.2: five connections after the first.
    let said = run("openssl", &[&base[..], &["-tls1_2", "-reconnect"]].concat());
    assert_eq!((said.matches("\nNew, TLSv1.2").count(), said.matches("\nReused, TLSv1.2").count()), (1, 5), "{said}");
}

#[test]
fn python() {
    let site = Site::start();
    run_python("https.py", &[&site.port, site.ca()]);
}

#[test]
fn node() {
    let site = Site::start();
    run("node", &[text(&client("https.js")), &site.port, site.ca()]);
}

#[test]
fn java() {
    let site = Site::start();
    // Its compiler is quick, and not clever.
    let options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m"];
    let program = client("Https.java");
    run("java", &[&options[..], &[text(&program), &site.port, site.ca()]].concat());
}

#[test]
fn load_generators() {
    let site = Site::start();
    let url = |path: &str| format!("https://localhost:{}{path}", site.port);
    for (options, path) in
        [(&["-m", "20"][..], "/health"), (&["-m", "10"], "/bin/50K"), (&["--h1"], "/health"), (&["--h1"], "/bin/50K")]
    {
        let said = run("h2load", &[&["-n", "300", "-c", "5"], options, &[&url(path)]].concat());
        assert!(said.contains(" 300 succeeded, 0 failed, 0 errored, 0 timeout"), "{options:?} {path}: {said}");
        let agreed = if options.contains(&"--h1") { "http/1.1" } else { "h2" };
        assert!(said.contains(&format!("Application protocol: {agreed}")) && said.contains("TLSv1.3"), "{said}");
    }
    let said = run("wrk", &["-c", "10", "-t", "1", "-d", "1", &url("/bin/10K")]);
    assert!(said.contains("Requests/sec") && !said.contains("errors") && !said.contains("Non-2xx"), "{said}");
    let requests = || {
        let said: serde_json::Value =
            serde_json::from_slice(&site.server.ctl(&["status", "--json"]).stdout).expect("JSON");
        said["status"]["requests"].as_u64().expect("a count")
    };
    for is_kept in [true, false] {
        let (hey, before) = (Hey::start(&url("/health"), is_kept), requests());
        eventually("it is answered", || (requests() > before + 300).then_some(()));
        assert_eq!(hey.stop().complaints, Vec::<String>::new());
    }
}

#[test]
fn a_browser() {
    let site = Site::start();
    run_python("browser.py", &[&format!("https://localhost:{}", site.port), site.ca()]);
}
