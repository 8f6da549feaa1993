//! A request that takes more than one turn: its app waits, reads the body, or says more than one chunk.

use super::config::LuaConfig;
use super::deadline;
use super::host;
use super::page::Page;
use super::said::{Following, Said, Wanted};
use super::vm::{Lane, Vm};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;
use tine_worker::app::{AppError, Cx, Exchange, Out, Pull};

pub struct LuaExchange {
    vm: Rc<Vm>,
    config: Rc<LuaConfig>,
    /// Until the app is done with the request.
    lane: Option<Lane>,
    step: Step,
    /// The request, for the log.
    who: RequestName,
    is_head: bool,
    /// Of the body: what was taken and not yet given to the app, how much was taken in all, and whether all was.
    body: Vec<u8>,
    body_bytes: u64,
    body_ended: bool,
    /// Of the whole response, where the app has said it in a list.
    length: Option<u64>,
    /// When the app's time is up, but for…
    deadline: Option<Instant>,
    /// … the time that it has been waiting for its client since then.
    client_since: Option<Instant>,
    /// … and but for what others have lost for it by now (`Vm::lost`).
    lost: Duration,
}

enum Step {
    /// This is to be written.
    Write(Said),
    /// The app is asked for more once there is room.
    Next,
    /// The whole body, whose head has left no room for it.
    WriteLast(mlua::String),
    /// As before, and the app goes on once it is sent.
    WriteBeforeClose(mlua::String),
    /// The app is left.
    Leave,
    SleepUntil(Instant),
    Read(Wanted),
    /// The body is longer than allowed.
    TooLarge,
}

impl LuaExchange {
    pub fn new(
        vm: &Rc<Vm>,
        config: &Rc<LuaConfig>,
        lane: Lane,
        said: Said,
        who: RequestName,
        is_head: bool,
        deadline: Option<Instant>,
    ) -> LuaExchange {
        LuaExchange {
            vm: Rc::clone(vm),
            config: Rc::clone(config),
            lane: Some(lane),
            step: Step::Write(said),
            who,
            is_head,
            body: Vec::new(),
            body_bytes: 0,
            body_ended: false,
            length: None,
            deadline,
            client_since: None,
            lost: vm.lost(),
        }
    }
}

impl Exchange for LuaExchange {
    /// Takes what the app has asked for, and no more: the rest is the client's to keep.
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
            let lost = std::mem::replace(&mut self.lost, self.vm.lost());
            *deadline += match self.client_since.take() {
                Some(since) => cx.now().saturating_duration_since(since),
                None => self.lost - lost,
            };
        }
        let pulled = self.go_on(out, cx);
        if matches!(pulled, Ok(Pull::More | Pull::Sent | Pull::Idle)) {
            self.client_since = Some(cx.now());
        }
        pulled
    }
}

impl LuaExchange {
    fn go_on(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        loop {
            match std::mem::replace(&mut self.step, Step::Next) {
                Step::Write(said) => {
                    if let Some(pull) = self.write(said, out, cx)? {
                        return Ok(pull);
                    }
                }
                Step::Next if !out.has_room() => return Ok(Pull::More),
                Step::Next => self.resume(cx),
                Step::WriteLast(body) if !out.has_room() => {
                    self.step = Step::WriteLast(body);
                    return Ok(Pull::More);
                }
                Step::WriteLast(body) => {
                    out.write(&body.as_bytes())?;
                    return Ok(Pull::End);
                }
                Step::WriteBeforeClose(body) if !out.has_room() => {
                    self.step = Step::WriteBeforeClose(body);
                    return Ok(Pull::More);
                }
                Step::WriteBeforeClose(body) => {
                    out.write(&body.as_bytes())?;
                    return Ok(Pull::Sent);
                }
                Step::Leave => {
                    self.leave();
                    return Ok(Pull::End);
                }
                Step::SleepUntil(at) if cx.now() < at => {
                    self.step = Step::SleepUntil(at);
                    return match self.deadline {
                        Some(deadline) if cx.now() >= deadline => {
                            let text = self.lane.as_ref().map(|lane| self.vm.traceback(lane)).unwrap_or_default();
                            self.leave();
                            self.time_is_up(&text, out)
                        }
                        Some(deadline) => Ok(Pull::NotBefore(at.min(deadline))),
                        None => Ok(Pull::NotBefore(at)),
                    };
                }
                Step::SleepUntil(_) => self.resume(cx),
                Step::Read(wanted) if !self.body_ended && !wanted.is_met(&self.body) => {
                    self.step = Step::Read(wanted);
                    return Ok(Pull::Idle);
                }
                Step::Read(_) => {
                    let bytes = std::mem::take(&mut self.body);
                    if let Some(lane) = &self.lane {
                        self.step = Step::Write(self.vm.feed(lane, &bytes, self.body_ended, self.deadline, cx));
                    }
                }
                Step::TooLarge => {
                    self.leave();
                    // The client's doing, which is no error of the app's.
                    if out.has_head() {
                        return Err(AppError::of_client("the request's body is longer than --max-body"));
                    }
                    Page::too_large().write(out)?;
                    return Ok(Pull::End);
                }
            }
        }
    }

