//! What `tine.shared` returns: a dictionary of the workers, with the methods of nginx's `ngx.shared.DICT`. As there, what
//! cannot be done is a second value, `nil, "not found"`, and raises nothing.

use mlua::{Function, IntoLua, Lua, MultiValue, String, UserData, UserDataMethods, Value};
use std::cell::RefCell;
use tine_common::units::parse_size;
use tine_worker::app::shared::{self, Dictionaries, Dictionary, Item, Refused, Store};

/// `keys` returns this many unless it is told otherwise, as in nginx.
const KEYS: usize = 1024;
/// Larger strings are read into memory that is given back.
const KEPT_BYTES_MAX: usize = 64 << 10;
const SECONDS_MAX: f64 = 1e10;

const NIL_KEY: &str = "nil key";
const BAD_KEY: &str = "bad key";
const BAD_VALUE: &str = "bad value";
const BAD_TIME: &str = "bad time";
const BAD_FLAGS: &str = "bad flags";
const BAD_COUNT: &str = "bad count";

struct Shared {
    dictionary: Dictionary,
    /// The bytes of a string on their way to Lua.
    bytes: RefCell<Vec<u8>>,
}

/// `shared(name, size)` returns the dictionary, or nil and the error.
pub fn open(lua: &Lua, dictionaries: Dictionaries) -> mlua::Result<Function> {
    lua.create_function(move |lua, (name, size): (String, Value)| {
        let opened = size_of(&size)
            .and_then(|bytes| dictionaries.open(&name.to_string_lossy(), bytes).map_err(|error| error.to_string()));
        match opened {
            Ok(dictionary) => {
                let shared = Shared { dictionary, bytes: RefCell::default() };
                Ok((Value::UserData(lua.create_userdata(shared)?), None))
            }
            Err(why) => Ok((Value::Nil, Some(why))),
        }
    })
}

fn size_of(size: &Value) -> Result<usize, std::string::String> {
    match size {
        Value::Integer(bytes) if *bytes >= 0 => Ok(*bytes as usize),
        Value::String(text) => parse_size(&text.to_string_lossy()).map(|bytes| bytes as usize),
        _ => Err("tine.shared takes a name and a size, such as \"10M\"".to_string()),
    }
}

