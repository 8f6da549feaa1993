//! What Prometheus allows as the name of a metric or a label, and what it advises.

use super::MetricError;
use crate::telemetry::exposition::Kind;

const NAME_BYTES_MAX: usize = 128;
const HELP_BYTES_MAX: usize = 512;
pub const LABELS_MAX: usize = 8;
pub const BOUNDS_MAX: usize = 64;
/// The beginnings of the server's own names.
const RESERVED: [&str; 2] = ["tine_", "http_server_"];
/// Endings that Prometheus gives to the samples of a metric.
const OF_SAMPLES: [&str; 4] = ["_count", "_sum", "_bucket", "_created"];

pub fn check(kind: Kind, name: &str, help: &str, labels: &[&str]) -> Result<(), MetricError> {
    let error = |why: String| Err(MetricError(format!("the metric {name:?} {why}")));
    if !is_name(name, true) {
        return error("must be letters, digits, _ and :, and not begin with a digit".into());
    }
    if let Some(reserved) = RESERVED.into_iter().find(|reserved| name.starts_with(reserved)) {
        return error(format!("must not begin with {reserved}, as the server's own do"));
    }
    if name.len() > NAME_BYTES_MAX || help.len() > HELP_BYTES_MAX {
        return error(format!("is too long: a name has at most {NAME_BYTES_MAX} bytes, a help {HELP_BYTES_MAX}"));
    }
    if help.contains('\0') {
        return error("must not have a zero byte in its help".into());
    }
    match (kind, name.ends_with("_total")) {
        (Kind::Counter, false) => return error("is a counter, and must end with _total".into()),
        (Kind::Gauge | Kind::Histogram, true) => {
            return error("must not end with _total, which is for counters".into());
        }
        _ => {}
    }
    if let Some(ending) = OF_SAMPLES.into_iter().find(|ending| name.ends_with(ending)) {
        return error(format!("must not end with {ending}"));
    }
    if labels.len() > LABELS_MAX {
        return error(format!("has more than {LABELS_MAX} labels"));
    }
    for (place, label) in labels.iter().enumerate() {
        if !is_name(label, false) || label.starts_with("__") || label.len() > NAME_BYTES_MAX {
            return error(format!("has a label {label:?}: it must be letters, digits and _, and not begin with __"));
        }
        if kind == Kind::Histogram && *label == "le" {
            return error("has a label le, which is of its buckets".into());
        }
        if labels[..place].contains(label) {
            return error(format!("has the label {label} twice"));
        }
    }
    Ok(())
}

pub fn check_bounds(name: &str, bounds: &[f64]) -> Result<(), MetricError> {
    let is_rising = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    if bounds.is_empty() || bounds.len() > BOUNDS_MAX || !is_rising || bounds.iter().any(|bound| !bound.is_finite()) {
        return Err(MetricError(format!(
            "the bounds of the metric {name:?} must be 1 to {BOUNDS_MAX} finite numbers, each above the one before"
        )));
    }
    Ok(())
}

fn is_name(name: &str, colons: bool) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || colons && byte == b':';
    name.bytes().all(is_fine) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_prometheus() {
        for (kind, name, labels) in [
            (Kind::Counter, "orders_total", &["kind", "_x9"][..]),
            (Kind::Gauge, "a:b_c9", &[]),
            (Kind::Histogram, "latency_seconds", &["a"]),
            (Kind::Gauge, "with_le", &["le"]),
        ] {
            assert!(check(kind, name, "Help.", labels).is_ok(), "{name}");
        }
        for (kind, name, labels, why) in [
            (Kind::Gauge, "", &[][..], "letters"),
            (Kind::Gauge, "9a", &[], "letters"),
            (Kind::Gauge, "a-b", &[], "letters"),
            (Kind::Gauge, "é", &[], "letters"),
            (Kind::Gauge, "tine_x", &[], "tine_"),
            (Kind::Counter, "orders", &[], "_total"),
            (Kind::Gauge, "orders_total", &[], "for counters"),
            (Kind::Histogram, "x_bucket", &[], "_bucket"),
            (Kind::Gauge, "x", &["a", "a"], "twice"),
            (Kind::Gauge, "x", &["__a"], "__"),
            (Kind::Gauge, "x", &["a:b"], "label"),
            (Kind::Histogram, "x", &["le"], "le"),
            (Kind::Gauge, "x", &["a", "b", "c", "d", "e", "f", "g", "h", "i"], "more than 8"),
        ] {
            let error = check(kind, name, "Help.", labels).expect_err(name);
            assert!(error.to_string().contains(why), "{error}");
        }
        assert!(check(Kind::Gauge, &"x".repeat(129), "", &[]).is_err());
        assert!(check(Kind::Gauge, "x", "a\0b", &[]).is_err());
        for bounds in [&[][..], &[1.0, 1.0], &[2.0, 1.0], &[f64::NAN], &[f64::INFINITY], &[0.0; 65]] {
            assert!(check_bounds("x", bounds).is_err(), "{bounds:?}");
        }
        assert!(check_bounds("x", &[-1.0, 0.0, 2.5]).is_ok());
    }
}
