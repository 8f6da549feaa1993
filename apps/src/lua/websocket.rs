//! A WebSocket that an app serves. It has several coroutines: that of the request, in which the app's function runs, and those
//! that this has spawned. Each waits for something of its own, and they end together: with the function, or after the end of
//! the connection.
//!
//! ```text
//!   101 --> coroutines run and wait --- the function returns --> close 1000 --> over
//!                    |
//!                    +--- closed, by whichever side: `receive` returns the code --> the function may finish --> over
//!                    +--- lost or cut: the same, but what waits after that is abandoned
//! ```

mod mailbox;

pub use mailbox::{Mailbox, functions};

use super::config::LuaConfig;
use super::deadline;
use super::host;
use super::vm::{Coroutine, Vm};
use super::waiting::Waiting;
use super::yielded::Yielded;
use std::rc::Rc;
use std::time::Instant;
use tine_common::request_name::RequestName;
use tine_worker::app::{AppError, Cx, Message, MessageOut, Peer, Pull};

/// How often each coroutine is resumed in one pull at most, as long as it need not wait.
const ROUNDS_MAX: usize = 8;
/// The code of a connection that was lost (RFC 6455, 7.1.5).
const LOST: u16 = 1006;

pub struct LuaPeer {
    vm: Rc<Vm>,
    config: Rc<LuaConfig>,
    name: RequestName,
    /// That of the function is the first. Empty once that has ended.
    fibers: Vec<Fiber>,
    /// A message that a coroutine is to receive.
    arrived: Option<Message>,
    /// It has ended, and the coroutines know or get to know.
    is_closed: bool,
}

/// A coroutine, and what it waits for.
struct Fiber {
    coroutine: Coroutine,
    step: Step,
}

enum Step {
    /// Nothing.
    Resume,
    Wait(Waiting),
    /// A message, until this time if there is one, and for longer than the turn of `since`: what has arrived is to come.
    Receive {
        since: Instant,
        until: Option<Instant>,
    },
    /// Room for its next message.
    Room,
    /// The end, which it has asked for.
    Close,
    /// It has ended.
    Ended,
}

impl LuaPeer {
    /// `coroutine` has yielded [`Yielded::Upgrade`].
    pub fn new(vm: &Rc<Vm>, config: &Rc<LuaConfig>, coroutine: Coroutine, name: RequestName) -> LuaPeer {
        LuaPeer {
            vm: Rc::clone(vm),
            config: Rc::clone(config),
            name,
            fibers: vec![Fiber { coroutine, step: Step::Resume }],
            arrived: None,
            is_closed: false,
        }
    }
}

impl Peer for LuaPeer {
    fn message(&mut self, message: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        // It is pulled next.
        self.arrived = Some(message);
        Ok(())
    }

    fn wants_message(&self) -> bool {
        self.arrived.is_none() && self.fibers.iter().any(|fiber| matches!(fiber.step, Step::Receive { .. }))
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        for _ in 0..ROUNDS_MAX {
            match self.round(out, cx)? {
                Round::Idle => return Ok(self.wait(out, cx)),
                Round::Closes => return Ok(Pull::Wait),
                Round::Busy if self.fibers.is_empty() => return Ok(Pull::End),
                Round::Busy => {}
            }
        }
        Ok(Pull::More)
    }

    fn closed(&mut self, code: u16, reason: &str) -> bool {
        self.is_closed = true;
        self.arrived = None;
        let Some(own) = self.fibers.first() else { return false };
        self.vm.end_websocket(&own.coroutine, code, reason);
        for fiber in &mut self.fibers {
            if matches!(fiber.step, Step::Receive { .. } | Step::Room | Step::Close) {
                fiber.step = Step::Resume;
            }
        }
        true
    }
}

/// What a round has come to.
enum Round {
    /// No coroutine could go on.
    Idle,
    Busy,
    /// One has asked for the close: the others get to know first.
    Closes,
}

