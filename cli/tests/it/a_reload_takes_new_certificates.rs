//! A reload reads the files of certificates again; a wrong pair fails it, and the old one serves on.

use crate::support::tls::{Pair, TlsClients};
use crate::support::{Server, one_line_of};

#[test]
fn a_wrong_pair_fails_it() {
    let (first, second) = (Pair::of(&["localhost"]), Pair::of(&["localhost"]));
    let served = Pair::of(&["localhost"]);
    served.become_like(&first);
    let server = Server::start_https(&served, &["--workers", "2"]);
    // With a session to be resumed, a client would not ask for the certificate.
    let is_served = |pair: &Pair| TlsClients::trusting(pair).try_get(server.https(), "localhost", "/health").is_ok();
    assert!(is_served(&first) && !is_served(&second));
    std::fs::copy(&second.cert, &served.cert).expect("copied");
    let reload = server.ctl(&["reload"]);
    assert!(!reload.status.success() && one_line_of(&reload).contains("is not the key of"), "{reload:?}");
    assert!(is_served(&first));
    served.become_like(&second);
    assert!(server.ctl(&["reload"]).status.success());
    assert!((0..4).all(|_| is_served(&second)) && !is_served(&first));
    std::fs::remove_file(&served.key).expect("removed");
    assert!(!server.ctl(&["reload"]).status.success() && is_served(&second));
}
