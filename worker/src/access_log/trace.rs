//! The header `traceparent` (W3C Trace Context, 3.2): which trace a request belongs to, and which span has sent it.

use crate::http::Request;

/// Both as lowercase hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
}

/// Of a request; one with several such headers belongs to none.
pub fn of<'a>(request: &Request<'a>) -> Option<TraceParent<'a>> {
    let headers = request.headers();
    let mut values = headers.all("traceparent");
    match (values.next(), values.next()) {
        (Some(value), None) => parse(value),
        _ => None,
    }
}

/// `None`: the value is not valid, and there is no trace.
fn parse(value: &[u8]) -> Option<TraceParent<'_>> {
    const LENGTH: usize = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".len();
    let (known, more) = value.split_at_checked(LENGTH)?;
    let mut parts = known.split(|&byte| byte == b'-');
    let [version, trace_id, span_id, flags] = [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    let is_hex = |part: &[u8], digits: usize| {
        part.len() == digits && part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_id = |part: &[u8], digits: usize| is_hex(part, digits) && part.iter().any(|&digit| digit != b'0');
    // A later version may have more, after a dash; it is read as this one.
    let is_whole = more.is_empty() || version != b"00" && more[0] == b'-';
    let is_valid = is_hex(version, 2)
        && version != b"ff"
        && is_id(trace_id, 32)
        && is_id(span_id, 16)
        && is_hex(flags, 2)
        && parts.next().is_none()
        && is_whole;
    is_valid.then_some(TraceParent { trace_id, span_id })
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn only_what_the_standard_allows_is_a_trace() {
        let parsed = TraceParent { trace_id: b"0af7651916cd43dd8448eb211c80319c", span_id: b"b7ad6b7169203331" };
        for valid in [VALID.to_string(), VALID.replacen("00", "cc", 1), VALID.replacen("00", "cc", 1) + "-what-will-be"]
        {
            assert_eq!(parse(valid.as_bytes()), Some(parsed), "{valid}");
        }
        for invalid in [
            String::new(),
            "-".repeat(55),
            VALID.to_string() + "-more",
            VALID.to_string() + "0",
            VALID.replacen("00", "cc", 1) + "0",
            VALID.replacen("00", "ff", 1),
            VALID.replacen("00", "0x", 1),
            VALID.replace("0af7", "0AF7"),
            VALID.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            VALID.replace("b7ad6b7169203331", &"0".repeat(16)),
            VALID.replace("b7ad", "b7-d"),
            VALID.replace("-01", "-0g"),
            VALID[..54].to_string(),
        ] {
            assert_eq!(parse(invalid.as_bytes()), None, "{invalid}");
        }
    }
}
