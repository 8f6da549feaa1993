//! The VM of one worker and its lanes: reused coroutines, each with one request at a time.

use super::config::LuaConfig;
use super::host::{self, Turn};
use super::memory::Memory;
use super::reply::Heads;
use super::said::{Raw, SEAL_TYPE, Said};
use super::{deadline, environ, load};
use mlua::{Function, IntoLuaMulti, Lua, Table, Thread};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::request_name::RequestName;
use tine_common::sys::lua_running::{self, Resumed};
use tine_worker::app::{Cx, WorkerInfo};
use tine_worker::http::Request;

const DRIVER: &str = include_str!("driver.lua");
const DRIVER_PARTS: [(&str, &str); 9] = [
    ("random", include_str!("driver/random.lua")),
    ("deadline", include_str!("driver/deadline.lua")),
    ("waiting", include_str!("driver/waiting.lua")),
    ("streams", include_str!("driver/streams.lua")),
    ("environ", include_str!("driver/environ.lua")),
    ("start_response", include_str!("driver/start_response.lua")),
    ("answer", include_str!("driver/answer.lua")),
    ("commands", include_str!("driver/commands.lua")),
    ("leaving", include_str!("driver/leaving.lua")),
];
/// Lanes kept for requests to come; more than these were needed at once, and are left to the collector.
const IDLE_LANES_MAX: usize = 64;

pub struct Vm {
    /// Ends before the VM does.
    _running: Resumed,
    lua: Lua,
    open_lane: Function,
    abandon: Function,
    /// What the driver says first, each time; a module in C that yields by itself does not know it.
    seal: i64,
    /// `--request-timeout`: each lane has a hook.
    is_watched: bool,
    turn: Rc<Turn>,
    pub heads: Rc<Heads>,
    idle: RefCell<Vec<Lane>>,
    methods: [(&'static str, mlua::String); 7],
    empty: mlua::String,
    root: mlua::String,
    memory: Memory,
    last_interruption: Cell<Option<Instant>>,
    lost: Cell<Duration>,
}

/// A coroutine, and what the driver knows of it.
pub struct Lane {
    thread: Thread,
    table: Table,
}

impl Vm {
    /// A VM with the application loaded. The error is what the application did wrong, in its own words.
    pub fn new(config: &LuaConfig, worker: &WorkerInfo) -> Result<Vm, String> {
        let own = |error: mlua::Error| error.to_string();
        let lua = tine_common::sys::lua::open().map_err(own)?;
        let running = lua_running::opened(&lua.current_thread());
        load::set_paths(&lua, config).map_err(own)?;
        let memory = Memory::limit(&lua, config.memory_bytes_max).map_err(own)?;
        let (turn, heads) = (Rc::new(Turn::default()), Rc::new(Heads::default()));
        let host = host::functions(&lua, &turn, &heads, worker).map_err(own)?;
        let seal = host::draw().map_err(own)?;
        host.set("seal", seal).map_err(own)?;
        let is_watched = config.request_timeout.is_some();
        if is_watched {
            deadline::functions(&lua, &turn).and_then(|functions| host.set("deadline", functions)).map_err(own)?;
        }
        // All under one name, by which our part of a traceback is known.
        let chunk = |source: &str| lua.load(source).set_name("=tine").into_function();
        let parts = lua.create_table().map_err(own)?;
        for (name, source) in DRIVER_PARTS {
            parts.set(name, chunk(source).map_err(own)?).map_err(own)?;
        }
        let driver = chunk(DRIVER).map_err(own)?;
        let (open_lane, abandon, set_app): (Function, Function, Function) = driver.call((host, parts)).map_err(own)?;
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
            open_lane,
            abandon,
            seal,
            is_watched,
            turn,
            heads,
            idle,
            methods,
            empty,
            root,
            memory,
            last_interruption: Cell::default(),
            lost: Cell::default(),
        })
    }

    /// A lane for a request, and what it says to it. The error: there is no memory for either.
    pub fn begin(&self, request: &Request<'_>, deadline: Option<Instant>, cx: &Cx<'_>) -> Result<(Lane, Said), String> {
        self.memory.keep_room(&self.lua);
        let idle = self.idle.borrow_mut().pop();
        let begun = idle.map_or_else(|| self.open(), Ok).and_then(|lane| Ok((lane, self.arguments(request)?)));
        let (lane, arguments) = begun.map_err(|error| self.noted(&error))?;
        if self.is_watched {
            deadline::watch(&lane.thread);
        }
        let said = self.resume(&lane, arguments, deadline, cx);
        Ok((lane, said))
    }

