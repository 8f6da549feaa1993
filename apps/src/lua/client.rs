//! What `tine.connected` is told. The driver yields CLIENT and is resumed at once, so that no other request carries its socket
//! along.

use super::host::Turn;
use super::sys::coroutine::{Coroutine, Stopped};
use super::yielded::CLIENT;
use mlua::{Function, Lua};
use std::rc::Rc;
use tine_worker::app::OtherEnd;

/// Tells the driver what the client has done, as often as it asks; `None`: it did not ask.
pub fn tell(
    coroutine: &mut Coroutine,
    mut stopped: Stopped,
    turn: &Turn,
    client: impl Fn() -> OtherEnd,
) -> Option<Stopped> {
    let asks = |coroutine: &Coroutine, stopped| stopped == Stopped::Yielded && coroutine.integer(1) == Some(CLIENT);
    if !asks(coroutine, stopped) {
        return None;
    }
    while asks(coroutine, stopped) {
        turn.client.set(Some(client()));
        stopped = coroutine.resume();
    }
    Some(stopped)
}

/// `host.client()`: whether it is there, or false and how it has left.
pub fn state(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<Function> {
    let turn = Rc::clone(turn);
    lua.create_function(move |_, ()| {
        Ok(match turn.client.get() {
            None | Some(OtherEnd::Open) => (true, None),
            Some(OtherEnd::HalfClosed) => (false, Some("half-closed")),
            Some(OtherEnd::Closed) => (false, Some("closed")),
        })
    })
}
