//! Sizes, durations and answers as people write them: `65536`, `64K`, `1M`; `500ms`, `10s`, `2m`; `yes`, `off`.
//!
//! Parsing is strict, and its errors state what would be accepted; printing gives the shortest form that parses back to
//! the same value.

use std::time::Duration;

const SIZE_FORMS: &str = "write it as 65536, 64K, 1M or 2G";
const DURATION_FORMS: &str = "write it as 500ms, 10s, 2m or 1h";

/// Bytes from `65536`, `64K`, `1M`, `2G` (powers of 1024; either case; an optional `B` or `iB` at the end).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (digits, unit) = split_number(text);
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(format!("{text:?} is not a size; {SIZE_FORMS}")),
    };
    let number: u64 = digits.parse().map_err(|_| format!("{text:?} is not a size; {SIZE_FORMS}"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text:?} is too large; {SIZE_FORMS}"))
}

/// A duration from `500ms`, `10s`, `2m`, `1h`; a bare `0` is zero, any other bare number is refused.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, unit) = split_number(text);
    let wrong = || format!("{text:?} is not a duration; {DURATION_FORMS}");
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let ms = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1_000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "" if number == 0 => Some(0),
        _ => return Err(wrong()),
    };
    // A year bounds every sum of a deadline and now.
    match ms {
        Some(ms) if ms <= 366 * 24 * 3_600_000 => Ok(Duration::from_millis(ms)),
        _ => Err(format!("{text:?} is longer than a year; {DURATION_FORMS}")),
    }
}

pub fn parse_yes_or_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("give true or false".to_string()),
    }
}

/// `65536` as `64K`; what has no whole unit stays in bytes.
pub fn show_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "T"), (30, "G"), (20, "M"), (10, "K")] {
        if bytes != 0 && bytes.is_multiple_of(1 << shift) {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    bytes.to_string()
}

/// `10s`, `500ms`, `2m`: the largest unit that holds the duration whole.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_string(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// `1 connection`, `2 connections`: for nouns that take an s.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65536),
            ("64K", 65536),
            ("64k", 65536),
            ("64KiB", 65536),
            ("1M", 1 << 20),
            ("2g", 2 << 30),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes), "{text} shown");
        }
        for text in ["", "K", "-1", "1.5M", "64 K", "1X", "18446744073709551616", "18014398509481984K", "+1"] {
            let error = parse_size(text).unwrap_err();
            assert!(error.contains("64K"), "{text}: {error}");
        }
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [("0", 0), ("0s", 0), ("500ms", 500), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
            assert_eq!(parse_duration(&show_duration(Duration::from_millis(ms))), Ok(Duration::from_millis(ms)));
        }
        for text in ["", "10", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999s", "9999999h"] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("10s"), "{text}: {error}");
        }
    }
}
