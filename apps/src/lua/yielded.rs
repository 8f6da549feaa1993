//! What a coroutine yields to the server: a response or a part of it, a wait, or a failure.

use super::file_body::FileBody;
use super::host::Turn;
use super::sys::coroutine::Coroutine;
use super::waiting::Asked;
use std::time::Duration;

/// A chunk, or a whole response, is the last of the yielded values: `Coroutine::chunk`.
pub enum Yielded {
    /// The whole response.
    Whole,
    /// The length of the response in bytes, yielded before its head when all of its chunks exist.
    Length(u64),
    /// The whole response; once it is sent, the coroutine is resumed to close what the app returned.
    WholeBeforeClose,
    /// The head, and a first chunk that is not empty.
    Head(Following),
    Chunk(Following),
    /// There are no more chunks.
    End,
    /// The whole body is the rest of a file.
    File(FileBody),
    Wait(Asked),
    Read(Wanted),
    /// The request becomes a WebSocket, with the subprotocol that is the last of the yielded values, or none if that is empty.
    Upgrade,
    /// Of a WebSocket: the next message, for as long.
    Receive(Option<Duration>),
    /// Of a WebSocket: room for a message.
    Room,
    /// A WebSocket is closed, as it has asked for.
    Close,
    /// The app raised an error: its message and traceback.
    Failed(String),
    /// The app was interrupted, whatever it yielded then: the traceback.
    TimedOut(String),
}

/// When the chunk that follows is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Following {
    /// It exists already.
    AtOnce,
    /// The app has to be called for it, which may take long: everything so far is sent to the client first (PEP 3333).
    AfterSend,
}

/// What a read of `wsgi.input` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Bytes(usize),
    All,
    Line,
}

// The kinds of yield. The driver gets these numbers from here.
const LENGTH: i64 = 0;
const WHOLE: i64 = 1;
const HEAD: i64 = 2;
const CHUNK: i64 = 3;
const END: i64 = 4;
const SLEEP: i64 = 5;
const READ: i64 = 6;
const FAILED: i64 = 7;
const AWAIT: i64 = 8;
const WAIT_FD: i64 = 9;
const FILE: i64 = 10;
/// The driver asks for the state of the client (`Turn::client`), and goes on at once.
pub const CLIENT: i64 = 15;
const UPGRADE: i64 = 11;
const RECEIVE: i64 = 12;
const ROOM: i64 = 13;
const CLOSE: i64 = 14;
/// Added to a head or a chunk it means [`Following::AtOnce`], to a whole response [`Yielded::WholeBeforeClose`]. More
/// than any kind.
const FLAG: i64 = 16;
/// A number is added as a multiple of this.
const NUMBER: i64 = 2 * FLAG;
/// What READ wants, other than a number of bytes. READ_MIN is subtracted, so that the number is not negative.
const READ_ALL: i64 = -1;
const READ_LINE: i64 = -2;
const READ_MIN: i64 = READ_LINE;

/// The constants that the driver gets in `host.yields`.
pub const CONSTANTS: [(&str, i64); 22] = [
    ("LENGTH", LENGTH),
    ("WHOLE", WHOLE),
    ("HEAD", HEAD),
    ("CHUNK", CHUNK),
    ("END", END),
    ("SLEEP", SLEEP),
    ("READ", READ),
    ("FAILED", FAILED),
    ("AWAIT", AWAIT),
    ("WAIT_FD", WAIT_FD),
    ("FILE", FILE),
    ("CLIENT", CLIENT),
    ("UPGRADE", UPGRADE),
    ("RECEIVE", RECEIVE),
    ("ROOM", ROOM),
    ("CLOSE", CLOSE),
    ("AT_ONCE", FLAG),
    ("CLOSES", FLAG),
    ("NUMBER", NUMBER),
    ("READ_ALL", READ_ALL),
    ("READ_LINE", READ_LINE),
    ("READ_MIN", READ_MIN),
];

impl Yielded {
    /// What the driver has yielded: the sum of kind, flag and NUMBER * number, and a text for some kinds. `None`: not a
    /// combination that the driver yields.
    pub fn of(coroutine: &Coroutine, turn: &Turn) -> Option<Yielded> {
        let what = coroutine.integer(1)?;
        let (number, sum) = (what.div_euclid(NUMBER), what.rem_euclid(NUMBER));
        let (kind, has_flag) = (sum % FLAG, sum >= FLAG);
        let following = if has_flag { Following::AtOnce } else { Following::AfterSend };
        let has_text = coroutine.bytes(2).is_some();
        Some(match kind {
            LENGTH => Yielded::Length(number as u64),
            WHOLE if has_text && has_flag => Yielded::WholeBeforeClose,
            WHOLE if has_text => Yielded::Whole,
            HEAD if has_text => Yielded::Head(following),
            CHUNK if has_text => Yielded::Chunk(following),
            END => Yielded::End,
            SLEEP => Yielded::Wait(Asked::Sleep(Duration::from_micros(number as u64))),
            AWAIT => Yielded::Wait(Asked::Message(turn.wait.take()?)),
            WAIT_FD => Yielded::Wait(Asked::Descriptor),
            UPGRADE if has_text => Yielded::Upgrade,
            // One more than the time; 0 is for ever.
            RECEIVE => Yielded::Receive((number as u64).checked_sub(1).map(Duration::from_micros)),
            ROOM => Yielded::Room,
            CLOSE => Yielded::Close,
            READ => Yielded::Read(match number + READ_MIN {
                READ_ALL => Wanted::All,
                READ_LINE => Wanted::Line,
                bytes => Wanted::Bytes(bytes as usize),
            }),
            FILE => Yielded::File(turn.file.take()?),
            FAILED => Yielded::Failed(String::from_utf8_lossy(coroutine.bytes(2)?).into_owned()),
            _ => return None,
        })
    }
}

impl Wanted {
    /// How many of the bytes `more` are wanted after the `have` bytes that were taken before.
    pub fn share(self, have: usize, more: &[u8]) -> usize {
        match self {
            Wanted::All => more.len(),
            Wanted::Bytes(count) => count.saturating_sub(have).min(more.len()),
            Wanted::Line => memchr::memchr(b'\n', more).map_or(more.len(), |at| at + 1),
        }
    }

    /// Whether `have` is all that was wanted. The end of the body ends a read in any case.
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

    /// One sum holds a kind, what is added to it, and a number.
    #[test]
    fn the_parts_of_a_sum_do_not_overlap() {
        let kinds = [
            LENGTH, WHOLE, HEAD, CHUNK, END, SLEEP, READ, FAILED, AWAIT, WAIT_FD, FILE, UPGRADE, RECEIVE, ROOM, CLOSE,
            CLIENT,
        ];
        for (i, kind) in kinds.iter().enumerate() {
            assert!((0..FLAG).contains(kind) && !kinds[..i].contains(kind), "{kind}");
        }
        assert_eq!(READ_MIN, READ_ALL.min(READ_LINE));
    }

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
