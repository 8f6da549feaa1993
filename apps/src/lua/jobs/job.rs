//! One job: a function of the app, run on a coroutine of its own once or again and again, as a task of the worker.
//!
//! ```text
//! Pending --its time comes--> Running --its function ends--> over, or Pending again (tine.every)
//! ```
//!
//! While it is pending, a worker that leaves does not wait for it, unless it is due.

use super::super::host;
use super::super::vm::{Coroutine, Vm};
use super::super::waiting::Waiting;
use super::super::yielded::Yielded;
use super::{Jobs, Life};
use std::fmt;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_worker::app::{Cx, Rest, Task};

/// What has asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    After(Duration),
    Every(Duration),
    Finish,
    Stop,
}

pub(super) struct Job {
    jobs: Jobs,
    number: i64,
    kind: Kind,
    /// For the log: the line that has asked for it.
    place: Box<str>,
    life: Rc<Life>,
    /// When it is or was due; `None`: it was not called yet, and its time counts from then.
    due: Option<Instant>,
    running: Option<Running>,
}

struct Running {
    coroutine: Coroutine,
    waiting: Waiting,
}

impl Job {
    pub fn new(jobs: Jobs, number: i64, kind: Kind, place: &str, life: Rc<Life>) -> Job {
        Job { jobs, number, kind, place: place.into(), life, due: None, running: None }
    }
}

impl Task for Job {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        // The worker drops its tasks before its app.
        let Some(vm) = self.jobs.vm() else { return Rest::End };
        match self.running.take() {
            Some(running) => self.go_on(running, &vm, cx),
            None => self.begin_if_due(&vm, cx),
        }
    }

    fn holds_exit(&self) -> bool {
        match self.kind {
            Kind::After(_) | Kind::Every(_) => self.running.is_some(),
            Kind::Finish | Kind::Stop => true,
        }
    }
}

impl Job {
    fn begin_if_due(&mut self, vm: &Rc<Vm>, cx: &Cx<'_>) -> Rest {
        if self.life.is_cancelled.get() || cx.is_draining() && self.period().is_some() {
            return Rest::End;
        }
        let due = *self.due.get_or_insert_with(|| cx.now() + self.kind.time());
        if self.life.waker.borrow().is_none() {
            self.life.waker.replace(Some(cx.waker()));
        }
        if cx.now() < due {
            return Rest::NotBefore(due);
        }
        if !self.jobs.try_enter(&self.life) {
            return Rest::Wait;
        }
        let (jobs, life) = (self.jobs.clone(), Rc::clone(&self.life));
        match jobs.within(&life, || vm.begin_job(self.number, jobs.deadline(), cx)) {
            Ok((coroutine, yielded)) => self.follow(coroutine, yielded, vm, cx),
            Err(text) => {
                self.fail(&text, vm);
                self.over(cx)
            }
        }
    }

    /// Its function waits.
    fn go_on(&mut self, running: Running, vm: &Rc<Vm>, cx: &Cx<'_>) -> Rest {
        if let Some(until) = running.waiting.until(&vm.sockets, cx) {
            self.running = Some(running);
            return until.map_or(Rest::Wait, Rest::NotBefore);
        }
        let Running { mut coroutine, waiting } = running;
        drop(waiting);
        let yielded = self.resume(&mut coroutine, vm, cx);
        self.follow(coroutine, yielded, vm, cx)
    }

    fn resume(&self, coroutine: &mut Coroutine, vm: &Rc<Vm>, cx: &Cx<'_>) -> Yielded {
        self.jobs.within(&self.life, || vm.resume(coroutine, self.jobs.deadline(), cx))
    }

    /// Its function has yielded.
    fn follow(&mut self, mut coroutine: Coroutine, mut yielded: Yielded, vm: &Rc<Vm>, cx: &Cx<'_>) -> Rest {
        let failure = loop {
            let asked = match yielded {
                Yielded::Wait(asked) => asked,
                Yielded::End => {
                    vm.end_of(&coroutine);
                    return self.over(cx);
                }
                Yielded::Failed(text) => break text,
                Yielded::TimedOut(trace) => {
                    break format!("it ran for longer than --request-timeout without a wait\n{trace}");
                }
                _ => break "the driver yielded what belongs to a request".to_string(),
            };
            let waiting = match asked.begin(coroutine.number(), &vm.sockets, cx) {
                Ok(waiting) => waiting,
                Err(e) => break e.to_string(),
            };
            match waiting.until(&vm.sockets, cx) {
                Some(until) => {
                    self.running = Some(Running { coroutine, waiting });
                    return until.map_or(Rest::Wait, Rest::NotBefore);
                }
                None => {
                    drop(waiting);
                    yielded = self.resume(&mut coroutine, vm, cx);
                }
            }
        };
        vm.abandon(&coroutine, &*self, false);
        self.fail(&failure, vm);
        self.over(cx)
    }

    /// Its function has ended.
    fn over(&mut self, cx: &Cx<'_>) -> Rest {
        self.jobs.leave(&self.life);
        match (self.period(), self.due) {
            (Some(period), Some(due)) if !self.life.is_cancelled.get() => {
                let next = next_after(due, period, cx.now());
                self.due = Some(next);
                Rest::NotBefore(next)
            }
            _ => Rest::End,
        }
    }

    fn period(&self) -> Option<Duration> {
        match self.kind {
            Kind::Every(period) => Some(period),
            _ => None,
        }
    }

    fn fail(&self, text: &str, vm: &Vm) {
        vm.metrics.count_background_failure();
        log::error!("{self}: {}", host::indented(text));
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            if let Some(vm) = self.jobs.vm() {
                vm.abandon(&running.coroutine, &*self, false);
            }
            self.jobs.leave(&self.life);
        }
        self.jobs.forget(self.number, &self.life);
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind, self.place)
    }
}

impl Kind {
    fn time(self) -> Duration {
        match self {
            Kind::After(time) | Kind::Every(time) => time,
            Kind::Finish | Kind::Stop => Duration::ZERO,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::After(_) => "tine.after",
            Kind::Every(_) => "tine.every",
            Kind::Finish => "tine.finish",
            Kind::Stop => "tine.on_stop",
        })
    }
}

/// The first time after `now` that is a whole number of periods after `due`: what was missed is left out.
fn next_after(due: Instant, period: Duration, now: Instant) -> Instant {
    let late = now.saturating_duration_since(due).as_nanos();
    let past = late % period.as_nanos().max(1);
    now.max(due) + period - Duration::from_nanos(past as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_times_are_left_out() {
        let due = Instant::now();
        let ms = Duration::from_millis;
        for (late, next) in [(0, 100), (1, 100), (99, 100), (100, 200), (101, 200), (950, 1000)] {
            assert_eq!(next_after(due, ms(100), due + ms(late)), due + ms(next), "{late} ms late");
        }
    }
}
