//! Control clients that wait for the outcome of a command, and the progress that they get.

use super::Master;
use super::stopping::Ending;
use super::upgrading::UPGRADE_PROGRESS;
use crate::children::Phase;
use crate::control::{Answer, ClientId};
use nix::unistd::Pid;
use std::time::Instant;
use tine_common::metric::Metric;
use tine_common::units::counted;

/// What a client waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The status, with that of each worker or without.
    Status { with_workers: bool },
    /// Nothing: the command is done.
    Done,
    /// Nothing: the limits are changed.
    Limits,
    /// This generation serves, or a later one.
    Reload { generation: u64 },
    /// A new master serves.
    Upgrade,
    /// Every position has a ready worker.
    Workers,
    /// This worker has exited.
    Gone { index: usize, pid: Pid },
    /// Another process than this one is the current worker of the index.
    Replaced { index: usize, pid: Pid },
    /// The server has stopped.
    End,
}

pub struct Waiter {
    client: ClientId,
    wait: Wait,
    /// The last progress that was sent.
    said: String,
    /// Failed boots at the time of the command.
    failures: u64,
}

enum Progress {
    Still(String),
    Done(String),
    Failed(String),
    /// Done: the status is the answer.
    Status {
        with_workers: bool,
    },
}

impl Master {
    /// Takes the requests of control clients.
    pub(super) fn take_control_requests(&mut self, now: Instant) {
        let requests = self.control.as_mut().map_or(Vec::new(), |control| control.turn(now));
        for (client, command) in requests {
            self.ask(command, "tine ctl", Some(client));
        }
    }

    /// The client waits for the outcome of its command, unless that was refused.
    pub(super) fn begin_wait(&mut self, client: ClientId, outcome: Result<Wait, String>) {
        match outcome {
            Ok(wait) => {
                let failures = self.failures(wait);
                self.waiters.push(Waiter { client, wait, said: String::new(), failures });
            }
            Err(why) => self.answer(client, Err(why)),
        }
    }

    fn answer(&mut self, client: ClientId, outcome: Result<Answer, String>) {
        if let Some(control) = &mut self.control {
            control.answer(client, outcome);
        }
    }

    /// Sends progress and outcomes to the waiting clients.
    pub(super) fn update_waiters(&mut self, now: Instant) {
        for mut waiter in std::mem::take(&mut self.waiters) {
            if !self.control.as_ref().is_some_and(|control| control.is_there(waiter.client)) {
                continue; // the client has gone; the command goes on
            }
            match self.progress(&waiter) {
                Progress::Done(said) => self.answer(waiter.client, Ok(Answer::said(said))),
                Progress::Status { with_workers } => {
                    let status = self.status(with_workers, now);
                    self.answer(waiter.client, Ok(Answer::status(status)));
                }
                Progress::Failed(why) => self.answer(waiter.client, Err(why)),
                Progress::Still(said) => {
                    if said != waiter.said
                        && let Some(control) = &mut self.control
                    {
                        control.report_progress(waiter.client, &said);
                        waiter.said = said;
                    }
                    self.waiters.push(waiter);
                }
            }
        }
    }

    pub(super) fn report_end(&mut self, ending: Ending) {
        let is_clean = ending == Ending { status: 0, has_cut: false };
        for waiter in std::mem::take(&mut self.waiters) {
            let outcome = match (waiter.wait, is_clean) {
                (Wait::End, true) => Ok(Answer::said("stopped")),
                (Wait::End, false) => Err("stopped, but not all requests in flight could be finished".to_string()),
                _ => Err("the server has stopped".to_string()),
            };
            self.answer(waiter.client, outcome);
        }
    }

    /// Failed boots among the positions that this wait depends on.
    fn failures(&self, wait: Wait) -> u64 {
        let one = |index: usize| self.children.positions.get(index).map_or(0, |entry| entry.failures);
        match wait {
            Wait::Replaced { index, .. } => one(index),
            _ => (0..self.children.positions.len()).map(one).sum(),
        }
    }

    fn progress(&self, waiter: &Waiter) -> Progress {
        let (ready, wanted) = (self.children.count_ready(), self.children.positions.len());
        let has_failed = |waiter: &Waiter| self.failures(waiter.wait) > waiter.failures;
        let cause = || self.supervising.last_cause().map_or(String::new(), |(cause, _)| cause.to_string());
        match waiter.wait {
            Wait::Status { with_workers } => Progress::Status { with_workers },
            Wait::Done => Progress::Done("done".to_string()),
            Wait::Limits => Progress::Done(self.limiting.last_change().to_string()),
            Wait::Reload { .. } if self.replacing.is_reloading() => Progress::Still(self.reload_progress()),
            Wait::Reload { generation } => match self.replacing.last() {
                Some((ended, Ok(said))) if *ended >= generation => Progress::Done(said.clone()),
                Some((ended, Err(why))) if *ended >= generation => Progress::Failed(why.clone()),
                _ => Progress::Failed("the reload was abandoned".to_string()),
            },
            Wait::Upgrade => match self.upgrading.last() {
                Some(Ok(said)) => Progress::Done(said.clone()),
                Some(Err(why)) => Progress::Failed(why.clone()),
                None => Progress::Still(UPGRADE_PROGRESS.to_string()),
            },
            Wait::End => {
                let totals = self.scoreboard.own_totals();
                Progress::Still(format!(
                    "{}, {} in flight left",
                    counted(totals[Metric::Connections], "connection"),
                    counted(totals[Metric::InFlight], "request")
                ))
            }
            _ if !self.is_serving() => Progress::Failed("the server is stopping".to_string()),
            Wait::Workers | Wait::Replaced { .. } if !self.children.is_open() => {
                Progress::Failed("all workers leave".to_string())
            }
            Wait::Workers if ready == wanted => {
                let verb = if wanted == 1 { "is" } else { "are" };
                Progress::Done(format!("{} {verb} ready", counted(wanted as u64, "worker")))
            }
            Wait::Workers if has_failed(waiter) => Progress::Failed(cause()),
            Wait::Workers => Progress::Still(format!("{ready} of {wanted} workers are ready")),
            Wait::Gone { index, pid } => match self.children.iter().find(|(_, child)| child.pid == pid) {
                None => Progress::Done(format!("worker {index} (pid {pid}) has exited")),
                Some((slot, child)) => {
                    let what = if child.phase == Phase::Ready { "is told to drain" } else { "drains" };
                    let connections = self.scoreboard.slot(slot).get(Metric::Connections);
                    Progress::Still(format!(
                        "worker {index} (pid {pid}) {what}, {} left",
                        counted(connections, "connection")
                    ))
                }
            },
            Wait::Replaced { index, pid } => match self.children.current(index) {
                Some(child) if child.pid != pid && child.phase == Phase::Ready => {
                    Progress::Done(format!("worker {index} is process {} now", child.pid))
                }
                _ if has_failed(waiter) => Progress::Failed(cause()),
                _ if index >= wanted => Progress::Failed(format!("there is no slot {index} any more")),
                _ => Progress::Still(format!("worker {index} waits for its successor")),
            },
        }
    }
}
