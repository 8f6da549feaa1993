//! The static table (RFC 7541, Appendix A), and which fields of a response enter the dynamic one.

/// The entries; the first has the index 1.
pub const TABLE: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// Names that the server and the protocol use: the index of their first entry.
pub mod names {
    pub const STATUS: u8 = 8;
    pub const CONTENT_LENGTH: u8 = 28;
    pub const CONTENT_TYPE: u8 = 31;
    pub const DATE: u8 = 33;
    pub const SERVER: u8 = 54;
}

/// What a server's next value of a field is likely to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// The same as this one.
    Same,
    /// Another.
    Changing,
    /// Whatever it is, its length must not be found out by guesses (RFC 7541, 7.1).
    Secret,
}

/// Names whose values stay the same for many responses.
const SAME: [&str; 14] = [
    ":status",
    "accept-ranges",
    "access-control-allow-origin",
    "allow",
    "cache-control",
    "content-encoding",
    "content-language",
    "content-type",
    "date",
    "retry-after",
    "server",
    "strict-transport-security",
    "vary",
    "via",
];
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "set-cookie"];
/// Names that are not in the table, and whose values stay the same.
const OTHERS_THAT_STAY: [&str; 4] = ["grpc-accept-encoding", "grpc-encoding", "grpc-status", "x-content-type-options"];

/// By index.
pub static HABITS: [Habit; TABLE.len() + 1] = {
    let mut habits = [Habit::Changing; TABLE.len() + 1];
    let mut index = 1;
    while index < habits.len() {
        if has(&SAME, TABLE[index - 1].0) {
            habits[index] = Habit::Same;
        } else if has(&SECRET, TABLE[index - 1].0) {
            habits[index] = Habit::Secret;
        }
        index += 1;
    }
    habits
};

/// The indexes of the first entries with names of each length, from the front; 0 where there are no more.
static BY_LENGTH: [[u8; 8]; NAME_BYTES_MAX + 1] = {
    let mut by_length = [[0; 8]; NAME_BYTES_MAX + 1];
    let mut index = TABLE.len();
    while index > 0 {
        let name = TABLE[index - 1].0.as_bytes();
        let is_first = index == 1 || !is_same(TABLE[index - 2].0, TABLE[index - 1].0);
        if is_first && name[0] != b':' {
            let mut at = 0;
            while by_length[name.len()][at] != 0 {
                at += 1;
            }
            by_length[name.len()][at] = index as u8;
        }
        index -= 1;
    }
    by_length
};

/// `access-control-allow-origin`
const NAME_BYTES_MAX: usize = 27;

/// The entry of an index from 1.
#[inline]
pub fn get(index: usize) -> Option<(&'static [u8], &'static [u8])> {
    let (name, value) = TABLE.get(index.checked_sub(1)?)?;
    Some((name.as_bytes(), value.as_bytes()))
}

/// The index of the first entry with this name, in any case; pseudo-fields apart.
#[inline]
pub fn find(name: &[u8]) -> Option<u8> {
    let known = BY_LENGTH.get(name.len())?.iter().copied().take_while(|&index| index != 0);
    known.into_iter().find(|&index| name.eq_ignore_ascii_case(TABLE[index as usize - 1].0.as_bytes()))
}

/// The index of the entry for a status.
pub fn of_status(status: u16) -> Option<u8> {
    match status {
        200 => Some(8),
        204 => Some(9),
        206 => Some(10),
        304 => Some(11),
        400 => Some(12),
        404 => Some(13),
        500 => Some(14),
        _ => None,
    }
}

/// A name, in lower case, that the table does not have and whose values stay the same.
pub fn other_that_stays(name: &[u8]) -> Option<&'static [u8]> {
    OTHERS_THAT_STAY.iter().map(|other| other.as_bytes()).find(|other| name.eq_ignore_ascii_case(other))
}

const fn has(names: &[&str], name: &str) -> bool {
    let mut at = 0;
    while at < names.len() {
        if is_same(names[at], name) {
            return true;
        }
        at += 1;
    }
    false
}

const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_indexes_of_their_first_entries() {
        for (index, (name, _)) in TABLE.iter().enumerate() {
            let first = TABLE.iter().position(|(other, _)| other == name).unwrap() + 1;
            let found = (!name.starts_with(':')).then_some(first as u8);
            assert_eq!(find(name.as_bytes()), found, "{name}");
            assert_eq!(find(name.to_ascii_uppercase().as_bytes()), found);
            assert_eq!(get(index + 1), Some((TABLE[index].0.as_bytes(), TABLE[index].1.as_bytes())));
        }
        assert_eq!((find(b"x-other"), find(b""), find(&[b'x'; 100])), (None, None, None));
        assert_eq!((get(0), get(62)), (None, None));
        for status in 100..600 {
            let text = status.to_string();
            let entry = TABLE.iter().position(|&entry| entry == (":status", &text)).map(|at| at as u8 + 1);
            assert_eq!(of_status(status), entry);
        }
        use names::*;
        for (index, name) in [
            (STATUS, ":status"),
            (CONTENT_LENGTH, "content-length"),
            (CONTENT_TYPE, "content-type"),
            (DATE, "date"),
            (SERVER, "server"),
        ] {
            assert_eq!(TABLE[index as usize - 1].0, name);
        }
    }

    #[test]
    fn every_name_with_a_habit_is_in_the_table() {
        let count = |habit| HABITS.iter().filter(|&&found| found == habit).count();
        // `:status` has seven entries.
        assert_eq!((count(Habit::Same), count(Habit::Secret)), (SAME.len() + 6, SECRET.len()));
    }
}
