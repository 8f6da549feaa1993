//! The functions of ours that an app calls most: the making of environ, the lookup of its keys, start_response.
//!
//! They are C functions, as a call through mlua costs more than what they do. They handle what is common, and leave the
//! rest, errors included, to functions of the driver. Where they call what may raise an error, which jumps over their
//! frames, they own nothing, or what they own is a `ManuallyDrop`: then memory leaks where Lua has none left.

use super::current::Current;
use super::stack::{Stack, upvalue};
use mlua::{Function, IntoLuaMulti, LightUserData, Lua, Table, ffi, lua_State};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::io::Write;
use std::mem::ManuallyDrop;
use std::ptr::null;

/// What these functions need of the server.
pub trait Host {
    /// Whether this key of environ is part of the request.
    fn is_of_request(&self, key: &[u8]) -> bool;
    /// The value of such a key, from a request's head. `is_current`: it is the running request's.
    fn field<'a>(&self, head: &'a [u8], key: &[u8], is_current: bool) -> Option<Cow<'a, [u8]>>;
    /// Appends all of them.
    fn fields(&self, head: &[u8], is_current: bool, fields: &mut Fields);
    /// Whether the server is in the lame-duck phase of its stop.
    fn is_lame_duck(&self) -> bool;
    /// Begins the response of the running request with a head that it has checked before; false: it has not. For the
    /// form of `head`, see `spell`.
    fn start(&self, head: &[u8]) -> bool;
}

/// Keys and values in a row.
#[derive(Default)]
pub struct Fields {
    bytes: Vec<u8>,
    /// The length of each key and of its value.
    lengths: Vec<(usize, usize)>,
}

impl Fields {
    pub fn push(&mut self, key: &[u8], value: &[u8]) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        self.lengths.push((key.len(), value.len()));
    }
}

/// What the functions of a VM share. It is never freed: finalizers may call them until the VM is closed.
pub struct Boundary {
    host: Box<dyn Host>,
    /// The request whose coroutine runs, or null.
    running: Cell<*const Current>,
    /// How many keys the next environ has room for.
    environ_keys: Cell<c_int>,
    /// The arguments of start_response.
    head: RefCell<Vec<u8>>,
    fields: Cell<Fields>,
}

/// What each environ has from its beginning, beside its raw head.
const BASE_KEYS: [&str; 3] = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING"];
/// Four keys that all have, and some that are looked up.
const ENVIRON_KEYS: c_int = 8;
/// Longer heads are not compared with those that were sent before.
const HEADERS_MAX: usize = 32;
const HEAD_BYTES_MAX: usize = 512;

impl Boundary {
    pub fn new(host: Box<dyn Host>) -> &'static Boundary {
        Box::leak(Box::new(Boundary {
            host,
            running: Cell::new(null()),
            environ_keys: Cell::new(ENVIRON_KEYS),
            head: RefCell::default(),
            fields: Cell::default(),
        }))
    }
}

impl Boundary {
    /// The functions for environ, whose metatable is `environ_meta` and whose raw head is under the key `raw_head`:
    /// one that makes the environ of the running request; its `__index`, which leaves keys that are not of the request
    /// to `index`, apart from the running request's input; one that completes an environ, with these constants (keys and
    /// values in turn); `look_up`; and one that makes the input of an environ.
    pub fn environ_functions(
        &'static self,
        lua: &Lua,
        (environ_meta, raw_head, index, constants, input_meta): (Table, Table, Function, Table, Table),
    ) -> mlua::Result<(Function, Function, Function, Function, Function)> {
        let [method, path, query] = BASE_KEYS;
        let new = (method, path, query, &raw_head, environ_meta);
        Ok((
            self.closure(lua, new_environ, new)?,
            self.closure(lua, index_environ, (&raw_head, index, "ended", &input_meta))?,
            self.closure(lua, complete_environ, (&raw_head, constants))?,
            self.closure(lua, look_up, ())?,
            self.closure(lua, new_input, ("ended", input_meta))?,
        ))
    }

