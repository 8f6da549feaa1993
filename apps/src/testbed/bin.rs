//! `/bin/{size}`: that many bytes, `A-Z0-9` over and over, never copied by us.

use super::{numbers, query};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

/// About what one call sends: the same block several times. Makes calls fewer and longer at no cost in memory.
const CHUNK_BYTES: usize = 2 << 20;
/// With less room, no more than that is written: its client takes next to nothing, and might ask for a hundred bodies.
const ROOM_BYTES_MIN: usize = 4 << 10;
const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The same for all endpoints that take a size.
pub const INVALID_SIZE: &str =
    "Invalid size. Supported: K, M, G, T suffixes (e.g., 1K, 10M, 1G, 10000G) or any positive integer\n";

/// One block, made once a worker and never freed. Sends of 256 KiB from one 256 KiB block, which stays in the cache,
/// cost least CPU a byte (measured: 64 KiB sends 1.4 times as much, a 4 MiB block 1.3 times).
#[derive(Clone, Copy)]
pub struct Pattern(&'static [u8]);

impl Pattern {
    /// The pattern starts again after `block_bytes`, which is at least 1.
    pub fn new(block_bytes: usize) -> Self {
        Pattern(Vec::leak(ALPHABET.iter().copied().cycle().take(block_bytes).collect()))
    }

    /// Whole blocks, so that no chunk ends inside one.
    pub fn chunk_bytes(self) -> usize {
        self.0.len() * (CHUNK_BYTES / self.0.len()).max(1)
    }

    pub fn block(self) -> &'static [u8] {
        self.0
    }

    /// Writes up to `bytes_max` bytes from `position` on, at least one; returns how many.
    pub fn write(self, out: &mut Out<'_>, position: u64, bytes_max: u64) -> Result<u64, AppError> {
        let into_block = (position % self.0.len() as u64) as usize;
        let rest_of_block = &self.0[into_block..];
        let bytes_max = if out.room() < ROOM_BYTES_MIN { bytes_max.min(out.room() as u64) } else { bytes_max };
        if into_block == 0 {
            let part = bytes_max.min(self.chunk_bytes() as u64);
            out.write_static_cycle(self.0, part as usize)?;
            return Ok(part);
        }
        let part = bytes_max.min(rest_of_block.len() as u64);
        out.write_static(&rest_of_block[..part as usize])?;
        Ok(part)
    }

    /// The entity tag, unquoted, of the first `size` bytes.
    pub fn etag_of(self, size: u64) -> String {
        format!("{size}-{}", self.0.len())
    }
}

pub fn answer(size: &str, request: &Request<'_>, pattern: Pattern) -> Answer {
    let wrong = |text: &'static str| Response::text(StatusCode::BAD_REQUEST, text).into();
    if size.is_empty() {
        return wrong("Please specify size: /bin/1M, /bin/10M, /bin/10000G or /bin/11111, etc.\n");
    }
    let Some(size) = numbers::size(size) else {
        return wrong(INVALID_SIZE);
    };
    let chunked = query::value(request, "chunked")
        .is_some_and(|value| ["true", "1", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes)));
    Answer::exchange(Bin { position: 0, size, chunked, pattern })
}

struct Bin {
    position: u64,
    size: u64,
    chunked: bool,
    pattern: Pattern,
}

impl Exchange for Bin {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            let head = Head::new(StatusCode::OK)
                .content_type("application/octet-stream")
                .header("Content-Disposition", "attachment; filename=\"data.bin\"");
            out.head(if self.chunked { head } else { head.length(self.size) })?;
        }
        if !out.has_room() {
            return Ok(Pull::More);
        }
        self.position += self.pattern.write(out, self.position, self.size - self.position)?;
        Ok(if self.position == self.size { Pull::End } else { Pull::More })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_about_2_mib_of_whole_blocks() {
        for (block_bytes, blocks) in
            [(64 << 10, 32), (100_000, 20), (256 << 10, 8), (1 << 20, 2), (3 << 19, 1), (4 << 20, 1)]
        {
            assert_eq!(Pattern::new(block_bytes).chunk_bytes(), blocks * block_bytes);
        }
    }
}
