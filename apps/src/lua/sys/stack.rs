//! The stack of a coroutine, as a C function or the code that resumes it sees it.
//!
//! Methods that allocate may raise an error of Lua, which jumps over the frame that calls them: their documentation says
//! so, and no value of that frame may need to be dropped. They are called only where Lua catches errors, that is from a
//! C function. All others neither raise an error nor run the garbage collector.

use mlua::{ffi, lua_State};
use std::ffi::{c_int, c_void};
use std::marker::PhantomData;

/// Both Luas write integers below this without an exponent.
const DIGITS_MAX: i64 = 100_000_000_000_000;

/// `'a`: how long the values on it stay where they are.
#[derive(Clone, Copy)]
pub(super) struct Stack<'a>(*mut lua_State, PhantomData<&'a ()>);

impl<'a> Stack<'a> {
    /// # Safety
    ///
    /// The coroutine is alive for `'a`; it runs the caller, a C function, or is suspended. It has room for 15 values
    /// above those that it began with, and what the caller names by its place is there.
    pub unsafe fn of(state: *mut lua_State) -> Stack<'a> {
        Stack(state, PhantomData)
    }

    /// The type of a value: a LUA_T* number.
    pub fn kind(self, at: c_int) -> c_int {
        // SAFETY: reads a value.
        unsafe { ffi::lua_type(self.0, at) }
    }

    /// Whether it is a table without a metatable: all that it has is read without calling anything.
    pub fn is_plain_table(self, at: c_int) -> bool {
        self.kind(at) == ffi::LUA_TTABLE && !self.has_metatable(at)
    }

    pub fn has_metatable(self, at: c_int) -> bool {
        // SAFETY: pushes the metatable if there is one; there is room.
        let has = unsafe { ffi::lua_getmetatable(self.0, at) } != 0;
        if has {
            self.pop(1);
        }
        has
    }

    /// The bytes of a string; `None` for anything else, a number included.
    pub fn bytes(self, at: c_int) -> Option<&'a [u8]> {
        (self.kind(at) == ffi::LUA_TSTRING).then(|| self.string(at))
    }

    /// The bytes of what is known to be a string.
    pub fn string(self, at: c_int) -> &'a [u8] {
        let mut length = 0;
        // SAFETY: the value is a string, so nothing is converted and no error raised.
        let start = unsafe { ffi::lua_tolstring(self.0, at, &mut length) };
        // SAFETY: a string stays where it is for as long as something refers to it, which is the caller's to see to.
        unsafe { std::slice::from_raw_parts(start.cast(), length) }
    }

    /// The value of a number that is whole; `None` for anything else.
    pub fn integer(self, at: c_int) -> Option<i64> {
        if self.kind(at) != ffi::LUA_TNUMBER {
            return None;
        }
        let mut is_whole = 0;
        // SAFETY: reads a number.
        let number = unsafe { ffi::lua_tointegerx(self.0, at, &mut is_whole) };
        (is_whole != 0).then_some(number as i64)
    }

    /// The same of a number that Lua writes with nothing but digits, perhaps after a minus sign.
    pub fn integer_as_written(self, at: c_int) -> Option<i64> {
        // SAFETY: reads a value.
        let is_integer = unsafe { ffi::lua_isinteger(self.0, at) } != 0;
        let number = self.integer(at).filter(|number| is_integer && (-DIGITS_MAX..DIGITS_MAX).contains(number))?;
        // SAFETY: reads a number.
        let float = unsafe { ffi::lua_tonumber(self.0, at) };
        (float.to_bits() == (number as f64).to_bits()).then_some(number)
    }

    /// Whether it is anything but nil and false.
    pub fn is_true(self, at: c_int) -> bool {
        // SAFETY: reads a value.
        unsafe { ffi::lua_toboolean(self.0, at) != 0 }
    }

    /// The identity of a table, function, coroutine or userdata.
    pub fn pointer(self, at: c_int) -> *const c_void {
        // SAFETY: reads a value.
        unsafe { ffi::lua_topointer(self.0, at) }
    }

    /// The length of a table, without its metatable.
    pub fn length(self, at: c_int) -> usize {
        // SAFETY: reads a value.
        unsafe { ffi::lua_rawlen(self.0, at) }
    }

    /// Pushes the element of a table, without its metatable, and returns its type.
    pub fn push_element(self, at: c_int, index: usize) -> c_int {
        // SAFETY: the caller has checked that this is a table; there is room.
        unsafe { ffi::lua_rawgeti(self.0, at, index as ffi::lua_Integer) }
    }

    /// Pops the element of a table, without its metatable. May raise an error.
    pub fn set_element(self, at: c_int, index: usize) {
        // SAFETY: the caller has checked that this is a table, and has pushed the value.
        unsafe { ffi::lua_rawseti(self.0, at, index as ffi::lua_Integer) };
    }

    /// Replaces the key on top by its value in a table, without its metatable, and returns its type.
    pub fn get(self, table: c_int) -> c_int {
        // SAFETY: the caller has checked that this is a table, and has pushed the key.
        unsafe { ffi::lua_rawget(self.0, table) }
    }

    /// Pops a key and pushes the next one with its value; false, and nothing is pushed, after the last.
    pub fn next(self, table: c_int) -> bool {
        // SAFETY: the caller has checked that this is a table; nil and a key that it has raise no error.
        unsafe { ffi::lua_next(self.0, table) != 0 }
    }

    /// Pops a value, and a key below it, into a table, without its metatable. May raise an error.
    pub fn set(self, table: c_int) {
        // SAFETY: the caller has checked that this is a table, and has pushed key and value.
        unsafe { ffi::lua_rawset(self.0, table) };
    }

    /// Pops a table or nil to be the metatable of a table.
    pub fn set_metatable(self, table: c_int) {
        // SAFETY: the caller has checked both.
        unsafe { ffi::lua_setmetatable(self.0, table) };
    }

    /// Pushes a table with room for this many keys. May raise an error.
    pub fn push_table(self, keys: c_int) {
        // SAFETY: there is room; an error is Lua's to catch.
        unsafe { ffi::lua_createtable(self.0, 0, keys) };
    }

    /// Pushes a string. May raise an error.
    pub fn push_bytes(self, bytes: &[u8]) {
        // SAFETY: the bytes are copied; an error is Lua's to catch.
        unsafe { ffi::lua_pushlstring(self.0, bytes.as_ptr().cast(), bytes.len()) };
    }

    pub fn push_boolean(self, is_true: bool) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushboolean(self.0, is_true.into()) };
    }

    pub fn push_nil(self) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushnil(self.0) };
    }

    /// Pushes another reference to a value.
    pub fn push_copy(self, at: c_int) {
        // SAFETY: there is room.
        unsafe { ffi::lua_pushvalue(self.0, at) };
    }

    /// Pushes what `refer` has numbered.
    pub fn push_referred(self, number: c_int) {
        // SAFETY: the registry is a table; there is room.
        unsafe { ffi::lua_rawgeti(self.0, ffi::LUA_REGISTRYINDEX, number.into()) };
    }

    /// Moves the value on top to this place.
    pub fn insert(self, at: c_int) {
        // SAFETY: the place is one of the stack's.
        unsafe { ffi::lua_insert(self.0, at) };
    }

    pub fn remove(self, at: c_int) {
        // SAFETY: the place is one of the stack's.
        unsafe { ffi::lua_remove(self.0, at) };
    }

    pub fn pop(self, count: c_int) {
        // SAFETY: the caller has pushed as many.
        unsafe { ffi::lua_pop(self.0, count) };
    }

    /// How many values there are, from the first argument of the C function.
    pub fn count(self) -> c_int {
        // SAFETY: reads the stack.
        unsafe { ffi::lua_gettop(self.0) }
    }

    /// Sets how many values there are, from the first argument of the C function.
    pub fn set_count(self, count: c_int) {
        // SAFETY: there is room.
        unsafe { ffi::lua_settop(self.0, count) };
    }

    /// Calls the function below this many arguments. May raise an error.
    pub fn call(self, arguments: c_int, results: c_int) {
        // SAFETY: function and arguments were pushed; an error is Lua's to catch.
        unsafe { ffi::lua_call(self.0, arguments, results) };
    }
}

/// Where the C function's closure keeps this value, from 1.
pub(super) fn upvalue(number: c_int) -> c_int {
    ffi::lua_upvalueindex(number)
}