/// Why a method did nothing.
enum Why {
    Said(&'static str),
    Refused(Refused),
}

impl From<Refused> for Why {
    fn from(refused: Refused) -> Why {
        Why::Refused(refused)
    }
}

impl Why {
    fn into_values(self, lua: &Lua, first: Value) -> mlua::Result<MultiValue> {
        let text = match self {
            Why::Said(text) => lua.create_string(text)?,
            Why::Refused(refused) => lua.create_string(refused.to_string())?,
        };
        Ok(MultiValue::from_iter([first, Value::String(text)]))
    }
}

/// What a method returns: its values, or `first` and why it did nothing.
fn answer(lua: &Lua, done: Result<MultiValue, Why>, first: Value) -> mlua::Result<MultiValue> {
    done.or_else(|why| why.into_values(lua, first))
}

fn one(value: Value) -> MultiValue {
    MultiValue::from_iter([value])
}

impl UserData for Shared {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method("get", |lua, this, key: Value| match this.get(lua, key)? {
            Ok(found) => Ok(found),
            Err(why) => why.into_values(lua, Value::Nil),
        });
        for (name, how, may_evict) in [
            ("set", Store::Always, true),
            ("safe_set", Store::Always, false),
            ("add", Store::Add, true),
            ("safe_add", Store::Add, false),
            ("replace", Store::Replace, true),
        ] {
            methods.add_method(name, move |lua, this, arguments: (Value, Value, Value, Value)| {
                answer(lua, this.store(lua, how, may_evict, arguments), Value::Boolean(false))
            });
        }
        methods.add_method("incr", |lua, this, arguments: (Value, Value, Value, Value)| {
            answer(lua, this.incr(lua, arguments), Value::Nil)
        });
        methods.add_method("delete", |lua, this, key: Value| {
            let deleted = key_of(lua, key).and_then(|key| Ok(this.dictionary.delete(&key.as_bytes())?));
            answer(lua, deleted.map(|_| one(Value::Boolean(true))), Value::Boolean(false))
        });
        methods.add_method("ttl", |lua, this, key: Value| {
            let ttl = key_of(lua, key).and_then(|key| Ok(this.dictionary.ttl_ms(&key.as_bytes())?));
            let seconds = ttl.map(|ms| ms.map_or(0.0, |ms| ms as f64 / 1000.0));
            answer(lua, seconds.map(|seconds| one(Value::Number(seconds))), Value::Nil)
        });
        methods.add_method("expire", |lua, this, (key, seconds): (Value, Value)| {
            let expired = key_of(lua, key).and_then(|key| {
                let ttl_ms = ttl_of(&seconds)?;
                Ok(this.dictionary.expire(&key.as_bytes(), ttl_ms)?)
            });
            answer(lua, expired.map(|()| one(Value::Boolean(true))), Value::Boolean(false))
        });
        methods.add_method("get_keys", |lua, this, count: Value| {
            match count_of(&count, KEYS).and_then(|count| Ok(this.dictionary.keys(count)?)) {
                Ok(keys) => {
                    let keys: Vec<String> =
                        keys.iter().map(|key| lua.create_string(key)).collect::<mlua::Result<_>>()?;
                    Ok(one(keys.into_lua(lua)?))
                }
                Err(why) => why.into_values(lua, Value::Nil),
            }
        });
        methods.add_method("flush_all", |lua, this, ()| {
            let done = this.dictionary.flush_all().map_err(Why::from);
            answer(lua, done.map(|()| one(Value::Boolean(true))), Value::Boolean(false))
        });
        methods.add_method("flush_expired", |lua, this, count: Value| {
            let flushed = count_of(&count, usize::MAX).and_then(|count| Ok(this.dictionary.flush_expired(count)?));
            answer(lua, flushed.map(|count| one(Value::Integer(count as i64))), Value::Nil)
        });
        methods.add_method("count", |lua, this, ()| {
            let count = this.dictionary.count().map_err(Why::from);
            answer(lua, count.map(|count| one(Value::Integer(count as i64))), Value::Nil)
        });
        methods.add_method("free_space", |lua, this, ()| {
            let bytes = this.dictionary.free_bytes().map_err(Why::from);
            answer(lua, bytes.map(|bytes| one(Value::Integer(bytes as i64))), Value::Nil)
        });
        methods.add_method("capacity", |_, this, ()| Ok(this.dictionary.capacity_bytes()));
    }
}

impl Shared {
    /// The value, and its flags if they are not 0.
    fn get(&self, lua: &Lua, key: Value) -> mlua::Result<Result<MultiValue, Why>> {
        let mut bytes = self.bytes.borrow_mut();
        bytes.clear();
        let found = key_of(lua, key).and_then(|key| Ok(self.dictionary.get(&key.as_bytes(), &mut bytes)?));
        let (value, flags) = match found {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(Ok(one(Value::Nil))),
            Err(why) => return Ok(Err(why)),
        };
        let value = match value {
            shared::Value::String => Value::String(lua.create_string(&*bytes)?),
            other => of_number(other),
        };
        if bytes.capacity() > KEPT_BYTES_MAX {
            *bytes = Vec::new();
        }
        Ok(Ok(match flags {
            0 => one(value),
            flags => MultiValue::from_iter([value, Value::Integer(flags.into())]),
        }))
    }

