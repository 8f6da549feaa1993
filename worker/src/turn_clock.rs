//! How the time of a turn is divided: when a connection has used its share, and when the turn is over.
//!
//! The turn's own time is read once, at its start. What takes long is only known afterwards, so the clock has to be
//! read between units of work: two connections, two requests of one connection, two calls of one exchange. While units
//! are quick it is read after every [`UNITS_PER_READING`] of them, across turns; while they are slow, after each. A
//! turn of one unit, as on a quiet server, reads no clock but the turn's.
//!
//! Each unit also increments the progress word of the worker's slot, which tells a slow worker from one that hangs.

use crate::run_queue::Spent;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tine_common::scoreboard::Slot;

/// The time that one connection may use in a turn. Its last unit may take longer.
const CONNECTION_TIME: Duration = Duration::from_millis(5);
/// The time that all connections may use before the worker polls for events and accepts again.
const TURN_TIME: Duration = Duration::from_millis(10);
/// Units between two readings of the clock while they are quick: a reading takes 25 ns, so 3 ns a unit.
const UNITS_PER_READING: u32 = 8;
/// Units are slow when those since the last reading took this long together.
const SLOW: Duration = Duration::from_millis(1);

pub struct TurnClock {
    slot: Slot,
    /// As on the scoreboard.
    progress: Cell<u64>,
    /// Units until the next reading.
    until_reading: Cell<u32>,
    read_at: Cell<Instant>,
    latest: Cell<Instant>,
    turn_began: Cell<Instant>,
    connection_began: Cell<Instant>,
    spent: Cell<Spent>,
    /// The connection has used its time.
    is_up: Cell<bool>,
}

impl TurnClock {
    pub fn new(slot: Slot, now: Instant) -> TurnClock {
        TurnClock {
            slot,
            progress: Cell::new(0),
            until_reading: Cell::new(UNITS_PER_READING),
            read_at: Cell::new(now),
            latest: Cell::new(now),
            turn_began: Cell::new(now),
            connection_began: Cell::new(now),
            spent: Cell::new(Spent::Little),
            is_up: Cell::new(false),
        }
    }

    /// A clock by which a connection's time is always up: each of its turns is one unit.
    #[cfg(test)]
    pub fn always_up() -> TurnClock {
        let board = tine_common::scoreboard::Scoreboard::new(1).expect("a scoreboard");
        let clock = TurnClock::new(board.slot(0), Instant::now());
        clock.connection_began.set(Instant::now() - CONNECTION_TIME);
        clock.is_up.set(true);
        clock
    }

    pub fn begin_turn(&self, now: Instant) {
        self.read_at.set(now);
        self.latest.set(now);
        self.turn_began.set(now);
        self.spent.set(Spent::Little);
    }

    /// The worker begins with a connection. The time since the last reading counts as this one's; it was a quick
    /// stretch.
    pub fn begin_connection(&self) {
        self.connection_began.set(self.read_at.get());
        self.is_up.set(false);
    }

    /// Between two units of work of one connection: whether it has used its time.
    pub fn is_time_up(&self) -> bool {
        self.pass();
        self.is_up.get()
    }

    /// Between two units of work.
    pub fn pass(&self) {
        let progress = self.progress.get().wrapping_add(1);
        self.progress.set(progress);
        self.slot.set_progress(progress);
        match self.until_reading.get() {
            0 => self.read(Instant::now()),
            left => self.until_reading.set(left - 1),
        }
    }

    /// Reads the clock after a flush. It tells nothing about the units: there were too few.
    pub fn now(&self) -> Instant {
        let now = Instant::now();
        self.latest.set(now);
        now
    }

    /// The last reading: at the latest after the last flush.
    pub fn latest(&self) -> Instant {
        self.latest.get()
    }

    /// How much of the turn has been used, as far as the clock was read.
    pub fn spent(&self) -> Spent {
        self.spent.get()
    }

    #[cold]
    fn read(&self, now: Instant) {
        self.latest.set(now);
        let is_slow = now.duration_since(self.read_at.replace(now)) >= SLOW;
        self.until_reading.set(if is_slow { 0 } else { UNITS_PER_READING });
        self.is_up.set(now.duration_since(self.connection_began.get()) >= CONNECTION_TIME);
        self.spent.set(match now.duration_since(self.turn_began.get()) {
            turn if turn >= TURN_TIME => Spent::All,
            turn if turn >= TURN_TIME / 2 => Spent::Half,
            _ => Spent::Little,
        });
    }
}
