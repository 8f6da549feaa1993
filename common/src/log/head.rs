//! The head of a log line. Also for signal handlers: nothing is allocated, no lock is taken.

use super::{journal, json};
use crate::fixed_text::FixedText;
use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-21T01:17:24.123Z ERROR worker 3[4711] `, or for the journal `<3>ERROR worker 3[4711] `.
pub fn push_head(text: &mut FixedText, level: &str, process_name: &str) {
    if journal::is_it() {
        text.push(journal::priority(level));
    }
    if json::is_it() {
        return json::push_head(text, level, process_name);
    }
    if !journal::is_it() {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        push_time(text, since);
        text.push(" ");
    }
    // Writing to this cannot fail, here and below.
    let _ = write!(text, "{level} {process_name}[{}] ", std::process::id());
}

/// `2026-11-21T01:17:24.123Z`. The C library's calendar takes a lock.
pub fn push_time(text: &mut FixedText, since: Duration) {
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Days of eras of 400 years, which begin with a March (Hinnant, "chrono-compatible low-level date algorithms").
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let _ = write!(text, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_is_right() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_795_223_844, "2026-11-21T01:17:24Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
        ] {
            let mut text = FixedText::default();
            push_time(&mut text, Duration::from_secs(seconds) + Duration::from_micros(7_999));
            assert_eq!(String::from_utf8_lossy(text.as_bytes()), expected.replace('Z', ".007Z"));
        }
    }
}
