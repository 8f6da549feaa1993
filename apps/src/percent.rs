//! Percent-encoding (RFC 3986, 2.1): of a path, a segment of one, or a parameter.

use std::borrow::Cow;

/// The bytes of `text` with each `%XX` decoded, once. `Err`: the same, with malformed escapes left as they are.
pub fn decode(text: &str) -> Result<Cow<'_, [u8]>, Vec<u8>> {
    let bytes = text.as_bytes();
    if memchr::memchr(b'%', bytes).is_none() {
        return Ok(Cow::Borrowed(bytes));
    }
    let digit = |b: u8| char::from(b).to_digit(16).map(|digit| digit as u8);
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut is_well_formed = true;
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
        } else if let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(*byte);
            is_well_formed = false;
        }
    }
    if is_well_formed { Ok(Cow::Owned(decoded)) } else { Err(decoded) }
}

/// The decoded text; invalid UTF-8 becomes U+FFFD.
#[cfg(any(test, feature = "testbed"))]
pub fn decode_text(text: &str) -> Cow<'_, str> {
    match decode(text) {
        Ok(Cow::Borrowed(_)) => Cow::Borrowed(text),
        Ok(Cow::Owned(bytes)) | Err(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

/// Part of a request target, encoded for a URL: a client may have sent characters above ASCII unencoded.
pub fn encode_above_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let mut url = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            url.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|b| url.push_str(&format!("%{b:02X}")));
        }
    }
    Cow::Owned(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_decoded_once_and_invalid_utf8_is_shown() {
        for (text, expected) in [
            ("/bin/1K", "/bin/1K"),
            ("/%62in/1%4b", "/bin/1K"),
            ("/%2541", "/%41"),
            ("/ä%c3%a4%ff", "/ää\u{fffd}"),
            ("/%", "/%"),
        ] {
            assert_eq!(decode_text(text), expected, "{text}");
        }
    }

    #[test]
    fn a_url_is_ascii() {
        for (text, expected) in [("a=%20&b", "a=%20&b"), ("é=€", "%C3%A9=%E2%82%AC"), ("", "")] {
            assert_eq!(encode_above_ascii(text), expected, "{text}");
        }
    }
}
