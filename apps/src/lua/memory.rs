//! The memory of a VM: how garbage is collected, and `--lua-memory-max`, which limits it, and detects when it was exhausted.
//!
//! What a request allocates is garbage at its end. Lua 5.4's generational mode collects that without looking at what the app
//! keeps, soon enough for the next request to find it in the CPU's cache. But now and then it collects everything at once:
//! a VM that has grown large is collected step by step. LuaJIT has only that mode.
//!
//! LuaJIT lets an allocation fail although there is garbage. Lua 5.4 collects it first, but not for the buffers in which
//! string.rep, table.concat and others of its library build their results. So garbage must not get near the limit: it
//! is collected early, and [`Memory::keep_room`] does so before a request.

use mlua::Lua;
use std::cell::Cell;

/// All of this is collected within some 10 ms.
const GENERATIONAL_BYTES_MAX: usize = 8 << 20;
/// Requests between two looks at the size of a VM.
const LOOK_EVERY: u32 = 256;
/// Lua's error when an allocation fails, and the same as mlua reports it from a Rust function.
const OUT_OF_MEMORY: [&str; 2] = ["not enough memory", "memory error: not enough memory"];
/// LuaJIT's error when there is not even enough memory to describe an error.
const ERROR_IN_ERROR: &str = "error in error handling";

pub struct Memory {
    bytes_max: Option<usize>,
    is_exhausted: Cell<bool>,
    /// Garbage is collected when more than this is held.
    collect_above: Cell<usize>,
    /// Requests until the next look at its size, while its collector is generational.
    until_look: Cell<Option<u32>>,
}

impl Memory {
    /// Of a VM that has not loaded its app yet: the app may choose another collector.
    pub fn new(lua: &Lua, bytes_max: Option<usize>) -> mlua::Result<Memory> {
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
        let until_look = (bytes_max.is_none() && collect_by_generations(lua)).then_some(0);
        let collect_above = bytes_max.map_or(usize::MAX, |bytes| bytes / 4 * 3);
        let (is_exhausted, collect_above) = (Cell::new(false), Cell::new(collect_above));
        Ok(Memory { bytes_max, is_exhausted, collect_above, until_look: Cell::new(until_look) })
    }

    /// Called before each request: collects garbage where memory might run out, and changes the collector of a VM that has
    /// grown.
    pub fn keep_room(&self, lua: &Lua) {
        match self.until_look.get() {
            Some(0) => self.until_look.set(still_by_generations(lua).then_some(LOOK_EVERY)),
            requests => self.until_look.set(requests.map(|requests| requests - 1)),
        }
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

/// Whether this Lua can.
fn collect_by_generations(lua: &Lua) -> bool {
    #[cfg(not(feature = "luajit"))]
    lua.gc_gen(0, 0);
    let _ = lua;
    cfg!(not(feature = "luajit"))
}

/// As [`collect_by_generations`], for a VM that may have grown.
fn still_by_generations(lua: &Lua) -> bool {
    let is_small = lua.used_memory() <= GENERATIONAL_BYTES_MAX;
    if !is_small {
        lua.gc_inc(0, 0, 0);
    }
    is_small
}
