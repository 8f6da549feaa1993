//! Percent-encoding (RFC 3986, 2.1): of a path, a segment of one, or a parameter.

pub use tine_common::percent::decode;

use std::borrow::Cow;

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
