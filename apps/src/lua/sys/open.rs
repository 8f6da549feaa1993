//! A Lua VM as a user's program expects it: every standard library, and modules in C.

use super::running;
use mlua::{Lua, LuaOptions, StdLib};

/// A new VM. Its `require` finds C modules, and its `debug` library is whole, as in the stand-alone interpreter.
pub fn open() -> mlua::Result<Lua> {
    running::register();
    // pcall stays Lua's own: coroutines could not yield through mlua's.
    let options = LuaOptions::new().catch_rust_panics(true);
    // SAFETY: what mlua otherwise withholds (C modules, `debug`, loading bytecode) can break memory only if the user's
    // own code does so; it runs with the rights that the user gave this process, as under `lua` itself.
    Ok(unsafe { Lua::unsafe_new_with(StdLib::ALL, options) })
}
