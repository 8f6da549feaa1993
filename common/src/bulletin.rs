//! The bulletin: the latest text of one writer, in memory that all processes share.
//!
//! There are two halves. A text is written into the half that is not current, and becomes current by one store. So a reader
//! never waits for the writer, and can read while the writer is stopped, dead, or in the middle of the next text. It copies
//! the current half and takes the copy if no other text has become current meanwhile: only then can the writer have begun to
//! overwrite it.

use crate::sys::mmap::{Line, shared_lines};
use std::io;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, fence};

/// The longest text.
pub const TEXT_BYTES_MAX: usize = 1 << 20;

const WORDS_OF_LINE: usize = 16;
/// Of one half: the length of its text, then the text.
const HALF_WORDS: usize = 1 + TEXT_BYTES_MAX / 8;
const HALF_LINES: usize = HALF_WORDS.div_ceil(WORDS_OF_LINE);
/// The words of line 0: the number of texts so far, and the writer's last sign of life.
const VERSION: usize = 0;
const ALIVE: usize = 1;
/// Readers that are overtaken this often give up; a writer that posts ten times a second overtakes no reader twice.
const READS_MAX: usize = 100;

#[derive(Clone, Copy)]
pub struct Bulletin {
    lines: &'static [Line],
}

impl Bulletin {
    /// Only the pages that are written take memory.
    pub fn new() -> io::Result<Bulletin> {
        Ok(Bulletin { lines: shared_lines(1 + 2 * HALF_LINES)? })
    }

    /// Makes this the current text; false if it is too long, and the one before stays. Of one process only.
    pub fn post(&self, text: &[u8]) -> bool {
        if text.len() > TEXT_BYTES_MAX {
            return false;
        }
        let next = self.lines[0].words[VERSION].load(Relaxed) + 1;
        // A reader that sees a word of what follows sees the version that made the other half current as well.
        fence(Release);
        self.word(next, 0).store(text.len() as u64, Relaxed);
        for (at, bytes) in text.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            self.word(next, 1 + at).store(u64::from_ne_bytes(word), Relaxed);
        }
        self.lines[0].words[VERSION].store(next, Release);
        true
    }

    /// The current text; `None` before the first.
    pub fn read(&self) -> Option<Vec<u8>> {
        (0..READS_MAX).find_map(|_| {
            let version = self.lines[0].words[VERSION].load(Acquire);
            let text = (version > 0).then(|| self.copy(version))?;
            fence(Acquire);
            (self.lines[0].words[VERSION].load(Relaxed) == version).then_some(text)
        })
    }

    fn copy(&self, version: u64) -> Vec<u8> {
        let length = (self.word(version, 0).load(Relaxed) as usize).min(TEXT_BYTES_MAX);
        let words = (0..length.div_ceil(8)).map(|at| self.word(version, 1 + at).load(Relaxed));
        let mut text: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        text.truncate(length);
        text
    }

    /// The writer was alive at this time, by the scoreboard's clock.
    pub fn set_alive(&self, ms: u64) {
        self.lines[0].words[ALIVE].store(ms, Relaxed);
    }

    pub fn alive_ms(&self) -> u64 {
        self.lines[0].words[ALIVE].load(Relaxed)
    }

    /// A word of the half of this version.
    fn word(&self, version: u64, at: usize) -> &'static AtomicU64 {
        let first = 1 + (version % 2) as usize * HALF_LINES;
        &self.lines[first + at / WORDS_OF_LINE].words[at % WORDS_OF_LINE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_text_is_read_whatever_its_length() {
        let bulletin = Bulletin::new().expect("memory");
        assert_eq!(bulletin.read(), None);
        for length in [0, 1, 7, 8, 9, 127, 128, 5000, TEXT_BYTES_MAX, 3] {
            let text: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert!(bulletin.post(&text));
            assert_eq!(bulletin.read().as_ref(), Some(&text), "{length}");
        }
        assert!(!bulletin.post(&vec![0; TEXT_BYTES_MAX + 1]));
        assert_eq!(bulletin.read(), Some(vec![0, 1, 2]), "the one before stays");
    }

    #[test]
    fn a_text_that_is_half_written_is_not_read() {
        let bulletin = Bulletin::new().expect("memory");
        bulletin.post(b"one");
        // As far as a writer comes that is stopped there.
        bulletin.word(2, 0).store(100, Relaxed);
        bulletin.word(2, 1).store(u64::MAX, Relaxed);
        assert_eq!(bulletin.read(), Some(b"one".to_vec()));
        bulletin.post(b"two");
        assert_eq!(bulletin.read(), Some(b"two".to_vec()));
    }

    #[test]
    fn a_reader_beside_a_writer_sees_whole_texts_only() {
        let bulletin = Bulletin::new().expect("memory");
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..20_000_u32 {
                    bulletin.post(&vec![round as u8; 1 + round as usize % 3000]);
                }
            });
            while !writer.is_finished() {
                if let Some(text) = bulletin.read() {
                    assert!(text.iter().all(|&byte| byte == text[0]), "of two texts");
                }
            }
        });
    }
}
