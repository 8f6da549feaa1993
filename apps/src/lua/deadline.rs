//! `--request-timeout` for an app that does not let go: a hook that looks at the clock every so many instructions.

use super::host::Turn;
use mlua::{HookTriggers, Lua, VmState};
use std::rc::Rc;
use std::time::Instant;

/// Instructions between two looks: some 50 us of plain Lua.
const INSTRUCTIONS: u32 = 10_000;

/// Sets the hook for all coroutines that are made from now on.
pub fn watch(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<()> {
    let triggers = HookTriggers::new().every_nth_instruction(INSTRUCTIONS);
    let turn = Rc::clone(turn);
    lua.set_global_hook(triggers, move |lua, _| {
        if turn.deadline.get().is_none_or(|at| Instant::now() < at) {
            return Ok(VmState::Continue);
        }
        turn.is_interrupted.set(true);
        // An app may catch the error and go on; it does not come far.
        lua.set_hook(HookTriggers::new().every_nth_instruction(1), |_, _| Err(over()))?;
        Err(over())
    })
}

pub const OVER: &str = "the request's time is up (--request-timeout)";

fn over() -> mlua::Error {
    mlua::Error::runtime(OVER)
}