    fn open(&self) -> mlua::Result<Lane> {
        let (thread, table) = self.open_lane.call(())?;
        Ok(Lane { thread, table })
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
        Ok((method, path, query, self.lua.create_string(request.head())?))
    }

    /// Lets a lane go on until it says something.
    pub fn resume(&self, lane: &Lane, with: impl IntoLuaMulti, deadline: Option<Instant>, cx: &Cx<'_>) -> Said {
        self.turn.addresses.set(cx.addresses());
        self.turn.is_lame_duck.set(cx.is_lame_duck());
        self.turn.deadline.set(deadline);
        self.turn.is_cleaning_up.set(false);
        if self.is_watched {
            deadline::watch_again(&lane.thread);
        }
        let running = lua_running::resumed(&lane.thread);
        let raw = lane.thread.resume::<Raw>(with);
        drop(running);
        let said = match raw {
            Ok(raw) if raw.0 != self.seal => self.yielded_by_itself(lane),
            Ok(raw) => Said::of(raw).unwrap_or_else(|| Said::Failed("the driver left out a value".to_string())),
            Err(mlua::Error::FromLuaConversionError { to, .. }) if to == SEAL_TYPE => self.yielded_by_itself(lane),
            // What is sent is converted on this side alone.
            Err(error @ mlua::Error::FromLuaConversionError { .. }) => {
                Said::Failed(format!("a chunk of the response is no string: {}", self.noted(&error)))
            }
            Err(error) => Said::Failed(self.noted(&error)),
        };
        if let Said::Failed(text) = &said {
            self.memory.judge(&self.lua, text);
        }
        self.take_interrupted(cx).map_or(said, Said::TimeIsUp)
    }

    /// The lane has stopped in the middle of the app's code, and what it has yielded is not the driver's.
    fn yielded_by_itself(&self, lane: &Lane) -> Said {
        let what = "a module in C has suspended the request: that may only tine.sleep, wsgi.input and the response";
        Said::Failed(format!("{what}\n{}", self.traceback(lane)))
    }

    /// An error that is ours or the allocator's, as text.
    fn noted(&self, error: &mlua::Error) -> String {
        let text = error.to_string();
        self.memory.judge(&self.lua, &text);
        text
    }

    /// Lets a lane go on with bytes of the request's body.
    pub fn feed(&self, lane: &Lane, bytes: &[u8], is_end: bool, deadline: Option<Instant>, cx: &Cx<'_>) -> Said {
        match self.lua.create_string(bytes) {
            Ok(bytes) => self.resume(lane, (bytes, is_end), deadline, cx),
            Err(error) => Said::Failed(self.noted(&error)),
        }
    }

    /// Where the lane that ran was interrupted, if it was.
    fn take_interrupted(&self, cx: &Cx<'_>) -> Option<String> {
        let trace = self.turn.interrupted_at.take()?;
        // Of two in one turn the second has not held up anybody before the first did.
        let since = self.last_interruption.get().map_or(cx.now(), |last| last.max(cx.now()));
        let now = Instant::now();
        self.last_interruption.set(Some(now));
        self.lost.set(self.lost.get() + now.saturating_duration_since(since));
        Some(trace)
    }

    /// How long lanes that were interrupted have held up all others, since ever.
    pub fn lost(&self) -> Duration {
        self.lost.get()
    }

    /// Where the lane waits.
    pub fn traceback(&self, lane: &Lane) -> String {
        let of = |lua: &Lua| lua.globals().get::<Table>("debug")?.get::<Function>("traceback");
        let text = of(&self.lua).and_then(|traceback| traceback.call::<mlua::String>(&lane.thread));
        text.map(|text| host::without_ours(&text.to_string_lossy())).unwrap_or_default()
    }

    /// The lane has said the whole answer or its end, and waits for another request. One that has said anything else, a
    /// failure included, may be in the middle of the app's code: it is abandoned.
    pub fn give_back(&self, lane: Lane) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_LANES_MAX {
            idle.push(lane);
        }
    }

    /// The request is over before its app: `close` is called, and the lane is not used again.
    pub fn abandon(&self, lane: &Lane, request: &RequestName) {
        self.turn.addresses.set(None);
        self.turn.deadline.set(None);
        if let Err(error) = self.abandon.call::<()>(&lane.table) {
            log::error!("{request}: its end failed: {}", host::indented(&error.to_string()));
        }
        self.turn.interrupted_at.take();
    }

    pub fn is_exhausted(&self) -> bool {
        self.memory.is_exhausted()
    }
}
