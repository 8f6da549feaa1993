//! Replaces workers, for whatever reason, through the gate of [`crate::rollout`]: new before old.

use super::reporting::counted;
use super::{KILL_MARGIN, Master};
use crate::children::{Child, Leavers, Phase, Position};
use crate::rollout::{self, Limits, PositionView, Step};
use std::time::{Duration, Instant};
use tine_common::log::indented;
use tine_common::message::Order;

/// The reloads so far: the one in progress, and how the last one ended.
#[derive(Debug)]
pub struct Replacing {
    /// 1, and one more for each reload; each worker has the number at its fork.
    generation: u64,
    /// When the reload in progress began.
    reload_began: Option<Instant>,
    /// The generation of the last reload that ended, and its result.
    last: Option<(u64, Result<String, String>)>,
}

impl Default for Replacing {
    fn default() -> Self {
        Replacing { generation: 1, reload_began: None, last: None }
    }
}

impl Replacing {
    pub fn generation(&self) -> u64 {
        self.generation
    }

    pub fn is_reloading(&self) -> bool {
        self.reload_began.is_some()
    }

    pub fn last(&self) -> Option<&(u64, Result<String, String>)> {
        self.last.as_ref()
    }

    fn begin(&mut self, now: Instant) {
        self.generation += 1;
        self.reload_began = Some(now);
    }

    fn end(&mut self, result: Result<String, String>) {
        (self.reload_began, self.last) = (None, Some((self.generation, result)));
    }
}

impl Master {
    /// Begins a reload, or restarts it with a further generation. If the configuration file or a certificate is wrong it fails at once. The
    /// error: the file is wrong while another reload is in progress, which continues.
    pub(super) fn reload(&mut self, source: &str, now: Instant) -> Result<(), String> {
        if self.begin_reload(source, now)? {
            let workers = counted(self.children.positions.len());
            log::info!(
                "{source}: reloading {} in {workers}, generation {}",
                self.about.name,
                self.replacing.generation
            );
        }
        Ok(())
    }

    /// The same, without a line in the log. False: the reload has failed already.
    pub(super) fn begin_reload(&mut self, source: &str, now: Instant) -> Result<bool, String> {
        let reloaded = self
            .configuring
            .reread()
            .and_then(|reloaded| self.load_certificates(reloaded.as_ref()).map(|tls| (reloaded, tls)));
        if let (Err(why), true) = (&reloaded, self.replacing.is_reloading()) {
            return Err(format!("{why}; the reload in progress continues"));
        }
        self.replacing.begin(now);
        self.outdate(now);
        match reloaded {
            Ok((reloaded, tls)) => {
                self.adopt_certificates(tls);
                if let Some(reloaded) = reloaded {
                    self.adopt(reloaded, source, now);
                }
            }
            Err(why) => {
                self.abandon_reload(&why);
                self.show_failure(why, now);
                return Ok(false);
            }
        }
        // Positions that wait because the app could not be built can try the new app.
        self.children.open(now);
        self.shortage.retry_now(now);
        Ok(true)
    }

    /// Ends a reload that cannot be completed. Current workers stay; successors that still boot leave.
    pub(super) fn abandon_reload(&mut self, why: &str) {
        if !self.replacing.is_reloading() {
            return;
        }
        let generation = self.replacing.generation;
        let fresh = self.count_fresh();
        let left = match fresh {
            0 => "the previous workers continue to serve".to_string(),
            _ => format!("{} of it serve, the others were not replaced", counted(fresh)),
        };
        if self.developing.is_some() {
            // The text may have a traceback.
            log::error!("the reload failed, generation {generation}; clients are shown why: {}", indented(why));
            self.replacing.end(Err(why.to_string()));
        } else {
            log::error!("the reload failed, generation {generation}: {why}; {left}");
            self.replacing.end(Err(format!("{why}; {left}")));
        }
        self.count_reload(false);
        let now = Instant::now();
        let successors: Vec<usize> = self.children.positions.iter().filter_map(|position| position.successor).collect();
        for slot in successors {
            // A successor that has become ready since its reports were last read has clients, and stays.
            self.handle_reports(slot, now);
            if self.children.get(slot).is_some_and(|child| child.phase == Phase::Booting) {
                self.order_leave(slot, now);
            }
        }
        self.settle_options(fresh > 0, now);
    }

