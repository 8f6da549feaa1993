//! The tasks of the application: what it does outside of any request.
//!
//! They have a table, timers and a queue of their own, beside those of the connections. So a worker whose application has no
//! task pays one branch a turn, and a flood of tasks delays connections by no more than one connection would: all tasks
//! together have the time of one ([`TurnClock`](crate::turn_clock::TurnClock)), after the connections had theirs.

use crate::app::{Background, ConnectionCx, ConnectionId, Cx, Rest, Task, TurnCx};
use crate::protocol::IdleEnd;
use crate::timers::{Armed, Timers};
use slab::Slab;
use std::collections::VecDeque;
use std::time::Instant;

/// The first token of tasks in [`ConnectionId`]; connections count from 0.
const FIRST_TOKEN: usize = 1 << 61;

#[derive(Default)]
pub struct Tasks {
    spawned: Background,
    table: Slab<Entry>,
    /// By places in the table.
    timers: Timers,
    queue: VecDeque<usize>,
    /// Of the last that was spawned.
    serial: u32,
}

struct Entry {
    task: Box<dyn Task>,
    serial: u32,
    armed: Armed,
    is_queued: bool,
}

impl Tasks {
    /// Those that are spawned there.
    pub fn of(spawned: Background) -> Tasks {
        Tasks { spawned, ..Tasks::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.spawned.is_empty()
    }

    /// When one of them is to be called next. A time that has passed: now.
    pub fn deadline(&self, now: Instant) -> Option<Instant> {
        if self.queue.is_empty() && self.spawned.is_empty() { self.timers.nearest() } else { Some(now) }
    }

    /// Calls those whose time has come, as long as there is time. `idle_end`: the worker drains.
    pub fn run(&mut self, turn: &TurnCx<'_>, idle_end: Option<IdleEnd>) {
        self.enter();
        while let Some(place) = self.timers.expired(turn.now) {
            self.table[place].armed = None;
            self.schedule(place);
        }
        // Those that ask for another turn are not called twice in this one.
        for _ in 0..self.queue.len() {
            let Some(place) = self.queue.pop_front() else { break };
            let entry = &mut self.table[place];
            entry.is_queued = false;
            let id = ConnectionId::new(FIRST_TOKEN | place, entry.serial);
            let cx = Cx { turn, connection: ConnectionCx { socket: None, session: None, caller: None, idle_end, id } };
            match entry.task.run(&cx) {
                Rest::NotBefore(at) if at <= turn.now => self.schedule(place),
                Rest::NotBefore(at) => self.timers.arm(place, &mut entry.armed, at),
                Rest::Wait => {}
                Rest::End => {
                    let mut entry = self.table.remove(place);
                    self.timers.disarm(place, &mut entry.armed);
                }
            }
            if turn.is_time_up() {
                break;
            }
        }
    }

    /// A waker of a task was used.
    pub fn wake(&mut self, id: ConnectionId) {
        if let Some(place) = id.token.checked_sub(FIRST_TOKEN)
            && self.table.get(place).is_some_and(|entry| entry.serial == id.serial)
        {
            self.schedule(place);
        }
    }

    /// The worker begins to drain, which each of them is told.
    pub fn wake_all(&mut self) {
        self.enter();
        let places: Vec<usize> = self.table.iter().map(|(place, _)| place).collect();
        places.into_iter().for_each(|place| self.schedule(place));
    }

    /// The number of those that the worker waits for before it exits.
    pub fn holding(&self) -> usize {
        let hold = self.table.iter().filter(|(_, entry)| entry.is_queued || entry.task.holds_exit());
        hold.count() + usize::from(!self.spawned.is_empty())
    }

    /// Ends all of them at once.
    pub fn clear(&mut self) {
        let table = std::mem::take(&mut self.table);
        (self.timers, self.queue) = (Timers::default(), VecDeque::new());
        drop((table, self.spawned.take()));
    }

    fn enter(&mut self) {
        for task in self.spawned.take() {
            self.serial = self.serial.wrapping_add(1);
            let entry = Entry { task, serial: self.serial, armed: None, is_queued: false };
            let place = self.table.insert(entry);
            self.schedule(place);
        }
    }

    fn schedule(&mut self, place: usize) {
        if !std::mem::replace(&mut self.table[place].is_queued, true) {
            self.queue.push_back(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{Waker, Wakeups};
    use crate::http::DateLine;
    use mio::Poll;
    use std::cell::RefCell;
    use std::rc::Rc;
    use std::time::Duration;
    use tine_common::config::Limits;

    type Log = Rc<RefCell<Vec<(&'static str, bool)>>>;

    /// Returns these one after the other, and logs its calls and whether the worker drained.
    struct Scripted {
        name: &'static str,
        rests: Vec<Rest>,
        log: Log,
        waker: Rc<RefCell<Option<Waker>>>,
    }

    impl Task for Scripted {
        fn run(&mut self, cx: &Cx<'_>) -> Rest {
            self.log.borrow_mut().push((self.name, cx.is_draining()));
            self.waker.replace(Some(cx.waker()));
            if self.rests.is_empty() { Rest::End } else { self.rests.remove(0) }
        }

        fn holds_exit(&self) -> bool {
            self.name.starts_with("holds")
        }
    }

    struct Fixture {
        tasks: Tasks,
        wakeups: Wakeups,
        log: Log,
        start: Instant,
        date: DateLine,
        _poll: Poll,
    }

    impl Fixture {
        fn new() -> Fixture {
            let (start, poll) = (Instant::now(), Poll::new().expect("a poll"));
            let wakeups = Wakeups::new(poll.registry().try_clone().expect("a descriptor"));
            let tasks = Tasks::of(wakeups.background.clone());
            Fixture { tasks, wakeups, log: Log::default(), start, date: DateLine::new(start), _poll: poll }
        }

        fn spawn(&self, name: &'static str, rests: &[Rest]) -> Rc<RefCell<Option<Waker>>> {
            let waker = Rc::default();
            let task = Scripted { name, rests: rests.to_vec(), log: Rc::clone(&self.log), waker: Rc::clone(&waker) };
            self.wakeups.background.spawn(task);
            waker
        }

        /// Runs a turn this long after the start; returns the names of those that were called.
        fn turn(&mut self, ms: u64) -> Vec<&'static str> {
            let limits = Limits::default();
            let turn = TurnCx {
                wakeups: Some(&self.wakeups),
                ..TurnCx::alone(self.start + Duration::from_millis(ms), &limits, &self.date, None)
            };
            self.tasks.run(&turn, None);
            self.log.take().into_iter().map(|(name, _)| name).collect()
        }

        fn wake(&mut self) {
            while let Some(id) = self.wakeups.woken.pop() {
                self.tasks.wake(id);
            }
        }
    }

    #[test]
    fn each_is_called_when_it_asks_to_be_and_once_a_turn() {
        let mut all = Fixture::new();
        let at = |ms| Rest::NotBefore(all.start + Duration::from_millis(ms));
        assert!(all.tasks.is_empty());
        all.spawn("later", &[at(50), at(90)]);
        all.spawn("again", &[at(0), at(0)]);
        all.spawn("once", &[]);
        assert_eq!((all.tasks.is_empty(), all.tasks.deadline(all.start)), (false, Some(all.start)));
        assert_eq!(all.turn(0), ["later", "again", "once"]);
        assert_eq!(all.turn(1), ["again"]);
        assert_eq!(all.turn(2), ["again"]);
        assert_eq!(all.tasks.deadline(all.start), Some(all.start + Duration::from_millis(50)));
        assert!(all.turn(49).is_empty());
        assert_eq!(all.turn(50), ["later"]);
        assert_eq!(all.turn(95), ["later"]);
        assert!(all.tasks.is_empty() && all.tasks.deadline(all.start).is_none());
    }

    #[test]
    fn a_waker_calls_its_task_as_long_as_that_lives() {
        let mut all = Fixture::new();
        let waker = all.spawn("waits", &[Rest::Wait, Rest::Wait]);
        assert_eq!((all.turn(0), all.turn(1)), (vec!["waits"], vec![]));
        waker.borrow().as_ref().expect("it was called").wake();
        all.wake();
        assert_eq!((all.turn(2), all.turn(3)), (vec!["waits"], vec![]));
        let stale = waker.borrow().clone().expect("a waker");
        stale.wake();
        all.wake();
        assert_eq!(all.turn(4), ["waits"], "and it ends");
        all.spawn("next", &[Rest::Wait]);
        assert_eq!(all.turn(5), ["next"], "in the same place");
        stale.wake();
        all.wake();
        assert!(all.turn(6).is_empty());
    }

    #[test]
    fn a_drain_is_told_to_all_and_waits_for_those_that_hold() {
        let mut all = Fixture::new();
        all.spawn("holds", &[Rest::Wait]);
        all.spawn("waits", &[Rest::Wait, Rest::Wait]);
        assert_eq!(all.tasks.holding(), 1, "what was just spawned");
        all.turn(0);
        assert_eq!(all.tasks.holding(), 1);
        all.tasks.wake_all();
        assert_eq!(all.tasks.holding(), 2, "what is to be called");
        let limits = Limits::default();
        let turn = TurnCx::alone(all.start, &limits, &all.date, None);
        all.tasks.run(&turn, Some(IdleEnd { began: all.start, stay: Duration::ZERO }));
        assert_eq!(*all.log.borrow(), [("holds", true), ("waits", true)]);
        assert_eq!((all.tasks.holding(), all.tasks.is_empty()), (0, false));
        all.tasks.clear();
        assert!(all.tasks.is_empty());
    }
}
