//! Which media type a client prefers (RFC 9110, 12.5.1).

use tine_worker::http::{Headers, parse_weight};

/// The client's weight for this type, in thousandths from 0 (not acceptable) to 1000: that of the most specific range
/// in its Accept fields that matches. Without Accept every type has 1000.
pub fn quality(headers: Headers<'_>, kind: &str, subkind: &str) -> u16 {
    let lines = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("accept"));
    quality_in(lines.filter_map(|(_, value)| std::str::from_utf8(value).ok()), kind, subkind)
}

fn quality_in<'a>(lines: impl Iterator<Item = &'a str>, kind: &str, subkind: &str) -> u16 {
    let mut lines = lines.peekable();
    if lines.peek().is_none() {
        return 1000;
    }
    let ranges = lines.flat_map(|line| line.split(',')).filter_map(parse);
    let matching = ranges.filter_map(|(range, quality)| specificity(range, kind, subkind).map(|rank| (rank, quality)));
    matching.max_by_key(|&(rank, _)| rank).map_or(0, |(_, quality)| quality)
}

/// A range and its weight; `None` if the weight is malformed. Other parameters are ignored: our types do not differ in
/// them.
fn parse(range: &str) -> Option<(&str, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?;
    let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = weight.map_or(Some(1000), |weight| parse_weight(weight.as_bytes()))?;
    Some((range, quality))
}

fn specificity(range: &str, kind: &str, subkind: &str) -> Option<u8> {
    let (range_kind, range_subkind) = range.split_once('/')?;
    match (range_kind, range_subkind) {
        ("*", "*") => Some(0),
        (range_kind, "*") if range_kind.eq_ignore_ascii_case(kind) => Some(1),
        (range_kind, range_subkind) => {
            (range_kind.eq_ignore_ascii_case(kind) && range_subkind.eq_ignore_ascii_case(subkind)).then_some(2)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_says_how_much() {
        let firefox = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for (lines, html, plain) in [
            (&[][..], 1000, 1000),
            (&["*/*"], 1000, 1000),
            (&[firefox], 1000, 800),
            (&["text/html"], 1000, 0),
            (&["text/plain"], 0, 1000),
            (&["text/*;q=0.5, text/html;q=0.1"], 100, 500),
            (&["text/html;q=0, */*"], 0, 1000),
            (&["*/*;q=0.3, text/*"], 1000, 1000),
            (&["application/json"], 0, 0),
            (&["text/plain; q=0.2", "TEXT/HTML ; charset=utf-8 ; Q=0.7"], 700, 200),
            (&[""], 0, 0),
            // Malformed ranges are ignored.
            (&["text/html;q=2, text/html;q=x, text/html;q=nan, text, */*;q=0.4"], 400, 400),
        ] {
            assert_eq!(quality_in(lines.iter().copied(), "text", "html"), html, "{lines:?}");
            assert_eq!(quality_in(lines.iter().copied(), "text", "plain"), plain, "{lines:?}");
        }
    }
}
