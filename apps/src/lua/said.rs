//! What a lane says when it stops: an answer or a part of it, a wait, or a failure.

use super::reply::Reply;
use mlua::String;
use std::time::Duration;

/// The kinds are the driver's.
pub enum Said {
    /// The whole answer.
    Whole(Reply, String),
    /// How many bytes the response has, before its head: all of its chunks are there.
    Length(u64),
    /// The whole answer, and once it is sent the lane goes on, to close what the app has returned.
    WholeBeforeClose(Reply, String),
    /// The head, and a first chunk that is not empty.
    Head(Reply, String, Following),
    Chunk(String, Following),
    /// The last chunk was said before.
    End,
    Sleeps(Duration),
    Reads(Wanted),
    /// The app raised an error: its message and the traceback.
    Failed(std::string::String),
    /// It was interrupted, whatever it has said: where it was.
    TimeIsUp(std::string::String),
}

/// How the chunk after one is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// It is at hand.
    AtOnce,
    /// The app is called for it, which may take its time: what there is goes to the client before (PEP 3333).
    AfterSend,
}

/// What `wsgi.input` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Bytes(usize),
    All,
    Line,
}

/// As it crosses the border: the seal, by which the driver's words are known from what a module in C yields; kind + 16 * number;
/// and up to three texts. mlua takes a tuple from the stack without a detour.
pub type Raw = (i64, i64, Option<String>, Option<String>, Option<String>);

/// Where the first of the values that a lane has yielded is no number, mlua calls what it was to be by this name.
pub const SEAL_TYPE: &str = "i64";

impl Said {
    /// `None`: the driver does not speak like this.
    pub fn of(raw: Raw) -> Option<Said> {
        let (_, what, first, second, third) = raw;
        let (kind, has_flag, number) = (what & 7, what & 8 != 0, what >> 4);
        let reply = |status: Option<String>, joined: Option<String>| match (status, joined) {
            (Some(status), Some(joined)) => Reply::Spelled { status, joined },
            _ => Reply::Known(number as usize),
        };
        let following = if has_flag { Following::AtOnce } else { Following::AfterSend };
        Some(match (kind, first, second, third) {
            (0, ..) => Said::Length(number as u64),
            (1, Some(body), status, joined) if has_flag => Said::WholeBeforeClose(reply(status, joined), body),
            (1, Some(body), status, joined) => Said::Whole(reply(status, joined), body),
            (2, Some(chunk), status, joined) => Said::Head(reply(status, joined), chunk, following),
            (3, Some(chunk), ..) => Said::Chunk(chunk, following),
            (4, ..) => Said::End,
            (5, ..) => Said::Sleeps(Duration::from_micros(number as u64)),
            (6, ..) => Said::Reads(match number - 2 {
                -1 => Wanted::All,
                -2 => Wanted::Line,
                bytes => Wanted::Bytes(bytes as usize),
            }),
            (7, Some(text), ..) => Said::Failed(text.to_string_lossy()),
            _ => return None,
        })
    }
}

impl Wanted {
    /// How many of `more` bytes are wanted behind the `have` that are there.
    pub fn share(self, have: usize, more: &[u8]) -> usize {
        match self {
            Wanted::All => more.len(),
            Wanted::Bytes(count) => count.saturating_sub(have).min(more.len()),
            Wanted::Line => memchr::memchr(b'\n', more).map_or(more.len(), |at| at + 1),
        }
    }

    /// What is there is all that was wanted; the end of the body is enough in any case.
    pub fn is_met(self, have: &[u8]) -> bool {
        match self {
            Wanted::All => false,
            Wanted::Bytes(count) => have.len() >= count,
            Wanted::Line => have.last() == Some(&b'\n'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_wanted() {
        for (wanted, have, more, share) in [
            (Wanted::All, "", "abc", 3),
            (Wanted::Bytes(5), "ab", "cdefg", 3),
            (Wanted::Bytes(5), "", "cd", 2),
            (Wanted::Bytes(0), "", "cd", 0),
            (Wanted::Line, "ab", "c\nd", 2),
            (Wanted::Line, "ab", "cd", 2),
        ] {
            assert_eq!(wanted.share(have.len(), more.as_bytes()), share, "{wanted:?} {have} {more}");
        }
        for (wanted, have, is_met) in [
            (Wanted::All, "abc", false),
            (Wanted::Bytes(3), "abc", true),
            (Wanted::Bytes(4), "abc", false),
            (Wanted::Bytes(0), "", true),
            (Wanted::Line, "abc\n", true),
            (Wanted::Line, "abc", false),
            (Wanted::Line, "", false),
        ] {
            assert_eq!(wanted.is_met(have.as_bytes()), is_met, "{wanted:?} {have}");
        }
    }
}
