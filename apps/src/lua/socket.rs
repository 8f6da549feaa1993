//! What the driver's `tine.wait` and `tine.socket` call: sockets that never block, and waits for descriptors. What has to
//! wait returns nil and AGAIN or LATER, and the driver suspends the request (driver/descriptors.lua, driver/socket.lua).
//!
//! - `table`: the sockets, which close with their requests; `input`: what they have received.
//! - `connection`: one socket, plain or under TLS; `session`: what TLS makes of its bytes; `trust`: whose certificates count.
//! - `pool`: connections that are left for later requests.
//! - `waits`: what suspended requests wait for.
//! - `resolver`: the addresses of hosts, looked up in threads.

mod connection;
mod input;
mod pool;
mod resolver;
mod session;
mod table;
mod trust;
mod waits;

use super::host::Turn;
use super::sys::calls::Boundary;
use connection::why;
use input::Wanted;
use mlua::{IntoLua, IntoLuaMulti, Lua, MultiValue, String, Table, UserData, UserDataMethods, Value};
use resolver::{Lookup, Resolver};
use session::Peer;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use table::{CLOSED, Done, Key};
use tine_common::sys::descriptor;
use tine_worker::app::Interest;
use trust::Trust;
use waits::{Target, Wait};

pub use table::Sockets;

const AGAIN: &str = "again";
const LATER: &str = "later";

/// What Lua holds of a socket.
struct Handle {
    sockets: Sockets,
    key: Key,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.sockets.close(self.key);
    }
}

/// What Lua holds of the name that it looks up.
struct Awaited(Arc<Lookup>);

impl UserData for Awaited {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("answer", |lua, this, ()| answer_of(lua, this.0.answer()));
    }
}

/// The addresses as a list of texts, or nil and why; nothing, if there is no answer yet.
fn answer_of(lua: &Lua, answer: Option<&resolver::Answer>) -> mlua::Result<MultiValue> {
    match answer {
        None => Ok(MultiValue::new()),
        Some(Ok(addresses)) => {
            let texts: Vec<std::string::String> = addresses.iter().map(IpAddr::to_string).collect();
            Ok(MultiValue::from_iter([texts.into_lua(lua)?]))
        }
        Some(Err(why)) => failed(lua, why),
    }
}

fn failed(lua: &Lua, why: &str) -> mlua::Result<MultiValue> {
    Ok(MultiValue::from_iter([Value::Nil, why.into_lua(lua)?]))
}

/// `host.sockets`.
pub fn functions(lua: &Lua, sockets: &Sockets, boundary: &'static Boundary, turn: &Rc<Turn>) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    let owner = move || boundary.running_number();
    let of = |sockets: &Sockets, key| Handle { sockets: sockets.clone(), key };
    let table = sockets.clone();
    let open = move |lua: &Lua, (address, port): (String, Option<u16>)| {
        let address = address.to_string_lossy();
        let opened = match (address.parse::<IpAddr>(), port) {
            (Ok(ip), Some(port)) => table.open_tcp(SocketAddr::new(ip, port), owner()),
            (Err(_), Some(_)) => return failed(lua, "host not found"),
            (_, None) => table.open_unix(Path::new(&address), owner()),
        };
        match opened {
            Ok((key, is_connected)) => (of(&table, key), is_connected).into_lua_multi(lua),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => failed(lua, LATER),
            Err(error) => failed(lua, &why(&error)),
        }
    };
    functions.set("open", lua.create_function(open)?)?;
    let table = sockets.clone();
    let take_pooled = move |lua: &Lua, pool: String| match table.take_pooled(&pool.to_string_lossy(), owner()) {
        Some((key, reused)) => (of(&table, key), reused).into_lua_multi(lua),
        None => Ok(MultiValue::new()),
    };
    functions.set("take_pooled", lua.create_function(take_pooled)?)?;
    add_names(lua, &functions)?;
    let table = sockets.clone();
    // Returns why not, if it cannot be waited for.
    let ask = move |_: &Lua, (target, interest, seconds): (Value, String, Option<f64>)| {
        let Some(request) = owner() else { return Ok(Some("it is outside of a request".to_string())) };
        Ok(match target_of(&target) {
            Ok(target) => {
                table.ask(request, Wait::new(target, interest_of(&interest), timeout_of(seconds)));
                None
            }
            Err(why) => Some(why),
        })
    };
    functions.set("ask", lua.create_function(ask)?)?;
    let table = sockets.clone();
    let end_wait = move |lua: &Lua, ()| match owner().map(|request| table.end_wait(request)) {
        Some(Ok(ready)) => Ok(MultiValue::from_iter([directions(ready.readable, ready.writable).into_lua(lua)?])),
        Some(Err(why)) => failed(lua, &why),
        None => failed(lua, CLOSED),
    };
    functions.set("end_wait", lua.create_function(end_wait)?)?;
    let table = sockets.clone();
    let poll = move |lua: &Lua, (target, interest, seconds): (Value, String, Option<f64>)| match target_of(&target)
        .and_then(|target| poll(&table, &target, interest_of(&interest), timeout_of(seconds)))
    {
        Ok(ready) => Ok(MultiValue::from_iter([ready.into_lua(lua)?])),
        Err(why) => failed(lua, &why),
    };
    functions.set("poll", lua.create_function(poll)?)?;
    let start = Instant::now();
    functions.set("clock", lua.create_function(move |_, ()| Ok(start.elapsed().as_secs_f64()))?)?;
    let turn = Rc::clone(turn);
    functions.set("is_interrupted", lua.create_function(move |_, ()| Ok(turn.interrupted_at.borrow().is_some()))?)?;
    Ok(functions)
}

