//! The content coding that a client prefers (RFC 9110, 12.5.3). Pure: called with a request's head.

use super::{Headers, parse_weight};

/// How to send a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'c> {
    /// A content coding, such as `gzip`.
    Coding(&'c str),
    /// Without a coding.
    Identity,
    /// 406: the client excludes the representation without a coding, too.
    NotAcceptable,
}

/// Chooses among the `available` codings, in our order of preference, and no coding. The largest weight decides; if
/// weights are equal, a coding wins over none. Without the field the client has no preference; with an empty one it
/// wants no coding. Malformed elements are skipped.
pub fn choose<'c>(headers: Headers<'_>, available: &[&'c str]) -> Choice<'c> {
    if !headers.has("accept-encoding") {
        return available.first().map_or(Choice::Identity, |coding| Choice::Coding(coding));
    }
    let mut best = (identity_weight(headers), Choice::Identity);
    for &coding in available {
        let weight = listed_weight(headers, coding).or(listed_weight(headers, "*")).filter(|&weight| weight > 0);
        let is_better = weight > best.0 || (weight == best.0 && best.1 == Choice::Identity);
        if weight.is_some() && is_better {
            best = (weight, Choice::Coding(coding));
        }
    }
    best.0.map_or(Choice::NotAcceptable, |_| best.1)
}

/// `None`: excluded. If the field does not mention it, it is acceptable, but less preferred than anything listed.
fn identity_weight(headers: Headers<'_>) -> Option<u16> {
    match listed_weight(headers, "identity").or(listed_weight(headers, "*")) {
        Some(0) => None,
        Some(weight) => Some(weight),
        None => Some(0),
    }
}

/// The weight that the field gives to this name, in thousandths; the first one if it is listed more than once.
fn listed_weight(headers: Headers<'_>, name: &str) -> Option<u16> {
    let elements = headers.all("accept-encoding").flat_map(|value| value.split(|&b| b == b','));
    elements.filter_map(parse_element).find(|(listed, _)| is_same(listed, name)).map(|(_, weight)| weight)
}

/// `gzip` and `x-gzip` are the same (RFC 9110, 8.4.1.3).
fn is_same(listed: &[u8], name: &str) -> bool {
    listed.eq_ignore_ascii_case(name.as_bytes()) || (name == "gzip" && listed.eq_ignore_ascii_case(b"x-gzip"))
}

/// `gzip`, `gzip;q=0.5`, `* ; Q=1`.
fn parse_element(element: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = element.splitn(2, |&b| b == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let weight = parts.next().map_or(Some(1000), |weight| {
        let [b'q' | b'Q', b'=', value @ ..] = weight else { return None };
        parse_weight(value)
    })?;
    Some((name, weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Choice::{Coding, Identity, NotAcceptable};

    #[track_caller]
    fn check(values: &[&str], available: &[&str], expected: Choice<'_>) {
        let fields: Vec<_> =
            values.iter().map(|value| httparse::Header { name: "Accept-Encoding", value: value.as_bytes() }).collect();
        assert_eq!(choose(Headers::new(&fields), available), expected, "{values:?} of {available:?}");
    }

    /// The examples of 12.5.3, and the results of its rules.
    #[test]
    fn one_coding_or_none() {
        for (value, expected) in [
            ("compress, gzip", Coding("gzip")),
            ("", Identity),
            ("*", Coding("gzip")),
            ("compress;q=0.5, gzip;q=1.0", Coding("gzip")),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", Coding("gzip")),
            ("gzip", Coding("gzip")),
            ("GZip", Coding("gzip")),
            ("x-gzip", Coding("gzip")),
            ("br", Identity),
            ("identity", Identity),
            ("gzip;q=0", Identity),
            ("gzip;q=0.000", Identity),
            ("gzip;q=0.001", Coding("gzip")),
            ("*;q=0", NotAcceptable),
            ("*;q=0, gzip", Coding("gzip")),
            ("*;q=0, identity", Identity),
            ("identity;q=0", NotAcceptable),
            ("identity;q=0, br", NotAcceptable),
            ("identity;q=0, *", Coding("gzip")),
            ("gzip;q=0, *", Identity),
            ("gzip;q=0, identity;q=0", NotAcceptable),
            // The weights decide; a coding where they are equal.
            ("gzip;q=0.5, identity;q=0.4", Coding("gzip")),
            ("gzip;q=0.5, identity;q=0.5", Coding("gzip")),
            ("gzip;q=0.5, identity;q=0.501", Identity),
            ("gzip;q=0.5, *;q=0.8", Identity),
            ("identity;q=0.3, *;q=0.2", Identity),
        ] {
            check(&[value], &["gzip"], expected);
        }
    }

    #[test]
    fn one_of_several() {
        for (value, expected) in [
            ("gzip, br", Coding("br")),
            ("gzip, br;q=0.9", Coding("gzip")),
            ("gzip", Coding("gzip")),
            ("*", Coding("br")),
            ("*, br;q=0.1", Coding("gzip")),
            ("deflate", Identity),
        ] {
            check(&[value], &["br", "gzip"], expected);
        }
        check(&["gzip"], &[], Identity);
    }

    #[test]
    fn no_field_and_several_fields() {
        check(&[], &["gzip"], Coding("gzip"));
        check(&[], &[], Identity);
        check(&["br", "gzip;q=0.1"], &["gzip"], Coding("gzip"));
        check(&["", "gzip"], &["gzip"], Coding("gzip"));
        // The first of one name.
        check(&["gzip;q=0, gzip"], &["gzip"], Identity);
    }

    #[test]
    fn what_is_malformed_is_skipped() {
        for element in [
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q=0,5x",
            "gzip;q=1;q=1",
            "gzip;level=1",
            "gzip;",
            "gzip q=1",
            ";q=1",
            ",,",
        ] {
            check(&[element], &["gzip"], Identity);
        }
        for element in ["gzip;q=1.", "gzip;q=1.000", "gzip;q=0.1", "gzip ; Q=1", " \tgzip\t;\tq=0.123 ", ", ,gzip,"] {
            check(&[element], &["gzip"], Coding("gzip"));
        }
    }
}
