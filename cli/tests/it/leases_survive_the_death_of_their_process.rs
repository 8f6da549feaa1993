//! The process of `--limit-store` is killed by SIGKILL at each moment of a lease: another one goes on with what the first one
//! had, and neither is a request admitted too many, nor a share lost.

use crate::apps::sharing_servers::{MOST, Sharing, sharing_server};
use crate::apps::turnstile_server::is_waiting;
use crate::support::redis::try_limit_store_process;
use crate::support::store_proxy::StoreProxy;
use crate::support::upgradable::Upgradable;
use crate::support::{eventually, send_signal};
use nix::sys::signal::Signal;

#[test]
fn before_its_first_lease() {
    let mut sharing = Sharing::start();
    let _all = sharing.holds(0, 10);
    assert!(sharing.servers[1].0.stop(Signal::SIGTERM).success());
    sharing.servers[0].wait_held(MOST);
    // The third server's process never gets an answer.
    let proxy = StoreProxy::start(&sharing.redis);
    proxy.hold_requests_of(0..usize::MAX);
    let third = sharing_server(&proxy);
    let waiting: Vec<_> = (0..3).map(|_| third.hold()).collect();
    for _ in 0..3 {
        let seen = proxy.connections();
        eventually("it asks", || (proxy.connections() > seen).then_some(()));
        let killed = eventually("there is a process", || try_limit_store_process(&third.0));
        send_signal(killed, Signal::SIGKILL);
        eventually("another", || try_limit_store_process(&third.0).filter(|&pid| pid != killed));
    }
    assert!(waiting.iter().all(is_waiting), "nothing is admitted");
    // Each asks now, the dead ones, too.
    proxy.release();
    third.0.wait_log("is reached; servers that share the limits: 2");
    sharing.release(0, 3);
    third.wait_held(3);
    assert_eq!(sharing.servers[0].counts().held, 7);
}

/// What a dead process asked for reaches the store late.
#[test]
fn while_it_asks_the_store() {
    let sharing = Sharing::start();
    let [proxy, other_proxy] = &sharing.proxies;
    let old = proxy.connections() - 1;
    proxy.hold_requests_of(0..old + 1);
    proxy.wait_held();
    sharing.kill(0);
    let _all = sharing.holds(0, 12);
    sharing.wait_held([MOST, 0]);
    let others = sharing.holds(1, 3);
    sharing.wait_share(0, 7);
    // It says that the server holds half, and no later report corrects that.
    proxy.release_only(old);
    other_proxy.wait_answers(3);
    assert!(others.iter().all(is_waiting));
    assert_eq!(sharing.held(), [MOST, 0]);
    proxy.release();
    sharing.release(0, 3);
    sharing.wait_held([7, 3]);
}

/// The store counts the server's share as higher than the server does.
#[test]
fn between_the_answer_of_the_store_and_its_memory() {
    let sharing = Sharing::start();
    sharing.proxies[0].hold_answers_with("*6\r\n:10\r\n");
    let _first = sharing.holds(0, 12);
    sharing.proxies[0].wait_held();
    sharing.held();
    sharing.kill(0);
    sharing.proxies[0].release();
    sharing.proxies.iter().for_each(|proxy| proxy.wait_answers(3));
    assert_eq!(sharing.known(1), 2, "it is the same server");
    sharing.wait_held([MOST, 0]);
    let _others = sharing.holds(1, 12);
    sharing.wait_share(0, 5);
    for released in 1..=5 {
        sharing.release(0, 1);
        sharing.wait_held([MOST - released, released]);
    }
}

/// The next one comes before the others take the server for dead.
#[test]
fn again_and_again() {
    let sharing = Sharing::start();
    let _first = sharing.holds(0, 10);
    sharing.wait_held([MOST, 0]);
    let _others = sharing.holds(1, 10);
    for _ in 0..9 {
        sharing.kill(0);
        sharing.proxies[0].wait_answers(3);
        assert_eq!(sharing.held(), [MOST, 0]);
    }
    sharing.release(0, 5);
    sharing.wait_held([5, 5]);
}

/// Its workers finish what they have, and the process tells the store until then.
#[test]
fn with_its_master() {
    let mut sharing = Sharing::start();
    assert!(sharing.servers[0].0.stop(Signal::SIGTERM).success());
    let url = sharing.proxies[0].url();
    let site = Upgradable::start(&format!(
        "workers = 2\nlimit-concurrency = 10\nlimit-wait = \"100s\"\nlimit-store = \"{url}\"\n"
    ));
    let mut held = site.holds(10);
    held.wait_admitted(10);
    let _others = sharing.holds(1, 10);
    send_signal(site.master(), Signal::SIGKILL);
    for finished in 1..=10 {
        held.finish_one();
        sharing.servers[1].wait_held(finished);
    }
}
