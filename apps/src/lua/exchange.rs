//! A request that takes more than one turn: its app waits, reads the body, or sends more than one chunk.

use super::config::LuaConfig;
use super::deadline;
use super::debug_page::Asked;
use super::file_body::FileBody;
use super::host;
use super::page::{Debugged, Page};
use super::reply::Instead;
use super::vm::{Coroutine, Vm};
use super::waiting::Waiting;
use super::websocket::LuaPeer;
use super::yielded::{Following, Wanted, Yielded};
use crate::files::sendfile::Conditions;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Handshake, NotHandshake, Out, Pull, Upgrade};
use tine_worker::http::Head;

pub struct LuaExchange {
    vm: Rc<Vm>,
    config: Rc<LuaConfig>,
    /// `None` once the app has finished the request.
    coroutine: Option<Coroutine>,
    step: Step,
    facts: RequestFacts,
    /// Bytes of the request body that were taken and not yet passed to the app.
    body: Vec<u8>,
    /// Bytes of the request body that were taken in all.
    body_bytes: u64,
    /// Whether the whole request body was taken.
    body_ended: bool,
    /// The length of the response body, if the app returned a list.
    length: Option<u64>,
    /// The whole response is written, and the app has only to close it.
    is_complete: bool,
    /// When the app times out. Moved back by the time it waits for its client and by `Vm::blocked_time`.
    deadline: Option<Instant>,
    /// Since when the app has been waiting for its client.
    waiting_since: Option<Instant>,
    /// The part of `Vm::blocked_time` that `deadline` accounts for.
    blocked_time: Duration,
}

/// What is known of the request.
pub struct RequestFacts {
    /// For the log.
    pub name: RequestName,
    pub is_head: bool,
    /// With `--sendfile-root`.
    pub conditions: Option<Conditions>,
    pub handshake: Result<Handshake, NotHandshake>,
    /// For the page of an error, with `--debug`.
    pub asked: Option<Box<Asked>>,
}

enum Step {
    /// Write this.
    Write(Yielded),
    /// Resume the app once there is room.
    Next,
    /// Write the whole body once there is room; its head has filled the output.
    WriteLast,
    /// The same, and resume the app once the body is sent.
    WriteBeforeClose,
    /// Write the file, and resume the app once it is sent.
    WriteFile(FileBody),
    /// The file that the app has named, once the app has left.
    Answer(Answer),
    /// End the request without resuming the app.
    Abandon,
    /// Resume the app once this is over.
    Wait(Waiting),
    Read(Wanted),
    /// The body is longer than allowed.
    TooLarge,
}

impl LuaExchange {
    pub fn new(
        vm: &Rc<Vm>,
        config: &Rc<LuaConfig>,
        coroutine: Coroutine,
        yielded: Yielded,
        facts: RequestFacts,
        deadline: Option<Instant>,
    ) -> LuaExchange {
        LuaExchange {
            vm: Rc::clone(vm),
            config: Rc::clone(config),
            coroutine: Some(coroutine),
            step: Step::Write(yielded),
            facts,
            body: Vec::new(),
            body_bytes: 0,
            body_ended: false,
            length: None,
            is_complete: false,
            deadline,
            waiting_since: None,
            blocked_time: vm.blocked_time(),
        }
    }
}

impl Exchange for LuaExchange {
    /// Takes only what the app has asked for; the rest stays with the client (back-pressure).
    fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        let taken = match self.step {
            Step::Read(wanted) if !wanted.is_met(&self.body) => wanted.share(self.body.len(), body),
            _ => 0,
        };
        self.body.extend_from_slice(&body[..taken]);
        self.body_bytes += taken as u64;
        self.body_ended = end && taken == body.len();
        if self.body_bytes > self.config.body_bytes_max {
            self.step = Step::TooLarge;
        }
        Ok(taken)
    }

    fn wants_body(&self) -> bool {
        matches!(self.step, Step::Read(wanted) if !wanted.is_met(&self.body))
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(deadline) = &mut self.deadline {
            let accounted = std::mem::replace(&mut self.blocked_time, self.vm.blocked_time());
            *deadline += match self.waiting_since.take() {
                Some(since) => cx.now().saturating_duration_since(since),
                None => self.blocked_time - accounted,
            };
        }
        let pulled = self.advance(out, cx);
        if matches!(pulled, Ok(Pull::More | Pull::Sent | Pull::Idle)) {
            self.waiting_since = Some(cx.now());
        }
        pulled
    }
}

