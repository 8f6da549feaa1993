//! The scoreboard: one anonymous shared mapping, a cache-line pair per seat, one writer each.
//!
//! A worker has a seat from its fork until the master has buried it. A slot, the place among the workers that it fills, has
//! two seats while a successor takes over. A worker writes its own seat and reads the others' to balance; the master reads
//! all, empties the seat of a dead worker and keeps what it had counted in the retired totals, so that sums never go
//! backwards. Loads and stores are relaxed: each word stands for itself.

use crate::address_counts::{AddressCounts, Tables};
use crate::notes::{self, Notes};
use crate::sys::mmap::{Line, shared_lines};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A sleeping worker wakes at least this often to beat.
pub const IDLE_BEAT: Duration = Duration::from_millis(1000);
/// A sleeping worker that has not beaten for this long does not answer (it is stopped).
const WAITING_FRESH: Duration = Duration::from_millis(1500);
/// A worker that has been in one turn of its loop for this long is busy with something else than accepting.
const BUSY_FRESH: Duration = Duration::from_millis(50);
/// After this long in one turn its own queue is everybody's. Longer, as it takes system calls to look after it; 16 workers
/// on 2 busy CPUs have turns of 50 ms without doing anything but waiting for a CPU.
const OWNER_BUSY_FRESH: Duration = Duration::from_millis(300);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Empty = 0,
    Booting = 1,
    Ready = 2,
    Draining = 3,
}

impl State {
    fn from_word(word: u64) -> State {
        [State::Booting, State::Ready, State::Draining]
            .into_iter()
            .find(|&state| state as u64 == word)
            .unwrap_or(State::Empty)
    }
}

/// The words of a seat, by position.
#[derive(Clone, Copy)]
enum Word {
    State,
    Beat,
    Connections,
    InFlight,
    Requests,
    Accepted,
    Refused,
    Cut,
    /// Written by the master before the fork.
    Slot,
    Progress,
}

/// A word of line 0 that is no total: how many seats there are to look at.
const REACH: usize = 15;

/// Sums over all workers, those that are gone included.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    pub connections: u64,
    pub in_flight: u64,
    pub requests: u64,
    pub accepted: u64,
    pub refused: u64,
    pub cut: u64,
}

#[derive(Clone, Copy)]
pub struct Scoreboard {
    /// Line 0 holds the retired totals and the reach, line `n + 1` seat `n`.
    lines: &'static [Line],
    /// A page of notes per seat.
    notes: &'static [[Line; notes::LINES]],
    /// Where connections are limited by address.
    addresses: Option<Tables>,
    /// Beats count from here; the monotonic clock is the same in all processes.
    epoch: Instant,
}

#[derive(Clone, Copy)]
pub struct Seat {
    line: &'static Line,
    epoch: Instant,
}

/// What a worker needs to know of all of them before it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Survey {
    /// Connections of the least loaded worker that is there to accept.
    pub least: u64,
    /// The slot of one that has so few.
    pub least_slot: usize,
    /// Connections of all workers.
    pub total: u64,
    /// Workers that are there to accept.
    pub accepting: u64,
}

impl Survey {
    /// What is seen where nobody is.
    pub const NOBODY: Survey = Survey { least: u64::MAX, least_slot: 0, total: 0, accepting: 0 };
}

impl Scoreboard {
    /// Maps a scoreboard of so many seats. Never unmapped: it lives as long as the processes do. The kernel gives memory
    /// to those that were ever taken.
    pub fn new(seats: usize) -> io::Result<Self> {
        let (notes, _) = shared_lines(seats * notes::LINES)?.as_chunks();
        Ok(Scoreboard { lines: shared_lines(seats + 1)?, notes, addresses: None, epoch: Instant::now() })
    }

    /// From now on the connections of each address are counted; before the first fork.
    pub fn count_addresses(&mut self) -> io::Result<()> {
        self.addresses = Some(Tables::new(self.notes.len())?);
        Ok(())
    }

    /// Master only: gives the seat to a worker that is to fill this slot.
    pub fn take(&self, index: usize, slot: usize) {
        let reach = &self.lines[0].words[REACH];
        reach.store(reach.load(Relaxed).max(index as u64 + 1), Relaxed);
        let seat = self.seat(index);
        seat.store(Word::Slot, slot as u64);
        seat.set_state(State::Booting);
    }

