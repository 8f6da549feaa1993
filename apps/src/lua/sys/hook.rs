//! The hook that watches an app's coroutines: at its events it calls a Lua function.
//!
//! It is not `debug.sethook`'s, which stores a function per coroutine: this one also applies to every coroutine that a
//! watched one creates, even by a module in C. And it is set without calling Lua, each time that a request begins.
//! LuaJIT has one hook for all coroutines.

use mlua::{Function, Lua, Thread, ffi, lua_State};
use std::ffi::{CStr, c_int};

/// The function's key in Lua's registry.
const FUNCTION: &CStr = c"tine.hook";
/// The event names of `debug.sethook`, by number.
const EVENTS: [&CStr; 5] = [c"call", c"return", c"line", c"count", c"tail call"];

/// From now on hooks call this function with the event's name and the line.
pub fn calls(lua: &Lua, function: &Function) -> mlua::Result<()> {
    lua.set_named_registry_value(FUNCTION.to_str().unwrap_or_default(), function)
}

/// Sets the coroutine's hook. It is called for the events `c` (calls), `r` (returns) and `l` (lines), as with
/// `debug.sethook`, and after every `count` instructions.
pub fn set(thread: &Thread, events: &[u8], count: c_int) {
    let bits = [(b'c', ffi::LUA_MASKCALL), (b'r', ffi::LUA_MASKRET), (b'l', ffi::LUA_MASKLINE)];
    let mask =
        bits.iter().filter(|(letter, _)| events.contains(letter)).fold(ffi::LUA_MASKCOUNT, |mask, bit| mask | bit.1);
    // SAFETY: the reference keeps the coroutine alive, and `on_event` is there for ever.
    unsafe { ffi::lua_sethook(thread.state(), Some(on_event), mask, count) };
}

/// Whether the coroutine's hook is still this one: a module in C may have replaced or removed it.
pub fn is_set(thread: &Thread) -> bool {
    // SAFETY: reads a field of a coroutine that the reference keeps alive.
    let hook = unsafe { ffi::lua_gethook(thread.state()) };
    hook.is_some_and(|hook| std::ptr::fn_addr_eq(hook, on_event as ffi::lua_Hook))
}

/// No value of this function may need to be dropped: the Lua function may raise an error, which jumps over this frame.
unsafe extern "C-unwind" fn on_event(state: *mut lua_State, facts: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls its hook with the facts of this event, of which these two are always there.
    let (event, line) = unsafe { ((*facts).event, (*facts).currentline) };
    // SAFETY: a hook has room for LUA_MINSTACK values, here and below; an error is Lua's to catch.
    if unsafe { ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, FUNCTION.as_ptr()) } != ffi::LUA_TFUNCTION {
        return;
    }
    let name = EVENTS.get(event as usize).copied().unwrap_or_default();
    // SAFETY: as above; the name ends with NUL.
    unsafe { ffi::lua_pushstring(state, name.as_ptr()) };
    match line {
        // SAFETY: as above.
        ..0 => unsafe { ffi::lua_pushnil(state) },
        // SAFETY: as above.
        line => unsafe { ffi::lua_pushinteger(state, line as ffi::lua_Integer) },
    }
    // SAFETY: the function and its two arguments were pushed.
    unsafe { ffi::lua_call(state, 2, 0) };
}
