//! Formats numbers for humans in few columns, and untrusted texts without control characters, cut to the room there is.

pub use tine_common::figures::{age, bytes, count, duration, percent, rate};

use std::sync::atomic::{AtomicBool, Ordering};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

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