    fn resume(&mut self, cx: &Cx<'_>) {
        let Some(lane) = &self.lane else { return };
        self.step = Step::Write(self.vm.resume(lane, (), self.deadline, cx));
    }

    /// Writes what the app has said; `Some`: that was the end of it for now.
    fn write(&mut self, said: Said, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Option<Pull>, AppError> {
        match said {
            Said::Whole(reply, body) => {
                self.done();
                match self.vm.heads.whole(&reply, body.as_bytes().len() as u64, self.is_head) {
                    Ok(head) => out.head(head)?,
                    Err(text) => return self.failed(&text, out).map(Some),
                }
                self.step = Step::WriteLast(body);
                Ok(None)
            }
            Said::WholeBeforeClose(reply, body) => {
                match self.vm.heads.whole(&reply, body.as_bytes().len() as u64, self.is_head) {
                    Ok(head) => out.head(head)?,
                    Err(text) => {
                        self.leave();
                        return self.failed(&text, out).map(Some);
                    }
                }
                self.step = Step::WriteBeforeClose(body);
                Ok(None)
            }
            Said::Length(bytes) => {
                self.length = Some(bytes);
                Ok(None)
            }
            Said::Head(reply, chunk, following) => {
                match self.vm.heads.streamed(&reply, self.length, self.is_head) {
                    Ok(head) => out.head(head)?,
                    Err(text) => {
                        self.leave();
                        return self.failed(&text, out).map(Some);
                    }
                }
                if out.is_bodyless() {
                    // The app is not made to produce what nobody gets, which may be without end. It may take long to leave.
                    self.step = Step::Leave;
                    return Ok(Some(Pull::Sent));
                }
                self.chunk(chunk, following, out)
            }
            Said::Chunk(chunk, following) => self.chunk(chunk, following, out),
            Said::End => {
                self.done();
                Ok(Some(Pull::End))
            }
            Said::Sleeps(time) => {
                let at = cx.now() + time;
                self.step = Step::SleepUntil(at);
                // However short it is: others have their turn.
                Ok(Some(Pull::NotBefore(self.deadline.map_or(at, |deadline| at.min(deadline)))))
            }
            Said::Reads(wanted) => {
                self.step = Step::Read(wanted);
                Ok(None)
            }
            Said::TimeIsUp(trace) => {
                self.leave();
                self.time_is_up(&trace, out).map(Some)
            }
            Said::Failed(text) => {
                self.leave();
                self.failed(&text, out).map(Some)
            }
        }
    }

    fn chunk(
        &mut self,
        chunk: mlua::String,
        following: Following,
        out: &mut Out<'_>,
    ) -> Result<Option<Pull>, AppError> {
        if !out.has_room() {
            self.step = Step::Write(Said::Chunk(chunk, following));
            return Ok(Some(Pull::More));
        }
        out.write(&chunk.as_bytes())?;
        Ok(match following {
            Following::AtOnce => None,
            Following::AfterSend => Some(Pull::Sent),
        })
    }

    /// The app raised an error, or did what it may not.
    fn failed(&self, text: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        self.answer_instead(Page::failed(text, &self.config), text, out)
    }

    /// The app took too long; `trace` is where it was.
    fn time_is_up(&self, trace: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        let text = format!("{}\n{trace}", deadline::OVER);
        self.answer_instead(Page::time_is_up(&text, &self.config), &text, out)
    }

    /// A page in place of the app's answer; after its head nothing can be said any more, and the connection is cut.
    fn answer_instead(&self, page: Page, why: &str, out: &mut Out<'_>) -> Result<Pull, AppError> {
        if out.has_head() {
            return Err(AppError::new(why));
        }
        log::error!("{}: {}", self.who, host::indented(why));
        page.write(out)?;
        Ok(Pull::End)
    }

    /// The app is done: its lane can take another request.
    fn done(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.vm.give_back(lane);
        }
    }

    /// The request is over before the app was.
    fn leave(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.vm.abandon(&lane, &self.who);
        }
    }
}

impl Drop for LuaExchange {
    fn drop(&mut self) {
        self.leave();
    }
}
