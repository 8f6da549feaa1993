//! Writes metrics as Prometheus reads them: its text format 0.0.4, or OpenMetrics 1.0.

use std::fmt::{Display, Write};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    OpenMetrics,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

pub struct Exposition {
    format: Format,
    text: String,
}

/// One metric: all its samples are written before the next metric begins.
pub struct Family<'a> {
    out: &'a mut Exposition,
    name: &'a str,
    kind: Kind,
}

/// The labels of a sample, and their values, which may be any text.
pub type Pairs<'a> = [(&'a str, &'a str)];

impl Exposition {
    pub fn new(format: Format) -> Exposition {
        Exposition { format, text: String::with_capacity(16 << 10) }
    }

    /// Begins a metric. `name`: without the suffix `_total` of a counter.
    pub fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let is_open = self.format == Format::OpenMetrics;
        // There the suffix belongs to the samples only.
        let suffix = if kind == Kind::Counter && !is_open { "_total" } else { "" };
        let _ = write!(self.text, "# HELP {name}{suffix} ");
        escape(&mut self.text, help, is_open);
        let _ = writeln!(self.text, "\n# TYPE {name}{suffix} {}", kind.name());
        if let Some(unit) = ["seconds", "bytes"].into_iter().find(|unit| is_open && has_unit(name, unit)) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        Family { out: self, name, kind }
    }

    /// A metric with one sample that has no labels.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help).sample(&[], value);
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Family<'_> {
    pub fn sample(&mut self, labels: &Pairs<'_>, value: impl Display) {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        self.line(suffix, labels, None, value);
    }

    /// `labels`: as in the text, without braces; see [`label_text`].
    pub fn sample_of(&mut self, labels: &str, value: f64) {
        let suffix = if self.kind == Kind::Counter { "_total" } else { "" };
        self.line_of(suffix, labels, None, Number(value));
    }

    /// `buckets`: the number of values up to each bound that are above the bound before; the last is of those above all.
    pub fn histogram(&mut self, labels: &str, bounds: &[f64], buckets: &[u64], sum: f64) {
        let mut count = 0;
        for (bucket, number) in buckets.iter().enumerate() {
            count += number;
            let bound = bounds.get(bucket).map_or("+Inf".to_string(), |&bound| self.bound(bound));
            self.line_of("_bucket", labels, Some(&bound), count);
        }
        self.line_of("_sum", labels, None, Number(sum));
        self.line_of("_count", labels, None, count);
    }

    /// OpenMetrics wants a point in every bound; elsewhere clients write none.
    fn bound(&self, bound: f64) -> String {
        match self.out.format {
            Format::OpenMetrics => format!("{bound:?}"),
            Format::Text => format!("{bound}"),
        }
    }

    fn line(&mut self, suffix: &str, labels: &Pairs<'_>, le: Option<&str>, value: impl Display) {
        self.line_of(suffix, &label_text(labels), le, value);
    }

    fn line_of(&mut self, suffix: &str, labels: &str, le: Option<&str>, value: impl Display) {
        let text = &mut self.out.text;
        let _ = write!(text, "{}{suffix}", self.name);
        let _ = match (labels.is_empty(), le) {
            (true, None) => Ok(()),
            (false, None) => write!(text, "{{{labels}}}"),
            (true, Some(le)) => write!(text, "{{le=\"{le}\"}}"),
            (false, Some(le)) => write!(text, "{{{labels},le=\"{le}\"}}"),
        };
        let _ = writeln!(text, " {value}");
    }
}

/// A number as Prometheus reads it.
pub struct Number(pub f64);

impl Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            value if value.is_nan() => f.write_str("NaN"),
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value if value.abs() >= 1e15 || value != 0.0 && value.abs() < 1e-9 => write!(f, "{value:e}"),
            value => write!(f, "{value}"),
        }
    }
}

/// `name="value"` of each label, with commas between.
pub fn label_text(labels: &Pairs<'_>) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        escape(&mut text, value, true);
        text.push('"');
    }
    text
}

fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_'))
}

fn escape(out: &mut String, text: &str, quotes: bool) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format) -> String {
        let mut out = Exposition::new(format);
        let mut family = out.family("a_bytes", Kind::Counter, "Bytes, \"all\" of\nthem\\.");
        family.sample(&[("b", "x\"y\\z\n"), ("c", "")], 7);
        family.sample(&[], 8);
        let mut family = out.family("t_seconds", Kind::Histogram, "Times.");
        family.histogram("m=\"GET\"", &[0.5, 1.0, 2.5], &[1, 0, 2, 3], 12.25);
        family.histogram("", &[1.0], &[0, 0], 0.0);
        out.single("g", Kind::Gauge, "One.", Number(f64::INFINITY));
        out.finish()
    }

    #[test]
    fn text() {
        let expected = "# HELP a_bytes_total Bytes, \"all\" of\\nthem\\\\.\n# TYPE a_bytes_total counter\n\
             a_bytes_total{b=\"x\\\"y\\\\z\\n\",c=\"\"} 7\na_bytes_total 8\n\
             # HELP t_seconds Times.\n# TYPE t_seconds histogram\n\
             t_seconds_bucket{m=\"GET\",le=\"0.5\"} 1\nt_seconds_bucket{m=\"GET\",le=\"1\"} 1\n\
             t_seconds_bucket{m=\"GET\",le=\"2.5\"} 3\nt_seconds_bucket{m=\"GET\",le=\"+Inf\"} 6\n\
             t_seconds_sum{m=\"GET\"} 12.25\nt_seconds_count{m=\"GET\"} 6\n\
             t_seconds_bucket{le=\"1\"} 0\nt_seconds_bucket{le=\"+Inf\"} 0\nt_seconds_sum 0\nt_seconds_count 0\n\
             # HELP g One.\n# TYPE g gauge\ng +Inf\n";
        assert_eq!(written(Format::Text), expected);
    }

    #[test]
    fn open_metrics() {
        let text = written(Format::OpenMetrics);
        let beginning = "# HELP a_bytes Bytes, \\\"all\\\" of\\nthem\\\\.\n# TYPE a_bytes counter\n# UNIT a_bytes bytes\n\
             a_bytes_total{b=\"x\\\"y\\\\z\\n\",c=\"\"} 7\n";
        assert!(text.starts_with(beginning), "{text}");
        assert!(text.contains("# UNIT t_seconds seconds\n") && text.contains(",le=\"1.0\"} 1\n"), "{text}");
        assert!(text.ends_with("g +Inf\n# EOF\n"), "{text}");
    }

    #[test]
    fn numbers() {
        let numbers = [0.0, 1.0, 0.25, -3.5, 1e20, 1e-12, f64::NAN, f64::NEG_INFINITY, 123456789.5];
        let text = numbers.map(|number| Number(number).to_string());
        assert_eq!(text, ["0", "1", "0.25", "-3.5", "1e20", "1e-12", "NaN", "-Inf", "123456789.5"]);
    }
}
