//! A server of the application `turnstile`, whose requests are held until they are let pass.

use super::serve;
use crate::support::{Client, Server, eventually};
use std::time::Duration;

/// What the tests themselves ask is never limited.
const EXEMPT: [&str; 2] = ["--limit-exempt", "/counts,/release/*,/marks"];

pub struct Turnstile(pub Server);

/// What the application has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub held: u64,
    /// The most at once.
    pub peak: u64,
    pub begun: u64,
}

/// Nothing has come for this client.
pub fn is_waiting(client: &Client) -> bool {
    client.is_readable_within(Duration::from_millis(1)).is_ok_and(|is_readable| !is_readable)
}

impl Turnstile {
    pub fn start(options: &[&str]) -> Turnstile {
        Turnstile(serve("turnstile", &[&EXEMPT, options].concat()))
    }

    /// A request that is held, if it is admitted.
    pub fn hold(&self) -> Client {
        self.send("/hold")
    }

    /// A GET of this path, sent. A server with one worker knows of it once this returns.
    pub fn send(&self, path: &str) -> Client {
        let mut client = self.0.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n"));
        self.counts();
        client
    }

    /// This many are held.
    pub fn wait_held(&self, count: u64) {
        eventually(&format!("{count} are held"), || (self.counts().held == count).then_some(()));
    }

    /// This many more requests may pass.
    pub fn release(&self, more: u64) {
        assert_eq!(self.0.get(&format!("/release/{more}")).status, 200);
    }

    pub fn counts(&self) -> Counts {
        let text = self.0.get("/counts").text();
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().expect("a number")).collect();
        let [held, peak, begun] = numbers[..] else { panic!("{text}") };
        Counts { held, peak, begun }
    }
}
