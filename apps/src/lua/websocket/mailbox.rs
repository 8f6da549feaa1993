//! What passes between the driver's `ws` and its peer: what the coroutine that runs has sent and asked for, and what it has
//! received.

use super::super::host::Turn;
use mlua::{Function, Lua, String, Table, Thread, Value};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use tine_worker::app::{Message, MessageOut};

/// Messages that one resumption sends at most; then others have their turn.
const MESSAGES_MAX: usize = 64;
/// The longest header of a server's frame (RFC 6455, 5.2).
const HEADER_BYTES_MAX: usize = 10;
/// The longest reason of a close (RFC 6455, 5.5.1).
const REASON_BYTES_MAX: usize = 123;

#[derive(Default)]
pub struct Mailbox {
    incoming: RefCell<Option<Message>>,
    outgoing: RefCell<Vec<Message>>,
    /// How many bytes may be sent in this resumption, and messages.
    room: Cell<(usize, usize)>,
    close: RefCell<Option<(u16, std::string::String)>>,
    spawned: RefCell<Vec<(Thread, Table)>>,
}

impl Mailbox {
    /// A coroutine is about to run: this is for it, and it may send as much as fits. Without an output it may not.
    pub fn open(&self, incoming: Option<Message>, out: Option<&MessageOut<'_>>) {
        self.incoming.replace(incoming);
        self.room.set(out.map_or((0, 0), |out| (out.room(), MESSAGES_MAX)));
    }

    pub fn take_outgoing(&self) -> Vec<Message> {
        self.outgoing.take()
    }

    /// What it has used is given back, so that the next need not allocate.
    pub fn give_back(&self, emptied: Vec<Message>) {
        debug_assert!(emptied.is_empty());
        self.outgoing.replace(emptied);
    }

    pub fn take_close(&self) -> Option<(u16, std::string::String)> {
        self.close.take()
    }

    pub fn take_spawned(&self) -> Vec<(Thread, Table)> {
        self.spawned.take()
    }

    /// False: there is no room now.
    fn push(&self, message: impl FnOnce() -> Result<Message, &'static str>) -> Result<bool, &'static str> {
        let (bytes, messages) = self.room.get();
        if bytes == 0 || messages == 0 {
            return Ok(false);
        }
        let message = message()?;
        self.room.set((bytes.saturating_sub(message.as_bytes().len() + HEADER_BYTES_MAX), messages - 1));
        self.outgoing.borrow_mut().push(message);
        Ok(true)
    }

    fn ask_close(&self, code: i64, reason: &String) -> Option<&'static str> {
        let reason = reason.as_bytes();
        let Ok(reason) = std::str::from_utf8(&reason) else { return Some("the reason is not UTF-8") };
        if reason.len() > REASON_BYTES_MAX {
            return Some("the reason is longer than 123 bytes");
        }
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => {
                self.close.replace(Some((code as u16, reason.to_string())));
                None
            }
            _ => Some("the code is one of 1000 to 1003, 1007 to 1014, 3000 to 4999"),
        }
    }
}

fn text(data: &String) -> Result<Message, &'static str> {
    let bytes = data.as_bytes();
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Message::text(text)),
        Err(_) => Err("the text is not UTF-8; send(data, \"binary\") sends any bytes"),
    }
}

/// `host.websocket`.
pub fn functions(lua: &Lua, turn: &Rc<Turn>) -> mlua::Result<Table> {
    let functions = lua.create_table()?;
    // Whether there was room; nil and why not, if it cannot be sent.
    let push = with(lua, turn, |_, mailbox, (data, is_binary): (String, bool)| {
        let binary = || Ok(Message::binary(data.as_bytes().to_vec()));
        Ok(match mailbox.push(|| if is_binary { binary() } else { text(&data) }) {
            Ok(is_done) => (Some(is_done), None),
            Err(why) => (None, Some(why)),
        })
    })?;
    functions.set("push", push)?;
    // The message and its kind, if there is one.
    let take = with(lua, turn, |lua, mailbox, ()| {
        let message = mailbox.incoming.take();
        let kind = message.as_ref().map(|message| match message {
            Message::Text(_) => "text",
            Message::Binary(_) => "binary",
        });
        let bytes = message.map(|message| lua.create_string(message.as_bytes())).transpose()?;
        Ok((bytes.map_or(Value::Nil, Value::String), kind))
    })?;
    functions.set("take", take)?;
    // Why not, if it cannot be closed so; else the driver yields CLOSE next.
    let close =
        with(lua, turn, |_, mailbox, (code, reason): (f64, String)| Ok(mailbox.ask_close(code as i64, &reason)))?;
    functions.set("close", close)?;
    let adopt = with(lua, turn, |_, mailbox, spawned: (Thread, Table)| {
        mailbox.spawned.borrow_mut().push(spawned);
        Ok(())
    })?;
    functions.set("adopt", adopt)?;
    Ok(functions)
}

fn with<A, R>(
    lua: &Lua,
    turn: &Rc<Turn>,
    call: impl Fn(&Lua, &Mailbox, A) -> mlua::Result<R> + 'static,
) -> mlua::Result<Function>
where
    A: mlua::FromLuaMulti,
    R: mlua::IntoLuaMulti,
{
    let turn = Rc::clone(turn);
    lua.create_function(move |lua, arguments| call(lua, &turn.websocket, arguments))
}
