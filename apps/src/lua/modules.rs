//! The modules that an app has to require, and that cost nothing until then: `tine.json`, `tine.crypto`,
//! `tine.web` and `tine.wsapi`. The last two are Lua (web.lua and web/, with functions of the first two; wsapi.lua).

use super::{crypto, json};
use mlua::{Function, Lua, Table, Value};

const WSAPI: &str = include_str!("wsapi.lua");
const WEB: &str = include_str!("web.lua");
const WEB_PARTS: [(&str, &str); 8] = [
    ("text", include_str!("web/text.lua")),
    ("fields", include_str!("web/fields.lua")),
    ("headers", include_str!("web/headers.lua")),
    ("cookies", include_str!("web/cookies.lua")),
    ("multipart", include_str!("web/multipart.lua")),
    ("form", include_str!("web/form.lua")),
    ("signing", include_str!("web/signing.lua")),
    ("request", include_str!("web/request.lua")),
];

/// `open(name, raise_in_app)` makes a module.
pub fn open(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, (name, raise_in_app): (String, Function)| match name.as_str() {
        "tine.json" => json::module(lua),
        "tine.crypto" => crypto::module(lua),
        "tine.wsapi" => lua.load(WSAPI).set_name("=tine").eval(),
        _ => web(lua, raise_in_app),
    })
}

fn web(lua: &Lua, raise_in_app: Function) -> mlua::Result<Table> {
    // Under the server's name, as the driver is.
    let chunk = |source: &str| lua.load(source).set_name("=tine").into_function();
    let parts = lua.create_table()?;
    for (name, source) in WEB_PARTS {
        parts.raw_set(name, chunk(source)?)?;
    }
    let require: Function = lua.globals().raw_get("require")?;
    let host = lua.create_table()?;
    host.raw_set("json", require.call::<Value>("tine.json")?)?;
    host.raw_set("crypto", require.call::<Value>("tine.crypto")?)?;
    host.raw_set("raise_in_app", raise_in_app)?;
    let to_utf8 = |lua: &Lua, text: mlua::String| match std::str::from_utf8(&text.as_bytes()) {
        Ok(_) => Ok(text.clone()),
        Err(_) => lua.create_string(String::from_utf8_lossy(&text.as_bytes()).as_bytes()),
    };
    host.raw_set("to_utf8", lua.create_function(to_utf8)?)?;
    chunk(WEB)?.call((host, parts))
}
