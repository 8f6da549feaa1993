//! `tine.json`: JSON as values of Lua, and back. What cannot be converted is nil and why; nothing raises an error.
//!
//! An array is a table with the metatable `array_metatable`, which `decode` sets, or one with a value at 1; any other
//! table is an object, whose names are strings. null is `json.null`, so that a table can have it as a value.

use mlua::{Function, Lua, MultiValue, String, Table, Value};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::ffi::c_void;
use std::fmt;
use std::ops::Range;

/// Of tables within tables; as deep as serde_json reads.
const DEPTH_MAX: usize = 127;
/// Of a text that is made: a table is written at each of its places, so a few could make any length.
const TEXT_BYTES_MAX: usize = 64 << 20;

pub fn module(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    let array = lua.create_table()?;
    module.raw_set("null", Value::NULL)?;
    module.raw_set("array_metatable", &array)?;
    module.raw_set("encode", encode(lua, &array)?)?;
    module.raw_set("decode", decode(lua, &array)?)?;
    let mark = move |_: &Lua, table: Table| {
        table.set_metatable(Some(array.clone()))?;
        Ok(table)
    };
    module.raw_set("array", lua.create_function(mark)?)?;
    Ok(module)
}

fn refused(lua: &Lua, why: &str) -> mlua::Result<MultiValue> {
    Ok(MultiValue::from_iter([Value::Nil, Value::String(lua.create_string(why)?)]))
}

/// `decode(text)` returns the value, or nil and why it is none.
fn decode(lua: &Lua, array: &Table) -> mlua::Result<Function> {
    let array = array.clone();
    lua.create_function(move |lua, text: String| {
        let failed = RefCell::default();
        let text = text.as_bytes();
        let mut source = serde_json::Deserializer::from_slice(&text);
        let decoded = Decoder { lua, array: &array, failed: &failed }.deserialize(&mut source);
        match decoded.and_then(|value| source.end().map(|()| value)) {
            Ok(value) => Ok(MultiValue::from_iter([value])),
            Err(error) => failed.take().map_or_else(|| refused(lua, &error.to_string()), Err),
        }
    })
}

/// Makes the value that the text has next.
#[derive(Clone, Copy)]
struct Decoder<'a> {
    lua: &'a Lua,
    array: &'a Table,
    /// The error that ended it, if it is Lua's: there was no memory.
    failed: &'a RefCell<Option<mlua::Error>>,
}

impl Decoder<'_> {
    fn made<T, E: Error>(&self, made: mlua::Result<T>) -> Result<T, E> {
        made.map_err(|error| {
            let text = E::custom(&error);
            self.failed.replace(Some(error));
            text
        })
    }
}

impl<'de> DeserializeSeed<'de> for Decoder<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Decoder<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::NULL)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Boolean(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Integer(number))
    }

    /// Beyond Lua's integers it is a float.
    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or(Value::Number(number as f64), Value::Integer))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        self.made(self.lua.create_string(text)).map(Value::String)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let table = self.made(self.lua.create_table())?;
        let mut count = 0;
        while let Some(value) = items.next_element_seed(self)? {
            count += 1;
            self.made(table.raw_set(count, value))?;
        }
        self.made(table.set_metatable(Some(self.array.clone())))?;
        Ok(Value::Table(table))
    }

    /// Of several values of a name the last one counts.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let table = self.made(self.lua.create_table())?;
        while let Some((name, value)) = entries.next_entry_seed(self, self)? {
            self.made(table.raw_set(name, value))?;
        }
        Ok(Value::Table(table))
    }
}

/// `encode(value)` returns the text, or nil and why there is none.
fn encode(lua: &Lua, array: &Table) -> mlua::Result<Function> {
    let array = array.to_pointer() as usize;
    lua.create_function(move |lua, value: Value| {
        let mut encoder = Encoder { text: Vec::new(), depth: 0, array: array as *const c_void };
        match encoder.value(&value) {
            Ok(()) => Ok(MultiValue::from_iter([Value::String(lua.create_string(&encoder.text)?)])),
            Err(mlua::Error::RuntimeError(why)) => refused(lua, &why),
            Err(error) => Err(error),
        }
    })
}

