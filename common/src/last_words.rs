//! What a worker says when it is told to die by SIGABRT: what it hangs in, and for how long.
//!
//! Everything here may be called from the handler of a signal: nothing is allocated, no lock is taken. The signal itself is
//! in `sys::abort`.

use crate::fixed_text::FixedText;
use crate::notes::{Notes, Running};
use crate::scoreboard::Seat;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// Requests that have been there for this much longer than the turn are said to.
const OLDER: Duration = Duration::from_millis(100);

/// All that is needed for them, gathered while all is well.
pub struct LastWords {
    who: String,
    seat: Seat,
    notes: Notes,
    born: Instant,
}

/// Why the process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Somebody sent the signal, because it hangs.
    Told,
    /// It called abort(3).
    Own,
}

impl LastWords {
    /// Of this process, which begins now.
    pub fn new(seat: Seat, notes: Notes) -> LastWords {
        LastWords { who: crate::log::who(), seat, notes, born: Instant::now() }
    }

    /// As any line of the log begins.
    pub fn begin_line(&self, text: &mut FixedText) {
        crate::log::push_head(text, "ERROR", &self.who);
    }

    /// What it hangs in, or was in when it called abort(3).
    pub fn push_place(&self, end: End, now: Instant, text: &mut FixedText) {
        let turn = self.seat.beat_age(now);
        let running = self.notes.running();
        if end == End::Told && turn.is_some() && self.seat.is_waiting() {
            return text.push("is told to abort (SIGABRT) while it waits for events");
        }
        text.push(if end == End::Told { "hangs" } else { "aborts" });
        match (turn, running) {
            (None, _) => text.push(" while its app is built"),
            (_, Running::Nothing) => text.push(" outside of any request"),
            (_, Running::Unknown) => text.push(" in a request that has no note"),
            (_, Running::WebSocket) => text.push(" in a WebSocket"),
            (_, Running::Request(note)) => {
                text.push(" in ");
                text.push_one_line(note.method());
                text.push(" ");
                text.push_one_line(note.target());
                text.push(if note.is_cut() { "..." } else { "" });
            }
        }
        let turn = turn.unwrap_or(now.saturating_duration_since(self.born));
        let _ = match end {
            End::Told => write!(text, " for {:.1} s", turn.as_secs_f64()),
            End::Own => write!(text, ", {:.1} s after it turned to that", turn.as_secs_f64()),
        };
        if let Running::Request(note) = running {
            let age = self.seat.since(note.begun_ms(), now);
            if age > turn + OLDER {
                let _ = write!(text, "; the request came {:.1} s ago", age.as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notes::Before;
    use crate::scoreboard::{Scoreboard, State};

    fn place(words: &LastWords, end: End, now: Instant) -> String {
        let mut text = FixedText::default();
        words.push_place(end, now, &mut text);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn they_say_what_the_loop_is_in() {
        let board = Scoreboard::new(1).unwrap();
        board.take(0, 3);
        let (seat, notes) = (board.seat(0), board.notes(0));
        let words = LastWords::new(seat, notes);
        let s = Duration::from_secs;
        let born = words.born;
        assert_eq!(place(&words, End::Told, born + s(3)), "hangs while its app is built for 3.0 s");
        seat.set_state(State::Ready);
        let now = born + s(100);
        seat.beat(now, true);
        assert_eq!(place(&words, End::Told, now), "is told to abort (SIGABRT) while it waits for events");
        seat.beat(now, false);
        assert_eq!(place(&words, End::Told, now + s(2)), "hangs outside of any request for 2.0 s");
        notes.turn_to(Before::WebSocket);
        assert_eq!(place(&words, End::Told, now + s(2)), "hangs in a WebSocket for 2.0 s");
        notes.turn_to(Before::Idle);
        notes.begin(b"GET /slow?x=\x1b[1m HTTP/1.1\r\n\r\n", "GET /slow?x=\x1b[1m".len());
        assert_eq!(place(&words, End::Told, now + s(31)), "hangs in GET /slow?x=\\u{1b}[1m for 31.0 s");
        assert_eq!(
            place(&words, End::Own, now),
            "aborts in GET /slow?x=\\u{1b}[1m, 0.0 s after it turned to that",
            "a bug of the app's that the C library found"
        );
        // It goes on in a later turn.
        let kept = notes.keep(None, true);
        seat.beat(now + s(10), false);
        notes.turn_to(Before::InFlight(kept));
        let expected = "hangs in GET /slow?x=\\u{1b}[1m for 2.0 s; the request came 12.0 s ago";
        assert_eq!(place(&words, End::Told, now + s(12)), expected);
        notes.turn_to(Before::InFlight(None));
        assert_eq!(place(&words, End::Told, now + s(12)), "hangs in a request that has no note for 2.0 s");
    }
}