    /// A function that says whether the server is in the lame-duck phase.
    pub fn is_lame_duck(&'static self, lua: &Lua) -> mlua::Result<Function> {
        self.closure(lua, is_lame_duck, ())
    }

    /// The start_response of the coroutine with this number. `start` is called with `co` before the arguments, unless
    /// they are the usual ones, and a head that was sent before.
    pub fn start_response(&'static self, lua: &Lua, id: i64, co: Table, start: Function) -> mlua::Result<Function> {
        self.closure(lua, start_response, (id, co, start))
    }

    /// A function that returns what `Coroutine::feed` was called with; for `driver/streams.lua`.
    pub fn take_body(&'static self, lua: &Lua) -> mlua::Result<Function> {
        self.closure(lua, take_body, ())
    }

    /// Functions for `driver/streams.lua`: `take_arrived(input, count)` returns the whole body, if it has arrived and is
    /// no longer than the count or there is none, and input is then at its end; `is_running(input)` says whether it is
    /// the running request's.
    pub fn input_functions(&'static self, lua: &Lua) -> mlua::Result<(Function, Function)> {
        Ok((self.closure(lua, take_arrived, "ended")?, self.closure(lua, is_running_input, ())?))
    }

    /// The response of the running request has begun, with a head that was not sent before.
    pub fn set_started(&self) {
        if let Some(current) = self.running() {
            current.is_started.set(true);
        }
    }

    /// Whether the response of the running request has begun.
    pub fn is_started(&self) -> bool {
        self.running().is_some_and(Current::is_started)
    }

    /// The number of the coroutine that runs, which answers one request at a time.
    pub fn running_number(&self) -> Option<i64> {
        self.running().map(|current| current.id)
    }

    pub(super) fn enter(&self, current: &Current) {
        self.running.set(current);
    }

    pub(super) fn leave(&self) {
        self.running.set(null());
    }

    fn running(&self) -> Option<&Current> {
        // SAFETY: `Coroutine::go` holds what this points to for as long as it is set.
        unsafe { self.running.get().as_ref() }
    }

    fn closure(
        &'static self,
        lua: &Lua,
        function: ffi::lua_CFunction,
        values: impl IntoLuaMulti,
    ) -> mlua::Result<Function> {
        let mut values = values.into_lua_multi(lua)?;
        values.push_front(mlua::Value::LightUserData(LightUserData(std::ptr::from_ref(self).cast_mut().cast())));
        let count = values.len() as c_int;
        // SAFETY: as many values are on top of the stack, and become the function's upvalues.
        unsafe { lua.exec_raw(values, |state| ffi::lua_pushcclosure(state, function, count)) }
    }
}

/// The running C function: its stack, and what all of these have as their first upvalue.
///
/// # Safety
///
/// The caller is a function that `Boundary::closure` has made, and Lua calls it.
unsafe fn called<'a>(state: *mut lua_State) -> (Stack<'a>, &'static Boundary) {
    // SAFETY: the upvalue is the boundary, which lives for ever.
    let boundary = unsafe { &*ffi::lua_touserdata(state, upvalue(1)).cast::<Boundary>() };
    // SAFETY: a C function has room for 20 values beside its arguments, and the functions below see to those first.
    (unsafe { Stack::of(state) }, boundary)
}

/// The environ of the request that begins.
unsafe extern "C-unwind" fn new_environ(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it.
    let (stack, boundary) = unsafe { called(state) };
    let Some(current) = boundary.running() else { return 0 };
    stack.push_table(boundary.environ_keys.replace(ENVIRON_KEYS));
    for (number, (start, length)) in (2..).zip(current.request.get()) {
        if start.is_null() {
            return 0;
        }
        stack.push_copy(upvalue(number));
        // SAFETY: the texts are there while the request begins.
        stack.push_bytes(unsafe { std::slice::from_raw_parts(start, length) });
        stack.set(-3);
    }
    stack.push_copy(upvalue(6));
    stack.set_metatable(-2);
    current.environ.set(stack.pointer(-1));
    1
}

