//! The scoreboard: a cache-line pair of the server memory per slot, one writer each.
//!
//! A worker has a slot from its fork until the master has reaped it. While a successor takes over, two workers of the same
//! index have a slot each. A worker writes its own slot and reads the others' to balance the load; the master reads all and
//! clears the slot of a dead worker. Loads and stores are relaxed: each word stands for itself.
//!
//! Counters are not cleared: the next worker of a slot continues, and what was counted before it stands beside, for those
//! that ask for one process. So no sum goes backwards, whenever another process reads it: moving a count from one word to
//! another would show it twice or not at all in between.
//!
//! Over an upgrade two masters have slots. A slot's *claim* says whose it is: the number of the master, and the process that
//! it has forked for it. Sums are over all; the balance is between the workers of one master. The in-flight tables are each
//! master's own.

mod claims;

use crate::address_counts::{AddressCounts, Tables};
use crate::election::Election;
use crate::gauges::{self, Gauges};
use crate::in_flight_table::{self, InFlightTable};
use crate::metric::{Kind, Metric, Metrics};
use crate::server_memory::{Masters, Needs, ServerMemory};
use crate::shared::Dictionaries;
use crate::sys::mmap::{Line, shared_lines};
use crate::telemetry::{self, Telemetry};
use crate::throttle::{self, Throttle};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A sleeping worker wakes at least this often for its heartbeat.
pub const IDLE_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(1000);
/// A sleeping worker without a heartbeat for this long does not respond (it is stopped).
const WAITING_FRESH: Duration = Duration::from_millis(1500);
/// A worker that has been in one turn of its loop for this long is busy with something other than accepting.
const BUSY_FRESH: Duration = Duration::from_millis(50);
/// After this long in one turn a worker's own queue is orphaned: all workers accept from it. Longer than [`BUSY_FRESH`],
/// because taking over a queue costs system calls; 16 workers on 2 busy CPUs have turns of 50 ms by waiting for a CPU alone.
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

/// The words of a slot, by position.
#[derive(Clone, Copy)]
enum Word {
    State,
    Heartbeat,
    /// The worker's index, and above it the number of its master; written by that before the fork.
    Index,
    Progress,
}

impl Word {
    const ALL: [Word; 4] = [Word::State, Word::Heartbeat, Word::Index, Word::Progress];
}

/// The first of the words that follow: one a metric.
const METRICS: usize = Word::ALL.len();
const _: () = assert!(METRICS + Metric::ALL.len() <= 16, "a line has a word for each");
/// Lines of a slot: what its worker publishes, and what masters write: the claim, and in the places of the same metrics what
/// its counters had before that worker.
const SLOT_LINES: usize = 2;
/// Bits of the word of the index.
const INDEX_BITS: u32 = 32;

/// Lines of the server memory for this many slots: all but the header and the counts of addresses.
pub(crate) fn lines(slots: usize, rate_count: u64) -> usize {
    slots * SLOT_LINES + 1 + gauges::LINES + telemetry::lines(slots) + throttle::lines(slots, rate_count)
}

#[derive(Clone, Copy)]
pub struct Scoreboard {
    slots: &'static [[Line; SLOT_LINES]],
    /// The number of slots that were ever taken.
    reach: &'static AtomicU64,
    masters: Masters,
    /// What the workers of this master have counted that have exited, in the places of the metrics.
    own_retired: &'static Line,
    /// One page per slot, of this master.
    in_flight_tables: &'static [[Line; in_flight_table::LINES]],
    /// Only with a limit of connections per address.
    addresses: Option<Tables>,
    /// What the master measures of the whole server.
    gauges: &'static [Line],
    throttle: Throttle,
    dictionaries: Dictionaries,
    election: Election,
    telemetry: Telemetry,
    /// Heartbeats count from here; the monotonic clock is the same in all processes.
    epoch: Instant,
}

