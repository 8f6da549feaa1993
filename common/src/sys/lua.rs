//! A Lua VM as a program of the user's expects it: every standard library, and modules in C.

use super::lua_running;
use mlua::{Lua, LuaOptions, StdLib};

/// A new VM. Its `require` finds C modules, and its `debug` library is whole, as in the stand-alone interpreter.
pub fn open() -> mlua::Result<Lua> {
    lua_running::ask();
    // pcall stays Lua's own: mlua's would let nobody yield through it.
    let options = LuaOptions::new().catch_rust_panics(true);
    // SAFETY: what mlua holds back otherwise (C modules, `debug`, loading bytecode) can break memory only if the code that
    // the user asks us to run does so; it runs with the rights that he gave this process, as under `lua` itself.
    Ok(unsafe { Lua::unsafe_new_with(StdLib::ALL, options) })
}
