//! The Lua VM of a worker and its pooled coroutines, each of which handles one request at a time.

use super::config::LuaConfig;
use super::host::{self, Turn};
use super::memory::Memory;
use super::reply::Heads;
use super::sys::running::{self, Resumed};
use super::yielded::{Raw, SEAL_TYPE, Yielded};
use super::{deadline, environ, load, sys};
use mlua::{Function, IntoLuaMulti, Lua, Table, Thread};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;
use tine_worker::app::metrics::AppMetrics;
use tine_worker::app::{Addresses, Cx, WorkerInfo};
use tine_worker::http::Request;

const DRIVER: &str = include_str!("driver.lua");
const DRIVER_PARTS: [(&str, &str); 10] = [
    ("random", include_str!("driver/random.lua")),
    ("deadline", include_str!("driver/deadline.lua")),
    ("waiting", include_str!("driver/waiting.lua")),
    ("streams", include_str!("driver/streams.lua")),
    ("environ", include_str!("driver/environ.lua")),
    ("start_response", include_str!("driver/start_response.lua")),
    ("answer", include_str!("driver/answer.lua")),
    ("commands", include_str!("driver/commands.lua")),
    ("metrics", include_str!("driver/metrics.lua")),
    ("closing", include_str!("driver/closing.lua")),
];
/// Idle coroutines kept for later requests. More may be in use at once; the surplus is left to the garbage collector.
const IDLE_COROUTINES_MAX: usize = 64;

