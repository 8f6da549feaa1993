//! Messages between the workers of a server: what one publishes to a channel, each subscriber of that channel gets once, in the
//! order in which they were published.
//!
//! All channels share one ring of records. A publisher takes the lock, moves `Tail` past the records that it is about to
//! overwrite, writes its record, counts it, and moves `Head`, by which readers see it. Dying anywhere in between, it leaves
//! nothing that a reader sees, and nothing that the next publisher does not overwrite.
//!
//! Readers take no lock. Each has a [`Cursor`] of its own, reads the record there, and then checks that `Tail` has not passed
//! it meanwhile. A subscriber that is slower than the ring loses the oldest messages, and is told their number with the next
//! one. For that each record has its number among those of its channel's counter. There are [`COUNTERS`], by the channel's hash:
//! where two channels share one, the number told may include the other's.
//!
//! A counter that has not changed also tells without a look at the ring that nothing has come. An eventfd wakes all processes
//! that watch it, each time that something was published.

use super::dictionary::Refused;
use super::lock::Lock;
use crate::sys::mmap::{Line, shared_lines};
use crate::sys::queue_waker::QueueWaker;
use crate::sys::robust_mutex::RobustMutex;
use crate::words::words_from;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

pub const RING_BYTES: usize = 4 << 20;
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;
pub const COUNTERS: usize = 1024;
const PER_LINE: usize = 16;
const RING_WORDS: u64 = RING_BYTES as u64 / 8;

/// The words of a record before its message.
const LENGTH: u64 = 0;
const CHANNEL: u64 = 1;
const NUMBER: u64 = 2;
const HEADER: u64 = 3;

/// The words of the header's line. Positions in the ring only grow; the ring's size divides them.
#[derive(Clone, Copy)]
enum Header {
    /// After the last record.
    Head,
    /// The oldest record.
    Tail,
    IsStuck,
}

