//! What no client would accept is refused at the start, in one line that names the file; what some will not for long is warned of.

use crate::support::tls::{Authority, Pair, text};
use crate::support::{Server, one_line_of, run_to_end};
use std::time::{Duration, SystemTime};

#[test]
fn a_wrong_pair_is_one_line() {
    let (pair, other) = (Pair::of(&["localhost"]), Pair::of(&["localhost"]));
    let expired = Pair::with(&["localhost"], |params| {
        params.not_after = (SystemTime::now() - Duration::from_secs(3600)).into();
    });
    let authority = Authority::new("An Authority");
    let (leaf, key) = authority.issue(&["localhost"]);
    let reversed = Pair::write(&format!("{}{leaf}", authority.certificate), &key);
    let unrelated = Pair::write(&format!("{leaf}{}", Authority::new("Another").certificate), &key);
    let empty = Pair::write("", "");
    for (cert, key, words) in [
        (&pair.cert, &other.key, "is not the key of"),
        (&expired.cert, &expired.key, "expired on"),
        (&reversed.cert, &reversed.key, "the chain is out of order"),
        (&unrelated.cert, &unrelated.key, "the chain is out of order"),
        (&empty.cert, &pair.key, "there is no certificate in it"),
        (&pair.cert, &empty.key, "there is no private key in it"),
        (&pair.cert, &pair.cert, "there is no private key in it"),
        (&pair.cert, &pair.cert.with_file_name("none"), "there is no such file"),
    ] {
        for command in ["run", "check"] {
            let output = run_to_end(&[
                command,
                "0",
                "--tls-listen",
                "127.0.0.1:0",
                "--tls-cert",
                text(cert),
                "--tls-key",
                text(key),
            ]);
            let line = one_line_of(&output);
            assert!(line.contains(words) && line.contains("--tls-"), "{line}");
        }
    }
    let chain = Pair::write(
        &format!("{leaf}{}", authority.certificate),
        &std::fs::read_to_string(&reversed.key).expect("a key"),
    );
    Server::start_https(&chain, &["--workers", "1"]);
    let soon = Pair::with(&["localhost"], |params| {
        params.not_after = (SystemTime::now() + Duration::from_secs(3600)).into();
    });
    let server = Server::start_https(&soon, &["--workers", "1"]);
    assert!(server.log().contains("it expires on"), "{}", server.log());
}
