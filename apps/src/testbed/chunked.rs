//! `/chunked/{n}[?size=&delay=]`: n chunks of `size` bytes, `delay` milliseconds apart.

use super::bin::Pattern;
use super::numbers;
use super::pace::Pace;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

const SIZE_BYTES: u64 = 1024;

pub fn answer(count: &str, request: &Request<'_>, pattern: Pattern) -> Answer {
    let wrong = |text: &'static str| Response::text(StatusCode::BAD_REQUEST, text).into();
    if count.is_empty() {
        return wrong("Please specify chunk count: /chunked/10?size=1024&delay=100\n");
    }
    let Some(count) = numbers::in_path(count).filter(|&count| count > 0) else {
        return wrong("Invalid chunk count. Must be a positive integer\n");
    };
    let size_bytes = numbers::positive_or(SIZE_BYTES, request, "size");
    let pace = Pace::new(numbers::positive_or(0, request, "delay"));
    Answer::exchange(Chunked { left: count, size_bytes, unwritten_bytes: 0, pace, pattern })
}

struct Chunked {
    /// Chunks that have not been started.
    left: u64,
    size_bytes: u64,
    /// What is left of the current chunk.
    unwritten_bytes: u64,
    pace: Pace,
    pattern: Pattern,
}

impl Exchange for Chunked {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("text/plain; charset=utf-8"))?;
        }
        while out.has_room() {
            if self.unwritten_bytes == 0 {
                if let Some(due) = self.pace.waits_until(cx) {
                    return Ok(Pull::NotBefore(due));
                }
                self.begin(out)?;
                if !out.has_room() {
                    continue; // the chunk's size line alone filled the output
                }
            }
            self.write(out)?;
            if self.unwritten_bytes > 0 {
                continue;
            }
            let due = self.pace.happened(cx);
            if self.left == 0 {
                return Ok(Pull::End);
            }
            if !self.pace.is_unpaced() {
                // Even if the next chunk is already due: each is sent on its own.
                return Ok(Pull::NotBefore(due));
            }
        }
        Ok(Pull::More)
    }
}

impl Chunked {
    fn begin(&mut self, out: &mut Out<'_>) -> Result<(), AppError> {
        self.left -= 1;
        self.unwritten_bytes = self.size_bytes;
        // A chunk that fits is a single write.
        if self.size_bytes > self.pattern.chunk_bytes() as u64 { out.begin_chunk(self.size_bytes) } else { Ok(()) }
    }

    /// Writes a part of the chunk, or all of it.
    fn write(&mut self, out: &mut Out<'_>) -> Result<(), AppError> {
        let part = self.unwritten_bytes.min(self.pattern.chunk_bytes() as u64);
        out.write_static_cycle(self.pattern.block(), part as usize)?;
        self.unwritten_bytes -= part;
        Ok(())
    }
}