#[derive(Clone, Copy)]
pub struct Slot {
    line: &'static Line,
    /// What counters had when the slot was last cleared, and the claim; written by masters.
    before: &'static Line,
    epoch: Instant,
}

/// The load of all workers, which a worker reads before it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadSnapshot {
    /// Connections of the least-loaded worker that can accept.
    pub least: u64,
    /// The index of a worker that has this few.
    pub least_worker: usize,
    /// Connections of all workers.
    pub total: u64,
    /// Workers that can accept.
    pub accepting: u64,
}

impl LoadSnapshot {
    /// No worker can accept.
    pub const NONE: LoadSnapshot = LoadSnapshot { least: u64::MAX, least_worker: 0, total: 0, accepting: 0 };
}

impl Scoreboard {
    /// A scoreboard of this many slots in memory of its own.
    pub fn new(slots: usize) -> io::Result<Self> {
        Scoreboard::over(&ServerMemory::private(Needs { slots, rate_count: 0, store: 0 })?)
    }

    /// Never unmapped: it lives as long as the processes do. The kernel allocates memory only for slots that were ever taken.
    pub fn over(memory: &ServerMemory) -> io::Result<Self> {
        let Needs { slots, rate_count, .. } = memory.needs();
        let (in_flight_tables, _) = shared_lines(slots * in_flight_table::LINES)?.as_chunks();
        let mut parts = memory.parts();
        let (slot_lines, _) = parts.take(slots * SLOT_LINES).as_chunks();
        let (reach, gauges, masters) = (&parts.line().words[0], parts.take(gauges::LINES), memory.masters());
        Ok(Scoreboard {
            slots: slot_lines,
            reach,
            masters,
            own_retired: &shared_lines(1)?[0],
            telemetry: Telemetry::over(&mut parts, slots, reach, masters),
            in_flight_tables,
            addresses: None,
            throttle: Throttle::over(&mut parts, slots, rate_count, memory),
            dictionaries: Dictionaries::NONE,
            election: memory.election(),
            gauges,
            epoch: memory.epoch(),
        })
    }

    /// What is measured of requests, connections and the server.
    pub fn telemetry(&self) -> Telemetry {
        self.telemetry
    }

    /// The limits of the whole server.
    pub fn throttle(&self) -> Throttle {
        self.throttle
    }

    /// Reserves the memory of the applications' dictionaries. To be called before the first fork. If that is not possible, there
    /// are none.
    pub fn with_dictionaries(mut self, bytes: usize) -> Scoreboard {
        match Dictionaries::reserve(bytes) {
            Ok(dictionaries) => self.dictionaries = dictionaries,
            Err(e) => log::warn!("no memory is reserved for shared dictionaries, lower --shared-max: {e}"),
        }
        self
    }

    /// What applications share.
    pub fn dictionaries(&self) -> Dictionaries {
        self.dictionaries
    }

    /// Which worker is the elected one.
    pub fn election(&self) -> Election {
        self.election
    }

    /// Counts the connections of each address from now on, in the workers that are forked after this.
    pub fn count_addresses(&mut self, memory: &ServerMemory) -> io::Result<()> {
        self.addresses = Some(Tables::new(memory.addresses()?, memory.keys()));
        Ok(())
    }

    /// Master only: assigns a slot that no other master has to a worker of this index.
    pub fn take(&self, number: usize, worker_index: usize) {
        self.reach.fetch_max(number as u64 + 1, Relaxed);
        let slot = self.slot(number);
        self.put_claim(&slot);
        slot.store(Word::Index, self.own_mark() | worker_index as u64);
        slot.set_state(State::Booting);
        self.throttle.take_seat(number);
    }

    pub fn slot(&self, number: usize) -> Slot {
        let [line, before] = &self.slots[number];
        Slot { line, before, epoch: self.epoch }
    }

