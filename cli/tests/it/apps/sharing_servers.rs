//! Two servers of the application `turnstile` that share a limit of [`MOST`] through a store, each behind a proxy of its own.

use super::turnstile_server::Turnstile;
use crate::support::redis::{Redis, try_limit_store_process};
use crate::support::store_proxy::StoreProxy;
use crate::support::{Client, eventually, send_signal};
use nix::sys::signal::Signal;

pub const MOST: u64 = 10;

pub struct Sharing {
    pub servers: [Turnstile; 2],
    pub proxies: [StoreProxy; 2],
    pub redis: Redis,
}

/// One of the two, which shares through this proxy.
pub fn sharing_server(proxy: &StoreProxy) -> Turnstile {
    let url = proxy.url();
    Turnstile::start(&["--workers", "2", "--limit-concurrency", "10", "--limit-wait", "25s", "--limit-store", &url])
}

impl Sharing {
    /// Both have half of the limit.
    #[track_caller]
    pub fn start() -> Sharing {
        let redis = Redis::start();
        let proxies = [(); 2].map(|()| StoreProxy::start(&redis));
        let sharing = Sharing { servers: proxies.each_ref().map(sharing_server), proxies, redis };
        for at in [0, 1] {
            sharing.wait_share(at, MOST / 2);
        }
        sharing
    }

    /// The requests that both answer. Each is held until it is released, so that a sum above the limit is not missed.
    #[track_caller]
    pub fn held(&self) -> [u64; 2] {
        let held = self.servers.each_ref().map(|server| server.counts().held);
        assert!(held[0] + held[1] <= MOST, "{held:?}");
        held
    }

    #[track_caller]
    pub fn wait_held(&self, expected: [u64; 2]) {
        eventually(&format!("{expected:?} are held, not {:?}", self.held()), || {
            (self.held() == expected).then_some(())
        });
    }

    /// Requests of this server, which are held if they are admitted.
    pub fn holds(&self, at: usize, count: usize) -> Vec<Client> {
        (0..count).map(|_| self.servers[at].hold()).collect()
    }

    pub fn release(&self, at: usize, more: u64) {
        self.servers[at].release(more);
    }

    fn store_status(&self, at: usize) -> serde_json::Value {
        let output = self.servers[at].0.ctl(&["status", "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        said["status"]["limits"]["store"].clone()
    }

    /// What this server may admit now.
    #[track_caller]
    pub fn wait_share(&self, at: usize, share: u64) {
        eventually("the share is that", || (self.store_status(at)["shares"]["concurrency"] == share).then_some(()));
    }

    /// Servers that are in contact with the store.
    pub fn known(&self, at: usize) -> u64 {
        self.store_status(at)["servers"].as_u64().expect("a number")
    }

    #[track_caller]
    pub fn process(&self, at: usize) -> i32 {
        eventually("there is a process", || try_limit_store_process(&self.servers[at].0))
    }

    /// Kills the process by SIGKILL, and waits for the next one.
    #[track_caller]
    pub fn kill(&self, at: usize) {
        let killed = self.process(at);
        send_signal(killed, Signal::SIGKILL);
        let next = || try_limit_store_process(&self.servers[at].0).filter(|&pid| pid != killed);
        eventually("there is another process", next);
    }
}
