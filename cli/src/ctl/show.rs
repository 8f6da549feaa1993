//! Formats numbers for humans in few columns, and untrusted texts without control characters, cut to the room there is.

pub use tine::for_cli::per_second as rate;

use std::sync::atomic::{AtomicBool, Ordering};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// `52013`, `123k`, `4.56M`: at most six columns.
pub fn count(number: u64) -> String {
    scaled(number, 1000, ["k", "M", "G", "T", "P", "E"], 99_999)
}

/// `812B`, `23.1M`: powers of 1024, at most five columns.
pub fn bytes(number: u64) -> String {
    match number {
        0..1024 => format!("{number}B"),
        _ => scaled(number, 1024, ["K", "M", "G", "T", "P", "E"], 1023),
    }
}

fn scaled(number: u64, step: u64, units: [&str; 6], whole_max: u64) -> String {
    if number <= whole_max {
        return number.to_string();
    }
    let mut value = number as f64;
    let mut unit = "";
    for next in units {
        // Above this, rounding would give a fourth digit.
        if value < 999.5 {
            break;
        }
        (value, unit) = (value / step as f64, next);
    }
    match value {
        _ if value < 9.995 => format!("{value:.2}{unit}"),
        _ if value < 99.95 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// `0.4s`, `59s`, `12m05s`, `3h07m`, `12d03h`: at most six columns below a thousand days.
pub fn age(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0..10 => format!("{:.1}s", seconds.max(0.0)),
        10..60 => format!("{whole}s"),
        60..3600 => format!("{minutes}m{:02}s", whole % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

pub fn percent(value: f64) -> String {
    format!("{value:.0}%")
}

/// At most this many columns of an untrusted text. Control characters become `?`; so do characters beyond ASCII where the
/// locale has no UTF-8. A text that is cut, here or by the server, ends in `…` or `~`.
pub fn fit(text: &str, columns: usize) -> String {
    fit_as(text, columns, IS_UTF8.load(Ordering::Relaxed))
}

/// Whether the terminal shows UTF-8; false until [`detect_utf8`] has run.
static IS_UTF8: AtomicBool = AtomicBool::new(false);

/// Detects whether the locale has UTF-8 (locale(7): the first of the three variables that is set).
pub fn detect_utf8() -> bool {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default().to_ascii_lowercase();
    let is_utf8 = locale.contains("utf-8") || locale.contains("utf8");
    IS_UTF8.store(is_utf8, Ordering::Relaxed);
    is_utf8
}

fn fit_as(text: &str, columns: usize, is_utf8: bool) -> String {
    let plain = |c: char| match c {
        ' '..='~' => c,
        _ if is_utf8 && is_harmless(c) => c,
        '\u{2026}' => '~',
        _ => '?',
    };
    let (mut fitting, mut width) = (String::new(), 0);
    let mut cut_at = 0;
    for c in text.chars().map(plain) {
        let wide = c.width().unwrap_or(0);
        if width + wide > columns {
            fitting.truncate(cut_at);
            fitting.push(if is_utf8 { '\u{2026}' } else { '~' });
            return if columns == 0 { String::new() } else { fitting };
        }
        fitting.push(c);
        width += wide;
        // The last place with room for the mark of a cut.
        if width < columns {
            cut_at = fitting.len();
        }
    }
    fitting
}

/// Neither a control character nor one that changes the direction of the text after it.
fn is_harmless(c: char) -> bool {
    let is_directional =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    !c.is_control() && !is_directional
}

/// The columns that the text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_three_digits() {
        for (number, as_count, as_bytes) in [
            (0, "0", "0B"),
            (1023, "1023", "1023B"),
            (1024, "1024", "1.00K"),
            (99_999, "99999", "97.7K"),
            (100_000, "100k", "97.7K"),
            (1_048_575, "1.05M", "1.00M"),
            (24_222_106, "24.2M", "23.1M"),
            (999_499_999, "999M", "953M"),
            (999_500_000, "1.00G", "953M"),
            (u64::MAX, "18.4E", "16.0E"),
        ] {
            assert_eq!((count(number).as_str(), bytes(number).as_str()), (as_count, as_bytes), "{number}");
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, expected) in [
            (-1.0, "0.0s"),
            (0.44, "0.4s"),
            (10.9, "10s"),
            (59.9, "59s"),
            (725.0, "12m05s"),
            (3600.0, "1h00m"),
            (86_399.0, "23h59m"),
            (1_047_600.0, "12d03h"),
        ] {
            assert_eq!(age(seconds), expected);
        }
    }

    #[test]
    fn texts_fit_and_do_no_harm() {
        for (text, columns, expected) in [
            ("/a", 5, "/a"),
            ("/abcd", 5, "/abcd"),
            ("/abcde", 5, "/abc~"),
            ("/\u{1b}[2J\n\u{e9}\u{4e2d}", 9, "/?[2J???"),
            ("/abc", 0, ""),
            ("/cut\u{2026}", 9, "/cut~"),
        ] {
            assert_eq!(fit_as(text, columns, false), expected);
        }
        for (text, columns, expected) in [
            ("/caf\u{e9}", 5, "/caf\u{e9}"),
            ("/caf\u{e9}s", 5, "/caf\u{2026}"),
            ("/\u{1b}[2J\n\u{9b}\u{202e}\u{200f}x", 12, "/?[2J????x"),
            ("\u{4e2d}\u{6587}", 4, "\u{4e2d}\u{6587}"),
            ("\u{4e2d}\u{6587}", 3, "\u{4e2d}\u{2026}"),
            ("\u{4e2d}\u{6587}", 2, "\u{2026}"),
            ("e\u{301}a", 2, "e\u{301}a"),
            ("abc", 0, ""),
            ("/cut\u{2026}", 9, "/cut\u{2026}"),
        ] {
            assert_eq!(fit_as(text, columns, true), expected, "{text:?}");
        }
    }
}
