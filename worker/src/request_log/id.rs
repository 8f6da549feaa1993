//! `--request-id`: the name under which a request is found in every log that it passes through.
//!
//! The client's `X-Request-ID` is taken if it is sane; otherwise one is made, of 128 random bits. The generator is
//! seeded once a worker, so that no request costs a system call; the IDs are not secret.

use crate::http::{Headers, is_token_byte};
use std::cell::Cell;
use std::io;
use tine_common::sys::random;

/// The field's name, in requests and in responses.
pub const FIELD: &str = "X-Request-ID";
/// The longest ID that is taken from a client.
const BYTES_MAX: usize = 128;

/// One per worker.
pub struct RequestIds {
    /// Of xoshiro256++ (Blackman and Vigna); not all zero.
    state: Cell<[u64; 4]>,
}

impl RequestIds {
    /// To be called in the worker: an inherited state would make the IDs of all workers the same.
    pub fn new() -> io::Result<RequestIds> {
        let seed = random::bytes::<32>()?;
        let (words, _) = seed.as_chunks::<8>();
        let mut state = [0; 4];
        state.iter_mut().zip(words).for_each(|(word, bytes)| *word = u64::from_le_bytes(*bytes) | 1);
        Ok(RequestIds { state: Cell::new(state) })
    }

    /// The ID of a request with these fields.
    pub fn of(&self, headers: Headers<'_>) -> Box<str> {
        let mut values = headers.all(FIELD);
        match (values.next().and_then(sane), values.next()) {
            (Some(id), None) => id.into(),
            _ => self.make(),
        }
    }

    /// 32 hexadecimal digits, as nginx's `$request_id`.
    pub fn make(&self) -> Box<str> {
        format!("{:016x}{:016x}", self.next(), self.next()).into()
    }

    fn next(&self) -> u64 {
        let mut state = self.state.get();
        let result = state[0].wrapping_add(state[3]).rotate_left(23).wrapping_add(state[0]);
        let shifted = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= shifted;
        state[3] = state[3].rotate_left(45);
        self.state.set(state);
        result
    }
}

/// An ID that is short and has only characters that mean nothing to a log, a header or a shell's quotes: those of a
/// token (RFC 9110, 5.6.2), and those that base64 and URLs have besides.
fn sane(value: &[u8]) -> Option<&str> {
    let is_sane = |&byte: &u8| is_token_byte(byte) || b"/=:@".contains(&byte);
    let is_id = (1..=BYTES_MAX).contains(&value.len()) && value.iter().all(is_sane);
    std::str::from_utf8(value).ok().filter(|_| is_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_taken_and_any_other_is_replaced() {
        for id in ["1", "f058ebd6-02f7-4d3f-942e-904344e8cde5", "Root=1-67891233-abcdef", "aGk=/+", &"x".repeat(128)] {
            assert_eq!(sane(id.as_bytes()), Some(id));
        }
        for id in ["", " ", "a b", "a\tb", "a\"b", "a;b", "a,b", "<a>", "é", "a\0", "a\x7f", &"x".repeat(129)] {
            assert_eq!(sane(id.as_bytes()), None, "{id:?}");
        }
        assert_eq!(sane(b"\xff"), None);
    }

    #[test]
    fn made_ids_differ_between_workers_and_requests() {
        let mut all = std::collections::HashSet::new();
        for _ in 0..4 {
            let worker = RequestIds::new().expect("random bytes");
            all.extend((0..1000).map(|_| worker.make()));
        }
        assert_eq!(all.len(), 4000);
        assert!(all.iter().all(|id| id.len() == 32 && sane(id.as_bytes()).is_some()));
    }
}
