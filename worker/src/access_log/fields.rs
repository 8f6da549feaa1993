//! The fields of a request that a line wants, found in one pass over them.

use crate::http::Headers;
use tine_common::access_log::Value;

/// More are looked up one by one.
const FIELDS_MAX: usize = 12;
/// Of a name.
const LENGTH_MAX: usize = 63;
/// Places that every format has, for values that are made from a field.
pub const HOST: usize = 0;
pub const AUTHORIZATION: usize = 1;
pub const TRACEPARENT: usize = 2;

/// The names of the fields, each with a place.
#[derive(Debug)]
pub struct Wanted {
    names: Vec<Name>,
    /// The places of the names that are wanted, a bit each, by the length of the name.
    by_length: [u16; LENGTH_MAX + 1],
}

#[derive(Debug)]
struct Name {
    /// `user-agent` and `User-Agent`: as almost all clients write it, and quicker to compare.
    spellings: [Box<[u8]>; 2],
}

/// The values, by the places of their names; the first of each name.
pub type Fields<'a> = [Option<&'a [u8]>; FIELDS_MAX];

impl Default for Wanted {
    fn default() -> Wanted {
        let names = ["host", "authorization", "traceparent"].map(Name::new).into();
        Wanted { names, by_length: [0; LENGTH_MAX + 1] }
    }
}

impl Wanted {
    /// The field's place if the value is that field, as it is.
    pub fn add(&mut self, value: &Value) -> Option<usize> {
        match value {
            Value::Referer => self.place("referer"),
            Value::UserAgent => self.place("user-agent"),
            Value::RequestHeader(name) => self.place(name),
            Value::Host => self.want(HOST),
            Value::User => self.want(AUTHORIZATION),
            Value::TraceId | Value::SpanId => self.want(TRACEPARENT),
            _ => None,
        }
    }

    fn place(&mut self, name: &str) -> Option<usize> {
        let known = self.names.iter().position(|known| known.is(name.as_bytes()));
        if known.is_none() && (self.names.len() == FIELDS_MAX || name.len() > LENGTH_MAX) {
            return None;
        }
        let place = known.unwrap_or_else(|| {
            self.names.push(Name::new(name));
            self.names.len() - 1
        });
        self.want(place);
        Some(place)
    }

    /// The value is made from this field, but is not that.
    fn want(&mut self, place: usize) -> Option<usize> {
        self.by_length[self.names[place].spellings[0].len()] |= 1 << place;
        None
    }

    #[inline]
    pub fn find<'a>(&self, headers: Headers<'a>, fields: &mut Fields<'a>) {
        for (name, value) in headers.iter() {
            match self.by_length.get(name.len()) {
                None | Some(0) => {}
                Some(&candidates) => {
                    if let Some(place) = self.place_of(name.as_bytes(), candidates) {
                        fields[place].get_or_insert(value);
                    }
                }
            }
        }
    }

    fn place_of(&self, name: &[u8], mut candidates: u16) -> Option<usize> {
        while candidates != 0 {
            let place = candidates.trailing_zeros() as usize;
            if self.names.get(place)?.is(name) {
                return Some(place);
            }
            candidates &= candidates - 1;
        }
        None
    }
}

impl Name {
    fn new(name: &str) -> Name {
        let lower = name.to_ascii_lowercase().into_bytes();
        let mut mixed = lower.clone();
        mixed
            .split_mut(|&byte| byte == b'-')
            .filter_map(<[u8]>::first_mut)
            .for_each(|byte| byte.make_ascii_uppercase());
        Name { spellings: [lower.into(), mixed.into()] }
    }

    fn is(&self, name: &[u8]) -> bool {
        let [lower, mixed] = &self.spellings;
        let differs = match (name.first(), lower.first()) {
            (Some(first), Some(known)) => !first.eq_ignore_ascii_case(known),
            _ => name.len() != lower.len(),
        };
        !differs && (**mixed == *name || **lower == *name || lower.eq_ignore_ascii_case(name))
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
        let find = |wanted: &Wanted| {
            let mut found = Fields::default();
            wanted.find(Headers::new(&fields), &mut found);
            found
        };
        let found = find(&wanted);
        assert_eq!(found[..6], [None, None, None, Some(&b"curl"[..]), Some(b"1"), None]);
        assert_eq!(wanted.add(&Value::Host), None, "it is in the target as well");
        assert_eq!(find(&wanted)[HOST], Some(&b"h"[..]));
        let others: Vec<_> = (0..9).map(|n| wanted.add(&header(&format!("X-{n}")))).collect();
        assert_eq!((others[6], others[7]), (Some(11), None), "then they are looked up one by one");
    }
}