/// All channels.
#[derive(Clone, Copy)]
pub struct Messages(Option<&'static Ring>);

struct Ring {
    /// The mutex, the header, the counters, the records.
    lines: &'static [Line],
    waker: QueueWaker,
    keys: RandomState,
}

/// What a subscriber has read. The channel is known by its hash of 64 bits, keyed so that no one can choose two with the same.
#[derive(Debug, Clone)]
pub struct Cursor {
    channel: u64,
    position: u64,
    /// Of the channel's counter.
    seen: u64,
    lost: u64,
}

impl Messages {
    /// Nothing can be published.
    pub const NONE: Messages = Messages(None);

    pub(super) fn reserve() -> io::Result<Messages> {
        let lines = shared_lines(2 + COUNTERS / PER_LINE + RING_BYTES / size_of::<Line>())?;
        RobustMutex::make(&lines[0])?;
        let ring = Ring { lines, waker: QueueWaker::new()?, keys: RandomState::new() };
        Ok(Messages(Some(Box::leak(Box::new(ring)))))
    }

    /// Passes it on to all that subscribe to the channel now.
    pub fn publish(&self, channel: &[u8], message: &[u8]) -> Result<(), Refused> {
        let ring = self.0.ok_or(Refused::NoMemory)?;
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        ring.append(ring.keys.hash_one(channel), message)?;
        // It cannot fail before 2^64 messages.
        let _ = ring.waker.wake();
        Ok(())
    }

    /// Messages that are published from now on.
    pub fn subscribe(&self, channel: &[u8]) -> Cursor {
        let Some(ring) = self.0 else { return Cursor { channel: 0, position: 0, seen: 0, lost: 0 } };
        let channel = ring.keys.hash_one(channel);
        // In this order: a message that comes in between is skipped, and not taken for a lost one.
        let position = ring.header(Header::Head).load(Acquire);
        Cursor { channel, position, seen: ring.counter(channel).load(Acquire), lost: 0 }
    }

    /// Whether there may be a message.
    pub fn has_news(&self, cursor: &Cursor) -> bool {
        self.0.is_some_and(|ring| ring.counter(cursor.channel).load(Acquire) != cursor.seen)
    }

    /// Reads the next message into `bytes`; returns how many before it were lost. `None`: there is none yet.
    pub fn next(&self, cursor: &mut Cursor, bytes: &mut Vec<u8>) -> Option<u64> {
        let ring = self.0?;
        let head = ring.header(Header::Head).load(Acquire);
        if !self.has_news(cursor) {
            // Whatever is before `head` was counted before.
            cursor.position = head;
            return None;
        }
        loop {
            cursor.position = cursor.position.max(ring.header(Header::Tail).load(Acquire));
            if cursor.position >= head {
                return None;
            }
            let at = cursor.position;
            let word = |offset: u64| ring.word(at + offset).load(Relaxed);
            let (length, channel, number) = (word(LENGTH), word(CHANNEL), word(NUMBER));
            if !ring.is_kept(at) {
                continue;
            }
            if channel == cursor.channel {
                bytes.clear();
                for offset in 0..length.div_ceil(8) {
                    bytes.extend_from_slice(&word(HEADER + offset).to_ne_bytes());
                }
                bytes.truncate(length as usize);
                if !ring.is_kept(at) {
                    continue;
                }
            }
            cursor.position = at + words_of(length);
            if counter_of(channel) == counter_of(cursor.channel) {
                cursor.lost += number.saturating_sub(cursor.seen + 1);
                cursor.seen = cursor.seen.max(number);
            }
            if channel == cursor.channel {
                return Some(std::mem::take(&mut cursor.lost));
            }
        }
    }

    /// What becomes readable, edge-triggered, with each message; `None`: nothing can be published.
    pub fn descriptor(&self) -> Option<RawFd> {
        use std::os::fd::AsFd;
        self.0.map(|ring| ring.waker.as_fd().as_raw_fd())
    }
}

impl Ring {
    fn header(&self, word: Header) -> &'static AtomicU64 {
        &self.lines[1].words[word as usize]
    }

    fn counter(&self, channel: u64) -> &'static AtomicU64 {
        let counter = counter_of(channel);
        &self.lines[2 + counter / PER_LINE].words[counter % PER_LINE]
    }

    fn word(&self, position: u64) -> &'static AtomicU64 {
        let at = (position % RING_WORDS) as usize;
        &self.lines[2 + COUNTERS / PER_LINE + at / PER_LINE].words[at % PER_LINE]
    }

    /// Whether what was just read at this position was not being overwritten.
    fn is_kept(&self, position: u64) -> bool {
        fence(Acquire);
        self.header(Header::Tail).load(Relaxed) <= position
    }

    fn append(&self, channel: u64, message: &[u8]) -> Result<(), Refused> {
        let _guard = Lock::new(&self.lines[0], self.header(Header::IsStuck)).take()?;
        let head = self.header(Header::Head).load(Relaxed);
        let end = head + words_of(message.len() as u64);
        let mut tail = self.header(Header::Tail).load(Relaxed);
        while end - tail > RING_WORDS {
            tail += words_of(self.word(tail + LENGTH).load(Relaxed));
        }
        self.header(Header::Tail).store(tail, Relaxed);
        // Readers see that before they see what overwrites.
        fence(Release);
        let number = self.counter(channel).load(Relaxed) + 1;
        self.word(head + LENGTH).store(message.len() as u64, Relaxed);
        self.word(head + CHANNEL).store(channel, Relaxed);
        self.word(head + NUMBER).store(number, Relaxed);
        for (offset, word) in words_from(message).enumerate() {
            self.word(head + HEADER + offset as u64).store(word, Relaxed);
        }
        self.counter(channel).store(number, Release);
        self.header(Header::Head).store(end, Release);
        Ok(())
    }
}

fn counter_of(channel: u64) -> usize {
    channel as usize % COUNTERS
}

