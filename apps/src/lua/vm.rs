//! The Lua VM of a worker and its pooled coroutines, each of which handles one request at a time.

use super::config::{LuaConfig, Source};
use super::file_body::FileBody;
use super::files::{CodeFiles, UsedFiles};
use super::host::{self, Turn};
use super::jobs::Jobs;
use super::memory::Memory;
use super::reply::{Instead, Replies, Reply};
use super::socket::Sockets;
use super::sys::Opened;
use super::sys::calls::Boundary;
use super::sys::coroutine::{self, Body, Marks, Stopped};
use super::sys::running::{self, Resumed};
use super::yielded::Yielded;
use super::{client, deadline, driver, environ, load, socket, sys};
use crate::files::sendfile::{Conditions, Named, Sendfile};
use mlua::{Function, Lua, Table, Thread};
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;
use tine_worker::app::metrics::AppMetrics;
use tine_worker::app::{Answer, Cx, OtherEnd, WorkerInfo};
use tine_worker::http::{Head, Request};

/// Idle coroutines kept for later requests. More may be in use at once; the surplus is left to the garbage collector.
const IDLE_COROUTINES_MAX: usize = 64;

pub struct Vm {
    /// Dropped before the VM.
    _running: Resumed,
    lua: Lua,
    open_coroutine: Function,
    abandon: Function,
    end_websocket: Function,
    open_job: Function,
    start: Function,
    boundary: &'static Boundary,
    marks: Marks,
    /// Coroutines made so far.
    coroutines: Cell<i64>,
    /// `--request-timeout` is set, so each coroutine has a hook.
    is_watched: bool,
    pub turn: Rc<Turn>,
    replies: Rc<Replies>,
    pub metrics: AppMetrics,
    pub sockets: Sockets,
    /// `--sendfile-root`.
    pub sendfile: Option<Sendfile>,
    jobs: Jobs,
    idle: RefCell<Vec<Coroutine>>,
    memory: Memory,
    /// Only with `--debug` and `--reload`.
    files: Option<Rc<UsedFiles>>,
    last_interruption: Cell<Option<Instant>>,
    blocked_time: Cell<Duration>,
    /// Dropped after all values of the VM.
    _opened: Opened,
}

/// A pooled coroutine, and the driver's state for it (`co` in driver.lua).
pub struct Coroutine {
    stack: coroutine::Coroutine,
    table: Table,
    /// What the app has given to start_response.
    reply: Option<Rc<Reply>>,
}

impl Coroutine {
    /// The chunk that it has yielded, or the whole response.
    pub fn chunk(&self) -> &[u8] {
        self.stack.chunk().unwrap_or_default()
    }

    /// The head of a response whose body is the chunk.
    pub fn whole_head(&self, is_head: bool) -> Result<Head, Instead> {
        self.reply()?.whole(self.chunk().len() as u64, is_head)
    }

    /// The head of a response whose body is the rest of a file, which may become shorter.
    pub fn file_head(&self, body: &mut FileBody, is_head: bool) -> Result<Head, Instead> {
        let (head, length) = self.reply()?.of_file(body.left(), is_head)?;
        body.set_left(length);
        Ok(head)
    }

    /// The head of a response whose body follows, and whose length may be known.
    pub fn streamed_head(&self, length: Option<u64>, is_head: bool) -> Result<Head, Instead> {
        self.reply()?.streamed(length, is_head)
    }

    pub fn number(&self) -> i64 {
        self.stack.number()
    }

    /// What the app has given to start_response, if it has called that.
    pub fn started(&self) -> Option<Head> {
        self.reply.as_ref().map(|reply| reply.head())
    }

    fn reply(&self) -> Result<&Reply, Instead> {
        self.reply.as_deref().ok_or_else(|| Instead::Wrong("the app did not call start_response".to_string()))
    }
}