    /// Positions with a ready worker of the newest generation.
    pub(super) fn count_fresh(&self) -> usize {
        let is_fresh = |index: &usize| {
            let current = self.children.current(*index);
            current.is_some_and(|child| child.phase == Phase::Ready && child.generation == self.replacing.generation)
        };
        (0..self.children.positions.len()).filter(is_fresh).count()
    }

    /// How far the reload has come.
    pub(super) fn reload_progress(&self) -> String {
        format!(
            "generation {}: {} of {} workers",
            self.replacing.generation,
            self.count_fresh(),
            self.children.positions.len()
        )
    }

    pub(super) fn keep_reloading(&mut self, now: Instant) {
        let Some(began) = self.replacing.reload_began else { return };
        if self.count_fresh() == self.children.positions.len() {
            let (workers, took) = (counted(self.children.positions.len()), now.duration_since(began));
            let said = format!("{workers} of generation {} in {:.1} s", self.replacing.generation, took.as_secs_f64());
            log::info!("reloaded: {said}");
            self.replacing.end(Ok(said));
            self.count_reload(true);
            self.settle_options(true, now);
            self.on_loaded();
        }
    }

    /// Takes the gate's next step; returns the index for which a worker is to be started.
    pub(super) fn next_successor(&mut self, now: Instant) -> Option<usize> {
        if !self.is_serving() || self.shortage.defers(now) || !self.is_any_due() {
            return None;
        }
        let supervision = &self.config.supervision;
        let limits = Limits {
            unavailable_max: supervision.unavailable_max,
            surge_max: supervision.surge_max,
            generations_max: supervision.generations_max,
        };
        match rollout::next(&self.view(now), limits)? {
            Step::Start(index) => Some(index),
            Step::Leave(index) => {
                let slot = self.children.positions[index].current?;
                self.order_leave(slot, now);
                Some(index) // empty now
            }
            Step::CutOldest(index) => {
                let (slot, since) = self.children.all_leavers().get(index)?.oldest?;
                let seconds = now.duration_since(since).as_secs_f64();
                let leavers = match limits.generations_max - 1 {
                    1 => "1 process that drains".to_string(),
                    most => format!("{most} processes that drain"),
                };
                log::warn!("worker {index} has {leavers} old connections; cutting the oldest after {seconds:.1} s");
                self.order(slot, Order::Cut);
                self.children.on_leaving(slot, Some(now + KILL_MARGIN), now);
                None // until it is gone
            }
        }
    }

    /// The child is to be replaced, for a reason of its own or because of a reload.
    fn is_due(&self, child: &Child) -> bool {
        child.is_due || self.replacing.is_reloading() && child.generation < self.replacing.generation
    }

    /// Whether any worker is due. Almost never true, which saves calling the gate in every turn.
    fn is_any_due(&self) -> bool {
        self.children.iter().any(|(_, child)| child.phase == Phase::Ready && self.is_due(child))
    }

    /// In one pass over all children: with a thousand workers, a reload calls it a thousand times.
    fn view(&self, now: Instant) -> Vec<PositionView> {
        let leavers = self.children.all_leavers();
        let view = |(index, position): (usize, &Position)| {
            let Leavers { count, oldest } = leavers[index];
            let current = self.children.current(index);
            PositionView {
                is_ready: self.children.is_ready(index),
                is_due: current.is_some_and(|child| self.is_due(child)) && position.retry_at.is_none_or(|at| at <= now),
                has_successor: position.successor.is_some(),
                leavers: count,
                oldest: oldest.map_or(Duration::ZERO, |(_, since)| now.duration_since(since)),
                is_oldest_ending: oldest.is_some_and(|(slot, _)| self.children.is_ending(slot)),
            }
        };
        self.children.positions.iter().enumerate().map(view).collect()
    }

    pub(super) fn on_ready(&mut self, slot: usize, now: Instant) {
        self.boot.on_ready();
        if let Some(old) = self.children.on_ready(slot) {
            self.order_leave(old, now);
        }
    }
}
