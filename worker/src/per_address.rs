//! `--max-connections-per-address`: which connection was counted for which client's address.
//!
//! It exists only with the option. What was counted for a connection is stored by its token, since the kernel reports
//! no address for a connection that was reset. The entry is stored when the connection is admitted
//! ([`PerAddress::keep`]) and given back when the connection is removed ([`PerAddress::leave`]), whatever ended it.

use crate::run_queue::Token;
use std::net::IpAddr;
use tine_common::address_counts::{AddressCounts, Entry};

pub struct PerAddress {
    most: usize,
    counts: AddressCounts,
    /// By token; `None`: nothing was counted, as for a refused connection.
    entries: Vec<Option<Entry>>,
}

impl PerAddress {
    pub fn new(most: usize, counts: AddressCounts) -> Self {
        PerAddress { most, counts, entries: Vec::new() }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// Counts one more connection of this address, if the whole server has fewer than are allowed.
    pub fn enter(&self, address: IpAddr) -> Option<Entry> {
        self.counts.enter(address, self.most as u64)
    }

    /// The connection was admitted.
    pub fn keep(&mut self, token: Token, entry: Entry) {
        if self.entries.len() <= token {
            self.entries.resize_with(token + 1, || None);
        }
        debug_assert!(self.entries[token].is_none(), "the token's last connection has not left");
        self.entries[token] = Some(entry);
    }

    /// The connection was not admitted after all.
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