impl Vm {
    /// A VM with the application loaded. The error is the application's own message.
    pub fn new(config: &LuaConfig, worker: &WorkerInfo, jobs: &Jobs) -> Result<Vm, String> {
        let own = |error: mlua::Error| error.to_string();
        let (opened, lua) = sys::open(config.memory_bytes_max.is_some()).map_err(own)?;
        let running = running::opened(&lua.current_thread());
        load::set_paths(&lua, config).map_err(own)?;
        let sendfile = (!config.sendfile_roots.is_empty()).then(|| Sendfile::open(&config.sendfile_roots));
        let sendfile = sendfile.transpose()?;
        let memory = Memory::new(&lua, config.memory_bytes_max).map_err(own)?;
        let (turn, replies) = (Rc::new(Turn::default()), Rc::new(Replies::new(sendfile.is_some())));
        let boundary = Boundary::new(Box::new(host::Calls { turn: Rc::clone(&turn), replies: Rc::clone(&replies) }));
        let sockets = Sockets::default();
        let host = host::functions(&lua, &turn, &replies, boundary, worker).map_err(own)?;
        socket::functions(&lua, &sockets, boundary, &turn)
            .and_then(|functions| host.set("sockets", functions))
            .map_err(own)?;
        let job_functions = jobs.functions(&lua, boundary).map_err(own)?;
        host.set("jobs", &job_functions).map_err(own)?;
        let is_recorded = config.debug || worker.file_reports.are_wanted();
        let files = is_recorded.then(|| Rc::new(UsedFiles::new(&config.app_dirs, worker.file_reports)));
        if let Some(files) = &files {
            files.function(&lua).and_then(|function| host.set("use_file", function)).map_err(own)?;
        }
        let seal = host::random_integer().map_err(own)?;
        host.set("seal", seal).map_err(own)?;
        let is_watched = config.request_timeout.is_some();
        if is_watched {
            deadline::functions(&lua, &turn).and_then(|functions| host.set("deadline", functions)).map_err(own)?;
        }
        // All under one name, by which the server's frames are recognised in a traceback.
        let chunk = |source: &str| lua.load(source).set_name("=tine").into_function();
        let parts = lua.create_table().map_err(own)?;
        for (name, source) in driver::PARTS {
            parts.set(name, chunk(source).map_err(own)?).map_err(own)?;
        }
        let driver = chunk(driver::MAIN).map_err(own)?;
        type Functions = (Function, Function, Function, Function, Function);
        let (open_coroutine, abandon, set_app, end_websocket, ipairs_step): Functions =
            driver.call((host, parts)).map_err(own)?;
        let of_jobs = |name: &str| job_functions.get::<Function>(name).map_err(own);
        let (open_job, start) = (of_jobs("open")?, of_jobs("start")?);
        let marks = Marks::new(&lua, seal, &ipairs_step).map_err(own)?;
        if let (Some(files), Source::File(path)) = (&files, &config.app.source) {
            files.note_app(path);
        }
        let app = load::app(&lua, config)?;
        set_app.call::<()>(app).map_err(own)?;
        let idle = RefCell::default();
        Ok(Vm {
            _running: running,
            lua,
            open_coroutine,
            abandon,
            end_websocket,
            open_job,
            start,
            boundary,
            marks,
            coroutines: Cell::default(),
            is_watched,
            turn,
            replies,
            metrics: worker.metrics,
            sockets,
            sendfile,
            jobs: jobs.clone(),
            idle,
            memory,
            files,
            last_interruption: Cell::default(),
            blocked_time: Cell::default(),
            _opened: opened,
        })
    }

    /// Bytes that the VM has allocated.
    pub fn memory_bytes(&self) -> u64 {
        self.lua.used_memory() as u64
    }

    /// The files that were loaded as code; none unless they are recorded.
    pub fn code_files(&self) -> CodeFiles {
        self.files.as_ref().map(|files| files.code()).unwrap_or_default()
    }

    /// Runs a request on a coroutine until it yields. The error: there was not enough memory to begin.
    pub fn begin(
        &self,
        request: &Request<'_>,
        deadline: Option<Instant>,
        cx: &Cx<'_>,
    ) -> Result<(Coroutine, Yielded), String> {
        self.memory.keep_room(&self.lua);
        let idle = self.idle.borrow_mut().pop();
        let mut coroutine = idle.map_or_else(|| self.open(), Ok).map_err(|error| self.error_text(&error))?;
        if self.is_watched {
            deadline::watch(coroutine.stack.thread());
        }
        let path = environ::decode(request.path());
        let head = environ::head_of(request);
        self.enter(&coroutine, deadline, cx);
        coroutine.reply = None;
        let method = request.method().as_bytes();
        let texts = [method, &path, request.query().unwrap_or("").as_bytes(), &head];
        let body = Body { is_announced: request.has_body(), arrived: request.arrived_body() };
        let stopped = coroutine.stack.begin(texts, body);
        let yielded = self.returned(&mut coroutine, stopped, cx);
        Ok((coroutine, yielded))
    }

    fn open(&self) -> mlua::Result<Coroutine> {
        let id = self.next_number();
        let (thread, table): (Thread, Table) = self.open_coroutine.call(id)?;
        Ok(Coroutine { stack: coroutine::Coroutine::new(thread, self.boundary, id, self.marks), table, reply: None })
    }

    fn next_number(&self) -> i64 {
        self.coroutines.set(self.coroutines.get() + 1);
        self.coroutines.get()
    }

