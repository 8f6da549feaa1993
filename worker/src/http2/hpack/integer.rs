//! Integers (RFC 7541, 5.1): the rest of an octet, and as many octets as are needed.

use super::CompressionError;

/// More than four octets after the first are refused: 28 bits are more than any length or index here, and zeros at the
/// end could go on for ever.
const MORE_OCTETS_MAX: u32 = 4;

/// Takes an integer with a prefix of `bits` off the front.
#[inline]
pub fn take(bytes: &mut &[u8], bits: u32) -> Result<usize, CompressionError> {
    let (&first, rest) = bytes.split_first().ok_or(CompressionError)?;
    *bytes = rest;
    let most = (1 << bits) - 1;
    let prefix = usize::from(first) & most;
    if prefix < most { Ok(prefix) } else { take_more(bytes, most) }
}

fn take_more(bytes: &mut &[u8], mut value: usize) -> Result<usize, CompressionError> {
    for octets in 0..MORE_OCTETS_MAX {
        let (&octet, rest) = bytes.split_first().ok_or(CompressionError)?;
        *bytes = rest;
        value += usize::from(octet & 0x7f) << (7 * octets);
        if octet & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CompressionError)
}

/// Appends an integer; `first` has what precedes its prefix of `bits`.
#[inline]
pub fn put(value: usize, first: u8, bits: u32, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if value < most {
        out.push(first | value as u8);
        return;
    }
    out.push(first | most as u8);
    let mut left = value - most;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_rfc_and_the_ends_of_ranges() {
        for (value, bits, bytes) in [
            (10, 5, &[0b01010][..]),
            (1337, 5, &[0b11111, 0b1001_1010, 0b0000_1010]),
            (42, 8, &[0b0010_1010]),
            (30, 5, &[30]),
            (31, 5, &[31, 0]),
            (126, 7, &[126]),
            (127, 7, &[127, 0]),
            (254, 7, &[127, 127]),
            (255, 7, &[127, 0x80, 1]),
            (127 + (1 << 28) - 1, 7, &[127, 0xff, 0xff, 0xff, 0x7f]),
        ] {
            let mut out = Vec::new();
            put(value, 0, bits, &mut out);
            assert_eq!(out, bytes);
            for end in 0..bytes.len() {
                assert_eq!(take(&mut &bytes[..end], bits), Err(CompressionError), "{value} cut at {end}");
            }
            out.push(7);
            let mut rest = &out[..];
            assert_eq!((take(&mut rest, bits), rest), (Ok(value), &[7][..]));
        }
    }

    #[test]
    fn what_is_longer_than_any_length_is_refused() {
        for bytes in [
            &[127, 0xff, 0xff, 0xff, 0xff, 1][..],
            &[127, 0x80, 0x80, 0x80, 0x80, 0],
            &[127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(take(&mut &bytes[..], 7), Err(CompressionError), "{bytes:x?}");
        }
        // Zeros that do not exceed the length.
        assert_eq!(take(&mut &[127, 0x81, 0x80, 0x80, 0][..], 7), Ok(128));
    }
}