impl LuaExchange {
    fn advance(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        loop {
            match std::mem::replace(&mut self.step, Step::Next) {
                Step::Write(yielded) => {
                    if let Some(pull) = self.write(yielded, out, cx)? {
                        return Ok(pull);
                    }
                }
                Step::Next if !out.has_room() => return Ok(Pull::More),
                Step::Next => self.resume(cx),
                step @ (Step::WriteLast | Step::WriteBeforeClose) if !out.has_room() => {
                    self.step = step;
                    return Ok(Pull::More);
                }
                Step::WriteLast => {
                    out.write(self.text())?;
                    self.done();
                    return Ok(Pull::End);
                }
                Step::WriteBeforeClose => {
                    out.write(self.text())?;
                    self.is_complete = true;
                    return Ok(Pull::Sent);
                }
                Step::WriteFile(mut body) => {
                    if out.has_room() && body.write(out)? {
                        self.is_complete = true;
                        return Ok(Pull::Sent);
                    }
                    self.step = Step::WriteFile(body);
                    return Ok(Pull::More);
                }
                Step::Answer(Answer::Response(response)) => {
                    out.respond(response)?;
                    return Ok(Pull::End);
                }
                Step::Answer(Answer::Exchange(mut exchange)) => {
                    let pulled = exchange.pull(out, cx)?;
                    self.step = Step::Answer(Answer::Exchange(exchange));
                    return Ok(pulled);
                }
                // No file upgrades a connection.
                Step::Abandon | Step::Answer(Answer::Upgrade(_)) => {
                    self.abandon();
                    return Ok(Pull::End);
                }
                Step::Wait(waiting) => match waiting.until(&self.vm.sockets, cx) {
                    Some(until) => {
                        self.step = Step::Wait(waiting);
                        return self.wait(until, out, cx);
                    }
                    None => {
                        drop(waiting);
                        self.resume(cx);
                    }
                },
                Step::Read(wanted) if !self.body_ended && !wanted.is_met(&self.body) => {
                    self.step = Step::Read(wanted);
                    return Ok(Pull::Idle);
                }
                Step::Read(_) => {
                    let bytes = std::mem::take(&mut self.body);
                    if let Some(coroutine) = &mut self.coroutine {
                        self.step = Step::Write(self.vm.feed(coroutine, &bytes, self.body_ended, self.deadline, cx));
                    }
                }
                Step::TooLarge => {
                    self.abandon();
                    // The client's error, not the app's.
                    if out.has_head() {
                        return Err(AppError::of_client("the request's body is longer than --max-body"));
                    }
                    Page::too_large().write(out)?;
                    return Ok(Pull::End);
                }
            }
        }
    }

    /// Waits until this time, or until it is woken, unless the app times out meanwhile.
    fn wait(&mut self, until: Option<Instant>, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if self.deadline.is_some_and(|deadline| cx.now() >= deadline) {
            let trace = self.coroutine.as_ref().map(|coroutine| self.vm.traceback(coroutine)).unwrap_or_default();
            self.abort();
            return self.timed_out(&trace, out);
        }
        Ok(until.into_iter().chain(self.deadline).min().map_or(Pull::Wait, Pull::NotBefore))
    }

    fn resume(&mut self, cx: &Cx<'_>) {
        let Some(coroutine) = &mut self.coroutine else { return };
        self.step = Step::Write(self.vm.resume(coroutine, self.deadline, cx));
    }

