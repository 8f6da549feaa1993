//! `--max-connections-per-address`: which connection was counted for which client's address.
//!
//! There is none of this without the option. What was counted for a connection stands beside it, by its token, since the kernel says no
//! address of a connection that was reset. The entry is put there when the connection is let in ([`PerAddress::keep`]) and goes
//! back where connections are removed ([`PerAddress::leave`]), whatever ended it.

use crate::run_queue::Token;
use std::net::IpAddr;
use tine_common::address_counts::{AddressCounts, Entry};

pub struct PerAddress {
    most: usize,
    counts: AddressCounts,
    /// By token; `None`: nothing was counted, as of a connection that is refused.
    entries: Vec<Option<Entry>>,
}

impl PerAddress {
    pub fn new(most: usize, counts: AddressCounts) -> Self {
        PerAddress { most, counts, entries: Vec::new() }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// Counts one more connection from there, if the whole server has fewer than are allowed.
    pub fn enter(&self, address: IpAddr) -> Option<Entry> {
        self.counts.enter(address, self.most as u64)
    }

    /// The connection was let in.
    pub fn keep(&mut self, token: Token, entry: Entry) {
        if self.entries.len() <= token {
            self.entries.resize_with(token + 1, || None);
        }
        debug_assert!(self.entries[token].is_none(), "the token's last connection has not left");
        self.entries[token] = Some(entry);
    }

    /// The connection was not let in after all.
    pub fn give_back(&self, entry: Entry) {
        self.counts.leave(entry);
    }

    /// The connection was removed.
    pub fn leave(&mut self, token: Token) {
        if let Some(entry) = self.entries.get_mut(token).and_then(Option::take) {
            self.counts.leave(entry);
        }
    }
}
