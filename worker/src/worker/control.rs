//! What controls a worker: the master's orders over the channel, the end of the channel, and an operator's signals.

use super::Worker;
use crate::drain::Drain;
use signal_hook::consts::{SIGINT, SIGQUIT, SIGTERM, SIGUSR1};
use std::io::{self, Read};
use std::time::Instant;
use tine_common::message::Order;
use tine_common::metric::Metric;
use tine_common::sys::descriptor;
use tine_common::units::counted;

impl Worker {
    pub(super) fn on_orders(&mut self, now: Instant) {
        let mut bytes = [0; 16];
        loop {
            match self.channel.read(&mut bytes) {
                Ok(count @ 1..) => {
                    for order in bytes[..count].iter().filter_map(|&byte| Order::from_byte(byte)) {
                        match order {
                            Order::LameDuck => self.lame_duck = true,
                            Order::Drain => self.begin_drain(Drain::of_server(now, &self.config)),
                            Order::Leave => self.begin_drain(Drain::of_replaced(now, &self.config)),
                            Order::Lent => self.are_sockets_lent = true,
                            Order::Owned => self.are_sockets_lent = false,
                            Order::ReopenLogs => {
                                self.reopen_logs(now);
                            }
                            Order::Cut => self.cut("the master's order", now),
                        }
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if descriptor::is_lost(&e) => {
                    return self.lose(format_args!("read from the channel to the master: {e}"));
                }
                // The end of the stream; a reset if the master exited before it had read everything.
                Ok(0) | Err(_) => {
                    self.on_orphaned(now);
                    return;
                }
            }
        }
    }

    /// The channel has ended. The worker does not wait for another master.
    fn on_orphaned(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.is_orphaned, true) {
            log::warn!("the master is gone; draining");
            if self.are_sockets_lent {
                return self.begin_drain(Drain::of_worker(now, &self.config));
            }
            if self.drain.is_none() {
                self.listeners.stop_new_connections();
            }
            self.begin_drain(Drain::of_server(now, &self.config));
        }
    }

    pub(super) fn on_signals(&mut self, now: Instant) {
        let signals: Vec<i32> = self.signals.pending().collect();
        for signal in signals {
            match signal {
                SIGTERM | SIGINT if self.config.is_alone => self.stop_alone(now),
                SIGUSR1 if self.config.is_alone => self.reopen_logs_alone(now),
                SIGTERM if self.config.is_helper => {}
                // Sent to this worker only: the others keep accepting, so that no accept grace is needed.
                SIGTERM => self.leave(now),
                SIGQUIT => {
                    if self.config.is_alone {
                        let in_flight = counted(self.metrics[Metric::InFlight], "request");
                        log::info!("SIGQUIT: stopping at once, {in_flight} in flight");
                    }
                    self.exit = Some(0);
                }
                // A terminal sends these to the whole group; the master decides.
                _ => {}
            }
        }
    }

    fn reopen_logs_alone(&mut self, now: Instant) {
        if self.reopen_logs(now) {
            log::info!("SIGUSR1: log reopened");
        }
    }

    /// What a master does for a server that has one: a first signal drains, a second one ends at once.
    fn stop_alone(&mut self, now: Instant) {
        if self.drain.is_some() {
            return self.cut("a second signal", now);
        }
        log::info!("stopping; finishing {}", counted(self.metrics[Metric::InFlight], "request"));
        if !self.are_sockets_lent {
            self.listeners.stop_new_connections();
        }
        self.begin_drain(Drain::of_server(now, &self.config));
    }
}
