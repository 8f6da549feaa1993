//! The values of fields that the protocol itself needs, in every version of HTTP.

use super::{BODY_BYTES_MAX, Error};
use http::StatusCode;

/// The elements of a list (RFC 9110, 5.6.1); they may be empty.
pub fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii)
}

/// Of `Expect`: whether the client waits for `100 Continue` (RFC 9110, 10.1.1).
pub fn expects_continue(value: &[u8]) -> Result<bool, Error> {
    let mut expects = false;
    for expectation in elements(value).filter(|element| !element.is_empty()) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Error::new(StatusCode::EXPECTATION_FAILED, "100-continue is the only expectation met here"));
        }
        expects = true;
    }
    Ok(expects)
}

/// Of `Content-Length`. Digits only: no sign, no list, no space (RFC 9110, 8.6).
pub fn content_length(value: &[u8]) -> Result<u64, Error> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Error::bad_request("the Content-Length is not a number"));
    }
    let add = |sum: u64, &digit: &u8| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    value
        .iter()
        .try_fold(0, add)
        .filter(|&length| length <= BODY_BYTES_MAX)
        .ok_or(Error::new(StatusCode::PAYLOAD_TOO_LARGE, "the Content-Length is larger than any body"))
}
