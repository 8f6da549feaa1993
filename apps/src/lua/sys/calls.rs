//! The functions of ours that an app calls most: start_response here, those for environ and wsgi.input in `environ`.
//!
//! They are C functions, as a call through mlua costs more than what they do. They handle what is common, and leave the
//! rest, errors included, to functions of the driver. Where they call what may raise an error, which jumps over their
//! frames, they own nothing, or what they own is a `ManuallyDrop`: then memory leaks where Lua has none left.

use super::current::Current;
use super::environ;
use super::stack::{Stack, upvalue};
use mlua::{Function, IntoLuaMulti, LightUserData, Lua, Table, ffi, lua_State};
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::ffi::c_int;
use std::io::Write;
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

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map(move |&(key, value)| {
            let (key, after) = rest.split_at(key);
            let (value, after) = after.split_at(value);
            rest = after;
            (key, value)
        })
    }

    pub(super) fn len(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
    }
}

/// What the functions of a VM share. It is never freed: finalizers may call them until the VM is closed.
pub struct Boundary {
    pub(super) host: Box<dyn Host>,
    /// The request whose coroutine runs, or null.
    running: Cell<*const Current>,
    /// How many keys the next environ has room for.
    pub(super) environ_keys: Cell<c_int>,
    /// The arguments of start_response.
    head: RefCell<Vec<u8>>,
    pub(super) fields: Cell<Fields>,
}

/// Longer heads are not compared with those that were sent before.
const HEADERS_MAX: usize = 32;
const HEAD_BYTES_MAX: usize = 512;

impl Boundary {
    pub fn new(host: Box<dyn Host>) -> &'static Boundary {
        Box::leak(Box::new(Boundary {
            host,
            running: Cell::new(null()),
            environ_keys: Cell::new(environ::KEYS),
            head: RefCell::default(),
            fields: Cell::default(),
        }))
    }
}

impl Boundary {
    /// The start_response of the coroutine with this number. `start` is called with `co` before the arguments, unless
    /// they are the usual ones, and a head that was sent before.
    pub fn start_response(&'static self, lua: &Lua, id: i64, co: Table, start: Function) -> mlua::Result<Function> {
        self.closure(lua, start_response, (id, co, start))
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

    pub(super) fn running(&self) -> Option<&Current> {
        // SAFETY: `Coroutine::go` holds what this points to for as long as it is set.
        unsafe { self.running.get().as_ref() }
    }

    pub(super) fn closure(
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
pub(super) unsafe fn called<'a>(state: *mut lua_State) -> (Stack<'a>, &'static Boundary) {
    // SAFETY: the upvalue is the boundary, which lives for ever.
    let boundary = unsafe { &*ffi::lua_touserdata(state, upvalue(1)).cast::<Boundary>() };
    // SAFETY: a C function has room for 20 values beside its arguments, and the functions below see to those first.
    (unsafe { Stack::of(state) }, boundary)
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
