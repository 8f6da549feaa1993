//! Reads a line of JSON as strictly as its standard: one object of strings and numbers.
//!
//! Not serde_json: its `impl PartialEq<Value> for usize` would keep `assert_eq!(numbers, [])` from compiling anywhere in
//! this crate's tests.

use std::collections::BTreeMap;

/// The fields, with strings as what they stand for. Panics if the line is not valid.
#[track_caller]
pub fn fields(line: &str) -> BTreeMap<String, String> {
    let mut rest = line.strip_prefix('{').expect("an object");
    let mut fields = BTreeMap::new();
    loop {
        let (key, after) = string(rest);
        let after = after.strip_prefix(':').expect("a colon");
        let (value, after) = match after.starts_with('"') {
            true => string(after),
            false => {
                let end = after.find([',', '}']).expect("an end");
                assert!(after[..end].parse::<f64>().is_ok(), "{}, not a number: {line}", &after[..end]);
                (after[..end].to_string(), &after[end..])
            }
        };
        assert_eq!(fields.insert(key, value), None, "each key once: {line}");
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None => break assert_eq!(after, "}", "{line}"),
        }
    }
    fields
}

/// The string at the front, and what follows it.
fn string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = text.strip_prefix('"').expect("a string");
    loop {
        let c = rest.chars().next().expect("the string's end");
        rest = &rest[c.len_utf8()..];
        match c {
            '"' => return (value, rest),
            '\\' => {
                let escaped = rest.chars().next().expect("an escape");
                rest = &rest[escaped.len_utf8()..];
                value.push(match escaped {
                    '"' | '\\' => escaped,
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let (code, after) = rest.split_at(4);
                        rest = after;
                        u32::from_str_radix(code, 16).ok().and_then(char::from_u32).expect("a character")
                    }
                    _ => panic!("\\{escaped}: not an escape"),
                });
            }
            c => {
                assert!(!c.is_control(), "{c:?} is not escaped");
                value.push(c);
            }
        }
    }
}