impl LuaPeer {
    /// Resumes each coroutine that need not wait any longer, once.
    fn round(&mut self, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Round, AppError> {
        let mut round = Round::Idle;
        for at in 0..self.fibers.len() {
            if !self.is_ready(at, out, cx) {
                continue;
            }
            round = Round::Busy;
            let yielded = self.resume(at, out, cx)?;
            self.fibers[at].step = match yielded {
                Yielded::Wait(asked) => {
                    let number = self.fibers[at].coroutine.number();
                    Step::Wait(asked.begin(number, &self.vm.sockets, cx).map_err(AppError::new)?)
                }
                Yielded::Receive(timeout) => {
                    Step::Receive { since: cx.now(), until: timeout.map(|timeout| cx.now() + timeout) }
                }
                Yielded::Room => Step::Room,
                Yielded::Close => {
                    self.fibers[at].step = Step::Close;
                    let (code, reason) = self.vm.turn.websocket.take_close().unwrap_or((1000, String::new()));
                    out.close(code, reason)?;
                    return Ok(Round::Closes);
                }
                Yielded::End if at == 0 => {
                    self.function_has_ended();
                    return Ok(Round::Busy);
                }
                Yielded::End => Step::Ended,
                Yielded::Failed(text) => return Err(self.failed(at, text)),
                Yielded::TimedOut(trace) => return Err(self.failed(at, format!("{}\n{trace}", deadline::TIMED_OUT))),
                _ => return Err(self.failed(at, "the driver yields what a WebSocket does not have".to_string())),
            };
        }
        self.remove_ended();
        Ok(round)
    }

    fn is_ready(&self, at: usize, out: &MessageOut<'_>, cx: &Cx<'_>) -> bool {
        let fiber = &self.fibers[at];
        match &fiber.step {
            Step::Resume => true,
            Step::Wait(waiting) => waiting.until(&self.vm.sockets, cx).is_none(),
            Step::Receive { .. } if self.arrived.is_some() => true,
            Step::Receive { since, until } => cx.now() > *since && until.is_some_and(|until| cx.now() >= until),
            Step::Room => out.has_room(),
            Step::Close | Step::Ended => false,
        }
    }

    /// Resumes a coroutine, and sends what it sends. There is no deadline but for each resumption by itself: what computes
    /// without an end is interrupted.
    fn resume(&mut self, at: usize, out: &mut MessageOut<'_>, cx: &Cx<'_>) -> Result<Yielded, AppError> {
        let fiber = &mut self.fibers[at];
        let incoming = if matches!(fiber.step, Step::Receive { .. }) { self.arrived.take() } else { None };
        fiber.step = Step::Resume;
        let mailbox = &self.vm.turn.websocket;
        mailbox.open(incoming, if self.is_closed { None } else { Some(out) });
        let deadline = self.config.request_timeout.map(|timeout| cx.now() + timeout);
        let yielded = self.vm.resume(&mut fiber.coroutine, deadline, cx);
        self.adopt_spawned();
        let mailbox = &self.vm.turn.websocket;
        let mut outgoing = mailbox.take_outgoing();
        let sent = outgoing.drain(..).try_for_each(|message| out.send(message));
        mailbox.give_back(outgoing);
        sent.map(|()| yielded)
    }

    fn adopt_spawned(&mut self) {
        for (thread, table) in self.vm.turn.websocket.take_spawned() {
            let coroutine = self.vm.adopt(thread, table, &self.fibers[0].coroutine);
            self.fibers.push(Fiber { coroutine, step: Step::Resume });
        }
    }

    /// No coroutine can go on now.
    fn wait(&self, out: &MessageOut<'_>, cx: &Cx<'_>) -> Pull {
        let mut earliest = None;
        for fiber in &self.fibers {
            let until = match &fiber.step {
                // It is asked again once there is.
                Step::Room if !out.has_room() => return Pull::More,
                Step::Wait(waiting) => waiting.until(&self.vm.sockets, cx).flatten(),
                Step::Receive { until, .. } => *until,
                _ => None,
            };
            earliest = earliest.into_iter().chain(until).min();
        }
        earliest.map_or(Pull::Wait, Pull::NotBefore)
    }

    /// The function has returned: what it has spawned ends with it.
    fn function_has_ended(&mut self) {
        let own = self.fibers.remove(0);
        self.abandon();
        self.vm.release(own.coroutine);
    }

    /// A coroutine has failed. If it is that of the function, that is the end of all of them.
    fn failed(&mut self, at: usize, text: String) -> AppError {
        if at == 0 {
            self.abandon();
        } else {
            let failed = self.fibers.remove(at);
            self.vm.abandon(&failed.coroutine, &self.name, false);
            self.remove_ended();
        }
        AppError::new(text)
    }

    fn remove_ended(&mut self) {
        let ended = |fiber: &mut Fiber| matches!(fiber.step, Step::Ended);
        for fiber in self.fibers.extract_if(.., ended) {
            self.vm.end_of(&fiber.coroutine);
        }
    }

    /// Closes all coroutines, those that were spawned first.
    fn abandon(&mut self) {
        while let Some(fiber) = self.fibers.pop() {
            self.vm.abandon(&fiber.coroutine, &self.name, true);
        }
    }

    /// The connection is gone: what waits for its end goes on to its next wait.
    fn run_to_next_wait(&mut self) {
        for at in 0..self.fibers.len() {
            if !matches!(self.fibers[at].step, Step::Resume) {
                continue;
            }
            self.vm.turn.websocket.open(None, None);
            match self.vm.resume_last(&mut self.fibers[at].coroutine) {
                Yielded::End if at == 0 => return self.function_has_ended(),
                Yielded::Failed(text) => {
                    log::error!("{}: the app failed after its WebSocket: {}", self.name, host::indented(&text));
                }
                _ => {}
            }
        }
    }
}

impl Drop for LuaPeer {
    fn drop(&mut self) {
        if !self.is_closed {
            self.closed(LOST, "");
        }
        self.run_to_next_wait();
        self.abandon();
    }
}
