//! Query parameters that are numbers or choices, and what to say about one that is wrong.

use std::fmt::Display;
use std::ops::RangeInclusive;
use tine_worker::http::Request;

/// A whole number in decimal digits, in `range`; `None` where the parameter is missing. The error is the text of a 400.
pub fn number(request: &Request<'_>, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, String> {
    let Some(text) = request.query_value(name) else { return Ok(None) };
    match digits(text).filter(|number| range.contains(number)) {
        Some(number) => Ok(Some(number)),
        None => Err(wrong(name, text, format_args!("a whole number from {} to {}", range.start(), range.end()))),
    }
}

/// Decimal digits and nothing else: no sign, no space. `None` also where the number is above 2^64 - 1.
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