    /// A coroutine that the driver has made for a request beside its own, which is not pooled.
    pub fn adopt(&self, thread: Thread, table: Table, own: &Coroutine) -> Coroutine {
        let stack = coroutine::Coroutine::new(thread, self.boundary, self.next_number(), self.marks);
        stack.share_environ(&own.stack);
        Coroutine { stack, table, reply: None }
    }

    /// Tells the driver that the WebSocket of this coroutine has ended.
    pub fn end_websocket(&self, coroutine: &Coroutine, code: u16, reason: &str) {
        if let Err(error) = self.end_websocket.call::<()>((&coroutine.table, code, reason)) {
            self.error_text(&error);
        }
    }

    /// Calls what the app has left for the start of its worker. The error is its own message.
    pub fn start(&self) -> Result<(), String> {
        match self.start.call::<Option<mlua::String>>(()) {
            Ok(None) => Ok(()),
            Ok(Some(text)) => Err(text.to_string_lossy()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Runs the function of the job with this number on a coroutine of its own until it yields. The error: there was not enough
    /// memory to begin.
    pub fn begin_job(&self, job: i64, deadline: Option<Instant>, cx: &Cx<'_>) -> Result<(Coroutine, Yielded), String> {
        self.memory.keep_room(&self.lua);
        let opened: mlua::Result<(Thread, Table)> = self.open_job.call(job);
        let (thread, table) = opened.map_err(|error| self.error_text(&error))?;
        if self.is_watched {
            deadline::watch(&thread);
        }
        let stack = coroutine::Coroutine::new(thread, self.boundary, self.next_number(), self.marks);
        let mut coroutine = Coroutine { stack, table, reply: None };
        let yielded = self.resume(&mut coroutine, deadline, cx);
        Ok((coroutine, yielded))
    }

    /// What a coroutine was for is over: closes what it has opened, and runs what was left for then.
    pub fn end_of(&self, coroutine: &Coroutine) {
        self.sockets.end_of(coroutine.number());
        self.jobs.finish(coroutine.number());
    }

    /// Resumes a coroutine until it yields.
    pub fn resume(&self, coroutine: &mut Coroutine, deadline: Option<Instant>, cx: &Cx<'_>) -> Yielded {
        self.enter(coroutine, deadline, cx);
        let stopped = coroutine.stack.resume();
        self.returned(coroutine, stopped, cx)
    }

    /// Resumes a coroutine with bytes of the request's body.
    pub fn feed(
        &self,
        coroutine: &mut Coroutine,
        bytes: &[u8],
        is_end: bool,
        deadline: Option<Instant>,
        cx: &Cx<'_>,
    ) -> Yielded {
        self.enter(coroutine, deadline, cx);
        let stopped = coroutine.stack.feed(bytes, is_end);
        self.returned(coroutine, stopped, cx)
    }

    /// Resumes a coroutine whose connection is gone, for the last time.
    pub fn resume_last(&self, coroutine: &mut Coroutine) -> Yielded {
        let now = Instant::now();
        self.turn.forget_connection();
        self.turn.deadline.set(self.is_watched.then(|| now + deadline::CLOSE_TIME));
        self.turn.is_cleaning_up.set(false);
        if self.is_watched {
            deadline::watch_again(coroutine.stack.thread());
        }
        let stopped = coroutine.stack.resume();
        let stopped = client::tell(&mut coroutine.stack, stopped, &self.turn, || OtherEnd::Closed).unwrap_or(stopped);
        self.yielded(coroutine, stopped, now)
    }

    /// Called before each resumption.
    fn enter(&self, coroutine: &Coroutine, deadline: Option<Instant>, cx: &Cx<'_>) {
        self.turn.enter(cx);
        self.turn.deadline.set(deadline);
        self.turn.is_cleaning_up.set(false);
        if self.is_watched {
            deadline::watch_again(coroutine.stack.thread());
        }
    }

    /// The coroutine has stopped, perhaps because the app has returned: then it has yielded whether it succeeded, and
    /// what it returned or the error's text. What is not one string is the driver's to send.
    fn returned(&self, coroutine: &mut Coroutine, stopped: Stopped, cx: &Cx<'_>) -> Yielded {
        let has_returned = stopped == Stopped::Yielded && coroutine.stack.integer(1).is_none();
        if !has_returned {
            return match client::tell(&mut coroutine.stack, stopped, &self.turn, || cx.client()) {
                Some(stopped) => self.returned(coroutine, stopped, cx),
                None => self.yielded(coroutine, stopped, cx.now()),
            };
        }
        if !coroutine.stack.is_true(1) {
            let text = coroutine.stack.bytes(2).unwrap_or_default();
            let yielded = Yielded::Failed(String::from_utf8_lossy(text).into_owned());
            return self.checked(yielded, cx.now());
        }
        if coroutine.stack.is_started() && coroutine.stack.is_one_string(2) {
            self.take_reply(coroutine);
            return self.checked(Yielded::Whole, cx.now());
        }
        let stopped = coroutine.stack.give_back();
        self.yielded(coroutine, stopped, cx.now())
    }

    fn yielded(&self, coroutine: &mut Coroutine, stopped: Stopped, now: Instant) -> Yielded {
        self.take_reply(coroutine);
        let yielded = match stopped {
            Stopped::Yielded => Yielded::of(&coroutine.stack, &self.turn)
                .unwrap_or_else(|| Yielded::Failed("the driver left out a value".to_string())),
            Stopped::Foreign => self.foreign_yield(coroutine),
            Stopped::Failed => Yielded::Failed(coroutine.stack.error()),
        };
        self.checked(yielded, now)
    }

    fn take_reply(&self, coroutine: &mut Coroutine) {
        if let Some(reply) = self.replies.take_started() {
            coroutine.reply = Some(reply);
        }
    }

    fn checked(&self, yielded: Yielded, turn: Instant) -> Yielded {
        if let Yielded::Failed(text) = &yielded {
            self.memory.detect_exhaustion(&self.lua, text);
        }
        self.take_interruption(turn).map_or(yielded, Yielded::TimedOut)
    }

    /// The coroutine has stopped in the middle of the app's code with a yield that is not the driver's.
    fn foreign_yield(&self, coroutine: &Coroutine) -> Yielded {
        let what = "a C module has suspended the request; only tine.sleep, wsgi.input and the response can do that";
        Yielded::Failed(format!("{what}\n{}", self.traceback(coroutine)))
    }

    /// The text of an error that the app did not raise: the server's, or a failed allocation.
    fn error_text(&self, error: &mlua::Error) -> String {
        let text = error.to_string();
        self.memory.detect_exhaustion(&self.lua, &text);
        text
    }

    /// The traceback of the interruption, if the coroutine that ran was interrupted.
    /// `turn`: when the worker's turn began.
    fn take_interruption(&self, turn: Instant) -> Option<String> {
        let trace = self.turn.interrupted_at.take()?;
        // After a second interruption in one turn, count only the time since the first.
        let since = self.last_interruption.get().map_or(turn, |last| last.max(turn));
        let now = Instant::now();
        self.last_interruption.set(Some(now));
        self.blocked_time.set(self.blocked_time.get() + now.saturating_duration_since(since));
        Some(trace)
    }

    /// For how long interrupted coroutines have blocked all others, since the VM was created.
    pub fn blocked_time(&self) -> Duration {
        self.blocked_time.get()
    }

    /// The traceback of a suspended coroutine.
    pub fn traceback(&self, coroutine: &Coroutine) -> String {
        let of = |lua: &Lua| lua.globals().get::<Table>("debug")?.get::<Function>("traceback");
        let text = of(&self.lua).and_then(|traceback| traceback.call::<mlua::String>(coroutine.stack.thread()));
        text.map(|text| host::without_server_frames(&text.to_string_lossy())).unwrap_or_default()
    }

    /// The response with a file that an app has named.
    pub fn named_file(
        &self,
        named: &Named,
        conditions: Option<&Conditions>,
        request: &RequestName,
        cx: &Cx<'_>,
    ) -> Answer {
        let (sendfile, conditions) =
            self.sendfile.as_ref().zip(conditions).expect("only with --sendfile-root do replies name files");
        sendfile.answer(named, conditions, request, cx.date())
    }

    /// Returns a coroutine to the pool. Only after a whole response or its end: after any other yield, a failure
    /// included, it may be in the middle of the app's code and has to be abandoned.
    pub fn release(&self, coroutine: Coroutine) {
        self.end_of(&coroutine);
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_COROUTINES_MAX {
            idle.push(coroutine);
        }
    }

    /// The request ends before its app has finished: `close` is called, and the coroutine is not used again. `request`: its name, or
    /// that of a job, for the log. `is_aborted`: it ends without its response, which the app may want to be told of
    /// (`tine.on_abort`).
    pub fn abandon(&self, coroutine: &Coroutine, request: &dyn Display, is_aborted: bool) {
        self.turn.forget_connection();
        self.turn.deadline.set(None);
        if let Err(error) = self.abandon.call::<()>((&coroutine.table, is_aborted)) {
            log::error!("{request}: closing it failed: {}", host::indented(&error.to_string()));
        }
        self.turn.interrupted_at.take();
        self.end_of(coroutine);
    }

    pub fn is_exhausted(&self) -> bool {
        self.memory.is_exhausted()
    }
}
