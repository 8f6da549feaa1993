//! `Forwarded` (RFC 7239, 4), read from its end: what the nearest proxy has added is parsed before, and apart from, what came to it. So no
//! quote that a client leaves open reaches into that.

/// An element: what one proxy says. Values are without their quotes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element<'a> {
    pub client: Option<&'a [u8]>,
    pub proto: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
}

/// Takes the last element off the value of a field; `None`: it is malformed.
pub fn take_last<'a>(value: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (rest, element) = split_last(value, b',')?;
    *value = rest;
    Some(element.trim_ascii())
}

/// `None`: it is malformed.
pub fn parse(mut element: &[u8]) -> Option<Element<'_>> {
    let mut parsed = Element::default();
    while !element.is_empty() {
        let (rest, pair) = split_last(element, b';')?;
        element = rest;
        let pair = pair.trim_ascii();
        if pair.is_empty() {
            continue;
        }
        let at = memchr::memchr(b'=', pair)?;
        let (name, value) = (&pair[..at], &pair[at + 1..]);
        let place = match name {
            name if name.eq_ignore_ascii_case(b"for") => &mut parsed.client,
            name if name.eq_ignore_ascii_case(b"proto") => &mut parsed.proto,
            name if name.eq_ignore_ascii_case(b"host") => &mut parsed.host,
            _ => continue,
        };
        // Each may occur once.
        if place.replace(unquoted(value)?).is_some() {
            return None;
        }
    }
    Some(parsed)
}

/// What is after the last separator that is not in quotes, and what is before it. `None`: a quote is never opened.
fn split_last(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let mut at = text.len();
    while at > 0 {
        at -= 1;
        match text[at] {
            b'"' => at = opening(&text[..at])?,
            byte if byte == separator => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    Some((b"", text))
}

/// The place of the quote that opens what ends here: the last that no backslash escapes.
fn opening(text: &[u8]) -> Option<usize> {
    let mut end = text.len();
    loop {
        let at = memchr::memrchr(b'"', &text[..end])?;
        let backslashes = text[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(at);
        }
        end = at - backslashes;
    }
}

/// A token, or what is within quotes. None of our values needs an escape.
fn unquoted(value: &[u8]) -> Option<&[u8]> {
    match value {
        [b'"', inner @ .., b'"'] => (!inner.iter().any(|byte| matches!(byte, b'"' | b'\\'))).then_some(inner),
        token => (!token.is_empty() && !token.iter().any(|byte| matches!(byte, b'"' | b'\\' | b' ' | b'\t')))
            .then_some(token),
    }
}
