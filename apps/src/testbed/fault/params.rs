//! Query parameters of faults: bytes, milliseconds, flags, one of several kinds. Every number has a bound, and every
//! error is the text of a 400 that says what is accepted.

use crate::testbed::query;
use tine_worker::http::Request;

/// The most bytes of a body that a fault sends or declares.
pub const BODY_BYTES_MAX: u64 = 1 << 30;
/// A day: anything longer is a mistake.
const MS_MAX: u64 = 24 * 3_600_000;

/// A size: digits with an optional suffix K, M or G.
pub fn bytes(request: &Request<'_>, name: &str, most: u64) -> Result<Option<u64>, String> {
    let Some(text) = query::value(request, name) else { return Ok(None) };
    match bytes_of(&text).filter(|&bytes| bytes <= most) {
        Some(bytes) => Ok(Some(bytes)),
        None => {
            Err(format!("{name} must be a number of bytes from 0 to {most}, such as 512, 64K or 1M, not {text:?}\n"))
        }
    }
}

/// The suffixes are powers of 1024, as everywhere.
fn bytes_of(text: &str) -> Option<u64> {
    let shift = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => 10,
        b'm' => 20,
        b'g' => 30,
        _ => return query::digits(text),
    };
    query::digits(&text[..text.len() - 1])?.checked_mul(1 << shift)
}

pub fn milliseconds(request: &Request<'_>, name: &str) -> Result<Option<u64>, String> {
    query::number(request, name, 0..=MS_MAX)
}

/// `?name` without a value is true.
pub fn flag(request: &Request<'_>, name: &str) -> Result<bool, String> {
    let Some(text) = query::value(request, name) else { return Ok(false) };
    yes_or_no(&text).ok_or_else(|| format!("{name} must be 1 or 0, not {text:?}\n"))
}

fn yes_or_no(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "" | "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// A share, from 0 to 1.
pub fn share(request: &Request<'_>, name: &str) -> Result<Option<f64>, String> {
    let Some(text) = query::value(request, name) else { return Ok(None) };
    match share_of(&text) {
        Some(share) => Ok(Some(share)),
        None => Err(format!("{name} must be a number from 0 to 1, such as 0.1, not {text:?}\n")),
    }
}

/// Digits with or without a point: no sign, no exponent, no `nan` or `inf`.
fn share_of(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|share| is_plain && (0.0..=1.0).contains(share))
}

/// A code of HTTP/2: the name of one of `names`, whose place is its number, or any number.
pub fn code(request: &Request<'_>, names: &[&str]) -> Result<Option<u32>, String> {
    let Some(text) = query::value(request, "code") else { return Ok(None) };
    match code_of(&text, names) {
        Some(code) => Ok(Some(code)),
        None => Err(format!("code must be a number below 2^32 or one of {}, not {text:?}\n", names.join(", "))),
    }
}

fn code_of(text: &str, names: &[&str]) -> Option<u32> {
    let name = text.replace('-', "_");
    let named = names.iter().position(|other| other.eq_ignore_ascii_case(&name));
    named.map_or_else(|| query::digits(text)?.try_into().ok(), |at| Some(at as u32))
}

/// The value of the choice that the parameter names; the first if the parameter is missing.
pub fn one_of<T: Copy>(request: &Request<'_>, name: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let Some(text) = query::value(request, name) else { return Ok(choices[0].1) };
    find(&text, choices).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(choice, _)| *choice).collect();
        format!("{name} must be one of {}, not {text:?}\n", names.join(", "))
    })
}

fn find<T: Copy>(text: &str, choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(choice, _)| *choice == text).map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_suffix_or_none() {
        for (text, bytes) in [("0", 0), ("0K", 0), ("512", 512), ("64K", 65536), ("1m", 1 << 20), ("16G", 16 << 30)] {
            assert_eq!(bytes_of(text), Some(bytes), "{text}");
        }
        for text in ["", "K", "-1", "+1", "1.5K", "1KB", "1T", "1 K", "18446744073709551615K", "1é"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }

    #[test]
    fn shares_are_plain_numbers_from_0_to_1() {
        for (text, share) in
            [("0", 0.0), ("1", 1.0), ("0.1", 0.1), (".5", 0.5), ("1.", 1.0), ("0.000", 0.0), ("1.000", 1.0)]
        {
            assert_eq!(share_of(text), Some(share), "{text}");
        }
        for text in ["", ".", "-0", "+0.5", "1.1", "2", "1e-3", "nan", "inf", "0,5", " 0", "0.5.5", "٣"] {
            assert_eq!(share_of(text), None, "{text}");
        }
    }

    #[test]
    fn a_code_is_a_name_or_a_number() {
        let names = ["NO_ERROR", "PROTOCOL_ERROR"];
        for (text, code) in [("no_error", 0), ("Protocol-Error", 1), ("0", 0), ("7", 7), ("4294967295", u32::MAX)] {
            assert_eq!(code_of(text, &names), Some(code), "{text}");
        }
        for text in ["", "error", "-1", "4294967296", "0x1"] {
            assert_eq!(code_of(text, &names), None, "{text}");
        }
    }

    #[test]
    fn a_flag_is_a_yes_or_a_no() {
        for (text, expected) in [
            ("", Some(true)),
            ("1", Some(true)),
            ("Yes", Some(true)),
            ("0", Some(false)),
            ("FALSE", Some(false)),
            ("2", None),
            ("01", None),
            ("maybe", None),
        ] {
            assert_eq!(yes_or_no(text), expected, "{text}");
        }
    }

    #[test]
    fn a_choice_is_one_of_the_names_as_they_are_written() {
        let choices = [("one", 1), ("two", 2)];
        for (text, expected) in [("one", Some(1)), ("two", Some(2)), ("", None), ("One", None), ("on", None)] {
            assert_eq!(find(text, &choices), expected, "{text}");
        }
    }
}
