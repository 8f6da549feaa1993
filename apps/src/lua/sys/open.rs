//! A Lua VM as a user's program expects it: every standard library, and modules in C.

use super::allocator::{Allocator, allocate};
use super::running;
use mlua::{Lua, LuaOptions, StdLib, ffi, lua_State};

/// Closes a VM that is not mlua's when this is dropped, which has to be after all values of it.
pub struct Opened(Option<(*mut lua_State, &'static Allocator)>);

/// A new VM. Its `require` finds C modules, its `debug` library is whole, and `pcall` is Lua's own (coroutines could not
/// yield through mlua's), as in the stand-alone interpreter. `is_limited`: its memory is going to be limited by mlua.
pub fn open(is_limited: bool) -> mlua::Result<(Opened, Lua)> {
    running::register();
    if is_limited {
        let options = LuaOptions::new().catch_rust_panics(true);
        // SAFETY: what mlua otherwise withholds (C modules, `debug`, loading bytecode) can break memory only if the
        // user's own code does so; it runs with the rights that the user gave this process, as under `lua` itself.
        return Ok((Opened(None), unsafe { Lua::unsafe_new_with(StdLib::ALL, options) }));
    }
    let allocator = Allocator::new();
    let address = std::ptr::from_ref(allocator).cast_mut().cast();
    // SAFETY: the allocator lives for ever.
    let state = unsafe { ffi::lua_newstate(allocate, address) };
    if state.is_null() {
        return Err(mlua::Error::runtime("not enough memory for a Lua VM"));
    }
    let opened = Opened(Some((state, allocator)));
    // SAFETY: as above. Should memory not suffice for these, Lua ends the process.
    unsafe { ffi::luaL_openlibs(state) };
    // SAFETY: `opened` closes the VM after all handles to it are dropped.
    let lua = unsafe { Lua::get_or_init_from_ptr(state) }.clone();
    Ok((opened, lua))
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some((state, allocator)) = self.0 {
            // SAFETY: it is open, and no handle to it is left.
            unsafe { ffi::lua_close(state) };
            allocator.trim();
        }
    }
}
