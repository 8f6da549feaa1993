//! The crash report of a worker that gets SIGABRT: what it hangs in, and for how long.
//!
//! Everything here but `new` may be called from a signal handler: nothing is allocated, no lock is taken.

use crate::fixed_text::FixedText;
use crate::in_flight_table::{InFlightTable, Running};
use crate::scoreboard::Slot;
use crate::sys::abort::Sender;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// The age of a request is reported if it exceeds that of the turn by this much.
const OLDER: Duration = Duration::from_millis(100);

/// All that a report needs, gathered in advance.
pub struct CrashReport {
    process_name: String,
    slot: Slot,
    in_flight_table: InFlightTable,
    born: Instant,
}

impl CrashReport {
    /// For this process, which begins now.
    pub fn new(slot: Slot, in_flight_table: InFlightTable) -> CrashReport {
        CrashReport { process_name: crate::log::process_name(), slot, in_flight_table, born: Instant::now() }
    }

    /// Pushes the head of a log line.
    pub fn begin_line(&self, text: &mut FixedText) {
        crate::log::push_head(text, "ERROR", &self.process_name);
    }

    /// Pushes the request that it hangs in if another process sent the signal, or that it was running when it called
    /// abort(3).
    pub fn push_place(&self, sender: Sender, now: Instant, text: &mut FixedText) {
        let turn = self.slot.heartbeat_age(now);
        let running = self.in_flight_table.running();
        if sender == Sender::Other && turn.is_some() && self.slot.is_waiting() {
            return text.push("received SIGABRT while waiting for events");
        }
        text.push(if sender == Sender::Other { "has been hanging" } else { "aborts" });
        match (turn, running) {
            (None, _) => text.push(" while building its app"),
            (_, Running::Nothing) => text.push(" outside of any request"),
            (_, Running::Unknown) => text.push(" in a request that is not in the in-flight table"),
            (_, Running::WebSocket) => text.push(" in a WebSocket"),
            (_, Running::Request(entry)) => {
                text.push(" in ");
                text.push_one_line(entry.method());
                text.push(" ");
                text.push_one_line(entry.target());
                text.push(if entry.is_cut() { "..." } else { "" });
            }
        }
        let turn = turn.unwrap_or(now.saturating_duration_since(self.born));
        let _ = match sender {
            Sender::Other => write!(text, " for {:.1} s", turn.as_secs_f64()),
            Sender::This => write!(text, ", after {:.1} s in this turn of the event loop", turn.as_secs_f64()),
        };
        if let Running::Request(entry) = running {
            let age = self.slot.since(entry.begun_ms(), now);
            if age > turn + OLDER {
                let _ = write!(text, "; the request arrived {:.1} s ago", age.as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::in_flight_table::Before;
    use crate::scoreboard::{Scoreboard, State};

    fn place(report: &CrashReport, sender: Sender, now: Instant) -> String {
        let mut text = FixedText::default();
        report.push_place(sender, now, &mut text);
        String::from_utf8(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn it_names_what_the_loop_is_in() {
        let board = Scoreboard::new(1).unwrap();
        board.take(0, 3);
        let (slot, table) = (board.slot(0), board.in_flight_table(0));
        let report = CrashReport::new(slot, table);
        let s = Duration::from_secs;
        let born = report.born;
        assert_eq!(place(&report, Sender::Other, born + s(3)), "has been hanging while building its app for 3.0 s");
        slot.set_state(State::Ready);
        let now = born + s(100);
        slot.heartbeat(now, true);
        assert_eq!(place(&report, Sender::Other, now), "received SIGABRT while waiting for events");
        slot.heartbeat(now, false);
        assert_eq!(place(&report, Sender::Other, now + s(2)), "has been hanging outside of any request for 2.0 s");
        table.turn_to(Before::WebSocket);
        assert_eq!(place(&report, Sender::Other, now + s(2)), "has been hanging in a WebSocket for 2.0 s");
        table.turn_to(Before::Idle);
        table.begin(b"GET /slow?x=\x1b[1m HTTP/1.1\r\n\r\n", "GET /slow?x=\x1b[1m".len());
        assert_eq!(place(&report, Sender::Other, now + s(31)), "has been hanging in GET /slow?x=\\u{1b}[1m for 31.0 s");
        assert_eq!(
            place(&report, Sender::This, now),
            "aborts in GET /slow?x=\\u{1b}[1m, after 0.0 s in this turn of the event loop",
            "a bug of the app's that the C library found"
        );
        // It goes on in a later turn.
        let kept = table.keep(None, true);
        slot.heartbeat(now + s(10), false);
        table.turn_to(Before::InFlight(kept));
        let expected = "has been hanging in GET /slow?x=\\u{1b}[1m for 2.0 s; the request arrived 12.0 s ago";
        assert_eq!(place(&report, Sender::Other, now + s(12)), expected);
        table.turn_to(Before::InFlight(None));
        assert_eq!(
            place(&report, Sender::Other, now + s(12)),
            "has been hanging in a request that is not in the in-flight table for 2.0 s"
        );
    }
}
