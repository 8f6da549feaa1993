//! Percent-encoding (RFC 3986, 2.1): of a path, a segment of one, a parameter, or a part of an address.

use std::borrow::Cow;

/// The bytes of `text` with each `%XX` decoded, once. `Err`: the same, with malformed escapes left as they are.
pub fn decode(text: &str) -> Result<Cow<'_, [u8]>, Vec<u8>> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut is_well_formed = true;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
        } else if let Some((digits, after)) = tail.split_at_checked(2)
            && let Some(byte) = hex_byte(digits)
        {
            decoded.push(byte);
            rest = after;
        } else {
            decoded.push(*byte);
            is_well_formed = false;
        }
    }
    if is_well_formed { Ok(Cow::Owned(decoded)) } else { Err(decoded) }
}

/// The byte that two hex digits stand for.
pub fn hex_byte(digits: &[u8]) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
    let &[high, low] = digits else { return None };
    Some(digit(high)? << 4 | digit(low)?)
}
