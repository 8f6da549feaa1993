//! Numbers for people, in few columns.

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

/// `84us`, `3.1ms`, `245ms`, `1.25s`, and above a minute as [`age`]: at most six columns.
pub fn duration(seconds: f64) -> String {
    let us = seconds.max(0.0) * 1e6;
    match us {
        _ if us < 999.5 => format!("{us:.0}us"),
        _ if us < 99_950.0 => format!("{:.1}ms", us / 1e3),
        _ if us < 999_500.0 => format!("{:.0}ms", us / 1e3),
        _ if us < 59_995_000.0 => format!("{:.2}s", us / 1e6),
        _ => age(seconds),
    }
}

pub fn percent(value: f64) -> String {
    format!("{value:.0}%")
}

/// Two or three digits are enough to see a change: `0.3`, `812`, `5.2k`, `1.3M`.
pub fn rate(per_second: f64) -> String {
    // Above this, rounding would give `1000`.
    match per_second {
        0.0 => "0".to_string(),
        _ if per_second < 9.95 => format!("{per_second:.1}"),
        _ if per_second < 999.5 => format!("{per_second:.0}"),
        _ if per_second < 999_950.0 => format!("{:.1}k", per_second / 1e3),
        _ => format!("{:.1}M", per_second / 1e6),
    }
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
    fn durations_keep_what_matters() {
        for (seconds, expected) in [
            (0.0, "0us"),
            (84.4e-6, "84us"),
            (999.6e-6, "1.0ms"),
            (0.003_14, "3.1ms"),
            (0.0999, "99.9ms"),
            (0.245, "245ms"),
            (0.9996, "1.00s"),
            (1.25, "1.25s"),
            (61.0, "1m01s"),
        ] {
            assert_eq!(duration(seconds), expected);
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
}
