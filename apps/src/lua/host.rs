//! The functions that the driver gets from the server.

use super::environ::Line;
use super::file_body::{self, FileBody};
use super::messages::{self, Wait};
use super::reply::Replies;
use super::sys::calls::{self, Boundary, Fields};
use super::sys::environ::Parts;
use super::websocket::Mailbox;
use super::yielded;
use super::{client, environ, metrics, modules, shared, websocket};
use mlua::{Function, Lua, String, Table, Value};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tine_common::log::APP;
use tine_common::request_name::RequestName;
use tine_common::sys::{random, started_with};
use tine_worker::app::{Addresses, Caller, Cx, OtherEnd, Tls, WorkerInfo};

pub use tine_common::log::indented;

/// The context of the coroutine that is running.
#[derive(Default)]
pub struct Turn {
    /// The addresses of its connection.
    pub addresses: Cell<Addresses>,
    /// Its TLS session, if there is one.
    pub tls: RefCell<Option<Rc<Tls>>>,
    /// What proxies say of its client, if they do.
    pub caller: RefCell<Option<Rc<Caller>>>,
    /// The server is in the lame-duck phase of its stop (`--drain-delay`).
    pub is_lame_duck: Cell<bool>,
    /// Its worker drains.
    pub is_draining: Cell<bool>,
    /// What it has for the WebSocket that it belongs to, and gets from it.
    pub websocket: Mailbox,
    /// What it waits for, if it yields AWAIT next.
    pub wait: RefCell<Option<Wait>>,
    /// What its client had done when it last yielded CLIENT.
    pub client: Cell<Option<OtherEnd>>,
    /// The file whose rest is the body, if it yields FILE next.
    pub file: RefCell<Option<FileBody>>,
    /// When its request times out.
    pub deadline: Cell<Option<Instant>>,
    /// If it timed out and was interrupted: the traceback of that place.
    pub interrupted_at: RefCell<Option<std::string::String>>,
    /// The timeout error was raised, and the app may clean up for a short while.
    pub is_cleaning_up: Cell<bool>,
}

impl Turn {
    /// A coroutine runs next whose connection is that of `cx`.
    pub fn enter(&self, cx: &Cx<'_>) {
        self.addresses.set(cx.addresses());
        // Plain requests after plain ones, as almost always, need no more than this look.
        if cx.tls().is_some() || self.tls.borrow().is_some() {
            self.tls.replace(cx.tls().cloned());
        }
        if cx.caller().is_some() || self.caller.borrow().is_some() {
            self.caller.replace(cx.caller().cloned());
        }
        self.is_lame_duck.set(cx.is_lame_duck());
        self.is_draining.set(cx.is_draining());
    }

    /// What runs next belongs to a request whose connection is gone.
    pub fn forget_connection(&self) {
        self.addresses.set(Addresses::default());
        self.tls.take();
        self.caller.take();
    }
}

/// What the functions of `sys::calls` need.
pub struct Calls {
    pub turn: Rc<Turn>,
    pub replies: Rc<Replies>,
}

impl Calls {
    /// Once a request is over, its connection is not known any more.
    fn with_line<R>(&self, is_current: bool, read: impl FnOnce(Line<'_>) -> R) -> R {
        let (tls, caller) = (self.turn.tls.borrow(), self.turn.caller.borrow());
        match is_current {
            true => read(Line { addresses: self.turn.addresses.get(), tls: tls.as_deref(), caller: caller.as_deref() }),
            false => read(Line::default()),
        }
    }
}

impl calls::Host for Calls {
    fn is_of_request(&self, key: &[u8]) -> bool {
        environ::is_of_request(key)
    }

    fn field<'a>(&self, head: &'a [u8], key: &[u8], is_current: bool) -> Option<Cow<'a, [u8]>> {
        self.with_line(is_current, |line| environ::field(head, key, line))
    }

    fn fields(&self, head: &[u8], is_current: bool, fields: &mut Fields) {
        self.with_line(is_current, |line| environ::fields(head, line, |key, value| fields.push(key, value)));
    }

    fn is_lame_duck(&self) -> bool {
        self.turn.is_lame_duck.get()
    }

    fn start(&self, head: &[u8]) -> bool {
        self.replies.start_known(head)
    }
}