/// For a name or an address: `look_up(name)` returns what `answer_of` does, and if there is no answer yet, nil, nil and what to wait for;
/// `resolve(name)` blocks.
fn add_names(lua: &Lua, functions: &Table) -> mlua::Result<()> {
    let resolver = Resolver::default();
    let look_up = move |lua: &Lua, name: String| {
        if is_address(&name) {
            return vec![name].into_lua_multi(lua);
        }
        let lookup = resolver.look_up(&name.to_string_lossy());
        match lookup.answer() {
            None => (Value::Nil, Value::Nil, Awaited(Arc::clone(&lookup))).into_lua_multi(lua),
            answer => answer_of(lua, answer),
        }
    };
    functions.set("look_up", lua.create_function(look_up)?)?;
    let resolve = |lua: &Lua, name: String| match is_address(&name) {
        true => vec![name].into_lua_multi(lua),
        false => answer_of(lua, Some(&resolver::resolve(&name.to_string_lossy()))),
    };
    functions.set("resolve", lua.create_function(resolve)?)
}

fn is_address(name: &String) -> bool {
    name.to_string_lossy().parse::<IpAddr>().is_ok()
}

/// What `ask` and `poll` are called with: a socket, a lookup or the number of a descriptor.
fn target_of(target: &Value) -> Result<Target, std::string::String> {
    match target {
        Value::Integer(fd) => {
            RawFd::try_from(*fd).map(Target::Descriptor).map_err(|_| format!("descriptor {fd}: Bad file descriptor"))
        }
        Value::UserData(data) => match (data.borrow::<Handle>(), data.borrow::<Awaited>()) {
            (Ok(handle), _) => Ok(Target::Socket(handle.key)),
            (_, Ok(awaited)) => awaited.0.waiter().map(Target::Answer).map_err(|error| why(&error).into_owned()),
            _ => Err("it is not a descriptor".to_string()),
        },
        _ => Err("it is not a descriptor".to_string()),
    }
}

fn interest_of(text: &String) -> Interest {
    match &*text.as_bytes() {
        b"r" => Interest::Read,
        b"w" => Interest::Write,
        _ => Interest::ReadWrite,
    }
}

/// `None`: for ever. What is too long is for ever, too.
fn timeout_of(seconds: Option<f64>) -> Option<Duration> {
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok())
}

fn directions(readable: bool, writable: bool) -> &'static str {
    match (readable, writable) {
        (true, true) => "rw",
        (true, false) => "r",
        _ => "w",
    }
}

/// Blocks the worker.
fn poll(
    sockets: &Sockets,
    target: &Target,
    interest: Interest,
    timeout: Option<Duration>,
) -> Result<&'static str, std::string::String> {
    let fd = match target {
        Target::Descriptor(fd) => *fd,
        Target::Socket(key) => sockets.with(*key, AsRawFd::as_raw_fd).ok_or(CLOSED)?,
        Target::Answer(event) => event.as_fd().as_raw_fd(),
    };
    match descriptor::wait(fd, interest != Interest::Write, interest != Interest::Read, timeout) {
        Ok((false, false)) => Err("timeout".to_string()),
        Ok((readable, writable)) => Ok(directions(readable, writable)),
        Err(error) => Err(format!("poll of descriptor {fd}: {error}")),
    }
}