/// `environ[key]`, where the table does not have it.
unsafe extern "C-unwind" fn index_environ(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it.
    let (stack, boundary) = unsafe { called(state) };
    stack.set_count(2);
    let key = match stack.bytes(2) {
        Some(key) if boundary.host.is_of_request(key) && stack.kind(1) == ffi::LUA_TTABLE => key,
        Some(b"wsgi.input") if is_first_lookup(stack, boundary, b"wsgi.input") => {
            push_input(stack, boundary, upvalue(4), upvalue(5));
            stack.push_copy(2);
            stack.push_copy(-2);
            stack.set(1);
            return 1;
        }
        _ => {
            stack.push_copy(upvalue(3));
            stack.insert(1);
            stack.call(2, 1);
            return 1;
        }
    };
    let current = boundary.running().filter(|current| current.environ.get() == stack.pointer(1));
    if current.is_some_and(|current| current.has_looked_up(key)) {
        return 0;
    }
    stack.push_copy(upvalue(2));
    if stack.get(1) != ffi::LUA_TSTRING {
        return 0;
    }
    let head = stack.string(3);
    let Some(value) = boundary.host.field(head, key, current.is_some()).map(ManuallyDrop::new) else { return 0 };
    if let Some(current) = current {
        current.note_lookup(key);
    }
    stack.push_bytes(&value);
    drop(ManuallyDrop::into_inner(value));
    stack.push_copy(2);
    stack.push_copy(-2);
    stack.set(1);
    1
}

/// Sets all keys of environ, the first argument, that the app has neither set, nor looked up, nor removed, and makes it
/// an ordinary table. A table that the app has not written to is not asked for each key whether it is there.
unsafe extern "C-unwind" fn complete_environ(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it, and only the driver calls it, with a table.
    let (stack, boundary) = unsafe { called(state) };
    let current = boundary.running().filter(|current| current.environ.get() == stack.pointer(1));
    stack.set_count(1);
    stack.push_nil();
    stack.set_metatable(1);
    stack.push_copy(upvalue(2));
    if stack.get(1) != ffi::LUA_TSTRING {
        return 0;
    }
    let head = stack.string(2);
    let is_written_to = current.is_none_or(|current| has_others(stack, current));
    let is_absent = |stack| !is_written_to || is_absent(stack);
    let mut fields = ManuallyDrop::new(boundary.fields.take());
    boundary.host.fields(head, current.is_some(), &mut fields);
    let mut rest = fields.bytes.as_slice();
    for &(key, value) in &fields.lengths {
        let (key, after) = rest.split_at(key);
        let (value, after) = after.split_at(value);
        rest = after;
        if current.is_some_and(|current| current.has_looked_up(key)) {
            continue;
        }
        stack.push_bytes(key);
        if is_absent(stack) {
            stack.push_bytes(value);
            stack.set(1);
        }
    }
    let count = fields.lengths.len();
    fields.bytes.clear();
    fields.lengths.clear();
    boundary.fields.set(ManuallyDrop::into_inner(fields));
    let constants = stack.length(upvalue(3));
    for number in (1..constants).step_by(2) {
        stack.push_element(upvalue(3), number);
        if is_absent(stack) {
            stack.push_element(upvalue(3), number + 1);
            stack.set(1);
        }
    }
    stack.push_copy(upvalue(2));
    stack.push_nil();
    stack.set(1);
    // An app that goes through one environ goes through the next.
    boundary.environ_keys.set((count + constants / 2) as c_int + ENVIRON_KEYS);
    0
}