    pub fn seat(&self, index: usize) -> Seat {
        Seat { line: &self.lines[index + 1], epoch: self.epoch }
    }

    /// The requests of the worker in this seat.
    pub fn notes(&self, index: usize) -> Notes {
        Notes::new(&self.notes[index], self.seat(index))
    }

    /// How many connections each address has, for the worker in this seat; `None` where they are not counted.
    pub fn address_counts(&self, index: usize) -> Option<AddressCounts> {
        self.addresses.map(|tables| tables.of(index, &self.lines[0].words[REACH]))
    }

    /// All that were ever taken.
    fn seats(&self) -> impl Iterator<Item = Seat> + '_ {
        let reach = self.lines[0].words[REACH].load(Relaxed) as usize;
        self.lines[1..].iter().take(reach).map(|line| Seat { line, epoch: self.epoch })
    }

    /// `asking`: the seat of who asks. Of several who have least, the first behind it is named, so that not all who ask at
    /// the same time turn to the same one.
    pub fn survey(&self, now: Instant, asking: usize) -> Survey {
        let mut survey = Survey::NOBODY;
        for seat in self.seats().skip(asking + 1).chain(self.seats().take(asking + 1)) {
            let connections = seat.load(Word::Connections);
            survey.total += connections;
            if seat.is_accepting(now) {
                survey.accepting += 1;
                if connections < survey.least {
                    (survey.least, survey.least_slot) = (connections, seat.slot());
                }
            }
        }
        survey
    }

    /// The slots whose workers are there to accept from queues of their own.
    pub fn owners(&self, now: Instant) -> Vec<usize> {
        let owners = self.seats().filter(|seat| seat.has_beaten(now, OWNER_BUSY_FRESH));
        owners.map(|seat| seat.slot()).collect()
    }

    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for seat in self.seats().chain([self.retired()]) {
            totals.connections += seat.load(Word::Connections);
            totals.in_flight += seat.load(Word::InFlight);
            totals.requests += seat.load(Word::Requests);
            totals.accepted += seat.load(Word::Accepted);
            totals.refused += seat.load(Word::Refused);
            totals.cut += seat.load(Word::Cut);
        }
        totals
    }

    fn retired(&self) -> Seat {
        Seat { line: &self.lines[0], epoch: self.epoch }
    }

    /// Master only: keeps the counters of a dead worker and empties its seat.
    pub fn retire(&self, index: usize) {
        let (retired, seat) = (self.retired(), self.seat(index));
        for word in [Word::Requests, Word::Accepted, Word::Refused, Word::Cut] {
            retired.store(word, retired.load(word) + seat.load(word));
            seat.store(word, 0);
        }
        for word in [Word::State, Word::Beat, Word::Connections, Word::InFlight, Word::Slot, Word::Progress] {
            seat.store(word, 0);
        }
        self.notes(index).clear();
        if let Some(tables) = self.addresses {
            tables.clear(index);
        }
    }
}

impl Seat {
    fn load(&self, word: Word) -> u64 {
        self.line.words[word as usize].load(Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.line.words[word as usize].store(value, Relaxed);
    }

    pub fn state(&self) -> State {
        State::from_word(self.load(Word::State))
    }

    pub fn slot(&self) -> usize {
        self.load(Word::Slot) as usize
    }

    /// Changes with every turn of its worker's loop that is a millisecond after the last; 0 before the first.
    pub fn beat_word(&self) -> u64 {
        self.load(Word::Beat)
    }

    /// Changes with every unit of work of a turn but the first, see [`Seat::set_progress`].
    pub fn progress_word(&self) -> u64 {
        self.load(Word::Progress)
    }

    /// When its worker last beat, by the scoreboard's clock; 0 before its first beat.
    pub fn beat_ms(&self) -> u64 {
        self.load(Word::Beat) >> 1
    }

    /// How long ago something was, by the scoreboard's clock.
    pub fn since(&self, ms: u64, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch).saturating_sub(Duration::from_millis(ms))
    }

    /// Its worker is asleep until an event.
    pub fn is_waiting(&self) -> bool {
        self.load(Word::Beat) & 1 == 1
    }

