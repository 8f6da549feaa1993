//! `tine.is_elected`: whether this worker is the one of the whole server that does what is to be done once.
//!
//! The worker stands for election from the first call on. A job that was told that it is elected holds the office until its
//! function has ended: a worker that leaves resigns at once, or after the last of these. So what runs on the strength of the
//! answer runs in one worker at a time.

use super::Life;
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tine_worker::app::election::{Candidate, Election};
use tine_worker::app::{Background, Cx, Rest, Task};

/// How often a worker looks whether the elected one is gone.
const LOOK: Duration = Duration::from_millis(500);

pub(super) struct Office(Rc<State>);

struct State {
    candidate: Candidate,
    /// The app has asked.
    is_wanted: Cell<bool>,
    /// Jobs that hold it.
    holders: Cell<usize>,
    /// The worker leaves, and is not elected any more.
    is_leaving: Cell<bool>,
}

/// Stands for election, until the worker leaves.
struct Campaign(Rc<State>);

impl Office {
    pub fn new(election: Election) -> Office {
        let (candidate, is_wanted) = (election.candidate(), Cell::default());
        Office(Rc::new(State { candidate, is_wanted, holders: Cell::default(), is_leaving: Cell::default() }))
    }

    /// The worker is about to serve.
    pub fn open(&self, background: &Background) {
        if self.0.is_wanted.get() {
            self.0.stand();
            background.spawn(Campaign(Rc::clone(&self.0)));
        }
    }

    /// `background`: `None` while the app loads, when no process is elected. `asking`: the job that asks.
    pub fn is_held(&self, background: Option<&Background>, asking: Option<&Life>) -> bool {
        let state = &self.0;
        let is_first = !state.is_wanted.replace(true);
        let Some(background) = background else { return false };
        if is_first {
            background.spawn(Campaign(Rc::clone(state)));
        }
        let is_held = state.stand();
        if let Some(life) = asking.filter(|_| is_held)
            && !life.holds_office.replace(true)
        {
            state.holders.set(state.holders.get() + 1);
        }
        is_held
    }

    /// The function of a job has ended.
    pub fn leave(&self, life: &Life) {
        if life.holds_office.take() {
            self.0.holders.set(self.0.holders.get() - 1);
            self.0.resign_if_leaving();
        }
    }
}

impl State {
    fn stand(&self) -> bool {
        if self.is_leaving.get() { self.candidate.is_elected() } else { self.candidate.stand() }
    }

    fn resign_if_leaving(&self) {
        if self.is_leaving.get() && self.holders.get() == 0 {
            self.candidate.resign();
        }
    }
}

impl Task for Campaign {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        if cx.is_draining() {
            self.0.is_leaving.set(true);
            self.0.resign_if_leaving();
            return Rest::End;
        }
        self.0.stand();
        Rest::NotBefore(cx.now() + LOOK)
    }

    fn holds_exit(&self) -> bool {
        false
    }
}
