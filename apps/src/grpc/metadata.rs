//! The metadata of a call: fields of the request and of the response, of which those whose names end in `-bin` are in base64;
//! and the deadline.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use std::time::Duration;
use tine_worker::http::Request;

/// Padding may be there or not (PROTOCOL-HTTP2.md); none is sent.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The value of a `-bin` field, of several that are joined by commas the first. `None`: it is not in base64.
pub fn binary(value: &[u8]) -> Option<Vec<u8>> {
    let first = value.split(|&byte| byte == b',').next()?;
    BASE64.decode(first.trim_ascii()).ok()
}

pub(super) fn encode_binary(value: &[u8]) -> String {
    BASE64.encode(value)
}

/// The metadata of a request in the order of arrival: `:authority`, and all fields but those of gRPC and HTTP themselves.
pub fn metadata<'a>(request: &Request<'a>) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
    const NOT_METADATA: [&str; 8] = [
        "te",
        "content-length",
        "grpc-encoding",
        "grpc-message",
        "grpc-message-type",
        "grpc-status",
        "grpc-status-details-bin",
        "grpc-timeout",
    ];
    let named = |name: &'a str| if name == "host" { ":authority" } else { name };
    let fields = request.headers().iter().filter(|(name, _)| !NOT_METADATA.contains(name));
    fields.map(move |(name, value)| (named(name), value))
}

/// `grpc-timeout`: up to eight digits and a unit. `None`: it is malformed.
pub(super) fn parse_timeout(value: &[u8]) -> Option<Duration> {
    let (&unit, digits) = value.split_last()?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_values_may_be_padded_and_joined() {
        for (value, expected) in [
            ("AP8", Some(&[0, 255][..])),
            ("AP8=", Some(&[0, 255])),
            ("AP8,AAE", Some(&[0, 255])),
            ("AP8= , AAE=", Some(&[0, 255])),
            ("", Some(&[])),
            ("A", None),
            ("-_8", None),
        ] {
            assert_eq!(binary(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }

    #[test]
    fn timeouts_have_a_unit_and_at_most_eight_digits() {
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("1S", Some(second)),
            ("1000m", Some(second)),
            ("1000000u", Some(second)),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("2M", Some(second * 120)),
            ("99999999H", Some(second * 3600 * 99_999_999)),
            ("0n", Some(Duration::ZERO)),
            ("", None),
            ("S", None),
            ("1", None),
            ("1s", None),
            ("+1S", None),
            ("-1S", None),
            ("1.5S", None),
            ("123456789S", None),
        ] {
            assert_eq!(parse_timeout(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn binary_values_may_be_padded() {
        for (text, bytes) in
            [("", Some(&b""[..])), ("AP8", Some(b"\x00\xff")), ("AP8=", Some(b"\x00\xff")), ("%", None)]
        {
            assert_eq!(binary(text.as_bytes()).as_deref(), bytes, "{text}");
        }
        assert_eq!(encode_binary(b"\x00\xff"), "AP8");
    }
}
