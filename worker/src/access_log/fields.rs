//! The fields of a request that a line wants, found in one pass over them.

use crate::http::Headers;
use tine_common::access_log::Value;

/// More are looked up one by one.
const FIELDS_MAX: usize = 12;
/// Places that every format has, for values that are made from a field.
pub const HOST: usize = 0;
pub const AUTHORIZATION: usize = 1;
pub const TRACEPARENT: usize = 2;

/// The names of the fields, each with a place.
#[derive(Debug)]
pub struct Wanted {
    names: Vec<String>,
    /// A bit for each length of a name up to 63.
    lengths: u64,
}

/// The values, by the places of their names; the first of each name.
pub type Fields<'a> = [Option<&'a [u8]>; FIELDS_MAX];

impl Default for Wanted {
    fn default() -> Wanted {
        let mut wanted = Wanted { names: Vec::new(), lengths: 0 };
        for (name, place) in [("host", HOST), ("authorization", AUTHORIZATION), ("traceparent", TRACEPARENT)] {
            assert_eq!(wanted.place(name), Some(place));
        }
        wanted
    }
}

impl Wanted {
    /// The field's place if the value is that field, as it is.
    pub fn add(&mut self, value: &Value) -> Option<usize> {
        match value {
            Value::Referer => self.place("referer"),
            Value::UserAgent => self.place("user-agent"),
            Value::RequestHeader(name) => self.place(name),
            _ => None,
        }
    }

    fn place(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.names.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            return Some(place);
        }
        if self.names.len() == FIELDS_MAX || name.len() > 63 {
            return None;
        }
        self.names.push(name.to_string());
        self.lengths |= 1 << name.len();
        Some(self.names.len() - 1)
    }

    pub fn find<'a>(&self, headers: Headers<'a>) -> Fields<'a> {
        let mut fields = [None; FIELDS_MAX];
        for (name, value) in headers.iter() {
            if name.len() > 63 || self.lengths >> name.len() & 1 == 0 {
                continue;
            }
            let is_it = |known: &String| known.len() == name.len() && known.eq_ignore_ascii_case(name);
            if let Some(place) = self.names.iter().position(is_it) {
                fields[place].get_or_insert(value);
            }
        }
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_whatever_its_case_and_only_the_first() {
        let mut wanted = Wanted::default();
        let header = |name: &str| Value::RequestHeader(name.to_string());
        assert_eq!(wanted.add(&Value::UserAgent), Some(3));
        assert_eq!((wanted.add(&header("X-A")), wanted.add(&header("x-a"))), (Some(4), Some(4)));
        assert_eq!((wanted.add(&Value::Path), wanted.add(&header(&"x".repeat(64)))), (None, None));
        let fields = [("x-b", "no"), ("USER-agent", "curl"), ("X-A", "1"), ("x-A", "2"), ("X-AB", "no"), ("Host", "h")]
            .map(|(name, value)| httparse::Header { name, value: value.as_bytes() });
        let found = wanted.find(Headers::new(&fields));
        assert_eq!(found[..6], [Some(&b"h"[..]), None, None, Some(b"curl"), Some(b"1"), None]);
        let others: Vec<_> = (0..9).map(|n| wanted.add(&header(&format!("X-{n}")))).collect();
        assert_eq!((others[6], others[7]), (Some(11), None), "then they are looked up one by one");
    }
}
