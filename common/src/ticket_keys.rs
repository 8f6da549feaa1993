//! The keys of TLS session tickets, in the server memory: a session that one worker began is resumed by any other, before and
//! after a reload, and after an upgrade by the workers of the next master.
//!
//! There are two: tickets are made with the current one, and those of the one before are still read. A master makes a new one
//! when the last is due. A reader that meets a key while it is written fails to read one ticket, whose client then has a full
//! handshake.

use crate::sys::clock::monotonic_ns;
use crate::sys::mmap::Line;
use crate::sys::random;
use std::fmt;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

/// Of AES-256-GCM.
pub type Key = [u8; 32];

const KEY_WORDS: usize = size_of::<Key>() / size_of::<u64>();
/// The places of the words in the line.
const EPOCH: usize = 0;
const ROTATED_NS: usize = 1;
const KEYS: usize = 2;

#[derive(Clone, Copy)]
pub struct TicketKeys(&'static Line);

impl TicketKeys {
    /// At this line, which is zeroed at first.
    pub(crate) fn at(line: &'static Line) -> TicketKeys {
        TicketKeys(line)
    }

    /// Makes a new key if the last one is older than `every`, or there is none. With several masters one of them does.
    pub fn rotate_if_due(self, every: Duration) -> io::Result<()> {
        let (now, last) = (monotonic_ns(), self.word(ROTATED_NS).load(SeqCst));
        let epoch = self.word(EPOCH).load(SeqCst);
        let is_due = epoch == 0 || u128::from(now.saturating_sub(last)) >= every.as_nanos();
        if !is_due || self.word(ROTATED_NS).compare_exchange(last, now, SeqCst, SeqCst).is_err() {
            return Ok(());
        }
        let key: Key = random::bytes()?;
        for (word, bytes) in self.key_words(epoch + 1).iter().zip(key.chunks_exact(8)) {
            word.store(u64::from_ne_bytes(bytes.try_into().expect("eight bytes")), Relaxed);
        }
        self.word(EPOCH).store(epoch + 1, Release);
        Ok(())
    }

    /// How long the current key is to be used.
    pub fn due_in(self, every: Duration) -> Duration {
        let age = monotonic_ns().saturating_sub(self.word(ROTATED_NS).load(Relaxed));
        every.saturating_sub(Duration::from_nanos(age))
    }

    /// The number of the current key; 0: there is none.
    pub fn epoch(self) -> u64 {
        self.word(EPOCH).load(Acquire)
    }

    /// A key by its number: the current one, or the one before.
    pub fn key(self, epoch: u64) -> Option<Key> {
        let current = self.epoch();
        if epoch == 0 || epoch > current || epoch + 1 < current {
            return None;
        }
        let mut key = Key::default();
        for (bytes, word) in key.chunks_exact_mut(8).zip(self.key_words(epoch)) {
            bytes.copy_from_slice(&word.load(Relaxed).to_ne_bytes());
        }
        Some(key)
    }

    fn word(self, place: usize) -> &'static AtomicU64 {
        &self.0.words[place]
    }

    fn key_words(self, epoch: u64) -> &'static [AtomicU64] {
        let place = KEYS + (epoch % 2) as usize * KEY_WORDS;
        &self.0.words[place..place + KEY_WORDS]
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No key gets into a log.
        write!(f, "TicketKeys(epoch {})", self.epoch())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::mmap::shared_lines;

    #[test]
    fn a_key_is_known_until_the_one_after_the_next() {
        let keys = TicketKeys::at(&shared_lines(1).expect("memory")[0]);
        assert_eq!((keys.epoch(), keys.key(0), keys.key(1)), (0, None, None));
        let mut made = Vec::new();
        for epoch in 1..=4 {
            keys.rotate_if_due(Duration::ZERO).expect("random bytes");
            assert_eq!(keys.epoch(), epoch);
            made.push(keys.key(epoch).expect("the current one"));
            assert_eq!(keys.key(epoch + 1), None);
        }
        assert_eq!((keys.key(4), keys.key(3), keys.key(2)), (Some(made[3]), Some(made[2]), None));
        assert!(made.windows(2).all(|pair| pair[0] != pair[1]));
        keys.rotate_if_due(Duration::from_secs(3600)).expect("nothing is due");
        assert_eq!(keys.epoch(), 4);
    }
}
