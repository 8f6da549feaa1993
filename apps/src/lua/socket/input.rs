//! The bytes that a socket has received and its app has not taken, and how much of them one `receive` gets. Without I/O.

use memchr::memmem;

/// A buffer that is larger is given back once it is empty.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// What a receive asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Exactly this many bytes.
    Bytes(usize),
    /// A line without its end.
    Line,
    /// Everything until the peer closes.
    All,
    /// Whatever is there, at most this many bytes.
    Any(usize),
    /// What precedes the pattern, which is not empty.
    Until { pattern: &'a [u8], is_inclusive: bool },
    /// The same, at most this many bytes of it at a time.
    UntilInParts { pattern: &'a [u8], is_inclusive: bool, bytes: usize },
}

/// What the bytes so far allow.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// These bytes, which are removed. `is_end`: the pattern was found.
    Part {
        bytes: Vec<u8>,
        is_end: bool,
    },
    Missing,
    /// As many bytes as allowed, and not what was wanted.
    TooLong,
}

#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// The bytes before it were taken.
    start: usize,
    /// The end of what was searched in vain, and for what: an endless line is not searched again from its beginning.
    searched: usize,
    searched_for: Vec<u8>,
}

impl Input {
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > KEPT_BYTES_MAX {
            self.bytes.drain(..self.start);
            self.searched -= self.start.min(self.searched);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes what is wanted, if it is there. `bytes_max` bounds what only the peer decides: the length of a line, of
    /// everything, of what precedes a pattern.
    pub fn take(&mut self, wanted: Wanted<'_>, bytes_max: usize) -> Found {
        let have = self.bytes.len() - self.start;
        match wanted {
            Wanted::Bytes(count) if have >= count => self.part(count, 0, false),
            Wanted::Any(most) if have > 0 => self.part(have.min(most), 0, false),
            Wanted::Bytes(_) | Wanted::Any(_) => Found::Missing,
            Wanted::All if have > bytes_max => Found::TooLong,
            Wanted::All => Found::Missing,
            Wanted::Line => match self.find(b"\n") {
                Some(at) if at <= bytes_max => match self.part(at, 1, true) {
                    Found::Part { bytes, is_end } => Found::Part { bytes: without_returns(bytes), is_end },
                    found => found,
                },
                None if have <= bytes_max => Found::Missing,
                _ => Found::TooLong,
            },
            Wanted::Until { pattern, is_inclusive } => match self.find(pattern) {
                Some(at) if at <= bytes_max => self.until(at, pattern, is_inclusive),
                None if have <= bytes_max + pattern.len() => Found::Missing,
                _ => Found::TooLong,
            },
            Wanted::UntilInParts { pattern, is_inclusive, bytes } => match self.find(pattern) {
                Some(at) if at <= bytes => self.until(at, pattern, is_inclusive),
                // The pattern may have begun in the last bytes.
                _ if have >= bytes + pattern.len() => self.part(bytes, 0, false),
                _ => Found::Missing,
            },
        }
    }

    /// Takes all that is left, as what a receive of this kind has got.
    pub fn take_rest(&mut self, wanted: Wanted<'_>) -> Vec<u8> {
        let count = self.bytes.len() - self.start;
        match self.part(count, 0, false) {
            Found::Part { bytes, .. } if wanted == Wanted::Line => without_returns(bytes),
            Found::Part { bytes, .. } => bytes,
            _ => Vec::new(),
        }
    }

    fn until(&mut self, at: usize, pattern: &[u8], is_inclusive: bool) -> Found {
        match is_inclusive {
            true => self.part(at + pattern.len(), 0, true),
            false => self.part(at, pattern.len(), true),
        }
    }

    /// Where this begins, counted from the first byte.
    fn find(&mut self, pattern: &[u8]) -> Option<usize> {
        if self.searched_for != pattern {
            self.searched_for = pattern.to_vec();
            self.searched = 0;
        }
        let from = self.searched.max(self.start);
        let found = memmem::find(&self.bytes[from..], pattern);
        self.searched = found.map_or((self.bytes.len() + 1).saturating_sub(pattern.len()).max(from), |at| from + at);
        found.map(|at| from + at - self.start)
    }

    /// Takes this many bytes, and drops as many after them.
    fn part(&mut self, count: usize, dropped: usize, is_end: bool) -> Found {
        let end = self.start + count;
        let is_everything = end + dropped == self.bytes.len();
        let bytes = if is_everything && self.start == 0 && count > KEPT_BYTES_MAX {
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.truncate(count);
            bytes
        } else {
            self.bytes[self.start..end].to_vec()
        };
        self.start = end + dropped;
        if is_everything {
            if self.bytes.capacity() > KEPT_BYTES_MAX {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            self.start = 0;
            self.searched = 0;
        }
        Found::Part { bytes, is_end }
    }
}

/// As luasocket and nginx do: all CR are left out of a line.
fn without_returns(mut line: Vec<u8>) -> Vec<u8> {
    line.retain(|&byte| byte != b'\r');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1000;

    fn part(text: &str, is_end: bool) -> Found {
        Found::Part { bytes: text.as_bytes().to_vec(), is_end }
    }

    /// What comes of these bytes, whole and byte by byte.
    #[track_caller]
    fn expect(bytes: &str, wanted: &[Wanted<'_>], expected: &[Found], rest: &str) {
        let mut input = Input::default();
        input.push(bytes.as_bytes());
        let found: Vec<Found> = wanted.iter().map(|&wanted| input.take(wanted, MAX)).collect();
        assert_eq!(found, expected, "{bytes:?} whole");
        assert_eq!(input.take_rest(Wanted::All), rest.as_bytes(), "{bytes:?} whole");
        let mut input = Input::default();
        let mut left = bytes.bytes();
        let found: Vec<Found> = wanted
            .iter()
            .map(|&wanted| {
                loop {
                    match input.take(wanted, MAX) {
                        Found::Missing => match left.next() {
                            Some(byte) => input.push(&[byte]),
                            None => return Found::Missing,
                        },
                        found => return found,
                    }
                }
            })
            .collect();
        assert_eq!(found, expected, "{bytes:?} byte by byte");
        left.for_each(|byte| input.push(&[byte]));
        assert_eq!(input.take_rest(Wanted::All), rest.as_bytes(), "{bytes:?} byte by byte");
    }

    #[test]
    fn bytes_lines_and_patterns_are_taken_in_any_pieces() {
        use Wanted::{Bytes, Line};
        let until = |pattern: &'static str| Wanted::Until { pattern: pattern.as_bytes(), is_inclusive: false };
        let with = |pattern: &'static str| Wanted::Until { pattern: pattern.as_bytes(), is_inclusive: true };
        let parts = |pattern: &'static str, bytes| Wanted::UntilInParts {
            pattern: pattern.as_bytes(),
            is_inclusive: false,
            bytes,
        };
        expect("abc", &[Bytes(2), Bytes(0)], &[part("ab", false), part("", false)], "c");
        expect("abc", &[Bytes(4)], &[Found::Missing], "abc");
        expect("a\r\nb\rc\n\nd", &[Line, Line, Line], &[part("a", true), part("bc", true), part("", true)], "d");
        expect("a\r", &[Line], &[Found::Missing], "a\r");
        expect("aababc", &[until("abc")], &[part("aab", true)], "");
        expect("xx--yy--", &[with("--"), until("--")], &[part("xx--", true), part("yy", true)], "");
        expect("a\nb--c", &[Line, until("--"), Bytes(1)], &[part("a", true), part("b", true), part("c", false)], "");
        expect("abcdef--g", &[parts("--", 4), parts("--", 4)], &[part("abcd", false), part("ef", true)], "g");
        expect("", &[Line], &[Found::Missing], "");
    }

    #[test]
    fn what_the_peer_decides_is_bounded() {
        let until = Wanted::Until { pattern: b"--", is_inclusive: false };
        for (wanted, end) in [(Wanted::Line, "\n"), (Wanted::All, ""), (until, "--")] {
            for (count, is_too_long) in [(10, false), (11, true)] {
                let mut input = Input::default();
                input.push(format!("{}{end}", "x".repeat(count)).as_bytes());
                assert_eq!(input.take(wanted, 10) == Found::TooLong, is_too_long, "{wanted:?} {count}");
            }
            let mut input = Input::default();
            input.push("x".repeat(13).as_bytes());
            assert_eq!(input.take(wanted, 10), Found::TooLong, "{wanted:?} without an end");
        }
    }

    #[test]
    fn any_takes_what_is_there() {
        let mut input = Input::default();
        assert_eq!(input.take(Wanted::Any(5), MAX), Found::Missing);
        input.push(b"abcdefg");
        assert_eq!(input.take(Wanted::Any(5), MAX), part("abcde", false));
        assert_eq!(input.take(Wanted::Any(5), MAX), part("fg", false));
        assert!(input.is_empty());
    }

    #[test]
    fn the_rest_of_a_line_has_no_returns_either() {
        let mut input = Input::default();
        input.push(b"a\r");
        assert_eq!(input.take(Wanted::Line, MAX), Found::Missing);
        assert_eq!(input.take_rest(Wanted::Line), b"a");
    }

    #[test]
    fn what_was_taken_is_given_back() {
        let mut input = Input::default();
        for _ in 0..10 {
            input.push(&[b'x'; 100_000]);
            assert!(matches!(input.take(Wanted::Bytes(99_999), MAX), Found::Part { .. }));
        }
        assert!(input.bytes.len() < 300_000, "{}", input.bytes.len());
        assert_eq!(input.take_rest(Wanted::All).len(), 10);
        assert_eq!(input.bytes.capacity(), 0);
    }
}
