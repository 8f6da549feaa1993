//! `tine.crypto`: what signing needs, from well-kept crates. Strings are bytes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ctutils::CtEq;
use hmac::{Hmac, KeyInit, Mac};
use mlua::{Lua, String, Table};
use sha2::{Digest, Sha256};
use tine_common::sys::random;

const RANDOM_BYTES_MAX: usize = 1 << 20;

pub fn module(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    module.raw_set("sha256", lua.create_function(sha256)?)?;
    module.raw_set("hmac_sha256", lua.create_function(hmac_sha256)?)?;
    module.raw_set("equal", lua.create_function(equal)?)?;
    module.raw_set("random_bytes", lua.create_function(random_bytes)?)?;
    module.raw_set("to_base64url", lua.create_function(to_base64url)?)?;
    module.raw_set("from_base64url", lua.create_function(from_base64url)?)?;
    module.raw_set("to_hex", lua.create_function(to_hex)?)?;
    Ok(module)
}

fn sha256(lua: &Lua, text: String) -> mlua::Result<String> {
    lua.create_string(Sha256::digest(&*text.as_bytes()))
}

fn hmac_sha256(lua: &Lua, (key, text): (String, String)) -> mlua::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.as_bytes()).map_err(mlua::Error::external)?;
    mac.update(&text.as_bytes());
    lua.create_string(mac.finalize().into_bytes())
}

/// Takes as long for one wrong byte as for another, so that a client cannot find a secret byte by byte.
fn equal(_: &Lua, (one, other): (String, String)) -> mlua::Result<bool> {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    Ok(one[..].ct_eq(&other[..]).to_bool())
}

/// Bytes that cannot be predicted, from the kernel; or nil and why there are none.
fn random_bytes(lua: &Lua, count: i64) -> mlua::Result<(Option<String>, Option<std::string::String>)> {
    let count = usize::try_from(count).ok().filter(|count| *count <= RANDOM_BYTES_MAX);
    let Some(count) = count else {
        return Ok((None, Some(format!("random_bytes takes a number up to {RANDOM_BYTES_MAX}"))));
    };
    let mut bytes = vec![0; count];
    match random::fill(&mut bytes) {
        Ok(()) => Ok((Some(lua.create_string(bytes)?), None)),
        Err(error) => Ok((None, Some(error.to_string()))),
    }
}

/// Without padding (RFC 4648, 5).
fn to_base64url(lua: &Lua, bytes: String) -> mlua::Result<String> {
    lua.create_string(URL_SAFE_NO_PAD.encode(&*bytes.as_bytes()))
}

/// Only what [`to_base64url`] makes: each text has one form.
fn from_base64url(lua: &Lua, text: String) -> mlua::Result<(Option<String>, Option<&'static str>)> {
    match URL_SAFE_NO_PAD.decode(&*text.as_bytes()) {
        Ok(bytes) => Ok((Some(lua.create_string(bytes)?), None)),
        Err(_) => Ok((None, Some("not base64url"))),
    }
}

fn to_hex(lua: &Lua, bytes: String) -> mlua::Result<String> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    lua.create_string(bytes.as_bytes().iter().flat_map(digits).collect::<Vec<u8>>())
}
