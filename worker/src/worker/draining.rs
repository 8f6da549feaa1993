//! The steps of a turn that end the worker; the plan is in [`crate::drain`].

use super::{Counts, LISTENER, Worker, turn_cx};
use crate::app::{ConnectionCx, Cx, TurnCx};
use crate::dispatch::Cut;
use crate::drain::Drain;
use crate::run_queue::RunQueue;
use crate::timers::Timers;
use std::io::Write;
use std::time::Instant;
use tine_common::message::Report;
use tine_common::metric::Metric;
use tine_common::scoreboard::State;
use tine_common::units::counted;

impl Worker {
    pub(super) fn begin_drain(&mut self, drain: Drain) {
        if let Some(begun) = &mut self.drain {
            begun.shorten(drain);
            let shortened = *begun;
            return self.arm_idle_ends(shortened, drain.began());
        }
        self.drain = Some(drain);
        self.slot.set_state(State::Draining);
        if !drain.has_accept_grace() {
            // From now on its queue is orphaned: other workers accept what is pending in it.
            self.listeners.wake_all_owners();
        }
        self.listeners.leave_lent(drain.began());
        self.own.forget(LISTENER);
        log::debug!(
            "draining {}, {} in flight",
            counted(self.connections.len() as u64, "connection"),
            counted(self.metrics[Metric::InFlight], "request")
        );
        self.arm_idle_ends(drain, drain.began());
        self.tasks.wake_all();
    }

    /// Idle connections have an earlier deadline now.
    fn arm_idle_ends(&mut self, drain: Drain, now: Instant) {
        let cx = turn_cx(&self.config, self.info, &self.date, self.lame_duck, now);
        for (token, connection) in &mut self.connections {
            if let Some(at) = connection.deadline(Some(drain.idle_end(token)), &cx) {
                self.timers.arm(token, &mut connection.armed, at);
            }
        }
    }

    /// The app wants this worker to end, or it has answered its share of requests.
    pub(super) fn retire(&mut self, now: Instant) {
        if self.drain.is_some() {
            return;
        }
        if let Some(why) = self.app.retires() {
            match self.config.is_alone {
                true => log::error!("this server ends, as there is no master to replace its worker: {why}"),
                false => log::warn!("this worker ends and is replaced: {why}"),
            }
            self.leave(now);
        } else if self.requests_due.is_some_and(|due| self.buffers.recorder.counts().answered >= due) {
            self.requests_due = None;
            self.report(Report::Due);
        }
    }

    /// Ends this worker only, by its own decision: the master starts its replacement at once.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.drain.is_none() {
            self.report(Report::Leaving);
        }
        self.begin_drain(Drain::of_worker(now, &self.config));
    }

    fn report(&self, report: Report) {
        // Without a master there is no reader; a master that does not read sees the worker exit.
        let _ = (&self.channel).write_all(&[report.byte()]);
    }

    pub(super) fn keep_draining(&mut self, now: Instant) {
        let Some(drain) = self.drain else { return };
        if !self.listeners.is_closed() && now >= drain.accept_grace_until {
            // What is pending now is the last to be accepted.
            while drain.has_accept_grace() {
                let before = self.metrics[Metric::Accepted];
                self.ready_listeners.extend(0..self.listeners.len());
                self.accept(now);
                if self.metrics[Metric::Accepted] == before {
                    break;
                }
            }
            if self.is_orphaned && !self.are_sockets_lent && drain.has_accept_grace() {
                // A worker that hangs has the sockets as well, and would keep the address from the next server.
                self.listeners.shut_down();
            }
            self.listeners.close();
        }
        if self.listeners.is_closed() && self.connections.is_empty() && self.has_app_ended(now) {
            self.exit.get_or_insert(0);
        } else if drain.ends.is_some_and(|ends| now >= ends) {
            self.cut("the graceful timeout", now);
        }
    }

    /// Whether the app has nothing left to do; it is stopped once its tasks are done.
    fn has_app_ended(&mut self, now: Instant) -> bool {
        if let Some(drain) = &mut self.drain {
            drain.bound(now, &self.config);
        }
        if self.tasks.holding() == 0 && !std::mem::replace(&mut self.is_stopped, true) {
            self.stop_app(now);
        }
        self.tasks.holding() == 0
    }

    fn stop_app(&mut self, now: Instant) {
        let turn = turn_cx(&self.config, self.info, &self.date, self.lame_duck, now);
        let turn = TurnCx { wakeups: Some(&self.wakeups), seat: self.seat, ..turn };
        let idle_end = self.drain.map(|drain| drain.of_no_connection());
        self.app.stop(&Cx { turn: &turn, connection: ConnectionCx { idle_end, ..ConnectionCx::default() } });
    }

    /// Ends all connections and tasks at once, and counts those in use. Then the app is stopped, if it was not yet.
    pub(super) fn cut(&mut self, why: &str, now: Instant) {
        self.count_cut(why, now);
        self.tasks.clear();
        // What is queued or has a timer is one of them.
        (self.run_queue, self.timers) = (RunQueue::default(), Timers::default());
        self.connections.clear();
        self.counts = Counts::default();
        if std::mem::replace(&mut self.is_stopped, true) {
            self.exit = Some(0);
            return;
        }
        self.drain.get_or_insert(Drain::of_worker(now, &self.config)).bound_stop(now);
        self.stop_app(now);
        if self.tasks.holding() == 0 {
            self.exit = Some(0);
        }
    }

    /// Counts and logs what is about to be cut.
    pub(super) fn count_cut(&mut self, why: &str, now: Instant) {
        let tasks = self.tasks.holding();
        if tasks > 0 {
            log::warn!("cut {} of the app, by {why}", counted(tasks as u64, "background task"));
        }
        let busy = self.connections.iter().filter(|(_, connection)| connection.is_busy()).count();
        if busy > 0 {
            log::warn!("cut {} in use, by {why}", counted(busy as u64, "connection"));
        }
        self.metrics[Metric::Cut] += busy as u64;
        for (_, connection) in &mut self.connections {
            connection.end_by(Cut::Shutdown, &mut self.buffers.recorder, now);
        }
        self.metrics[Metric::InFlight] = 0;
        self.publish();
    }
}
