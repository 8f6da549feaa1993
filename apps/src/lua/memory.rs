//! `--lua-memory-max`: limits the memory of a VM, and detects when it was exhausted.
//!
//! LuaJIT lets an allocation fail although there is garbage. Lua 5.4 collects it first, but not for the buffers in which
//! string.rep, table.concat and others of its library build their results. So garbage must not get near the limit: it
//! is collected early, and [`Memory::keep_room`] does so before a request.

use mlua::Lua;
use std::cell::Cell;

/// Lua's error when an allocation fails, and the same as mlua reports it from a Rust function.
const OUT_OF_MEMORY: [&str; 2] = ["not enough memory", "memory error: not enough memory"];
/// LuaJIT's error when there is not even enough memory to describe an error.
const ERROR_IN_ERROR: &str = "error in error handling";

pub struct Memory {
    bytes_max: Option<usize>,
    is_exhausted: Cell<bool>,
    /// Garbage is collected when more than this is held.
    collect_above: Cell<usize>,
}

impl Memory {
    /// Limits this VM.
    pub fn limit(lua: &Lua, bytes_max: Option<usize>) -> mlua::Result<Memory> {
        if let Some(bytes) = bytes_max {
            lua.set_memory_limit(bytes)?;
            // A collection cycle begins when memory has grown by a quarter, and is quick. By default it begins when
            // memory has doubled, which may be beyond the limit.
            lua.gc_inc(125, 400, 0);
            if cfg!(all(feature = "luajit", debug_assertions)) {
                // LuaJIT built with assertions aborts when it closes a VM in which an allocation has failed, because
                // some bytes are not freed. So such a VM is never closed; it ends with its process.
                std::mem::forget(lua.clone());
            }
        }
        let collect_above = bytes_max.map_or(usize::MAX, |bytes| bytes / 4 * 3);
        Ok(Memory { bytes_max, is_exhausted: Cell::new(false), collect_above: Cell::new(collect_above) })
    }

    /// Called before each request: collects garbage where memory might run out.
    pub fn keep_room(&self, lua: &Lua) {
        if self.collect_above.get() < usize::MAX && lua.used_memory() > self.collect_above.get() {
            self.collect(lua);
            // What is left is in use; half of the remaining room may fill before the next attempt.
            let (used, most) = (lua.used_memory(), self.bytes_max.unwrap_or(usize::MAX));
            self.collect_above.set((most / 4 * 3).max(used + most.saturating_sub(used) / 2));
        }
    }

    /// Marks the VM as exhausted if this error says that memory ran out. The whole first line has to match: an app's
    /// own error may begin with the same words.
    pub fn detect_exhaustion(&self, lua: &Lua, text: &str) {
        let is_first = |line: &str| text.lines().next() == Some(line);
        let is_full = || self.bytes_max.is_some_and(|most| lua.used_memory() > most / 8 * 7);
        if OUT_OF_MEMORY.into_iter().any(is_first) || is_first(ERROR_IN_ERROR) && is_full() {
            self.is_exhausted.set(true);
            // For the requests in flight, which this worker still finishes.
            self.collect(lua);
        }
    }

    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    fn collect(&self, lua: &Lua) {
        if let Err(error) = lua.gc_collect() {
            log::error!("a Lua finalizer failed: {error}");
        }
    }
}
