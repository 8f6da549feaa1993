//! `--request-timeout` for an app that does not yield: the driver sets a hook that checks the clock every
//! `INSTRUCTIONS` instructions and raises an error once the time is up.
//!
//! The app may catch the error and clean up for `CLEAN_UP_TIME`. If it continues after that, the error is raised again
//! at each instruction. A single call of a C function, such as a string.rep or a pattern that takes hours, cannot be
//! interrupted, nor can finalizers (`__gc`), in which Lua itself switches hooks off.
//!
//! mlua's own hooks do not do here: an error from one clears the stack of the function that it interrupts, and closes
//! its variables with hooks switched off.

use super::host::{self, Turn};
use super::sys::hook;
use mlua::{Function, Lua, String, Table, Thread};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Instructions between two checks of the clock: about 50 us of plain Lua.
const INSTRUCTIONS: i32 = 10_000;
/// How long an interrupted app may clean up, in `pcall` or `<close>`.
const CLEAN_UP_TIME: Duration = Duration::from_millis(300);
/// How long `close` may take after its request has timed out.
pub const CLOSE_TIME: Duration = Duration::from_secs(1);

pub const TIMED_OUT: &str = "the request timed out (--request-timeout)";

/// The functions that the driver needs for the timeout.
pub fn functions(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<Table> {
    let deadline = lua.create_table()?;
    deadline.set("timed_out", TIMED_OUT)?;
    deadline.set("instructions", INSTRUCTIONS)?;
    deadline.set("hook_calls", lua.create_function(|lua, function: Function| hook::calls(lua, &function))?)?;
    deadline.set(
        "set_hook",
        lua.create_function(|_, (thread, events, count): (Thread, String, i32)| {
            hook::set(&thread, &events.as_bytes(), count);
            Ok(())
        })?,
    )?;
    deadline.set("check", {
        let turn = Rc::clone(turn);
        lua.create_function(move |lua, ()| Ok(check(lua, &turn)))?
    })?;
    deadline.set("is_interrupted", {
        let turn = Rc::clone(turn);
        lua.create_function(move |_, ()| Ok(turn.interrupted_at.borrow().is_some()))?
    })?;
    deadline.set("forget", {
        let turn = Rc::clone(turn);
        lua.create_function(move |_, ()| Ok(turn.interrupted_at.take().is_some()))?
    })?;
    deadline.set("allow_closing", {
        let turn = Rc::clone(turn);
        lua.create_function(move |_, ()| {
            allow_closing(&turn);
            Ok(())
        })?
    })?;
    Ok(deadline)
}

/// Sets the hook of a coroutine that begins a request, whatever the previous request did to it.
pub fn watch(coroutine: &Thread) {
    hook::set(coroutine, b"", INSTRUCTIONS);
}

/// Restores the hook of a coroutine that is resumed. A hook that the app has set with debug.sethook is called from
/// ours, but one that a C module has set replaces it.
pub fn watch_again(coroutine: &Thread) {
    if !hook::is_set(coroutine) {
        watch(coroutine);
    }
}

/// Checks the clock. `Some`: the running code is to be interrupted; `Some(true)`: its time to clean up is over, too.
fn check(lua: &Lua, turn: &Turn) -> Option<bool> {
    let deadline = turn.deadline.get()?;
    let now = Instant::now();
    if now < deadline {
        return None;
    }
    let is_late = now >= deadline + CLEAN_UP_TIME;
    if turn.is_cleaning_up.replace(true) && !is_late {
        return None;
    }
    if turn.interrupted_at.borrow().is_none() {
        let trace = lua.traceback(None, 1).map(|trace| trace.to_string_lossy()).unwrap_or_default();
        turn.interrupted_at.replace(Some(host::without_server_frames(&trace)));
    }
    Some(is_late)
}

/// The app's own time is over, whether it has finished or timed out; this starts the time of its `close`.
fn allow_closing(turn: &Turn) {
    turn.deadline.set(Some(Instant::now() + CLOSE_TIME));
    turn.is_cleaning_up.set(false);
}
