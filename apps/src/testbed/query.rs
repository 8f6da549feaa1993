//! Query parameters that are numbers or choices, and the errors for wrong ones.

use crate::percent;
use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use tine_worker::http::Request;

/// The value of a parameter. Name and value are percent-decoded; a parameter without `=` has the value `""`; the first
/// of several counts.
pub fn value<'a>(request: &Request<'a>, name: &str) -> Option<Cow<'a, str>> {
    value_in(request.query()?, name)
}

fn value_in<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query).find_map(|(key, value)| (key == name).then_some(value))
}

/// The parameters of a query, percent-decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query.split('&').map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent::decode_text(name), percent::decode_text(value))
    })
}

/// A whole number in decimal digits, in `range`; `None` where the parameter is missing. The error is the text of a 400.
pub fn number(request: &Request<'_>, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
    value(request, name).map(|text| number_of(name, &text, range)).transpose()
}

/// Parses the value of a parameter; `name` is for the error.
pub fn number_of(name: &str, text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let wanted = || wrong(name, text, format_args!("a whole number from {} to {}", range.start(), range.end()));
    digits(text).filter(|number| range.contains(number)).ok_or_else(wanted)
}

/// A boolean, in upper or lower case: `1`, `true`, `yes`, `on` or `0`, `false`, `no`, `off`; false if the parameter is
/// missing.
pub fn flag(request: &Request<'_>, name: &str) -> Result<bool, String> {
    value(request, name).map_or(Ok(false), |text| yes_or_no(&text).ok_or_else(|| wrong(name, &text, "1 or 0")))
}

fn yes_or_no(text: &str) -> Option<bool> {
    let is_one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match () {
        () if is_one_of(["1", "true", "yes", "on"]) => Some(true),
        () if is_one_of(["0", "false", "no", "off"]) => Some(false),
        () => None,
    }
}

/// Decimal digits only: no sign, no space. `None` also for numbers above 2^64 - 1.
pub fn digits(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// `size must be a whole number from 1 to 9, not "x"`
fn wrong(name: &str, value: &str, wanted: impl Display) -> String {
    format!("{name} must be {wanted}, not {value:?}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        for (query, name, expected) in [
            ("a=1&a=2", "a", Some("1")),
            ("b&a", "a", Some("")),
            ("b=1", "a", None),
            ("", "a", None),
            ("%61=%31", "a", Some("1")),
            ("a%3D1&a=%26%25", "a", Some("&%")),
            ("a=+%zz%ff", "a", Some("+%zz\u{fffd}")),
        ] {
            assert_eq!(value_in(query, name).as_deref(), expected, "{query}");
        }
    }

    #[test]
    fn flags_are_yes_or_no() {
        for (text, flag) in [
            ("1", Some(true)),
            ("TRUE", Some(true)),
            ("yes", Some(true)),
            ("On", Some(true)),
            ("0", Some(false)),
            ("False", Some(false)),
            ("no", Some(false)),
            ("off", Some(false)),
            ("", None),
            ("2", None),
            ("y", None),
        ] {
            assert_eq!(yes_or_no(text), flag, "{text}");
        }
    }

    #[test]
    fn digits_are_digits() {
        for (text, number) in [
            ("0", Some(0)),
            ("007", Some(7)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            (" 1", None),
            ("1.0", None),
            ("1e3", None),
            ("٣", None),
        ] {
            assert_eq!(digits(text), number, "{text}");
        }
    }
}
