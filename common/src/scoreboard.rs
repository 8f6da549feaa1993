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
mod slot;

pub use slot::{Slot, State};

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
use slot::{INDEX_BITS, METRICS, OWNER_BUSY_FRESH, SLOT_LINES, Word};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// A sleeping worker wakes at least this often for its heartbeat.
pub const IDLE_HEARTBEAT_INTERVAL: Duration = Duration::from_millis(1000);

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
