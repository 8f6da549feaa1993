//! Dictionaries that the workers of a server share, in memory that is reserved before the first of them is forked.
//!
//! An application asks for a dictionary by its name while it is loaded, in each worker: the first that asks makes it, and the
//! others find it (`Directory`). So it outlives each worker, and a reload; it ends with the server's last process. What is
//! reserved takes no memory until it is written to.
//!
//! Beside them are the messages that workers publish to each other (`messages`).
//!
//! [`dictionary`] has the operations, `entry` what is stored, `table` the structure and its invariants, `journal` how it survives the death of a
//! process in the middle of a change, `lock` how processes take turns and what happens if one of them stops.

mod dictionary;
mod entry;
mod journal;
mod lock;
mod messages;
mod table;

pub use dictionary::{Dictionary, Item, Refused, Store, Value};
pub use messages::{Cursor, Messages};

use crate::sys::mmap::{Line, shared_lines};
use crate::sys::robust_mutex::RobustMutex;
use crate::units::show_size;
use crate::words::words_from;
use lock::Lock;
use std::fmt;
use std::hash::RandomState;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Instant;

pub const DICTIONARIES_MAX: usize = 64;
pub const NAME_BYTES_MAX: usize = 100;
/// Below that most would be structure.
pub const SIZE_BYTES_MIN: usize = 16 << 10;
/// Cells are counted by 32 bits.
const SIZE_BYTES_MAX: usize = 128 << 30;
const LINE_BYTES: usize = size_of::<Line>();
/// The mutex, the header, and a line for each dictionary.
const DIRECTORY_LINES: usize = 2 + DICTIONARIES_MAX;

/// The words of a dictionary's line in the directory. The name follows.
const SIZE: usize = 0;
const AT: usize = 1;
const NAME_BYTES: usize = 2;
const NAME: usize = 3;

/// Where an application asks for its dictionaries.
#[derive(Clone, Copy, Default)]
pub struct Dictionaries(Option<&'static Region>);

struct Region {
    lines: &'static [Line],
    /// The same in all processes that are forked from now on: no client can choose keys that share a bucket.
    keys: RandomState,
    epoch: Instant,
    messages: Messages,
}

/// Why there is no such dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DictionaryError(String);

impl Dictionaries {
    /// There is no memory for any.
    pub const NONE: Dictionaries = Dictionaries(None);

    /// Reserves the memory of all dictionaries, for this process and those that it forks. Never unmapped. 0: none.
    pub fn reserve(bytes: usize) -> io::Result<Dictionaries> {
        if bytes == 0 {
            return Ok(Dictionaries::NONE);
        }
        let lines = shared_lines(DIRECTORY_LINES + bytes / LINE_BYTES)?;
        RobustMutex::make(&lines[0])?;
        let region = Region { lines, keys: RandomState::new(), epoch: Instant::now(), messages: Messages::reserve()? };
        Ok(Dictionaries(Some(Box::leak(Box::new(region)))))
    }

    /// The messages between those that have these dictionaries.
    pub fn messages(self) -> Messages {
        self.0.map_or(Messages::NONE, |region| region.messages)
    }

    /// The dictionary of this name, which is made if there is none. `size_bytes` is all that it may take.
    pub fn open(self, name: &str, size_bytes: usize) -> Result<Dictionary, DictionaryError> {
        let error = |text: String| Err(DictionaryError(text));
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return error(format!(
                "the name of a shared dictionary has 1 to {NAME_BYTES_MAX} bytes, not {}",
                name.len()
            ));
        }
        if !(SIZE_BYTES_MIN..=SIZE_BYTES_MAX).contains(&size_bytes) {
            let (size, least) = (show_size(size_bytes as u64), show_size(SIZE_BYTES_MIN as u64));
            return error(format!("the shared dictionary {name:?} cannot have {size}; give it at least {least}"));
        }
        let Some(region) = self.0 else {
            return error(format!("there is no memory for the shared dictionary {name:?}: --shared-max is 0"));
        };
        let lock = Lock::new(&region.lines[0], &region.lines[1].words[1]);
        let Ok(_guard) = lock.take() else {
            return error(format!(
                "the shared dictionary {name:?} cannot be made: a process that makes one is stopped"
            ));
        };
        let size_lines = size_bytes / LINE_BYTES;
        if let Some(place) = region.find(name) {
            let word = |at: usize| region.entry(place).words[at].load(Relaxed) as usize;
            if word(SIZE) != size_lines {
                let is = show_size((word(SIZE) * LINE_BYTES) as u64);
                return error(format!(
                    "the shared dictionary {name:?} has {is} and cannot have {} before the server is restarted",
                    show_size(size_bytes as u64)
                ));
            }
            return Ok(Dictionary::new(region, word(AT), size_lines));
        }
        let at = region.append(name, size_lines).map_err(DictionaryError)?;
        Ok(Dictionary::new(region, at, size_lines))
    }
}

impl Region {
    fn count(&self) -> &'static AtomicU64 {
        &self.lines[1].words[0]
    }

    fn entry(&self, place: usize) -> &'static Line {
        &self.lines[2 + place]
    }

    fn find(&self, name: &str) -> Option<usize> {
        (0..self.count().load(Acquire) as usize).find(|&place| {
            let words = &self.entry(place).words;
            let bytes = words[NAME..].iter().flat_map(|word| word.load(Relaxed).to_ne_bytes());
            bytes.take(words[NAME_BYTES].load(Relaxed) as usize).eq(name.bytes())
        })
    }

    /// By the owner of the directory's lock. If it dies in here, the next one begins anew.
    fn append(&'static self, name: &str, size_lines: usize) -> Result<usize, String> {
        let count = self.count().load(Relaxed) as usize;
        let at = match count.checked_sub(1).map(|last| &self.entry(last).words) {
            None => DIRECTORY_LINES,
            Some(last) => (last[AT].load(Relaxed) + last[SIZE].load(Relaxed)) as usize,
        };
        if count == DICTIONARIES_MAX {
            return Err(format!("the shared dictionary {name:?} is one more than {DICTIONARIES_MAX}"));
        }
        let left = self.lines.len() - at;
        if left < size_lines {
            let (size, left) = (show_size((size_lines * LINE_BYTES) as u64), show_size((left * LINE_BYTES) as u64));
            return Err(format!(
                "there is no room for the shared dictionary {name:?} of {size}: {left} are left of --shared-max"
            ));
        }
        RobustMutex::make(&self.lines[at])
            .map_err(|e| format!("the shared dictionary {name:?} cannot be made: {e}"))?;
        Dictionary::new(self, at, size_lines).make();
        let words = &self.entry(count).words;
        words[SIZE].store(size_lines as u64, Relaxed);
        words[AT].store(at as u64, Relaxed);
        words[NAME_BYTES].store(name.len() as u64, Relaxed);
        words[NAME..].iter().zip(words_from(name.as_bytes())).for_each(|(word, text)| word.store(text, Relaxed));
        self.count().store(count as u64 + 1, Release);
        Ok(at)
    }
}

impl fmt::Debug for Dictionaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dictionaries")
    }
}

impl fmt::Display for DictionaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DictionaryError {}

#[cfg(test)]
#[path = "shared/tests.rs"]
mod tests;