struct Encoder {
    text: Vec<u8>,
    depth: usize,
    /// The metatable of arrays, which the module keeps alive.
    array: *const c_void,
}

fn refuse<T>(why: impl Into<std::string::String>) -> mlua::Result<T> {
    Err(mlua::Error::RuntimeError(why.into()))
}

impl Encoder {
    fn value(&mut self, value: &Value) -> mlua::Result<()> {
        if self.text.len() > TEXT_BYTES_MAX {
            return refuse(format!("the text is longer than {TEXT_BYTES_MAX} bytes"));
        }
        match value {
            Value::Boolean(is) => self.scalar(is),
            Value::Integer(number) => self.scalar(number),
            Value::Number(number) if number.is_finite() => self.scalar(number),
            Value::Number(number) => refuse(format!("JSON has no {number}")),
            Value::String(text) => self.string(text),
            Value::Table(table) => self.table(table),
            null if null.is_nil() || null.is_null() => self.scalar(&()),
            other => refuse(format!("a {} cannot be JSON", other.type_name())),
        }
    }

    fn scalar(&mut self, value: &impl serde::Serialize) -> mlua::Result<()> {
        serde_json::to_writer(&mut self.text, value).map_err(mlua::Error::external)
    }

    fn string(&mut self, text: &String) -> mlua::Result<()> {
        match std::str::from_utf8(&text.as_bytes()) {
            Ok(text) => self.scalar(&text),
            Err(_) => refuse("a string is not UTF-8"),
        }
    }

    fn table(&mut self, table: &Table) -> mlua::Result<()> {
        if self.depth == DEPTH_MAX {
            return refuse(format!("tables are nested deeper than {DEPTH_MAX}"));
        }
        self.depth += 1;
        let length = table.raw_len();
        if length > 0 || table.metatable().is_some_and(|metatable| metatable.to_pointer() == self.array) {
            self.array(table, length)?;
        } else {
            self.object(table)?;
        }
        self.depth -= 1;
        Ok(())
    }

    fn array(&mut self, table: &Table, length: usize) -> mlua::Result<()> {
        let mut count = 0;
        table.for_each(|key: Value, _: bool| {
            count += 1;
            match key {
                Value::Integer(index) if (1..=length as i64).contains(&index) => Ok(()),
                Value::String(name) => refuse(format!("an array has the name {:?}", name.to_string_lossy())),
                _ => refuse("an array has a key that is not an index"),
            }
        })?;
        if count != length {
            return refuse("an array has holes; put json.null there");
        }
        self.text.push(b'[');
        for index in 1..=length {
            if index > 1 {
                self.text.push(b',');
            }
            self.value(&table.raw_get(index)?)?;
        }
        self.text.push(b']');
        Ok(())
    }

    /// Sorted by name, so that equal values have equal texts, and those equal tags.
    fn object(&mut self, table: &Table) -> mlua::Result<()> {
        self.text.push(b'{');
        let start = self.text.len();
        let mut entries: Vec<Range<usize>> = Vec::new();
        table.for_each(|name: Value, value: Value| {
            let from = self.text.len() - start;
            match &name {
                Value::String(name) => self.string(name)?,
                other => return refuse(format!("the name of a value is a {}; JSON has strings", other.type_name())),
            }
            self.text.push(b':');
            self.value(&value)?;
            entries.push(from..self.text.len() - start);
            Ok(())
        })?;
        let unsorted = self.text.split_off(start);
        entries.sort_unstable_by_key(|entry| &unsorted[entry.clone()]);
        for (number, entry) in entries.into_iter().enumerate() {
            if number > 0 {
                self.text.push(b',');
            }
            self.text.extend_from_slice(&unsorted[entry]);
        }
        self.text.push(b'}');
        Ok(())
    }
}