    /// A time by the clock of the heartbeats.
    pub fn ms(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.epoch).as_millis() as u64
    }

    /// The time since `ms` of that clock.
    pub fn since(&self, ms: u64, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch).saturating_sub(Duration::from_millis(ms))
    }

    /// The requests of the worker in this slot.
    pub fn in_flight_table(&self, number: usize) -> InFlightTable {
        InFlightTable::new(&self.in_flight_tables[number], self.slot(number))
    }

    /// The number of connections of each address, for the worker in this slot; `None` where they are not counted.
    pub fn address_counts(&self, number: usize) -> Option<AddressCounts> {
        self.addresses.map(|tables| tables.of(number, self.reach))
    }

    pub fn gauges(&self) -> Gauges {
        Gauges::new(self.gauges, self.epoch)
    }

    /// All slots that were ever taken.
    fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..self.reach.load(Relaxed) as usize).map(|number| self.slot(number))
    }

    /// `asking`: the slot of the worker that asks. If several workers have the least, the first one after it is named, so
    /// that workers that ask at the same time do not all choose the same one.
    pub fn load_snapshot(&self, now: Instant, asking: usize) -> LoadSnapshot {
        let mut snapshot = LoadSnapshot::NONE;
        for slot in self.slots().skip(asking + 1).chain(self.slots().take(asking + 1)) {
            let connections = slot.get(Metric::Connections);
            snapshot.total += connections;
            if slot.is_accepting(now) && self.is_own(&slot) {
                snapshot.accepting += 1;
                if connections < snapshot.least {
                    (snapshot.least, snapshot.least_worker) = (connections, slot.worker_index());
                }
            }
        }
        snapshot
    }

    /// The indices of workers that can accept from their own queues.
    pub fn owners(&self, now: Instant) -> Vec<usize> {
        let owners = self.slots().filter(|slot| slot.has_heartbeat(now, OWNER_BUSY_FRESH) && self.is_own(slot));
        owners.map(|slot| slot.worker_index()).collect()
    }

    /// Sums over all workers; counters include those of workers that have exited.
    pub fn totals(&self) -> Metrics {
        let mut totals = Metrics::default();
        for slot in self.slots() {
            for metric in Metric::ALL {
                totals[metric] += slot.word(metric).load(Relaxed);
            }
        }
        totals
    }

    /// As [`Scoreboard::totals`], over the workers of this master.
    pub fn own_totals(&self) -> Metrics {
        let mut totals = Metrics::default();
        for metric in Metric::ALL {
            let own = self.slots().filter(|slot| self.is_own(slot)).map(|slot| slot.get(metric));
            totals[metric] = own.sum::<u64>() + self.own_retired(metric).load(Relaxed);
        }
        totals
    }

    fn own_retired(&self, metric: Metric) -> &'static AtomicU64 {
        &self.own_retired.words[METRICS + metric as usize]
    }

    /// Master only: clears the slot of a dead worker but for what it has counted, and gives back what it held of the limits.
    /// `in_flight`: the requests that ended with it.
    pub fn retire(&self, number: usize, in_flight: u64) {
        let slot = self.slot(number);
        for metric in Metric::ALL.into_iter().filter(|metric| metric.kind() == Kind::Counter) {
            self.own_retired(metric).fetch_add(slot.get(metric), Relaxed);
        }
        self.own_retired(Metric::ResponsesCut).fetch_add(in_flight, Relaxed);
        self.clear(number, in_flight);
    }

    fn clear(&self, number: usize, in_flight: u64) {
        let slot = self.slot(number);
        slot.begin_anew(in_flight);
        Word::ALL.into_iter().for_each(|word| slot.store(word, 0));
        self.in_flight_table(number).clear();
        self.telemetry.retire(number, in_flight);
        if let Some(tables) = self.addresses {
            tables.clear(number);
        }
        self.throttle.release_all_of(number);
        // Last: another master may take the slot from here on.
        slot.give_up_claim();
    }
}

impl Slot {
    fn load(&self, word: Word) -> u64 {
        self.line.words[word as usize].load(Relaxed)
    }

