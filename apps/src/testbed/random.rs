//! `/random/{size}`: bytes that no proxy can compress and any client can recompute, followed by their digest.
//!
//! They are the words of [`draw::word`] in order, each little-endian, truncated to the size. Each piece is made when
//! there is room for it: only the position and the state of the digest are kept.

use super::{bin, draw, numbers, query};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode, Trailers, Version};

const WORD_BYTES: usize = size_of::<u64>();
/// What is made and digested in one step: takes well under a millisecond.
const PIECE_BYTES_MAX: usize = 64 << 10;

pub fn answer(size: &str, request: &Request<'_>) -> Answer {
    match Random::asked_by(size, request) {
        Ok(random) => Answer::exchange(random),
        Err(text) => Response::text(StatusCode::BAD_REQUEST, text).into(),
    }
}

struct Random {
    seed: u64,
    size: u64,
    /// A multiple of a word, except at the end.
    position: u64,
    declares_length: bool,
    /// `None` where no trailers can follow: HTTP/1.0 has none, and HTTP/1.1 only after a chunked body (RFC 9112, 7.1.2).
    digest: Option<Sha256>,
}

impl Random {
    fn asked_by(size: &str, request: &Request<'_>) -> Result<Random, String> {
        if size.is_empty() {
            return Err("Please specify size: /random/1M, /random/10M?seed=7 or /random/11111, etc.\n".into());
        }
        let size = numbers::size(size).ok_or(bin::INVALID_SIZE)?;
        let seed = query::number(request, "seed", 0..=u64::MAX)?.unwrap_or(0);
        let declares_length = query::flag(request, "length")?;
        let digest = (!declares_length && request.version() != Version::Http10).then(Sha256::new);
        Ok(Random { seed, size, position: 0, declares_length, digest })
    }

    fn head(&self) -> Head {
        let mut head = Head::new(StatusCode::OK).content_type("application/octet-stream");
        if self.digest.is_some() {
            head = head.header("Trailer", "Content-Digest, X-SHA256");
        }
        if self.declares_length { head.length(self.size) } else { head }
    }

    /// The next bytes: whole words except at the end, about as many as there is room for.
    fn take_piece(&mut self, room: usize) -> Vec<u8> {
        let bytes = room.clamp(WORD_BYTES, PIECE_BYTES_MAX) / WORD_BYTES * WORD_BYTES;
        let bytes = (self.size - self.position).min(bytes as u64) as usize;
        let first = self.position / WORD_BYTES as u64;
        let mut piece = vec![0; bytes.next_multiple_of(WORD_BYTES)];
        for (word, index) in piece.chunks_exact_mut(WORD_BYTES).zip(first..) {
            word.copy_from_slice(&draw::word(self.seed, index).to_le_bytes());
        }
        piece.truncate(bytes);
        self.position += bytes as u64;
        piece
    }
}

impl Exchange for Random {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(self.head())?;
        }
        if self.position < self.size && out.has_room() {
            let piece = self.take_piece(out.room());
            if let Some(digest) = &mut self.digest {
                digest.update(&piece);
            }
            out.write_shared(piece.into())?;
        }
        if self.position < self.size {
            return Ok(Pull::More);
        }
        if let Some(digest) = self.digest.take() {
            out.trailers(trailers(&digest.finalize()))?;
        }
        Ok(Pull::End)
    }
}

/// The digest of the body: as RFC 9530 writes it, and as sha256sum(1) does.
fn trailers(sha256: &[u8]) -> Trailers {
    let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
    Trailers::new().field("Content-Digest", format!("sha-256=:{}:", BASE64.encode(sha256))).field("X-SHA256", hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: u64, size: u64) -> Random {
        Random { seed, size, position: 0, declares_length: false, digest: None }
    }

    #[test]
    fn the_bytes_are_the_words_whatever_the_pieces() {
        let whole: Vec<u8> = (0..1000).flat_map(|index| draw::word(7, index).to_le_bytes()).collect();
        for (size, room) in [(1, 1), (7, 100), (8, 8), (9, 8), (999, 13), (4096, 1000), (8000, 1 << 20)] {
            let mut random = random(7, size);
            let mut all = Vec::new();
            while all.len() < size as usize {
                let piece = random.take_piece(room);
                assert!(!piece.is_empty() && piece.len() <= room.max(WORD_BYTES), "{} for {room}", piece.len());
                all.extend(piece);
            }
            assert_eq!(all, whole[..size as usize], "{size} in pieces of {room}");
            assert!(random.take_piece(room).is_empty());
        }
    }

    #[test]
    fn a_piece_is_bounded() {
        assert_eq!(random(0, u64::MAX).take_piece(usize::MAX).len(), PIECE_BYTES_MAX);
    }
}