pub struct Vm {
    /// Dropped before the VM.
    _running: Resumed,
    lua: Lua,
    open_coroutine: Function,
    abandon: Function,
    /// The first value of each yield of the driver; a C module that yields on its own does not know it.
    seal: i64,
    /// `--request-timeout` is set, so each coroutine has a hook.
    is_watched: bool,
    turn: Rc<Turn>,
    pub heads: Rc<Heads>,
    pub metrics: AppMetrics,
    idle: RefCell<Vec<Coroutine>>,
    methods: [(&'static str, mlua::String); 7],
    empty: mlua::String,
    root: mlua::String,
    memory: Memory,
    last_interruption: Cell<Option<Instant>>,
    blocked_time: Cell<Duration>,
}

/// A pooled coroutine, and the driver's state for it (`co` in driver.lua).
pub struct Coroutine {
    thread: Thread,
    table: Table,
}

impl Vm {
    /// A VM with the application loaded. The error is the application's own message.
    pub fn new(config: &LuaConfig, worker: &WorkerInfo) -> Result<Vm, String> {
        let own = |error: mlua::Error| error.to_string();
        let lua = sys::open().map_err(own)?;
        let running = running::opened(&lua.current_thread());
        load::set_paths(&lua, config).map_err(own)?;
        let memory = Memory::limit(&lua, config.memory_bytes_max).map_err(own)?;
        let (turn, heads) = (Rc::new(Turn::default()), Rc::new(Heads::default()));
        let host = host::functions(&lua, &turn, &heads, worker).map_err(own)?;
        let seal = host::random_integer().map_err(own)?;
        host.set("seal", seal).map_err(own)?;
        let is_watched = config.request_timeout.is_some();
        if is_watched {
            deadline::functions(&lua, &turn).and_then(|functions| host.set("deadline", functions)).map_err(own)?;
        }
        // All under one name, by which the server's frames are recognised in a traceback.
        let chunk = |source: &str| lua.load(source).set_name("=tine").into_function();
        let parts = lua.create_table().map_err(own)?;
        for (name, source) in DRIVER_PARTS {
            parts.set(name, chunk(source).map_err(own)?).map_err(own)?;
        }
        let driver = chunk(DRIVER).map_err(own)?;
        let (open_coroutine, abandon, set_app): (Function, Function, Function) =
            driver.call((host, parts)).map_err(own)?;
        let app = load::app(&lua, config)?;
        set_app.call::<()>(app).map_err(own)?;
        let text = |text: &str| lua.create_string(text).map_err(own);
        let methods = [
            ("GET", text("GET")?),
            ("POST", text("POST")?),
            ("HEAD", text("HEAD")?),
            ("PUT", text("PUT")?),
            ("DELETE", text("DELETE")?),
            ("OPTIONS", text("OPTIONS")?),
            ("PATCH", text("PATCH")?),
        ];
        let (empty, root) = (text("")?, text("/")?);
        let idle = RefCell::default();
        Ok(Vm {
            _running: running,
            lua,
            open_coroutine,
            abandon,
            seal,
            is_watched,
            turn,
            heads,
            metrics: worker.metrics,
            idle,
            methods,
            empty,
            root,
            memory,
            last_interruption: Cell::default(),
            blocked_time: Cell::default(),
        })
    }

    /// Bytes that the VM has allocated.
    pub fn memory_bytes(&self) -> u64 {
        self.lua.used_memory() as u64
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
        let begun =
            idle.map_or_else(|| self.open(), Ok).and_then(|coroutine| Ok((coroutine, self.arguments(request)?)));
        let (coroutine, arguments) = begun.map_err(|error| self.error_text(&error))?;
        if self.is_watched {
            deadline::watch(&coroutine.thread);
        }
        let yielded = self.resume(&coroutine, arguments, deadline, cx);
        Ok((coroutine, yielded))
    }

    fn open(&self) -> mlua::Result<Coroutine> {
        let (thread, table) = self.open_coroutine.call(())?;
        Ok(Coroutine { thread, table })
    }

    fn arguments(
        &self,
        request: &Request<'_>,
    ) -> mlua::Result<(mlua::String, mlua::String, mlua::String, mlua::String)> {
        let known = self.methods.iter().find(|(method, _)| *method == request.method());
        let method =
            known.map_or_else(|| self.lua.create_string(request.method()), |(_, method)| Ok(method.clone()))?;
        let path = match request.path() {
            "/" => self.root.clone(),
            path => self.lua.create_string(environ::decode(path))?,
        };
        let query = match request.query() {
            None | Some("") => self.empty.clone(),
            Some(query) => self.lua.create_string(query)?,
        };
        Ok((method, path, query, self.lua.create_string(environ::head_of(request))?))
    }

    /// Resumes a coroutine until it yields.
    pub fn resume(
        &self,
        coroutine: &Coroutine,
        with: impl IntoLuaMulti,
        deadline: Option<Instant>,
        cx: &Cx<'_>,
    ) -> Yielded {
        self.turn.addresses.set(cx.addresses());
        self.turn.is_lame_duck.set(cx.is_lame_duck());
        self.turn.deadline.set(deadline);
        self.turn.is_cleaning_up.set(false);
        if self.is_watched {
            deadline::watch_again(&coroutine.thread);
        }
        let running = running::resumed(&coroutine.thread);
        let raw = coroutine.thread.resume::<Raw>(with);
        drop(running);
        let yielded = match raw {
            Ok(raw) if raw.0 != self.seal => self.foreign_yield(coroutine),
            Ok(raw) => Yielded::of(raw).unwrap_or_else(|| Yielded::Failed("the driver left out a value".to_string())),
            Err(mlua::Error::FromLuaConversionError { to, .. }) if to == SEAL_TYPE => self.foreign_yield(coroutine),
            // Chunks are converted only here.
            Err(error @ mlua::Error::FromLuaConversionError { .. }) => {
                Yielded::Failed(format!("a chunk of the response is not a string: {}", self.error_text(&error)))
            }
            Err(error) => Yielded::Failed(self.error_text(&error)),
        };
        if let Yielded::Failed(text) = &yielded {
            self.memory.detect_exhaustion(&self.lua, text);
        }
        self.take_interruption(cx).map_or(yielded, Yielded::TimedOut)
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

    /// Resumes a coroutine with bytes of the request's body.
    pub fn feed(
        &self,
        coroutine: &Coroutine,
        bytes: &[u8],
        is_end: bool,
        deadline: Option<Instant>,
        cx: &Cx<'_>,
    ) -> Yielded {
        match self.lua.create_string(bytes) {
            Ok(bytes) => self.resume(coroutine, (bytes, is_end), deadline, cx),
            Err(error) => Yielded::Failed(self.error_text(&error)),
        }
    }

    /// The traceback of the interruption, if the coroutine that ran was interrupted.
    fn take_interruption(&self, cx: &Cx<'_>) -> Option<String> {
        let trace = self.turn.interrupted_at.take()?;
        // After a second interruption in one turn, count only the time since the first.
        let since = self.last_interruption.get().map_or(cx.now(), |last| last.max(cx.now()));
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
        let text = of(&self.lua).and_then(|traceback| traceback.call::<mlua::String>(&coroutine.thread));
        text.map(|text| host::without_server_frames(&text.to_string_lossy())).unwrap_or_default()
    }

    /// Returns a coroutine to the pool. Only after a whole response or its end: after any other yield, a failure
    /// included, it may be in the middle of the app's code and has to be abandoned.
    pub fn release(&self, coroutine: Coroutine) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_COROUTINES_MAX {
            idle.push(coroutine);
        }
    }

    /// The request ends before its app has finished: `close` is called, and the coroutine is not used again.
    pub fn abandon(&self, coroutine: &Coroutine, request: &RequestName) {
        self.turn.addresses.set(Addresses::default());
        self.turn.deadline.set(None);
        if let Err(error) = self.abandon.call::<()>(&coroutine.table) {
            log::error!("{request}: closing the request failed: {}", host::indented(&error.to_string()));
        }
        self.turn.interrupted_at.take();
    }

    pub fn is_exhausted(&self) -> bool {
        self.memory.is_exhausted()
    }
}