    fn store(&self, word: Word, value: u64) {
        self.line.words[word as usize].store(value, Relaxed);
    }

    pub fn state(&self) -> State {
        State::from_word(self.load(Word::State))
    }

    pub fn worker_index(&self) -> usize {
        self.load(Word::Index) as u32 as usize
    }

    /// Changes with every turn of its worker's loop that is a millisecond after the last; 0 before the first.
    pub fn heartbeat_word(&self) -> u64 {
        self.load(Word::Heartbeat)
    }

    /// Changes with every unit of work of a turn except the first, see [`Slot::set_progress`].
    pub fn progress_word(&self) -> u64 {
        self.load(Word::Progress)
    }

    /// When its worker's last heartbeat was, by the scoreboard's clock; 0 before the first.
    pub fn heartbeat_ms(&self) -> u64 {
        self.load(Word::Heartbeat) >> 1
    }

    /// The time since `ms` of the scoreboard's clock.
    pub fn since(&self, ms: u64, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch).saturating_sub(Duration::from_millis(ms))
    }

    /// Its worker is asleep until an event.
    pub fn is_waiting(&self) -> bool {
        self.load(Word::Heartbeat) & 1 == 1
    }

    /// How long ago its worker last began or ended a wait; `None` before its first heartbeat.
    pub fn heartbeat_age(&self, now: Instant) -> Option<Duration> {
        let heartbeat = self.load(Word::Heartbeat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(heartbeat >> 1);
        (heartbeat > 0).then(|| Duration::from_millis(age_ms))
    }

    pub fn set_state(&self, state: State) {
        self.store(Word::State, state as u64);
    }

    /// Written before and after each wait of the loop. `waiting`: asleep until an event, and able to accept.
    pub fn heartbeat(&self, now: Instant, waiting: bool) {
        let ms = now.duration_since(self.epoch).as_millis() as u64;
        self.store(Word::Heartbeat, ms << 1 | u64::from(waiting));
    }

    /// One more unit of work has begun within a turn: a connection, a request, a call of an exchange.
    pub fn set_progress(&self, units: u64) {
        self.store(Word::Progress, units);
    }

    /// `value`: of its process.
    pub fn set(&self, metric: Metric, value: u64) {
        self.word(metric).store(self.before(metric) + value, Relaxed);
    }

    /// Of its process.
    pub fn get(&self, metric: Metric) -> u64 {
        // The slot may be cleared in between: then its process has counted nothing.
        self.word(metric).load(Relaxed).saturating_sub(self.before(metric))
    }

    fn word(&self, metric: Metric) -> &'static AtomicU64 {
        &self.line.words[METRICS + metric as usize]
    }

    /// What a counter had when the slot was last cleared.
    fn before(&self, metric: Metric) -> u64 {
        match metric.kind() {
            Kind::Counter => self.before.words[METRICS + metric as usize].load(Relaxed),
            Kind::Gauge => 0,
        }
    }

    /// What its process has counted belongs to an earlier one from now on, and so do the requests that ended with it.
    fn begin_anew(&self, in_flight: u64) {
        self.set(Metric::ResponsesCut, self.get(Metric::ResponsesCut) + in_flight);
        for metric in Metric::ALL {
            match metric.kind() {
                Kind::Counter => {
                    self.before.words[METRICS + metric as usize].store(self.word(metric).load(Relaxed), Relaxed)
                }
                Kind::Gauge => self.word(metric).store(0, Relaxed),
            }
        }
    }

    pub fn publish(&self, metrics: &Metrics) {
        Metric::ALL.into_iter().for_each(|metric| self.set(metric, metrics[metric]));
    }

    fn is_accepting(&self, now: Instant) -> bool {
        self.has_heartbeat(now, BUSY_FRESH)
    }

    /// Whether it is ready, and either asleep in its poll or out of it for at most `busy_fresh`.
    fn has_heartbeat(&self, now: Instant, busy_fresh: Duration) -> bool {
        if self.load(Word::State) != State::Ready as u64 {
            return false;
        }
        let heartbeat = self.load(Word::Heartbeat);
        let age_ms = (now.duration_since(self.epoch).as_millis() as u64).saturating_sub(heartbeat >> 1);
        let fresh = if heartbeat & 1 == 1 { WAITING_FRESH } else { busy_fresh };
        age_ms <= fresh.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_snapshot_counts_all_workers_and_finds_the_least_loaded_that_can_accept() {
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
            board.slot(i).set_state(state);
            board.slot(i).set(Metric::Connections, connections);
            board.slot(i).heartbeat(now - Duration::from_millis(age_ms), waiting);
        }
        assert_eq!(board.load_snapshot(now, 0), LoadSnapshot { least: 5, least_worker: 11, total: 13, accepting: 2 });
        assert_eq!(board.owners(now), [10, 11, 12], "a queue is orphaned later");
        let later = now + Duration::from_secs(1);
        assert_eq!(
            board.load_snapshot(later, 0),
            LoadSnapshot { total: 13, ..LoadSnapshot::NONE },
            "a worker without a heartbeat throttles no other"
        );
        assert!(board.owners(later).is_empty());
    }

    #[test]
    fn workers_that_ask_are_given_different_least_loaded_ones() {
        let board = Scoreboard::new(4).unwrap();
        let now = board.epoch + Duration::from_secs(100);
        for (slot, connections) in [(0, 2), (1, 2), (2, 3), (3, 2)] {
            board.take(slot, slot);
            board.slot(slot).set_state(State::Ready);
            board.slot(slot).set(Metric::Connections, connections);
            board.slot(slot).heartbeat(now, true);
        }
        for (asking, named) in [(0, 1), (1, 3), (2, 3), (3, 0)] {
            assert_eq!(board.load_snapshot(now, asking).least_worker, named, "slot {asking} asks");
        }
    }

    #[test]
    fn no_reader_sees_a_total_go_backwards_while_slots_are_cleared() {
        let board = Scoreboard::new(3).unwrap();
        (0..3).for_each(|number| board.take(number, number));
        let writer = std::thread::spawn(move || {
            for round in 1..=1_000_000 {
                let number = round % 3;
                board.slot(number).publish(&[(Metric::Requests, 7), (Metric::Connections, 1)].into());
                board.slot(number).begin_anew(1);
            }
        });
        let mut before = Metrics::default();
        while !writer.is_finished() {
            let totals = board.totals();
            for metric in [Metric::Requests, Metric::ResponsesCut] {
                assert!(totals[metric] >= before[metric], "{metric:?}: {}, then {}", before[metric], totals[metric]);
            }
            before = totals;
        }
        writer.join().unwrap();
        assert_eq!((board.totals()[Metric::Requests], board.totals()[Metric::ResponsesCut]), (7_000_000, 1_000_000));
    }

    #[test]
    fn totals_never_go_backwards() {
        let board = Scoreboard::new(2).unwrap();
        (0..2).for_each(|i| board.take(i, i));
        board.slot(1).set(Metric::Requests, 40);
        board.slot(1).set(Metric::Connections, 3);
        board.slot(0).set(Metric::Requests, 2);
        assert_eq!(board.totals()[Metric::Requests], 42);
        board.retire(1, 2);
        assert_eq!(board.totals()[Metric::Requests], 42);
        assert_eq!((board.totals()[Metric::Connections], board.totals()[Metric::ResponsesCut]), (0, 2));
        board.take(1, 1);
        assert_eq!(board.slot(1).get(Metric::Requests), 0, "the next worker has answered none");
        board.slot(1).publish(&[(Metric::Requests, 5), (Metric::Connections, 2)].into());
        assert_eq!((board.slot(1).get(Metric::Requests), board.slot(1).get(Metric::Connections)), (5, 2));
        assert_eq!((board.totals()[Metric::Requests], board.totals()[Metric::ResponsesCut]), (47, 2));
    }
}
