//! Header fields given as bytes: checked one by one, and kept as the lines that are sent.
//!
//! For code that gets a head from another program, with values that need not be UTF-8. Two fields that the server sets
//! otherwise may be set here and replace its own: `Date` and `Server`.

use super::response::{HeaderError, NOT_FORWARDED, is_close, is_text_byte, is_token_byte};

/// Header fields as the lines that are sent.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    pub(crate) lines: Vec<u8>,
    pub(crate) sets_date: bool,
    pub(crate) sets_server: bool,
    /// `Connection: close` was added: not kept as a line, as the server adds its own.
    pub(crate) closes: bool,
}

impl Fields {
    /// No field yet.
    pub fn new() -> Self {
        Fields::default()
    }

    /// No field yet, and room for lines of this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Fields { lines: Vec::with_capacity(bytes), ..Fields::default() }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        let mut lines = self.lines.split(|&byte| byte == b'\n').filter_map(|line| line.split_at_checked(name.len()));
        lines.any(|(field, rest)| rest.starts_with(b":") && field.eq_ignore_ascii_case(name.as_bytes()))
    }

    /// Each field.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let lines = self.lines.split(|&byte| byte == b'\n').filter_map(|line| line.strip_suffix(b"\r"));
        // As they were pushed.
        lines.filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((&line[..colon], &line[colon + b": ".len()..]))
        })
    }

    /// Adds the others' fields after the existing ones.
    pub fn append(&mut self, others: &Fields) {
        self.lines.extend_from_slice(&others.lines);
        self.sets_date |= others.sets_date;
        self.sets_server |= others.sets_server;
        self.closes |= others.closes;
    }

    /// Adds a field after the existing ones. Names that are not tokens, values with a control character (RFC 9110, 5.1
    /// and 5.5), and fields that belong to the connection or frame the message are refused. But `Connection: close` is
    /// accepted: the connection ends after the response.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), HeaderError> {
        let shown = || String::from_utf8_lossy(name).into_owned();
        if name.is_empty() || !name.iter().all(|&b| is_token_byte(b)) {
            return Err(HeaderError(format!("{:?} is not a header name", shown())));
        }
        if !value.iter().copied().all(is_text_byte) {
            let value = String::from_utf8_lossy(value);
            return Err(HeaderError(format!("the value of {} has a control character: {value:?}", shown())));
        }
        if is_close(name, value) {
            self.closes = true;
            return Ok(());
        }
        if NOT_FORWARDED.iter().any(|no| name.eq_ignore_ascii_case(no.as_bytes())) {
            return Err(HeaderError(format!("{} belongs to the connection, which is the server's", shown())));
        }
        match name.len() {
            4 => self.sets_date |= name.eq_ignore_ascii_case(b"date"),
            6 => self.sets_server |= name.eq_ignore_ascii_case(b"server"),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                return Err(HeaderError("Content-Length is declared as the length of the head".to_string()));
            }
            _ => {}
        }
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_split_a_response_or_belongs_to_the_connection_is_refused() {
        let mut fields = Fields::new();
        for (name, value) in [("X-Fine", "a\tb; \u{e9}"), ("date", "now"), ("X", ""), ("Set-Cookie", "a=1")] {
            assert_eq!(fields.push(name.as_bytes(), value.as_bytes()), Ok(()), "{name}");
        }
        assert_eq!(fields.push(b"X-Latin", b"caf\xe9"), Ok(()));
        assert!(fields.has("x-FINE") && fields.has("X") && !fields.has("X-Fin") && !fields.has("a"));
        let before = fields.lines.clone();
        assert!(fields.sets_date && !fields.sets_server && !fields.closes);
        assert_eq!(fields.push(b"connection", b"Close"), Ok(()));
        assert!(fields.closes && fields.lines == before, "it is not a line of its own");
        for (name, value) in [
            ("X", "a\r\nSet-Cookie: evil=1"),
            ("X", "a\nb"),
            ("X", "a\0b"),
            ("X", "a\rb"),
            ("X\r\nY", "a"),
            ("", "a"),
            ("a b", "a"),
            ("a:b", "a"),
            ("content-LENGTH", "5"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "keep-alive"),
            ("Connection", "close, X"),
            ("keep-alive", "5"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("Proxy-Authenticate", "x"),
        ] {
            assert!(fields.push(name.as_bytes(), value.as_bytes()).is_err(), "{name}: {value:?}");
        }
        assert_eq!(fields.lines, before);
        assert!(before.starts_with(b"X-Fine: a\tb; \xc3\xa9\r\ndate: now\r\nX: \r\n"));
    }
}
