//! environ and wsgi.input as the app sees them: the functions of [`Boundary`] that make an environ, look its keys up,
//! complete it, and read a body.

use super::calls::{Boundary, called};
use super::current::Current;
use super::stack::{Stack, upvalue};
use mlua::{Function, Lua, Table, Value, ffi, lua_State};
use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::ptr::null;

/// What each environ has from its beginning, beside its raw head.
const BASE_KEYS: [&str; 3] = ["REQUEST_METHOD", "PATH_INFO", "QUERY_STRING"];
/// Four keys that all have, and some that are looked up.
pub(super) const KEYS: c_int = 8;
/// The upvalues of `new_environ` with the keys of those values that are mostly the same.
const METHOD: c_int = 2;
const QUERY: c_int = 4;
/// What is made for a request when it is looked up.
const MADE_KEYS: [&str; 3] = ["wsgi.input", "wsgi.errors", "tine.unready"];
/// As many strings that are mostly the same from request to request are kept: methods, the keys of an environ in their
/// order.
const KEPT_MAX: usize = 64;
/// Longer ones are not.
const KEPT_BYTES_MAX: usize = 64;

/// From the driver: the metatable of an environ, the key of its raw head, constants, the metatables of an input and of
/// wsgi.errors, and `next`.
pub type Parts = (Table, Table, Table, Table, Table, Function);
/// Upvalues of `index_environ` and `pairs_of_environ`; the last two are of the latter. `NAMES` are the strings of `MADE_KEYS`, and
/// those that making it takes. `CONSTANTS`: by their keys for the former, keys and values in turn for the latter.
const RAW_HEAD: c_int = 2;
const CONSTANTS: c_int = 3;
const NAMES: c_int = 4;
const INPUT_META: c_int = 5;
const ERRORS_META: c_int = 6;
const KEPT: c_int = 7;
const NEXT: c_int = 8;
/// Places in `NAMES`: of a name in wsgi.errors, and of the key of environ whose value it has.
const OF_METHOD: [usize; 2] = [6, 4];
const OF_PATH: [usize; 2] = [7, 5];
const ENDED: usize = 8;

