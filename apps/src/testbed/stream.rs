//! `/stream[/{MB}]`: a chunked stream in small chunks, the back-pressure test of PAGI's stress app.

use super::after_body;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, StatusCode};

/// Printable bytes: `chr(32 + i % 95)` for i below 256, repeated. One chunk, made once per worker and never freed.
#[derive(Clone, Copy)]
pub struct Pattern(&'static [u8]);

impl Pattern {
    pub fn new(chunk_bytes: usize) -> Self {
        let base: Vec<u8> = (0..256usize).map(|i| 32 + (i % 95) as u8).collect();
        Pattern(Vec::leak(base.into_iter().cycle().take(chunk_bytes).collect()))
    }
}

/// `rest`: what follows `/stream`. `None`: the path is not this endpoint's.
pub fn answer(rest: &str, megabytes_default: u64, pattern: &Pattern) -> Option<Answer> {
    let megabytes = match rest.strip_prefix('/') {
        None => megabytes_default,
        Some(text) => megabytes(text)?,
    };
    Some(after_body::answer(Stream { left: megabytes << 20, size: megabytes << 20, chunk: pattern.0 }))
}

/// Digits only, clamped to 1..=1000.
fn megabytes(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse::<u64>().unwrap_or(u64::MAX).clamp(1, 1000))
}

struct Stream {
    left: u64,
    size: u64,
    chunk: &'static [u8],
}

impl Exchange for Stream {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            let chunk_bytes = self.chunk.len() as u64;
            out.head(
                Head::new(StatusCode::OK)
                    .content_type("application/octet-stream")
                    .header("x-stream-size", self.size.to_string())
                    .header("x-chunk-size", chunk_bytes.to_string())
                    .header("x-chunk-count", self.size.div_ceil(chunk_bytes).to_string()),
            )?;
        }
        while self.left > 0 && out.has_room() {
            let part = self.left.min(self.chunk.len() as u64);
            out.write_static(&self.chunk[..part as usize])?;
            self.left -= part;
        }
        Ok(if self.left == 0 { Pull::End } else { Pull::More })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabytes_are_clamped_digits() {
        for (text, expected) in [
            ("1", Some(1)),
            ("50", Some(50)),
            ("0", Some(1)),
            ("1001", Some(1000)),
            ("99999999999999999999", Some(1000)),
            ("", None),
            ("x", None),
            ("1K", None),
            ("-1", None),
        ] {
            assert_eq!(megabytes(text), expected, "{text}");
        }
    }
}
