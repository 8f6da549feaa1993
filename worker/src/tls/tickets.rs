//! Session tickets (RFC 5077, RFC 8446 4.6.1): a client keeps its session, sealed with keys that all workers have.
//!
//! A ticket is the number of its key, a nonce, and the sealed session. It is bound to what is asked of clients: one that was
//! made before `--tls-client-ca` changed is worth nothing afterwards.

use crate::net::tls_crypto::{NONCE_BYTES, open, seal};
use rustls::server::ProducesTickets;
use std::time::Duration;
use tine_common::sys::random;
use tine_common::ticket_keys::TicketKeys;

const EPOCH_BYTES: usize = size_of::<u64>();

#[derive(Debug)]
pub struct Tickets {
    keys: TicketKeys,
    every: Duration,
    /// A hash of what is asked of clients.
    of_clients: [u8; 32],
}

impl Tickets {
    /// `every`: how long a key is used.
    pub fn new(keys: TicketKeys, every: Duration, of_clients: [u8; 32]) -> Tickets {
        Tickets { keys, every, of_clients }
    }

    fn context(&self, epoch: u64) -> [u8; EPOCH_BYTES + 32] {
        let mut context = [0; EPOCH_BYTES + 32];
        context[..EPOCH_BYTES].copy_from_slice(&epoch.to_be_bytes());
        context[EPOCH_BYTES..].copy_from_slice(&self.of_clients);
        context
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.epoch() > 0
    }

    /// In seconds: a key is read for at least that long after the ticket was made.
    fn lifetime(&self) -> u32 {
        self.every.as_secs().clamp(1, 7 * 24 * 3600) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let epoch = self.keys.epoch();
        let (key, nonce) = (self.keys.key(epoch)?, random::bytes::<NONCE_BYTES>().ok()?);
        let mut sealed = plain.to_vec();
        seal(&key, nonce, &self.context(epoch), &mut sealed)?;
        Some([&epoch.to_be_bytes()[..], &nonce, &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (epoch, rest) = ticket.split_first_chunk::<EPOCH_BYTES>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let epoch = u64::from_be_bytes(*epoch);
        let mut plain = sealed.to_vec();
        let count = open(&self.keys.key(epoch)?, *nonce, &self.context(epoch), &mut plain)?;
        plain.truncate(count);
        Some(plain)
    }
}