    /// Returns whether it was stored, nil for the error, and whether others were evicted.
    fn store(
        &self,
        lua: &Lua,
        how: Store,
        may_evict: bool,
        (key, value, seconds, flags): (Value, Value, Value, Value),
    ) -> Result<MultiValue, Why> {
        let key = key_of(lua, key)?;
        let key = key.as_bytes();
        let ttl_ms = ttl_of(&seconds)?;
        let flags = match flags {
            Value::Nil => 0,
            Value::Integer(flags) => u32::try_from(flags).map_err(|_| Why::Said(BAD_FLAGS))?,
            _ => return Err(Why::Said(BAD_FLAGS)),
        };
        let stored =
            |value, bytes: &[u8]| self.dictionary.store(how, &key, &Item { value, bytes, ttl_ms, flags }, may_evict);
        let is_evicted = match &value {
            Value::String(text) => stored(shared::Value::String, &text.as_bytes())?,
            Value::Nil if how == Store::Always => self.dictionary.delete(&key).map(|_| false)?,
            other => stored(number_of(other).ok_or(Why::Said(BAD_VALUE))?, &[])?,
        };
        Ok(MultiValue::from_iter([Value::Boolean(true), Value::Nil, Value::Boolean(is_evicted)]))
    }

    /// Returns the sum, nil for the error, and whether others were evicted.
    fn incr(&self, lua: &Lua, (key, by, init, seconds): (Value, Value, Value, Value)) -> Result<MultiValue, Why> {
        let key = key_of(lua, key)?;
        let by = number_of(&by).ok_or(Why::Said(BAD_VALUE))?;
        let init = match init {
            Value::Nil => None,
            init => Some(number_of(&init).ok_or(Why::Said(BAD_VALUE))?),
        };
        let (sum, is_evicted) = self.dictionary.incr(&key.as_bytes(), by, init, ttl_of(&seconds)?)?;
        Ok(MultiValue::from_iter([of_number(sum), Value::Nil, Value::Boolean(is_evicted)]))
    }
}

fn key_of(lua: &Lua, key: Value) -> Result<String, Why> {
    match key {
        Value::String(key) => Ok(key),
        Value::Nil => Err(Why::Said(NIL_KEY)),
        other => lua.coerce_string(other).ok().flatten().ok_or(Why::Said(BAD_KEY)),
    }
}

/// Numbers and booleans.
fn number_of(value: &Value) -> Option<shared::Value> {
    match value {
        Value::Integer(number) => Some(shared::Value::Integer(*number)),
        Value::Number(number) => Some(shared::Value::Number(*number)),
        Value::Boolean(is) => Some(shared::Value::Boolean(*is)),
        _ => None,
    }
}

/// Not of a string, whose bytes are elsewhere.
fn of_number(value: shared::Value) -> Value {
    match value {
        shared::Value::String => Value::Nil,
        shared::Value::Integer(number) => Value::Integer(number),
        shared::Value::Number(number) => Value::Number(number),
        shared::Value::Boolean(is) => Value::Boolean(is),
    }
}

/// Seconds, of which 0 and nil mean for ever.
fn ttl_of(seconds: &Value) -> Result<Option<u64>, Why> {
    let seconds = match seconds {
        Value::Nil => return Ok(None),
        Value::Integer(seconds) => *seconds as f64,
        Value::Number(seconds) => *seconds,
        _ => return Err(Why::Said(BAD_TIME)),
    };
    match seconds {
        0.0 => Ok(None),
        seconds if seconds > 0.0 => Ok(Some((seconds.min(SECONDS_MAX) * 1000.0).ceil() as u64)),
        _ => Err(Why::Said(BAD_TIME)),
    }
}

/// A number of entries, of which 0 means all.
fn count_of(count: &Value, default: usize) -> Result<usize, Why> {
    match count {
        Value::Nil => Ok(default),
        Value::Integer(0) => Ok(usize::MAX),
        Value::Integer(count) if *count > 0 => Ok(*count as usize),
        _ => Err(Why::Said(BAD_COUNT)),
    }
}
