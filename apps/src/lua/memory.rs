//! `--lua-memory-max`: what one VM may hold, and what becomes of it when that was not enough.
//!
//! Lua 5.4 collects all garbage before it lets an allocation fail. LuaJIT does not: there this file keeps room.

use mlua::Lua;
use std::cell::Cell;

/// What Lua says when the allocator refuses, and what mlua makes of it in a function of ours.
const OUT_OF_MEMORY: [&str; 2] = ["not enough memory", "memory error: not enough memory"];
/// What LuaJIT says when there is not even enough to describe an error.
const ERROR_IN_ERROR: &str = "error in error handling";

pub struct Memory {
    bytes_max: Option<usize>,
    is_exhausted: Cell<bool>,
    /// LuaJIT: garbage is collected when more than this is held.
    collect_above: Cell<usize>,
}

impl Memory {
    /// Limits this VM.
    pub fn limit(lua: &Lua, bytes_max: Option<usize>) -> mlua::Result<Memory> {
        if let Some(bytes) = bytes_max {
            lua.set_memory_limit(bytes)?;
            if cfg!(feature = "luajit") {
                // A cycle of the collector begins when a quarter has been added, and is quick: it usually begins at
                // the double, which may be more than there is.
                lua.gc_inc(125, 400, 0);
            }
            if cfg!(all(feature = "luajit", debug_assertions)) {
                // LuaJIT, built with its assertions, aborts when it closes a VM in which an allocation has failed: some
                // bytes are not given back. So there it is not closed; it ends with its process.
                std::mem::forget(lua.clone());
            }
        }
        let collect_above = bytes_max.filter(|_| cfg!(feature = "luajit")).map_or(usize::MAX, |bytes| bytes / 4 * 3);
        Ok(Memory { bytes_max, is_exhausted: Cell::new(false), collect_above: Cell::new(collect_above) })
    }

    /// Before an app is called.
    pub fn keep_room(&self, lua: &Lua) {
        if self.collect_above.get() < usize::MAX && lua.used_memory() > self.collect_above.get() {
            self.collect(lua);
            // What is left is not garbage; half of the rest may come before it is tried again.
            let (used, most) = (lua.used_memory(), self.bytes_max.unwrap_or(usize::MAX));
            self.collect_above.set((most / 4 * 3).max(used + most.saturating_sub(used) / 2));
        }
    }

    /// Whether this error of an app, or of ours, says that there was not enough memory. An app's own error may begin with
    /// the same words.
    pub fn judge(&self, lua: &Lua, text: &str) {
        let is_first = |line: &str| text.lines().next() == Some(line);
        let is_full = || self.bytes_max.is_some_and(|most| lua.used_memory() > most / 8 * 7);
        if OUT_OF_MEMORY.into_iter().any(is_first) || is_first(ERROR_IN_ERROR) && is_full() {
            self.is_exhausted.set(true);
            // For those who are in flight, and finished by this worker.
            self.collect(lua);
        }
    }

    pub fn is_exhausted(&self) -> bool {
        self.is_exhausted.get()
    }

    fn collect(&self, lua: &Lua) {
        if let Err(error) = lua.gc_collect() {
            log::error!("a finalizer failed: {error}");
        }
    }
}