/// Of a record with a message of this many bytes.
fn words_of(length: u64) -> u64 {
    HEADER + length.div_ceil(8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::{Fork, fork};
    use crate::sys::process;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use std::time::Duration;

    fn messages() -> Messages {
        Messages::reserve().expect("memory")
    }

    fn next(messages: Messages, cursor: &mut Cursor) -> Option<(Vec<u8>, u64)> {
        let mut bytes = Vec::new();
        messages.next(cursor, &mut bytes).map(|lost| (bytes, lost))
    }

    #[test]
    fn each_subscriber_gets_each_message_of_its_channel_once_in_order() {
        let messages = messages();
        messages.publish(b"a", b"before").unwrap();
        let (mut one, mut two, mut other) =
            (messages.subscribe(b"a"), messages.subscribe(b"a"), messages.subscribe(b"b"));
        assert_eq!(next(messages, &mut one), None);
        for length in [0, 1, 7, 8, 9, 1000, MESSAGE_BYTES_MAX] {
            messages.publish(b"a", &vec![b'x'; length]).unwrap();
            messages.publish(b"c", b"of another channel").unwrap();
            assert_eq!(next(messages, &mut one), Some((vec![b'x'; length], 0)));
            assert_eq!(next(messages, &mut one), None);
        }
        for length in [0, 1, 7, 8, 9, 1000, MESSAGE_BYTES_MAX] {
            assert_eq!(next(messages, &mut two), Some((vec![b'x'; length], 0)));
        }
        assert!(!messages.has_news(&two) && !messages.has_news(&other));
        assert_eq!((next(messages, &mut two), next(messages, &mut other)), (None, None));
        assert_eq!(messages.publish(b"a", &vec![0; MESSAGE_BYTES_MAX + 1]), Err(Refused::TooLong));
        assert_eq!(Messages::NONE.publish(b"a", b""), Err(Refused::NoMemory));
    }

    #[test]
    fn a_slow_subscriber_is_told_how_many_it_has_lost_of_its_own_channel() {
        let messages = messages();
        let (mut slow, mut quiet) = (messages.subscribe(b"a"), messages.subscribe(b"b"));
        for number in 0..50_000u32 {
            messages.publish(b"a", &number.to_ne_bytes().repeat(20)).unwrap();
        }
        let mut expected = 0;
        let mut lost_all = 0;
        while let Some((bytes, lost)) = next(messages, &mut slow) {
            lost_all += lost;
            expected += lost as u32;
            assert_eq!(bytes, expected.to_ne_bytes().repeat(20));
            expected += 1;
        }
        assert_eq!(expected, 50_000);
        assert!((1_000..20_000).contains(&lost_all), "what 4 MiB hold is left: {lost_all} were lost");
        messages.publish(b"b", b"first").unwrap();
        assert_eq!(next(messages, &mut quiet), Some((b"first".to_vec(), 0)), "others' messages are not lost ones");
    }

    /// Publishers that are killed anywhere, and a reader meanwhile: each message is whole, and in order a publisher.
    #[test]
    fn killed_publishers_leave_a_whole_ring() {
        let messages = messages();
        let mut cursor = messages.subscribe(b"a");
        for round in 0..60u64 {
            let publish = |id: u64| match fork().expect("a process") {
                Fork::Parent(pid) => pid,
                Fork::Child(_) => {
                    for number in 1u64.. {
                        let words = [id, number].map(u64::to_ne_bytes).concat();
                        let _ = messages.publish(b"a", &words.repeat(1 + number as usize % 40));
                    }
                    process::leave(0)
                }
            };
            let (one, two) = (publish(round * 2), publish(round * 2 + 1));
            std::thread::sleep(Duration::from_micros(1500 + round * 20));
            for pid in [one, two] {
                kill(pid, Signal::SIGKILL).expect("a child");
                waitpid(pid, None).expect("a child");
            }
            let mut last = [0, 0];
            while let Some((bytes, _)) = next(messages, &mut cursor) {
                let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
                let (id, number) = (word(0), word(8));
                assert_eq!(bytes, bytes[..16].repeat(1 + number as usize % 40), "a torn message");
                let of = &mut last[(id - round * 2) as usize];
                assert!(number > *of, "{number} after {of}");
                *of = number;
            }
            messages.publish(b"a", b"alive").unwrap();
            assert_eq!(next(messages, &mut cursor).map(|(bytes, _)| bytes).as_deref(), Some(&b"alive"[..]));
        }
    }

    /// A reader beside a writer that overwrites what it reads.
    #[test]
    fn what_is_overwritten_while_it_is_read_is_not_read() {
        let messages = messages();
        let mut cursor = messages.subscribe(b"a");
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for number in 0..6000u64 {
                    messages.publish(b"a", &number.to_ne_bytes().repeat(1 + number as usize % 400)).unwrap();
                }
                messages.publish(b"a", b"the last").unwrap();
            });
            let mut expected = 0;
            loop {
                let Some((bytes, lost)) = next(messages, &mut cursor) else { continue };
                expected += lost;
                if bytes == b"the last" {
                    break;
                }
                assert_eq!(bytes, expected.to_ne_bytes().repeat(1 + expected as usize % 400));
                expected += 1;
            }
            assert_eq!(expected, 6000);
        });
    }
}