/// Whether the environ at the place 1 has other keys than those that it begins with and those that were looked up.
fn has_others(stack: Stack<'_>, current: &Current) -> bool {
    let count = stack.count();
    stack.push_nil();
    while stack.next(1) {
        stack.pop(1);
        let is_known = match stack.bytes(-1) {
            Some(key) => BASE_KEYS.iter().any(|base| base.as_bytes() == key) || current.has_looked_up(key),
            None => stack.pointer(-1) == stack.pointer(upvalue(2)),
        };
        if !is_known {
            stack.set_count(count);
            return true;
        }
    }
    false
}

/// Whether the table at the place 1 lacks the key on top, which is popped if not.
fn is_absent(stack: Stack<'_>) -> bool {
    stack.push_copy(-1);
    let is_absent = stack.get(1) == ffi::LUA_TNIL;
    stack.pop(if is_absent { 1 } else { 2 });
    is_absent
}

/// Whether the running request has looked up a key, the second argument, in its environ, the first one; it has now.
unsafe extern "C-unwind" fn look_up(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it, and only the driver calls it, with two values.
    let (stack, boundary) = unsafe { called(state) };
    let current = boundary.running().filter(|current| current.environ.get() == stack.pointer(1));
    let key = stack.bytes(2).unwrap_or_default();
    let was_looked_up = current.is_some_and(|current| current.has_looked_up(key));
    if let Some(current) = current.filter(|_| !was_looked_up) {
        current.note_lookup(key);
    }
    stack.push_boolean(was_looked_up);
    1
}

/// Notes a lookup in the environ at the place 1; whether that is the running request's, and this its first lookup of the
/// key.
fn is_first_lookup(stack: Stack<'_>, boundary: &Boundary, key: &[u8]) -> bool {
    let current = boundary.running().filter(|current| current.environ.get() == stack.pointer(1));
    let Some(current) = current.filter(|current| !current.has_looked_up(key)) else { return false };
    current.note_lookup(key);
    true
}

/// Pushes the input of the environ at the place 1: at its end from the start if there is no body, or if it is not the
/// running request's. May raise an error.
fn push_input(stack: Stack<'_>, boundary: &Boundary, ended: c_int, input_meta: c_int) {
    let current = boundary.running().filter(|current| current.environ.get() == stack.pointer(1));
    stack.push_table(1);
    stack.push_copy(ended);
    stack.push_boolean(current.is_none_or(|current| !current.has_body.get()));
    stack.set(-3);
    stack.push_copy(input_meta);
    stack.set_metatable(-2);
    if let Some(current) = current {
        current.input.set(stack.pointer(-1));
    }
}

unsafe extern "C-unwind" fn new_input(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it, and only the driver calls it, with an environ.
    let (stack, boundary) = unsafe { called(state) };
    push_input(stack, boundary, upvalue(2), upvalue(3));
    1
}

unsafe extern "C-unwind" fn is_running_input(state: *mut lua_State) -> c_int {
    // SAFETY: `input_functions` has made it, and only the driver calls it, with a value.
    let (stack, boundary) = unsafe { called(state) };
    stack.push_boolean(boundary.running().is_some_and(|current| current.is_input(stack.pointer(1))));
    1
}

unsafe extern "C-unwind" fn is_lame_duck(state: *mut lua_State) -> c_int {
    // SAFETY: `Boundary::is_lame_duck` has made it.
    let (stack, boundary) = unsafe { called(state) };
    stack.push_boolean(boundary.host.is_lame_duck());
    1
}

/// Bytes of the body, and whether they are the last.
unsafe extern "C-unwind" fn take_body(state: *mut lua_State) -> c_int {
    // SAFETY: `Boundary::take_body` has made it.
    let (stack, boundary) = unsafe { called(state) };
    let (start, length, is_end) = boundary.running().map_or((null(), 0, true), |current| current.body.get());
    match start.is_null() {
        true => stack.push_bytes(b""),
        // SAFETY: they are there while the coroutine is resumed with them.
        false => stack.push_bytes(unsafe { std::slice::from_raw_parts(start, length) }),
    }
    stack.push_boolean(is_end);
    2
}

