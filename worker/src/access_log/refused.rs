//! What a line has of a head that was refused: its first line, and if that is complete and has the form of a request line, its
//! parts. None of it was checked any further, and fields of the head are not looked at.

use super::datum::Datum;
use super::values::foreign;
use tine_common::access_log::Value;

#[derive(Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    /// `None`: the target has no path, as that of CONNECT.
    pub path: Option<&'a [u8]>,
    /// From the mark on.
    query: Option<&'a [u8]>,
    /// `HTTP/1.1`
    protocol: &'a [u8],
}

impl<'a> RequestLine<'a> {
    pub fn of(bytes: &'a [u8]) -> Option<RequestLine<'a>> {
        let end = memchr::memchr(b'\n', bytes)?;
        let mut words = first_line(&bytes[..end]).split(|&byte| byte == b' ');
        let [method, target, protocol] = [words.next()?, words.next()?, words.next()?];
        let is_version = matches!(protocol, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']);
        let is_visible = |word: &[u8]| !word.is_empty() && word.iter().all(|&byte| byte > b' ' && byte != 0x7f);
        if words.next().is_some() || !is_version || !is_visible(method) || !is_visible(target) {
            return None;
        }
        let (before, query) = target.split_at(memchr::memchr(b'?', target).unwrap_or(target.len()));
        let path = match before {
            [b'/', ..] | b"*" => Some(before),
            _ => memchr::memmem::find(before, b"://").map(|scheme| {
                let authority = &before[scheme + 3..];
                match memchr::memchr(b'/', authority) {
                    Some(end) => &authority[end..],
                    None => b"/",
                }
            }),
        };
        Some(RequestLine { method, path, query: Some(query).filter(|query| !query.is_empty()), protocol })
    }

    /// Without the mark.
    pub fn query(&self) -> Option<&'a [u8]> {
        self.query.map(|query| &query[1..])
    }

    /// `1.1`
    pub fn version(&self) -> &'a [u8] {
        &self.protocol["HTTP/".len()..]
    }
}

fn first_line(bytes: &[u8]) -> &[u8] {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What a value comes to.
#[inline(never)]
pub fn of_refused<'d>(value: &Value, bytes: &'d [u8]) -> Datum<'d> {
    if *value == Value::RequestLine {
        return foreign(Some(first_line(bytes)).filter(|line| !line.is_empty()));
    }
    let Some(line) = RequestLine::of(bytes) else { return Datum::Absent };
    match value {
        Value::Method => Datum::Foreign(line.method),
        Value::Path => foreign(line.path),
        Value::Query { has_mark: true } => foreign(line.query.or(Some(b""))),
        Value::Query { has_mark: false } => foreign(line.query()),
        Value::Protocol => Datum::Own(line.protocol),
        Value::ProtocolVersion => Datum::Own(line.version()),
        _ => Datum::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_parts_if_it_is_complete_and_has_three_words() {
        let parts = |bytes: &'static str| {
            let line = RequestLine::of(bytes.as_bytes())?;
            let text = |bytes: &'static [u8]| std::str::from_utf8(bytes).expect("text");
            Some((text(line.method), line.path.map(text), line.query().map(text), text(line.version())))
        };
        for (bytes, expected) in [
            ("GET /p?a=b?c HTTP/1.1\r\nBad header\r\n", Some(("GET", Some("/p"), Some("a=b?c"), "1.1"))),
            ("B\u{e9} /\u{e9}? HTTP/1.0\n", Some(("B\u{e9}", Some("/\u{e9}"), Some(""), "1.0"))),
            ("GET http://h/p HTTP/2.0\r\n", Some(("GET", Some("/p"), None, "2.0"))),
            ("GET http://h?q HTTP/1.1\r\n", Some(("GET", Some("/"), Some("q"), "1.1"))),
            ("OPTIONS * HTTP/1.1\r\n", Some(("OPTIONS", Some("*"), None, "1.1"))),
            ("CONNECT h:443 HTTP/1.1\r\n", Some(("CONNECT", None, None, "1.1"))),
            ("GET /p HTTP/1.1", None),
            ("GET /p HTTP/1.1 \r\n", None),
            ("GET  HTTP/1.1\r\n", None),
            ("GET /p\tq HTTP/1.1\r\n", None),
            ("GET /p\r\n", None),
            ("GET /p HTTP/1.\r\n", None),
            ("\r\nGET /p HTTP/1.1\r\n", None),
            ("\n", None),
            ("", None),
        ] {
            assert_eq!(parts(bytes), expected, "{bytes:?}");
        }
    }
}
