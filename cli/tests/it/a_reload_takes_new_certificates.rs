//! A reload reads the files of certificates again; a wrong pair fails it, and the old one serves on.

use crate::support::hey::Hey;
use crate::support::tls::{Pair, TlsClients};
use crate::support::{Server, eventually, one_line_of};
use std::time::Instant;

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
    let old = server.workers();
    assert!(server.ctl(&["reload"]).status.success());
    server.wait_gone(&old);
    assert!((0..4).all(|_| is_served(&second)) && !is_served(&first));
    std::fs::remove_file(&served.key).expect("removed");
    assert!(!server.ctl(&["reload"]).status.success() && is_served(&second));
}

#[test]
fn under_load_it_fails_no_request() {
    for keep_alive in [true, false] {
        let (served, renewed) = (Pair::of(&["localhost"]), Pair::of(&["localhost"]));
        let server = Server::start_https(&served, &["--workers", "4"]);
        let hey = Hey::start(&format!("https://{}/any", server.https()), keep_alive);
        let old = server.workers();
        served.become_like(&renewed);
        let begin = Instant::now();
        assert!(server.ctl(&["reload"]).status.success(), "{}", server.log());
        let is_renewed = || TlsClients::trusting(&renewed).try_get(server.https(), "localhost", "/health").is_ok();
        eventually("each of many handshakes has the new one", || (0..20).all(|_| is_renewed()).then_some(()));
        let seconds = begin.elapsed().as_secs_f32();
        server.wait_gone(&old);
        TlsClients::trusting(&renewed).reach_all(server.https(), "/health", &server.workers());
        let verdict = hey.stop();
        println!("keep-alive {keep_alive}: {} answered, renewed within {seconds} s", verdict.answered);
        assert!(verdict.complaints.is_empty(), "{:#?}\n{}", verdict.complaints, server.log());
    }
}
