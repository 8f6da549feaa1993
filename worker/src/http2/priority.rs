//! The priority of a response (RFC 9218): `u=1, i` in the request's field Priority or in a PRIORITY_UPDATE frame.
//!
//! The field is a dictionary of RFC 8941, 3.2. Only its two members that RFC 9218 defines are read; what is malformed
//! or out of its range is as if it were absent (RFC 9218, 4), so no strict parser is needed.

/// How soon a response is wanted, compared with others of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// From 0, the most urgent, to 7.
    pub urgency: u8,
    /// Its parts are of use one by one: it shares the connection with others of its urgency, instead of being sent whole.
    pub incremental: bool,
}

impl Default for Priority {
    fn default() -> Self {
        Priority { urgency: 3, incremental: false }
    }
}

impl Priority {
    /// Of a request that does not say how its client wants the response: it should not wait for another of any length.
    pub const UNSAID: Priority = Priority { urgency: 3, incremental: true };

    /// Of a field's value: the defaults where it says nothing (RFC 9218, 7.1, for the frame, too).
    pub fn parse(field: &[u8]) -> Self {
        let mut priority = Priority::default();
        let mut rest = field;
        while !rest.is_empty() {
            let (member, after) = first_member(rest);
            rest = after;
            let (key, value) = key_and_value(member);
            // The last of several with the same key counts (RFC 8941, 4.2.2).
            match (key, value) {
                (b"u", Some(&[digit @ b'0'..=b'7'])) => priority.urgency = digit - b'0',
                (b"u", _) => priority.urgency = Priority::default().urgency,
                (b"i", value) => priority.incremental = matches!(value, None | Some(b"?1")),
                _ => {}
            }
        }
        priority
    }
}

/// The bytes up to the first comma that is not within a string, and those after it.
fn first_member(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (mut is_string, mut is_escaped) = (false, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            b',' if !is_string => return (&bytes[..at], &bytes[at + 1..]),
            _ => {}
        }
    }
    (bytes, &[])
}

/// Without parameters; no value means true (RFC 8941, 3.2).
fn key_and_value(member: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = member.iter().position(|&b| b == b';').unwrap_or(member.len());
    let item = member[..end].trim_ascii();
    match item.iter().position(|&b| b == b'=') {
        Some(at) => (&item[..at], Some(&item[at + 1..])),
        None => (item, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urgency_and_incremental_are_read() {
        for (field, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i", 3, true),
            ("i=?1,u=5", 5, true),
            ("i=?0", 3, false),
            (" \t u=1 ,\ti ", 1, true),
            ("u=1;x=2, i;y", 1, true),
            ("u=1, u=2", 2, false),
            ("i, i=?0", 3, false),
            ("unknown=\"u=1, i\", u=2", 2, false),
            ("unknown=\"\\\", u=1\", i", 3, true),
            ("unknown=(a b c), i", 3, true),
            // Out of range, or of another type.
            ("u=8", 3, false),
            ("u=-1", 3, false),
            ("u=10", 3, false),
            ("u=1.0", 3, false),
            ("u=\"1\"", 3, false),
            ("u", 3, false),
            ("u=1, u=9", 3, false),
            ("i=1", 3, false),
            ("i=true", 3, false),
            ("U=1, I", 3, false),
            ("u = 1", 3, false),
            (",,,", 3, false),
            ("=", 3, false),
            ("\"", 3, false),
        ] {
            assert_eq!(Priority::parse(field.as_bytes()), Priority { urgency, incremental }, "{field}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_priority(field in "([ui=?0-9;, \"\\\\]|\\PC){0,30}") {
            prop_assert!(Priority::parse(field.as_bytes()).urgency <= 7);
        }
    }
}
