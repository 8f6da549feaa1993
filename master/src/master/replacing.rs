//! How workers are replaced, one reason or the other: through the gate of [`crate::rollout`], new before old.

use super::saying::counted;
use super::{KILL_MARGIN, Master};
use crate::children::{Child, Leavers, Phase, Role, Slot};
use crate::rollout::{self, Limits, SlotView, Step};
use std::time::{Duration, Instant};
use tine_common::log::and_others;
use tine_common::message::Order;

/// A fresh generation is taking over.
#[derive(Debug)]
pub struct Reload {
    began: Instant,
}

impl Master {
    /// Begins a reload, or begins it anew.
    pub(super) fn reload(&mut self, who: &str, now: Instant) {
        self.generation += 1;
        let workers = counted(self.children.slots.len());
        log::info!("{who}: reloading {} in {workers}, generation {}", self.start.name, self.generation);
        self.reload = Some(Reload { began: now });
        // Who waits because the app could not be built has something new to try.
        self.children.open(now);
        self.shortage.retry_now(now);
    }

    /// Ends a reload that cannot be completed. Those who fill slots stay; those who were to take over go.
    pub(super) fn abandon_reload(&mut self, why: &str) {
        if self.reload.take().is_none() {
            return;
        }
        let generation = self.generation;
        let fresh = self.count_fresh();
        let left = match fresh {
            0 => "the workers before it serve on".to_string(),
            _ => format!("{} of it are in place, the others are as they were", counted(fresh)),
        };
        log::error!("the reload failed, generation {generation}: {why}; {left}");
        self.last_reload = Some((generation, Err(format!("{why}; {left}"))));
        let now = Instant::now();
        let successors: Vec<usize> = self.children.slots.iter().filter_map(|slot| slot.successor).collect();
        for seat in successors {
            // One that has just become ready stays.
            self.hear_worker(seat, now);
            if self.children.get(seat).is_some_and(|child| child.phase == Phase::Booting) {
                self.let_go(seat, now);
            }
        }
    }

    /// Slots that a ready worker of the newest generation fills.
    pub(super) fn count_fresh(&self) -> usize {
        let is_fresh = |slot: &usize| {
            let current = self.children.current(*slot);
            current.is_some_and(|child| child.phase == Phase::Ready && child.generation == self.generation)
        };
        (0..self.children.slots.len()).filter(is_fresh).count()
    }

    pub(super) fn keep_reloading(&mut self, now: Instant) {
        let Some(reload) = &self.reload else { return };
        if self.count_fresh() == self.children.slots.len() {
            let (workers, took) = (counted(self.children.slots.len()), now.duration_since(reload.began));
            let said = format!("{workers} of generation {} in {:.1} s", self.generation, took.as_secs_f64());
            log::info!("reloaded: {said}");
            (self.reload, self.last_reload) = (None, Some((self.generation, Ok(said))));
        }
    }

    /// Takes the gate's next step; the slot in which a worker is to be started for it.
    pub(super) fn next_successor(&mut self, now: Instant) -> Option<usize> {
        if !self.stage.is_serving() || self.shortage.defers(now) || !self.is_somebody_due() {
            return None;
        }
        let supervision = &self.start.config.supervision;
        let limits = Limits {
            unavailable_max: supervision.unavailable_max,
            surge_max: supervision.surge_max,
            generations_max: supervision.generations_max,
        };
        match rollout::next(&self.view(now), limits)? {
            Step::Start(slot) => Some(slot),
            Step::Leave(slot) => {
                let seat = self.children.slots[slot].current?;
                self.let_go(seat, now);
                Some(slot) // empty now
            }
            Step::CutOldest(slot) => {
                let (seat, since) = self.children.all_leavers().get(slot)?.oldest?;
                let seconds = now.duration_since(since).as_secs_f64();
                let leavers = match limits.generations_max - 1 {
                    1 => "1 process that finishes".to_string(),
                    most => format!("{most} processes that finish"),
                };
                log::warn!("worker {slot} has {leavers} old connections; cutting the oldest, after {seconds:.1} s");
                self.order(seat, Order::Cut);
                self.children.on_leaving(seat, Some(now + KILL_MARGIN), now);
                None // until it is gone
            }
        }
    }

    /// Its worker is to be replaced, for a reason of its own or because there is a reload.
    fn is_due(&self, child: &Child) -> bool {
        child.is_due || self.reload.is_some() && child.generation < self.generation
    }

    /// Almost never; so the gate is not asked in every turn.
    fn is_somebody_due(&self) -> bool {
        self.children.iter().any(|(_, child)| child.phase == Phase::Ready && self.is_due(child))
    }

    /// In one pass over all: with a thousand workers, a reload asks it a thousand times.
    fn view(&self, now: Instant) -> Vec<SlotView> {
        let leavers = self.children.all_leavers();
        let view = |(index, slot): (usize, &Slot)| {
            let Leavers { count, oldest } = leavers[index];
            let current = self.children.current(index);
            SlotView {
                is_ready: self.children.is_ready(index),
                is_due: current.is_some_and(|child| self.is_due(child)) && slot.retry_at.is_none_or(|at| at <= now),
                has_successor: slot.successor.is_some(),
                leavers: count,
                oldest: oldest.map_or(Duration::ZERO, |(_, since)| now.duration_since(since)),
                is_oldest_ending: oldest.is_some_and(|(seat, _)| self.children.is_ending(seat)),
            }
        };
        self.children.slots.iter().enumerate().map(view).collect()
    }

    pub(super) fn on_ready(&mut self, seat: usize, now: Instant) {
        self.ever_ready = true;
        if let Some(old) = self.children.on_ready(seat) {
            self.let_go(old, now);
        }
    }

    /// It has begun to leave, told by a signal or by its app: another takes its place at once, unless it had answered
    /// nobody; such a one is no use, and is replaced later and later like a crash.
    pub(super) fn on_left_by_itself(&mut self, seat: usize, now: Instant) {
        let Some(child) = self.children.get(seat) else { return };
        let (slot, pid, uptime) = (child.slot, child.pid, now.duration_since(child.started));
        let kill_at = now + self.start.config.graceful_timeout + KILL_MARGIN;
        let role = self.children.on_leaving(seat, Some(kill_at), now);
        let is_useless = self.scoreboard.slot(seat).requests() == 0;
        let mut delay = Duration::ZERO;
        if let Some(entry) = self.children.slots.get_mut(slot).filter(|_| role == Role::Current && is_useless)
            && let Some(at) = &mut entry.next_start
        {
            delay = entry.respawn.delay(uptime, fastrand::f64());
            *at = now + delay;
        }
        if let Some(others) = self.deaths_said.admits(now).filter(|_| self.stage.is_serving()) {
            let (age, others) = (uptime.as_secs_f64(), and_others(others));
            let when = match delay.is_zero() {
                true => "replacing it now".to_string(),
                false => format!("it had answered nobody, replacing it in {:.1} s", delay.as_secs_f64()),
            };
            log::info!("worker {slot} (pid {pid}) retires after {age:.1} s; {when}{others}");
        }
    }
}