impl UserData for Handle {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("connected", |lua, this, ()| match this.sockets.connected(this.key) {
            Done::It(()) => true.into_lua_multi(lua),
            other => other.into_values(lua),
        });
        // Returns the place of the last byte that was sent, and why it is not that of the last byte of all.
        methods.add_method("send", |lua, this, (text, from, to): (String, usize, usize)| {
            let (sent, done) = this.sockets.send(this.key, &text.as_bytes()[from - 1..to]);
            let why = done.into_values(lua)?.into_iter().nth(1);
            (from - 1 + sent, why).into_lua_multi(lua)
        });
        // Returns the bytes and whether the pattern was found; or nil, why not, and the bytes that there are.
        methods.add_method(
            "receive",
            |lua, this, (form, pattern, number, bytes_max): (String, String, usize, usize)| {
                let (form, pattern) = (form.as_bytes(), pattern.as_bytes());
                let wanted = wanted_of(&form, &pattern, number);
                let mut rest = Vec::new();
                match this.sockets.receive(this.key, wanted, bytes_max, &mut rest) {
                    Done::It((bytes, is_end)) => (lua.create_string(bytes)?, is_end).into_lua_multi(lua),
                    Done::Failed(why) => (Value::Nil, why, lua.create_string(rest)?).into_lua_multi(lua),
                    other => other.into_values(lua),
                }
            },
        );
        // The time is up: returns the bytes that a receive of this form has got.
        methods.add_method("give_up", |lua, this, form: Option<String>| {
            let form = form.map(|form| form.as_bytes().to_vec());
            let wanted = form.as_deref().map(|form| wanted_of(form, b"", 0));
            lua.create_string(this.sockets.give_up(this.key, wanted))
        });
        methods.add_method("keep", |lua, this, (pool, ms, count): (String, f64, usize)| {
            let keep = (ms > 0.0).then(|| timeout_of(Some(ms / 1000.0))).flatten();
            match this.sockets.keep(this.key, &pool.to_string_lossy(), keep, count) {
                Ok(()) => 1.into_lua_multi(lua),
                Err(why) => failed(lua, why),
            }
        });
        add_tls_methods(methods);
        methods.add_method("close", |_, this, ()| {
            this.sockets.close(this.key);
            Ok(())
        });
        methods.add_method("fd", |_, this, ()| Ok(this.sockets.with(this.key, AsRawFd::as_raw_fd)));
        methods.add_method("set_option", |lua, this, (name, is_on): (String, bool)| {
            let set = this.sockets.with(this.key, |socket| match &*name.as_bytes() {
                b"tcp-nodelay" => socket.set_tcp_nodelay(is_on),
                _ => socket.set_keepalive(is_on),
            });
            of_call(lua, set)
        });
        methods.add_method("shut_down", |lua, this, how: String| {
            let how = match &*how.as_bytes() {
                b"receive" => Shutdown::Read,
                b"send" => Shutdown::Write,
                _ => Shutdown::Both,
            };
            of_call(lua, this.sockets.shut_down(this.key, how))
        });
        // The address of either end, and its port.
        methods.add_method("name", |lua, this, is_peer: bool| {
            let name = |socket: &socket2::Socket| if is_peer { socket.peer_addr() } else { socket.local_addr() };
            match this.sockets.with(this.key, name) {
                Some(Ok(address)) => match address.as_socket() {
                    Some(ip) => (ip.ip().to_string(), ip.port()).into_lua_multi(lua),
                    None => Ok(address.as_pathname().map(|path| path.display().to_string()).unwrap_or_default())
                        .and_then(|path| path.into_lua_multi(lua)),
                },
                other => of_call(lua, other.map(|result| result.map(|_| ()))),
            }
        });
    }
}

fn add_tls_methods<M: UserDataMethods<Handle>>(methods: &mut M) {
    // Returns whether the handshake can follow; or nil and why not. `verify`: false, true, or the file to verify with.
    methods.add_method("begin_tls", |lua, this, (name, verify): (Option<String>, Value)| {
        match peer_of(name, &verify).and_then(|peer| this.sockets.begin_tls(this.key, peer)) {
            Ok(has_begun) => has_begun.into_lua_multi(lua),
            Err(why) => failed(lua, &why),
        }
    });
    // Returns true, or nil, why not, and what it waits for.
    methods.add_method("shake_hands", |lua, this, ()| match this.sockets.shake_hands(this.key) {
        Err(Done::It(())) => true.into_lua_multi(lua),
        Err(other) => other.into_values(lua),
        Ok(Interest::Write) => (Value::Nil, AGAIN, "w").into_lua_multi(lua),
        Ok(_) => (Value::Nil, AGAIN, "r").into_lua_multi(lua),
    });
}

impl<T> Done<T> {
    /// Nil and why it is not done; nothing if it is.
    fn into_values(self, lua: &Lua) -> mlua::Result<MultiValue> {
        match self {
            Done::It(_) => Ok(MultiValue::new()),
            Done::Blocked => failed(lua, AGAIN),
            Done::Later => failed(lua, LATER),
            Done::Failed(why) => failed(lua, &why),
        }
    }
}

/// 1, or nil and why not.
fn of_call(lua: &Lua, done: Option<std::io::Result<()>>) -> mlua::Result<MultiValue> {
    match done {
        Some(Ok(())) => 1.into_lua_multi(lua),
        Some(Err(error)) => failed(lua, &why(&error)),
        None => failed(lua, CLOSED),
    }
}

fn peer_of(name: Option<String>, verify: &Value) -> Result<Peer, Cow<'static, str>> {
    let trust = match verify {
        Value::Boolean(false) => Trust::Unverified,
        Value::String(path) => Trust::File(OsStr::from_bytes(&path.as_bytes()).into()),
        _ => Trust::System,
    };
    Peer::new(name.map(|name| name.to_string_lossy()).as_deref(), trust)
}

/// What the driver's forms mean.
fn wanted_of<'a>(form: &[u8], pattern: &'a [u8], number: usize) -> Wanted<'a> {
    let is_inclusive = form.ends_with(b"+");
    match form {
        b"line" => Wanted::Line,
        b"bytes" => Wanted::Bytes(number),
        b"any" => Wanted::Any(number),
        b"until" | b"until+" => Wanted::Until { pattern, is_inclusive },
        b"parts" | b"parts+" => Wanted::UntilInParts { pattern, is_inclusive, bytes: number },
        _ => Wanted::All,
    }
}
