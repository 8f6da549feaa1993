//! `--request-timeout` for an app that does not let go: the driver has set a hook that looks at the clock every so many
//! instructions, and raises an error where the time is up.
//!
//! The app may catch the error and clean up. When it goes on for longer than that takes, the error is raised anew at each
//! instruction. What cannot be interrupted: one call of a C function, such as a string.rep or a pattern of hours, and
//! finalizers (`__gc`), in which Lua itself switches hooks off.
//!
//! mlua's own hooks are no help: an error from one clears the stack of the function that it interrupts, and closes its
//! variables with hooks switched off.

use super::host::{self, Turn};
use mlua::{Function, Lua, String, Table, Thread};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::sys::lua_hook;

/// Instructions between two looks at the clock: some 50 us of plain Lua.
const INSTRUCTIONS: i32 = 10_000;
/// How long an app that was interrupted may clean up, by `pcall` or `<close>`.
const CLEAN_UP: Duration = Duration::from_millis(300);
/// How long `close` may take behind the end of its request's time.
const CLOSING: Duration = Duration::from_secs(1);

pub const OVER: &str = "the request's time is up (--request-timeout)";

/// What the driver needs for it.
pub fn functions(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<Table> {
    let deadline = lua.create_table()?;
    deadline.set("over", OVER)?;
    deadline.set("instructions", INSTRUCTIONS)?;
    deadline.set("hook_calls", lua.create_function(|lua, function: Function| lua_hook::calls(lua, &function))?)?;
    deadline.set(
        "set_hook",
        lua.create_function(|_, (thread, events, count): (Thread, String, i32)| {
            lua_hook::set(&thread, &events.as_bytes(), count);
            Ok(())
        })?,
    )?;
    deadline.set("look", {
        let turn = Rc::clone(turn);
        lua.create_function(move |lua, ()| Ok(look(lua, &turn)))?
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

/// A lane begins a request: it is watched, whatever the request before has done to its hook.
pub fn watch(lane: &Thread) {
    lua_hook::set(lane, b"", INSTRUCTIONS);
}

/// A lane goes on. A hook of the app's own is this one, too; one that a module in C has set is not.
pub fn watch_again(lane: &Thread) {
    if !lua_hook::is_set(lane) {
        watch(lane);
    }
}

/// Looks at the clock. `Some`: who runs is to be interrupted; true: and to have no time to clean up.
fn look(lua: &Lua, turn: &Turn) -> Option<bool> {
    let deadline = turn.deadline.get()?;
    let now = Instant::now();
    if now < deadline {
        return None;
    }
    let is_late = now >= deadline + CLEAN_UP;
    if turn.is_cleaning_up.replace(true) && !is_late {
        return None;
    }
    if turn.interrupted_at.borrow().is_none() {
        let trace = lua.traceback(None, 1).map(|trace| trace.to_string_lossy()).unwrap_or_default();
        turn.interrupted_at.replace(Some(host::without_ours(&trace)));
    }
    Some(is_late)
}

/// The app's own time is over, in one way or another: now its `close` has some.
fn allow_closing(turn: &Turn) {
    turn.deadline.set(Some(Instant::now() + CLOSING));
    turn.is_cleaning_up.set(false);
}