impl Boundary {
    /// The functions for environ, whose metatable is `environ_meta` and whose raw head is under the key `raw_head`:
    /// one that makes the environ of the running request; its `__index`; and its `__pairs`, which completes it and goes on with
    /// `next`. What is not of the request is in `constants`; an input and wsgi.errors get the metatables.
    pub fn environ_functions(
        &'static self,
        lua: &Lua,
        (environ_meta, raw_head, constants, input_meta, errors_meta, next): Parts,
    ) -> mlua::Result<(Function, Function, Function)> {
        let [method, path, query] = BASE_KEYS;
        let new = (method, path, query, &raw_head, environ_meta, lua.create_table()?);
        let [input, errors, unready] = MADE_KEYS;
        let names = lua.create_sequence_from([input, errors, unready, method, path, "method", "path", "ended"])?;
        let index = (&raw_head, &constants, &names, &input_meta, &errors_meta);
        let flat = lua.create_table()?;
        for pair in constants.pairs::<Value, Value>() {
            let (key, value) = pair?;
            flat.push(key)?;
            flat.push(value)?;
        }
        let pairs = (&raw_head, flat, &names, &input_meta, &errors_meta, lua.create_table()?, next);
        Ok((
            self.closure(lua, new_environ, new)?,
            self.closure(lua, index_environ, index)?,
            self.closure(lua, pairs_of_environ, pairs)?,
        ))
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
}

/// The environ of the request that begins.
unsafe extern "C-unwind" fn new_environ(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it.
    let (stack, boundary) = unsafe { called(state) };
    let Some(current) = boundary.running() else { return 0 };
    stack.push_table(boundary.environ_keys.replace(KEYS));
    for (number, (start, length)) in (2..).zip(current.request.get()) {
        if start.is_null() {
            return 0;
        }
        stack.push_copy(upvalue(number));
        // SAFETY: the texts are there while the request begins.
        let text = unsafe { std::slice::from_raw_parts(start, length) };
        match number {
            METHOD => push_kept(stack, upvalue(7), 1, text),
            QUERY if text.is_empty() => push_kept(stack, upvalue(7), 2, text),
            _ => stack.push_bytes(text),
        }
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
    let key = stack.bytes(2).filter(|_| stack.kind(1) == ffi::LUA_TTABLE).unwrap_or_default();
    let is_of_request = boundary.host.is_of_request(key);
    let made = (1..).zip(MADE_KEYS).find(|(_, made)| made.as_bytes() == key).map(|(number, _)| number);
    if !is_of_request && made.is_none() {
        stack.get(upvalue(CONSTANTS));
        return 1;
    }
    let current = running(stack, boundary);
    // What was looked up before and is gone was removed by the app.
    if current.is_some_and(|current| current.has_looked_up(key)) {
        return 0;
    }
    match made {
        Some(number) => push_made(stack, boundary, number),
        None => {
            stack.push_copy(upvalue(RAW_HEAD));
            if stack.get(1) != ffi::LUA_TSTRING {
                return 0;
            }
            let head = stack.string(3);
            let value = boundary.host.field(head, key, current.is_some()).map(ManuallyDrop::new);
            let Some(value) = value else { return 0 };
            stack.push_bytes(&value);
            drop(ManuallyDrop::into_inner(value));
        }
    }
    if let Some(current) = current {
        current.note_lookup(key);
    }
    stack.push_copy(2);
    stack.push_copy(-2);
    stack.set(1);
    1
}

/// The running request, if its environ is at the place 1.
fn running<'a>(stack: Stack<'_>, boundary: &'a Boundary) -> Option<&'a Current> {
    boundary.running().filter(|current| current.environ.get() == stack.pointer(1))
}

/// `pairs(environ)`: afterwards it is an ordinary table.
unsafe extern "C-unwind" fn pairs_of_environ(state: *mut lua_State) -> c_int {
    // SAFETY: `environ_functions` has made it, and only Lua and the driver call it, with an environ.
    let (stack, boundary) = unsafe { called(state) };
    complete(stack, boundary);
    stack.set_count(1);
    stack.push_copy(upvalue(NEXT));
    stack.insert(1);
    2
}

/// Sets all keys of the environ at the place 1 that the app has neither set, nor looked up, nor removed. A table that the
/// app has not written to is not asked for each key whether it is there. May raise an error.
fn complete(stack: Stack<'_>, boundary: &Boundary) {
    let current = running(stack, boundary);
    stack.set_count(1);
    stack.push_nil();
    stack.set_metatable(1);
    stack.push_copy(upvalue(RAW_HEAD));
    if stack.get(1) != ffi::LUA_TSTRING {
        return;
    }
    let head = stack.string(2);
    let is_written_to = current.is_none_or(|current| has_others(stack, current));
    let is_absent = |stack| !is_written_to || is_absent(stack);
    let has_looked_up = |key: &[u8]| current.is_some_and(|current| current.has_looked_up(key));
    for (number, key) in (1..).zip(MADE_KEYS) {
        stack.push_element(upvalue(NAMES), number);
        match has_looked_up(key.as_bytes()) || !is_absent(stack) {
            true => stack.set_count(2),
            false => {
                push_made(stack, boundary, number);
                stack.set(1);
            }
        }
    }
    let mut fields = ManuallyDrop::new(boundary.fields.take());
    boundary.host.fields(head, current.is_some(), &mut fields);
    for (number, (key, value)) in (1..).zip(fields.iter()) {
        if has_looked_up(key) {
            continue;
        }
        push_kept(stack, upvalue(KEPT), number, key);
        if is_absent(stack) {
            stack.push_bytes(value);
            stack.set(1);
        }
    }
    let count = fields.len();
    fields.clear();
    boundary.fields.set(ManuallyDrop::into_inner(fields));
    let constants = stack.length(upvalue(CONSTANTS));
    for number in (1..constants).step_by(2) {
        stack.push_element(upvalue(CONSTANTS), number);
        if is_absent(stack) {
            stack.push_element(upvalue(CONSTANTS), number + 1);
            stack.set(1);
        }
    }
    stack.push_copy(upvalue(RAW_HEAD));
    stack.push_nil();
    stack.set(1);
    // An app that goes through one environ goes through the next.
    let base = BASE_KEYS.len() + 1;
    boundary.environ_keys.set((base + MADE_KEYS.len() + count + constants / 2) as c_int);
}

/// Pushes what [`MADE_KEYS`] has at this place, from 1, for the environ at the place 1. May raise an error.
fn push_made(stack: Stack<'_>, boundary: &Boundary, number: usize) {
    match number {
        1 => push_input(stack, boundary),
        2 => {
            stack.push_table(2);
            for [name, key] in [OF_METHOD, OF_PATH] {
                stack.push_element(upvalue(NAMES), name);
                stack.push_element(upvalue(NAMES), key);
                stack.get(1);
                stack.set(-3);
            }
            stack.push_copy(upvalue(ERRORS_META));
            stack.set_metatable(-2);
        }
        _ => stack.push_boolean(boundary.host.is_lame_duck()),
    }
}

/// Pushes a text that is mostly the same as the last one with this number, from 1: that one's string is kept in the table
/// `kept`. May raise an error.
fn push_kept(stack: Stack<'_>, kept: c_int, number: usize, text: &[u8]) {
    if stack.push_element(kept, number) == ffi::LUA_TSTRING && stack.string(-1) == text {
        return;
    }
    stack.pop(1);
    stack.push_bytes(text);
    if number <= KEPT_MAX && text.len() <= KEPT_BYTES_MAX {
        stack.push_copy(-1);
        stack.set_element(kept, number);
    }
}

/// Whether the environ at the place 1 has other keys than those that it begins with and those that were looked up.
fn has_others(stack: Stack<'_>, current: &Current) -> bool {
    let count = stack.count();
    stack.push_nil();
    while stack.next(1) {
        stack.pop(1);
        let is_known = match stack.bytes(-1) {
            Some(key) => BASE_KEYS.iter().any(|base| base.as_bytes() == key) || current.has_looked_up(key),
            None => stack.pointer(-1) == stack.pointer(upvalue(RAW_HEAD)),
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

/// Pushes the input of the environ at the place 1: at its end from the start if there is no body, or if it is not the
/// running request's. May raise an error.
fn push_input(stack: Stack<'_>, boundary: &Boundary) {
    let current = running(stack, boundary);
    stack.push_table(1);
    stack.push_element(upvalue(NAMES), ENDED);
    stack.push_boolean(current.is_none_or(|current| !current.has_body.get()));
    stack.set(-3);
    stack.push_copy(upvalue(INPUT_META));
    stack.set_metatable(-2);
    if let Some(current) = current {
        current.input.set(stack.pointer(-1));
    }
}

unsafe extern "C-unwind" fn is_running_input(state: *mut lua_State) -> c_int {
    // SAFETY: `input_functions` has made it, and only the driver calls it, with a value.
    let (stack, boundary) = unsafe { called(state) };
    stack.push_boolean(boundary.running().is_some_and(|current| current.is_input(stack.pointer(1))));
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