    /// Writes what the app has yielded; `Some`: there is nothing more to do in this turn.
    fn write(&mut self, yielded: Yielded, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Option<Pull>, AppError> {
        match yielded {
            Yielded::Whole => {
                match self.head(|coroutine| coroutine.whole_head(self.facts.is_head)) {
                    Ok(head) => out.head(head)?,
                    Err(instead) => return self.respond_instead(instead, Self::done, out, cx),
                }
                self.step = Step::WriteLast;
                Ok(None)
            }
            Yielded::WholeBeforeClose => {
                match self.head(|coroutine| coroutine.whole_head(self.facts.is_head)) {
                    Ok(head) => out.head(head)?,
                    Err(instead) => return self.respond_instead(instead, Self::abandon, out, cx),
                }
                self.step = Step::WriteBeforeClose;
                Ok(None)
            }
            Yielded::Length(bytes) => {
                self.length = Some(bytes);
                Ok(None)
            }
            Yielded::Head(following) => {
                match self.head(|coroutine| coroutine.streamed_head(self.length, self.facts.is_head)) {
                    Ok(head) => out.head(head)?,
                    Err(instead) => return self.respond_instead(instead, Self::abandon, out, cx),
                }
                if out.is_bodyless() {
                    // The app does not produce a body that is not sent; it may be endless. Send the head first:
                    // abandoning the app may take long.
                    self.step = Step::Abandon;
                    return Ok(Some(Pull::Sent));
                }
                self.chunk(following, out)
            }
            Yielded::Chunk(following) => self.chunk(following, out),
            Yielded::File(mut body) => {
                match self.head(|coroutine| coroutine.file_head(&mut body, self.facts.is_head)) {
                    Ok(head) => out.head(head)?,
                    Err(instead) => return self.respond_instead(instead, Self::abandon, out, cx),
                }
                if out.is_bodyless() {
                    self.step = Step::Abandon;
                    return Ok(Some(Pull::Sent));
                }
                self.step = Step::WriteFile(body);
                Ok(None)
            }
            Yielded::End => {
                self.done();
                Ok(Some(Pull::End))
            }
            Yielded::Wait(asked) => {
                let Some(coroutine) = &self.coroutine else { return Ok(None) };
                let waiting = asked.begin(coroutine.number(), &self.vm.sockets, cx).map_err(AppError::new)?;
                self.step = Step::Wait(waiting);
                Ok(None)
            }
            Yielded::Read(wanted) => {
                self.step = Step::Read(wanted);
                Ok(None)
            }
            Yielded::Upgrade => self.upgrade(out).map(Some),
            Yielded::Receive(_) | Yielded::Room | Yielded::Close => {
                self.abandon();
                self.failed("the driver waits for a WebSocket that there is not", out).map(Some)
            }
            Yielded::TimedOut(trace) => {
                self.abort();
                self.timed_out(&trace, out).map(Some)
            }
            Yielded::Failed(text) => {
                self.abandon();
                self.failed(&text, out).map(Some)
            }
        }
    }

    /// The connection becomes a WebSocket, which gets the coroutine.
    fn upgrade(&mut self, out: &mut Out<'_>) -> Result<Pull, AppError> {
        if let Err(refusal) = self.facts.handshake {
            self.abandon();
            out.respond(refusal.response())?;
            return Ok(Pull::End);
        }
        let subprotocol = String::from_utf8_lossy(self.text()).into_owned();
        let (Ok(handshake), Some(coroutine)) = (&self.facts.handshake, self.coroutine.take()) else {
            return Ok(Pull::End);
        };
        let head = coroutine.started();
        let mut upgrade = Upgrade::new(LuaPeer::new(&self.vm, &self.config, coroutine, self.facts.name.clone()));
        if !subprotocol.is_empty() {
            upgrade = upgrade.subprotocol(subprotocol);
        }
        if let Some(head) = head {
            upgrade = upgrade.head(head);
        }
        match out.upgrade(handshake, upgrade) {
            Ok(()) => Ok(Pull::End),
            Err(error) => self.failed(&error.to_string(), out),
        }
    }

    fn chunk(&mut self, following: Following, out: &mut Out<'_>) -> Result<Option<Pull>, AppError> {
        if !out.has_room() {
            self.step = Step::Write(Yielded::Chunk(following));
            return Ok(Some(Pull::More));
        }
        out.write(self.text())?;
        Ok(match following {
            Following::AtOnce => None,
            Following::AfterSend => Some(Pull::Sent),
        })
    }

    /// The chunk that the coroutine has yielded.
    fn text(&self) -> &[u8] {
        self.coroutine.as_ref().map_or(b"", Coroutine::chunk)
    }

    /// A head that the coroutine makes.
    fn head(&self, of: impl FnOnce(&Coroutine) -> Result<Head, Instead>) -> Result<Head, Instead> {
        self.coroutine.as_ref().map_or_else(|| Err(Instead::Wrong("the request is over".to_string())), of)
    }

    /// Responds with something else than the app's body. `leave`: how its coroutine is left.
    fn respond_instead(
        &mut self,
        instead: Instead,
        leave: fn(&mut Self),
        out: &mut Out<'_>,
        cx: &Cx<'_>,
    ) -> Result<Option<Pull>, AppError> {
        match instead {
            Instead::Wrong(text) => {
                leave(self);
                self.failed(&text, out).map(Some)
            }
            Instead::File(named) => {
                // It is opened before the app's `close`, which may remove it.
                let answer = self.vm.named_file(&named, self.facts.conditions.as_ref(), &self.facts.name, cx);
                leave(self);
                self.step = Step::Answer(answer);
                Ok(None)
            }
        }
    }

    /// The app raised an error or broke the contract.
    fn failed(&self, text: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        self.answer_instead(Page::failed(text, &self.config, self.debugged()), text, out)
    }

    /// The app timed out; `trace` shows where it was.
    fn timed_out(&self, trace: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        let text = format!("{}\n{trace}", deadline::TIMED_OUT);
        self.answer_instead(Page::timed_out(&text, &self.config, self.debugged()), &text, out)
    }

    fn debugged(&self) -> Option<Debugged<'_>> {
        self.facts.asked.as_deref().map(|asked| Debugged { asked, code: self.vm.code_files() })
    }

    /// Sends a page in place of the app's response. Once the head is sent that is not possible, and the connection is
    /// reset.
    fn answer_instead(&self, page: Page, why: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        if out.has_head() {
            return Err(AppError::new(why));
        }
        self.vm.metrics.count_failure();
        log::error!("{}: {}", self.facts.name, host::indented(why));
        page.write(out)?;
        Ok(Pull::End)
    }

    /// The app has finished: its coroutine can take another request.
    fn done(&mut self) {
        if let Some(coroutine) = self.coroutine.take() {
            self.vm.release(coroutine);
        }
    }

    /// The request ends before the app has finished.
    fn abandon(&mut self) {
        if let Some(coroutine) = self.coroutine.take() {
            self.vm.abandon(&coroutine, &self.facts.name, false);
        }
    }

    /// The same, and without the app's response.
    fn abort(&mut self) {
        if let Some(coroutine) = self.coroutine.take() {
            self.vm.abandon(&coroutine, &self.facts.name, true);
        }
    }
}

impl Drop for LuaExchange {
    /// The client has left, the worker ends, or nothing follows a head.
    fn drop(&mut self) {
        match self.is_complete || matches!(self.step, Step::Abandon) {
            true => self.abandon(),
            false => self.abort(),
        }
    }
}
