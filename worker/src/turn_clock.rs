//! How the time of a turn is shared out: when a connection has had its share, and when the turn is over.
//!
//! The turn's own clock is read once, before anything is done. What takes long is only known afterwards, so the clock has
//! to be read between two units of work: two connections, two requests of one connection, two calls of one exchange. Where
//! they are quick it is read after every [`LOOK_EVERY`] of them, across turns; where they are slow, after each. A turn of
//! one unit, which is what a quiet server has, reads no clock but the turn's.
//!
//! Each unit also moves the progress word of the worker's slot: a worker that is slow is told from one that hangs.

use crate::run_queue::Spent;
use std::cell::Cell;
use std::time::{Duration, Instant};
use tine_common::scoreboard::Slot;

/// What one connection may use of a turn before the others have theirs. Its last unit may take longer.
const CONNECTION_TIME: Duration = Duration::from_millis(5);
/// What all may use before the worker looks for events and new connections again.
const TURN_TIME: Duration = Duration::from_millis(10);
/// Units between two looks at the clock while they are quick: reading it takes 25 ns, so 3 ns a unit.
const LOOK_EVERY: u32 = 8;
/// Units are slow when those since the last look took this long together.
const SLOW: Duration = Duration::from_millis(1);

pub struct TurnClock {
    slot: Slot,
    /// As on the scoreboard.
    progress: Cell<u64>,
    /// Units until the next look.
    unlooked: Cell<u32>,
    looked: Cell<Instant>,
    turn_began: Cell<Instant>,
    connection_began: Cell<Instant>,
    spent: Cell<Spent>,
    /// The connection has had its time.
    is_up: Cell<bool>,
}

impl TurnClock {
    pub fn new(slot: Slot, now: Instant) -> TurnClock {
        TurnClock {
            slot,
            progress: Cell::new(0),
            unlooked: Cell::new(LOOK_EVERY),
            looked: Cell::new(now),
            turn_began: Cell::new(now),
            connection_began: Cell::new(now),
            spent: Cell::new(Spent::Little),
            is_up: Cell::new(false),
        }
    }

    /// Of a connection whose time is always up: what it does in its turn is one unit.
    #[cfg(test)]
    pub fn always_up() -> TurnClock {
        let board = tine_common::scoreboard::Scoreboard::new(1).expect("a scoreboard");
        let now = Instant::now();
        let clock = TurnClock::new(board.slot(0), now);
        clock.look(now + TURN_TIME);
        clock
    }

    pub fn begin_turn(&self, now: Instant) {
        self.looked.set(now);
        self.turn_began.set(now);
        self.spent.set(Spent::Little);
    }

    /// The worker turns to a connection. What passed since the last look counts as this one's: too much by a stretch that
    /// was quick.
    pub fn begin_connection(&self) {
        self.connection_began.set(self.looked.get());
        self.is_up.set(false);
    }

    /// Between two units of work of one connection: whether it has had its time.
    pub fn is_time_up(&self) -> bool {
        self.pass();
        self.is_up.get()
    }

    /// Between two units of work.
    pub fn pass(&self) {
        let progress = self.progress.get().wrapping_add(1);
        self.progress.set(progress);
        self.slot.set_progress(progress);
        match self.unlooked.get() {
            0 => self.look(Instant::now()),
            left => self.unlooked.set(left - 1),
        }
    }

    /// How much of the turn has been used, as far as the clock was read.
    pub fn spent(&self) -> Spent {
        self.spent.get()
    }

    #[cold]
    fn look(&self, now: Instant) {
        let is_slow = now.duration_since(self.looked.replace(now)) >= SLOW;
        self.unlooked.set(if is_slow { 0 } else { LOOK_EVERY });
        self.is_up.set(now.duration_since(self.connection_began.get()) >= CONNECTION_TIME);
        self.spent.set(match now.duration_since(self.turn_began.get()) {
            turn if turn >= TURN_TIME => Spent::All,
            turn if turn >= TURN_TIME / 2 => Spent::Half,
            _ => Spent::Little,
        });
    }
}
