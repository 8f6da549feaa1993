//! `/bin/{size}`: that many bytes, `A-Z0-9` over and over, never copied by us.

use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

/// About what one call sends: the same block several times. Fewer and longer calls, at no cost in memory.
const CHUNK_BYTES: usize = 2 << 20;
const ALPHABET: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// One block, made once a worker and never freed. Sends of 256 KiB from one 256 KiB block, which stays in the cache,
/// cost least CPU a byte (measured: 64 KiB sends 1.4 times as much, a 4 MiB block 1.3 times).
#[derive(Clone, Copy)]
pub struct Pattern(&'static [u8]);

impl Pattern {
    /// The pattern starts anew after `block_bytes`, of which there is at least one.
    pub fn new(block_bytes: usize) -> Self {
        Pattern(Vec::leak(ALPHABET.iter().copied().cycle().take(block_bytes).collect()))
    }

    /// Whole blocks, so that no chunk ends inside one.
    fn chunk_bytes(self) -> usize {
        self.0.len() * (CHUNK_BYTES / self.0.len()).max(1)
    }
}

pub fn answer(size: &str, request: &Request<'_>, pattern: &Pattern) -> Answer {
    let wrong = |text: &'static str| Response::text(StatusCode::BAD_REQUEST, text).into();
    if size.is_empty() {
        return wrong("Please specify size: /bin/1M, /bin/10M, /bin/10000G or /bin/11111, etc.\n");
    }
    let Some(size) = parse_size(size) else {
        return wrong(
            "Invalid size. Supported: K, M, G, T suffixes (e.g., 1K, 10M, 1G, 10000G) or any positive integer\n",
        );
    };
    let chunked = request
        .query_value("chunked")
        .is_some_and(|value| ["true", "1", "yes", "on"].iter().any(|yes| value.eq_ignore_ascii_case(yes)));
    Answer::exchange(Bin { left: size, chunked, pattern: *pattern })
}

/// A positive number with an optional suffix k, m, g or t of either case, by 1024.
fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        b't' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift).filter(|&bytes| bytes > 0)
}

struct Bin {
    left: u64,
    chunked: bool,
    pattern: Pattern,
}

impl Exchange for Bin {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            let head = Head::new(StatusCode::OK)
                .content_type("application/octet-stream")
                .header("Content-Disposition", "attachment; filename=\"data.bin\"");
            out.head(if self.chunked { head } else { head.length(self.left) })?;
        }
        let part = self.left.min(self.pattern.chunk_bytes() as u64);
        out.write_static_cycle(self.pattern.0, part as usize)?;
        self.left -= part;
        Ok(if self.left == 0 { Pull::End } else { Pull::More })
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

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1", 1), ("11111", 11111), ("1K", 1024), ("10m", 10 << 20), ("1G", 1 << 30), ("2t", 2 << 40)]
        {
            assert_eq!(parse_size(text), Some(bytes), "{text}");
        }
        for text in ["0", "0K", "K", "-1", "+1", "1.5M", "1KB", "x", "99999999999999999999", "16777216T", "1é"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }
}
