//! Forks workers: what each gets, and what the master keeps of it.

use super::Master;
use crate::children::{Child, SLOTS_MAX};
use crate::listener::Bound;
use crate::recycle;
use mio::Interest;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Instant;
use tine_common::config::RootPath;
use tine_common::message::Order;
use tine_common::sys::fork::{Fork, fork};
use tine_worker::app::WorkerInfo;
use tine_worker::app::metrics::AppMetrics;
use tine_worker::app::used_files::FileReports;
use tine_worker::worker;

impl Master {
    /// Forks a worker for an index, which may have one already; returns `Some` in the child.
    pub(super) fn spawn(&mut self, index: usize, now: Instant) -> Option<worker::Start> {
        let Some(slot) = self.scoreboard.claim(index) else {
            self.on_spawn_failed(index, &io::Error::other(format!("{SLOTS_MAX} processes are running")), now);
            return None;
        };
        let (ours, theirs) = match StdUnixStream::pair() {
            Ok(pair) => pair,
            Err(e) => {
                self.scoreboard.retire(slot, 0);
                self.on_spawn_failed(index, &e, now);
                return None;
            }
        };
        let recycling = &self.config.supervision.recycling;
        let requests_due = recycle::requests(recycling, fastrand::f64());
        let lifetime = recycle::lifetime(recycling, fastrand::f64());
        let are_sockets_lent = self.are_sockets_shared();
        match fork() {
            Ok(Fork::Child(signals)) => {
                drop(ours);
                if !self.scoreboard.occupy(slot) {
                    // The master was killed in this moment, and another one has given the slot away.
                    std::process::exit(1);
                }
                let bound = std::mem::take(&mut self.bound);
                return Some(worker::Start {
                    config: self.config.worker.clone(),
                    info: WorkerInfo {
                        index,
                        workers: self.children.positions.len(),
                        generation: self.replacing.generation(),
                        buffer_bytes: self.config.worker.buffer_bytes,
                        metrics: AppMetrics::of(self.scoreboard.telemetry().seat(slot)),
                        dictionaries: self.scoreboard.dictionaries(),
                        election: self.scoreboard.election(),
                        root_path: self.config.worker.root_path.map_or("", RootPath::as_str),
                        file_reports: self.developing.as_mut().map_or(FileReports::NONE, |developing| {
                            developing.take_reports(self.replacing.generation())
                        }),
                    },
                    listeners: bound.into_iter().flat_map(Bound::into_listeners).collect(),
                    tls: self.tls.clone(),
                    channel: theirs,
                    access_log: self.access_log.take(),
                    scoreboard: self.scoreboard,
                    slot,
                    requests_due,
                    are_sockets_lent,
                    master: Some(self.pid),
                    signals,
                });
            }
            Ok(Fork::Parent(pid)) => {
                log::debug!("worker {index} of generation {} is process {pid}", self.replacing.generation());
                // If it fails, the worker counts as dead.
                match self.watch_channel(ours, slot) {
                    Ok(channel) => {
                        let child =
                            Child { lifetime, ..Child::new(pid, index, self.replacing.generation(), channel, now) };
                        self.children.insert(slot, child);
                        if self.upgrading.is_in_progress() {
                            self.order(slot, Order::Lent);
                        }
                        if self.is_stopping() {
                            self.order(slot, Order::LameDuck);
                        }
                    }
                    Err(e) => {
                        // It is in no table; and with its channel closed it would take the master for dead.
                        let _ = kill(pid, Signal::SIGKILL).and_then(|()| waitpid(pid, None).map(drop));
                        self.scoreboard.retire(slot, 0);
                        self.on_spawn_failed(index, &e, now);
                    }
                }
            }
            Err(e) => {
                self.scoreboard.retire(slot, 0);
                self.on_spawn_failed(index, &e, now);
            }
        }
        None
    }

    /// The master's end of a channel, in the poll. Fails only for lack of memory or descriptors.
    pub(super) fn watch_channel(&self, ours: StdUnixStream, token: usize) -> io::Result<mio::net::UnixStream> {
        ours.set_nonblocking(true)?;
        let mut channel = mio::net::UnixStream::from_std(ours);
        self.poll.registry().register(&mut channel, mio::Token(token), Interest::READABLE)?;
        Ok(channel)
    }
}
