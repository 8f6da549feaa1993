//! The weight that a client gives to one of several choices: a qvalue (RFC 9110, 12.4.2).

/// Thousandths, 0 to 1000; `None` if it is malformed.
pub fn parse_weight(value: &[u8]) -> Option<u16> {
    let (whole, fraction) = match value {
        [whole] => (whole, &b""[..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0, |sum, &digit| 10 * sum + u16::from(digit - b'0'));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights() {
        for (text, thousandths) in
            [("0", 0), ("1", 1000), ("0.5", 500), ("0.25", 250), ("0.001", 1), ("1.000", 1000), ("0.", 0), ("1.", 1000)]
        {
            assert_eq!(parse_weight(text.as_bytes()), Some(thousandths), "{text}");
        }
        for text in ["", ".5", "2", "1.001", "0.1234", "-0", "+1", "0,5", "0.x", "nan", "1e0"] {
            assert_eq!(parse_weight(text.as_bytes()), None, "{text}");
        }
    }
}
