//! The lines of one worker on their way to the sink: gathered over a turn of its loop, written at its end or at 64 KiB.
//!
//! What the sink does not take stays here and is tried again; once as much has gathered, further lines are dropped and
//! counted. That lines are dropped is logged once, and so is the end of it, with their number.

use super::sink::{LINE_BYTES_MAX, Sink};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// Lines are written once there are this many bytes of them, and at most this many wait for a sink that takes none.
const BYTES_MAX: usize = 64 << 10;
/// The interval between attempts to write to a sink that takes nothing.
const RETRY: Duration = Duration::from_millis(20);
/// After this long without a dropped line, the drops are over.
const QUIET: Duration = Duration::from_secs(1);
/// What follows a line's longest end: it may be written to, which lets short texts be copied as blocks of one size.
const SPARE_BYTES: usize = 128;

#[derive(Debug)]
pub struct Lines {
    sink: Sink,
    line_bytes_max: usize,
    /// Whole lines, up to `filled`, and room for one more.
    bytes: Box<[u8]>,
    filled: usize,
    /// `Some`: the sink took less than it was given; when to try again.
    retry_at: Option<Instant>,
    /// Why.
    why: Errno,
    /// Lines dropped since the last [`Lines::take_dropped`].
    dropped: u64,
    drops: Option<Drops>,
}

/// A time in which lines are dropped.
#[derive(Debug)]
struct Drops {
    count: u64,
    last: Instant,
}

impl Lines {
    pub fn new(sink: Sink) -> Lines {
        let bytes = vec![0; BYTES_MAX + LINE_BYTES_MAX + SPARE_BYTES].into_boxed_slice();
        let line_bytes_max = sink.line_bytes_max();
        Lines { sink, line_bytes_max, bytes, filled: 0, retry_at: None, why: Errno::EAGAIN, dropped: 0, drops: None }
    }

    pub fn sink(&self) -> &Sink {
        &self.sink
    }

    /// Adds the line that `write` puts at the front of what it is given, without its newline, and whose length it
    /// returns; or drops it if there is no room.
    #[inline]
    pub fn push(&mut self, now: Instant, write: impl FnOnce(&mut [u8]) -> usize) {
        if self.filled >= BYTES_MAX && !self.make_room(now) {
            return;
        }
        // A format's own text may be longer than the sink's longest line.
        let longest = self.line_bytes_max - 1;
        let room = &mut self.bytes[self.filled..self.filled + longest + SPARE_BYTES];
        let length = write(room).min(longest);
        room[length] = b'\n';
        self.filled += length + 1;
    }

    /// Whether there is room for a line now; it is dropped otherwise.
    #[cold]
    fn make_room(&mut self, now: Instant) -> bool {
        self.flush(now);
        let has_room = self.filled < BYTES_MAX;
        if !has_room {
            self.drop_line(now);
        }
        has_room
    }

    fn drop_line(&mut self, now: Instant) {
        self.dropped += 1;
        match &mut self.drops {
            Some(drops) => (drops.count, drops.last) = (drops.count + 1, now),
            None => {
                self.drops = Some(Drops { count: 1, last: now });
                log::warn!("access log: lines are dropped, as {} takes none: {}", self.sink.name(), self.reason());
            }
        }
    }

    fn reason(&self) -> &'static str {
        match self.why {
            Errno::EAGAIN => "it is full, and nothing reads it",
            why => why.desc(),
        }
    }

    /// Writes what has gathered. To be called at the end of each turn.
    pub fn flush(&mut self, now: Instant) {
        if self.filled > 0 && self.retry_at.is_none_or(|at| at <= now) {
            self.write(now);
        }
        if self.drops.as_ref().is_some_and(|drops| self.retry_at.is_none() && now >= drops.last + QUIET) {
            self.end_drops();
        }
    }

    fn write(&mut self, now: Instant) {
        let (taken, result) = self.sink.write(&self.bytes[..self.filled]);
        self.bytes.copy_within(taken..self.filled, 0);
        self.filled -= taken;
        self.retry_at = result.err().map(|why| {
            self.why = why;
            now + RETRY
        });
    }

    fn end_drops(&mut self) {
        if let Some(Drops { count, .. }) = self.drops.take() {
            log::warn!("access log: {} takes lines again; {count} were dropped", self.sink.name());
        }
    }

    /// When [`Lines::flush`] has to be called, if no turn comes earlier.
    pub fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Lines dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Opens the sink again, after all that belongs to the old file is written to it.
    pub fn reopen(&mut self, now: Instant) -> Result<(), String> {
        self.retry_at = None;
        self.flush(now);
        let reopened = self.sink.reopen();
        self.line_bytes_max = self.sink.line_bytes_max();
        self.retry_at = None;
        reopened
    }

    /// Writes what has gathered, before the process ends; what the sink does not take is lost.
    pub fn finish(&mut self, now: Instant) {
        self.retry_at = None;
        self.flush(now);
        if let Some(drops) = &mut self.drops {
            let lost = memchr::memchr_iter(b'\n', &self.bytes[..self.filled]).count() as u64;
            (drops.count, self.dropped) = (drops.count + lost, self.dropped + lost);
            log::warn!("access log: {} lines were dropped, as {} took none", drops.count, self.sink.name());
        }
        self.filled = 0;
        self.drops = None;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Opened, Target};
    use super::*;
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    use nix::unistd::pipe;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;

    #[test]
    fn a_reader_that_stops_costs_lines_and_not_time() {
        let (reader, writer) = pipe().expect("a pipe");
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it does not block");
        let mut lines = Lines::new(Sink::of_stream(writer.as_fd()));
        let mut now = Instant::now();
        let total = 20_000;
        for number in 0..total {
            lines.push(now, |mut line| write!(line, "{number:099}").map(|()| 99).expect("it is written"));
            lines.flush(now);
        }
        let dropped = lines.take_dropped();
        assert!(dropped > 0 && lines.filled <= BYTES_MAX + 100, "{dropped}");
        assert_eq!((lines.deadline(), lines.take_dropped()), (Some(now + RETRY), 0));
        let mut read = Vec::new();
        let mut reader = File::from(reader);
        for _ in 0..10 {
            // An error: it is empty for now.
            let _ = reader.read_to_end(&mut read);
            now += RETRY;
            lines.flush(now);
        }
        assert_eq!((lines.deadline(), lines.filled), (None, 0));
        assert!(lines.drops.is_some());
        lines.flush(now + QUIET);
        assert!(lines.drops.is_none());
        let read: Vec<u64> =
            String::from_utf8(read).expect("text").lines().map(|line| line.parse().expect("whole")).collect();
        assert_eq!(read, (0..total - dropped).collect::<Vec<_>>(), "those that came first are kept");
    }

    #[test]
    fn a_full_disk_is_counted_once() {
        let opened = Opened::open(&Target::File("/dev/full".into())).expect("it opens").expect("a sink");
        let (mut lines, now) = (Lines::new(opened.sink), Instant::now());
        for _ in 0..1000 {
            lines.push(now, |line| {
                line[..999].fill(b'x');
                999
            });
        }
        assert_eq!(lines.take_dropped(), 1000 - BYTES_MAX.div_ceil(1000) as u64);
        assert_eq!((lines.why, lines.drops.as_ref().expect("they are dropped").count), (Errno::ENOSPC, 934));
        lines.finish(now);
        assert_eq!(lines.take_dropped(), BYTES_MAX.div_ceil(1000) as u64);
    }
}