/// The whole body, or nothing.
unsafe extern "C-unwind" fn take_arrived(state: *mut lua_State) -> c_int {
    // SAFETY: `input_functions` has made it.
    let (stack, boundary) = unsafe { called(state) };
    stack.set_count(2);
    let Some(current) = boundary.running().filter(|current| current.is_input(stack.pointer(1))) else { return 0 };
    let Some((start, length)) = current.arrived.get() else { return 0 };
    let is_enough = match stack.integer(2) {
        Some(count) => count >= 0 && count as u64 >= length as u64,
        None => stack.kind(2) == ffi::LUA_TNIL,
    };
    if !is_enough {
        return 0;
    }
    current.arrived.set(None);
    stack.push_copy(upvalue(2));
    stack.push_boolean(true);
    stack.set(1);
    // SAFETY: they are there while the request begins.
    stack.push_bytes(unsafe { std::slice::from_raw_parts(start, length) });
    1
}

/// `start_response(status, headers, error)`.
unsafe extern "C-unwind" fn start_response(state: *mut lua_State) -> c_int {
    // SAFETY: `Boundary::start_response` has made it.
    let (stack, boundary) = unsafe { called(state) };
    stack.set_count(3);
    if let Some(current) = boundary.running()
        && stack.integer(upvalue(2)) == Some(current.id)
        && !current.is_started()
        && let Ok(mut head) = boundary.head.try_borrow_mut()
        && spell(stack, &mut head)
        && boundary.host.start(&head)
    {
        current.is_started.set(true);
        return 0;
    }
    stack.set_count(3);
    stack.push_copy(upvalue(4));
    stack.insert(1);
    stack.push_copy(upvalue(3));
    stack.insert(2);
    stack.call(4, 0);
    0
}

/// Spells the arguments of start_response, without an error and without a change of any value: the number of headers,
/// the status, and each header's name and value, each with a zero byte after it. False: they are not plain strings, or
/// too long.
fn spell(stack: Stack<'_>, head: &mut Vec<u8>) -> bool {
    head.clear();
    let count = match stack.kind(2) {
        ffi::LUA_TNIL => 0,
        _ if stack.is_plain_table(2) => stack.length(2),
        _ => return false,
    };
    if count > HEADERS_MAX || count == 0 && stack.kind(2) == ffi::LUA_TTABLE && has_key(stack) {
        return false;
    }
    head.push(count as u8);
    if !spell_text(stack, 1, stack.kind(1), head) {
        return false;
    }
    for number in 1..=count {
        if stack.push_element(2, number) != ffi::LUA_TTABLE || stack.has_metatable(4) {
            return false;
        }
        let (name, value) = (stack.push_element(4, 1), stack.push_element(4, 2));
        if name != ffi::LUA_TSTRING || !spell_text(stack, 5, name, head) || !spell_text(stack, 6, value, head) {
            return false;
        }
        stack.set_count(3);
    }
    head.len() <= HEAD_BYTES_MAX
}

/// Appends a string or an integer; the type of the value is known.
fn spell_text(stack: Stack<'_>, at: c_int, kind: c_int, head: &mut Vec<u8>) -> bool {
    if kind == ffi::LUA_TSTRING {
        head.extend_from_slice(stack.string(at));
    } else if let Some(number) = stack.integer_as_written(at) {
        // Writing to a Vec cannot fail.
        let _ = write!(head, "{number}");
    } else {
        return false;
    }
    head.push(0);
    true
}

/// Whether the table at the place 2 has a key.
fn has_key(stack: Stack<'_>) -> bool {
    stack.push_nil();
    let has = stack.next(2);
    stack.set_count(3);
    has
}