    /// How long ago its worker last began or ended a wait; `None`, before its first beat.
    pub fn beat_age(&self, now: Instant) -> Option<Duration> {
        let beat = self.load(Word::Beat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(beat >> 1);
        (beat > 0).then(|| Duration::from_millis(age_ms))
    }

    pub fn set_state(&self, state: State) {
        self.store(Word::State, state as u64);
    }

    /// Written before and after each wait of the loop. `waiting`: asleep until an event, and there to accept.
    pub fn beat(&self, now: Instant, waiting: bool) {
        let ms = now.duration_since(self.epoch).as_millis() as u64;
        self.store(Word::Beat, ms << 1 | u64::from(waiting));
    }

    /// One more unit of work is begun within a turn: a connection, a request, a call of an exchange.
    pub fn set_progress(&self, units: u64) {
        self.store(Word::Progress, units);
    }

    pub fn set_connections(&self, connections: u64) {
        self.store(Word::Connections, connections);
    }

    pub fn set_in_flight(&self, in_flight: u64) {
        self.store(Word::InFlight, in_flight);
    }

    pub fn set_requests(&self, requests: u64) {
        self.store(Word::Requests, requests);
    }

    pub fn set_accepted(&self, accepted: u64) {
        self.store(Word::Accepted, accepted);
    }

    pub fn set_refused(&self, refused: u64) {
        self.store(Word::Refused, refused);
    }

    pub fn set_cut(&self, cut: u64) {
        self.store(Word::Cut, cut);
    }

    pub fn connections(&self) -> u64 {
        self.load(Word::Connections)
    }

    pub fn in_flight(&self) -> u64 {
        self.load(Word::InFlight)
    }

    pub fn requests(&self) -> u64 {
        self.load(Word::Requests)
    }

    fn is_accepting(&self, now: Instant) -> bool {
        self.has_beaten(now, BUSY_FRESH)
    }

    /// Ready, and either asleep in its poll or out of it for no longer than `busy_fresh`.
    fn has_beaten(&self, now: Instant, busy_fresh: Duration) -> bool {
        if self.load(Word::State) != State::Ready as u64 {
            return false;
        }
        let beat = self.load(Word::Beat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(beat >> 1);
        let fresh = if beat & 1 == 1 { WAITING_FRESH } else { busy_fresh };
        age_ms <= fresh.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survey_counts_everyone_and_looks_for_the_least_that_can_accept() {
        let board = Scoreboard::new(4).unwrap();
        let now = board.epoch + Duration::from_secs(100);
        for (i, (state, connections, age_ms, waiting)) in [
            (State::Ready, 7, 0, false),
            (State::Ready, 5, 1200, true),
            (State::Ready, 1, 60, false), // stuck in one turn
            (State::Booting, 0, 0, true),
        ]
        .into_iter()
        .enumerate()
        {
            board.take(i, 10 + i);
            board.seat(i).set_state(state);
            board.seat(i).set_connections(connections);
            board.seat(i).beat(now - Duration::from_millis(age_ms), waiting);
        }
        assert_eq!(board.survey(now, 0), Survey { least: 5, least_slot: 11, total: 13, accepting: 2 });
        assert_eq!(board.owners(now), [10, 11, 12], "a queue is left later");
        let later = now + Duration::from_secs(1);
        assert_eq!(
            board.survey(later, 0),
            Survey { total: 13, ..Survey::NOBODY },
            "who has not beaten holds nobody back"
        );
        assert!(board.owners(later).is_empty());
    }

    #[test]
    fn who_ask_are_given_different_ones_of_those_who_have_least() {
        let board = Scoreboard::new(4).unwrap();
        let now = board.epoch + Duration::from_secs(100);
        for (seat, connections) in [(0, 2), (1, 2), (2, 3), (3, 2)] {
            board.take(seat, seat);
            board.seat(seat).set_state(State::Ready);
            board.seat(seat).set_connections(connections);
            board.seat(seat).beat(now, true);
        }
        for (asking, named) in [(0, 1), (1, 3), (2, 3), (3, 0)] {
            assert_eq!(board.survey(now, asking).least_slot, named, "seat {asking} asks");
        }
    }

    #[test]
    fn totals_never_go_backwards() {
        let board = Scoreboard::new(2).unwrap();
        (0..2).for_each(|i| board.take(i, i));
        board.seat(1).set_requests(40);
        board.seat(1).set_connections(3);
        board.seat(0).set_requests(2);
        assert_eq!(board.totals().requests, 42);
        board.retire(1);
        assert_eq!(board.totals().requests, 42);
        assert_eq!(board.totals().connections, 0);
    }
}