pub fn functions(
    lua: &Lua,
    turn: &Rc<Turn>,
    replies: &Rc<Replies>,
    boundary: &'static Boundary,
    worker: &WorkerInfo,
) -> mlua::Result<Table> {
    let host = lua.create_table()?;
    host.set("yields", lua.create_table_from(yielded::CONSTANTS)?)?;
    host.set("version", env!("CARGO_PKG_VERSION"))?;
    host.set("worker", worker.index)?;
    host.set("root_path", worker.root_path)?;
    host.set("open_files_before", started_with::raised_open_files())?;
    host.set("is_multiprocess", worker.workers > 1)?;
    let environ_functions = |lua: &Lua, parts: Parts| boundary.environ_functions(lua, parts);
    host.set("environ_functions", lua.create_function(environ_functions)?)?;
    let start_response =
        |lua: &Lua, (id, co, start): (i64, Table, Function)| boundary.start_response(lua, id, co, start);
    host.set("start_response", lua.create_function(start_response)?)?;
    host.set("take_body", boundary.take_body(lua)?)?;
    let (take_arrived, is_running_input) = boundary.input_functions(lua)?;
    host.set("take_arrived", take_arrived)?;
    host.set("is_running_input", is_running_input)?;
    host.set("is_started", lua.create_function(|_, ()| Ok(boundary.is_started()))?)?;
    let start = {
        let replies = Rc::clone(replies);
        move |_: &Lua, (status, joined, count): (String, String, usize)| {
            let started = replies.start(&status.as_bytes(), &joined.as_bytes(), count);
            if started.is_ok() {
                boundary.set_started();
            }
            Ok(started.err())
        }
    };
    host.set("start", lua.create_function(start)?)?;
    host.set("open_body", file_body::open(lua, turn)?)?;
    host.set("random_integer", lua.create_function(|_, ()| random_integer())?)?;
    host.set("log", lua.create_function(log)?)?;
    host.set("declare_metric", metrics::declare(lua, worker.metrics)?)?;
    let messages = worker.dictionaries.messages();
    host.set("publish", messages::publish(lua, messages)?)?;
    host.set("subscribe", messages::subscribe(lua, messages, turn)?)?;
    let is_draining = {
        let turn = Rc::clone(turn);
        move |_: &Lua, ()| Ok(turn.is_draining.get())
    };
    host.set("is_draining", lua.create_function(is_draining)?)?;
    host.set("websocket", websocket::functions(lua, turn)?)?;
    host.set("client", client::state(lua, turn)?)?;
    host.set("open_shared", shared::open(lua, worker.dictionaries)?)?;
    host.set("open_module", modules::open(lua)?)?;
    host.set("time", lua.create_function(|_, ()| Ok(time()))?)?;
    host.set(
        "sleep",
        lua.create_function(|_, seconds: f64| {
            std::thread::sleep(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
            Ok(())
        })?,
    )?;
    host.set("traceback", lua.create_function(|lua, error: Value| Ok(describe(lua, &error)))?)?;
    Ok(host)
}

/// An unpredictable integer below 2^53, which both Luas represent exactly.
pub fn random_integer() -> mlua::Result<i64> {
    let bits = u64::from_le_bytes(random::bytes().map_err(mlua::Error::external)?);
    Ok((bits >> 11) as i64)
}

/// Seconds since the epoch.
fn time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Logs a text of the app; false if the level is unknown. Path and text come from the client or the app, so they are
/// escaped to stay one log record. The app may have set method or path to values that are not strings.
fn log(_: &Lua, arguments: (String, String, Value, Value)) -> mlua::Result<bool> {
    let (level, text, method, path) = arguments;
    let level = match &*level.as_bytes() {
        b"error" => log::Level::Error,
        b"warn" => log::Level::Warn,
        b"info" => log::Level::Info,
        b"debug" => log::Level::Debug,
        _ => return Ok(false),
    };
    let text = indented(&text.to_string_lossy());
    match (method, path) {
        (Value::String(method), Value::String(path)) => {
            log::log!(target: APP, level, "{}: {text}", RequestName::new(&method.as_bytes(), &path.as_bytes()));
        }
        _ => log::log!(target: APP, level, "app: {text}"),
    }
    Ok(true)
}

/// An error's message and traceback, without the server's own frames.
fn describe(lua: &Lua, error: &Value) -> std::string::String {
    let message = match error {
        Value::Error(error) => error.to_string(),
        Value::String(text) => text.to_string_lossy(),
        // The object's own __tostring may fail in turn.
        other => other.to_string().unwrap_or_else(|_| format!("an error that is a {}", other.type_name())),
    };
    let trace = lua.traceback(None, 1).map(|trace| trace.to_string_lossy()).unwrap_or_default();
    match without_server_frames(&trace).as_str() {
        "" => message,
        trace => format!("{message}\n{trace}"),
    }
}

/// A traceback without the server's own frames: the caller of the app, the server's functions that the app called, and
/// those between its coroutines. Empty if no frame of the app is left.
pub fn without_server_frames(trace: &str) -> std::string::String {
    let is_ours = |line: &&str| ["\ttine:", "\t[C]: in ?", "\t[C]: at 0x"].iter().any(|start| line.starts_with(start));
    let mut lines: Vec<&str> = trace.lines().filter(|line| !is_ours(line)).collect();
    // The caller of the app is xpcall.
    while lines.pop_if(|line| line.starts_with("\t[C]: in") && line.contains("xpcall")).is_some() {}
    let has_app = lines.iter().skip(1).any(|line| !line.starts_with("\t[C]:") && *line != "\t(...tail calls...)");
    if has_app { lines.join("\n") } else { std::string::String::new() }
}
