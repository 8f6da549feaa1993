//! A Lua application as an [`App`].

use super::config::LuaConfig;
use super::debug_page::Asked;
use super::environ;
use super::exchange::{LuaExchange, RequestFacts};
use super::host;
use super::jobs::Jobs;
use super::page::{Debugged, Page};
use super::reply::Instead;
use super::vm::{Coroutine, Vm};
use super::yielded::Yielded;
use crate::files::sendfile::{Conditions, Named};
use std::rc::Rc;
use std::time::Instant;
use tine_worker::app::{Answer, App, AppError, Cx, Handshake, NotHandshake, WorkerInfo};
use tine_worker::http::{BodyLength, Request, Response};

pub struct LuaApp {
    vm: Rc<Vm>,
    config: Rc<LuaConfig>,
    jobs: Jobs,
}

impl LuaApp {
    /// Loads the application. The error is the application's own message.
    pub fn load(config: &LuaConfig, worker: &WorkerInfo) -> Result<LuaApp, AppError> {
        let jobs = Jobs::new(config, worker);
        let vm = Rc::new(Vm::new(config, worker, &jobs).map_err(AppError::new)?);
        jobs.set_vm(&vm);
        Ok(LuaApp { vm, config: Rc::new(config.clone()), jobs })
    }
}

impl App for LuaApp {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        if matches!(request.body_length(), BodyLength::Known(length) if length > self.config.body_bytes_max) {
            return Page::too_large().response().into();
        }
        if environ::has_zero_byte(request.path()) {
            return Page::zero_byte().response().into();
        }
        let deadline = self.config.request_timeout.map(|timeout| cx.now() + timeout);
        let (coroutine, yielded) = match self.vm.begin(request, deadline, cx) {
            Ok(begun) => begun,
            Err(text) => return self.failed(request, &text),
        };
        let is_head = request.method() == "HEAD";
        match yielded {
            // The common case: the request ends in this turn.
            Yielded::Whole => {
                let answer = match coroutine.whole_head(is_head) {
                    Ok(head) => Response::with_head(head, coroutine.chunk().to_vec()).into(),
                    Err(Instead::Wrong(text)) => self.failed(request, &text),
                    Err(Instead::File(named)) => self.file(&named, request, cx),
                };
                self.vm.release(coroutine);
                answer
            }
            Yielded::Upgrade => match Handshake::of(request) {
                Ok(handshake) => self.exchange(request, coroutine, Yielded::Upgrade, deadline, Ok(handshake)),
                Err(refusal) => {
                    self.vm.abandon(&coroutine, &request.name(), false);
                    refusal.response().into()
                }
            },
            yielded => self.exchange(request, coroutine, yielded, deadline, Handshake::of(request)),
        }
    }

    fn start(&mut self, cx: &Cx<'_>) -> Result<(), AppError> {
        self.jobs.start(cx);
        self.vm.start().map_err(AppError::new)
    }

    fn stop(&mut self, _: &Cx<'_>) {
        self.jobs.stop();
    }

    fn each_second(&mut self, now: Instant) {
        self.vm.sockets.each_second(now);
        self.vm.metrics.set_memory(self.vm.memory_bytes());
    }

    fn retires(&self) -> Option<&'static str> {
        self.vm.is_exhausted().then_some("the Lua VM's memory is exhausted (--lua-memory-max)")
    }
}

impl LuaApp {
    fn exchange(
        &self,
        request: &Request<'_>,
        coroutine: Coroutine,
        yielded: Yielded,
        deadline: Option<Instant>,
        handshake: Result<Handshake, NotHandshake>,
    ) -> Answer {
        let (is_head, conditions) = (request.method() == "HEAD", self.conditions(request));
        let asked = self.config.debug.then(|| Box::new(Asked::of(request)));
        let facts = RequestFacts { name: request.name(), is_head, conditions, handshake, asked };
        Answer::exchange(LuaExchange::new(&self.vm, &self.config, coroutine, yielded, facts, deadline))
    }

    /// For a file that the app names later.
    fn conditions(&self, request: &Request<'_>) -> Option<Conditions> {
        self.vm.sendfile.as_ref().map(|_| Conditions::of(request))
    }

    fn file(&self, named: &Named, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        self.vm.named_file(named, self.conditions(request).as_ref(), &request.name(), cx)
    }

    fn failed(&self, request: &Request<'_>, text: &str) -> Answer {
        self.vm.metrics.count_failure();
        log::error!("{}: {}", request.name(), host::indented(text));
        let asked = self.config.debug.then(|| Asked::of(request));
        let debugged = asked.as_ref().map(|asked| Debugged { asked, code: self.vm.code_files() });
        Page::failed(text, &self.config, debugged).response().into()
    }
}
