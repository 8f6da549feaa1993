//! What a request target and a host may be, in every version of HTTP.

use super::Error;
use http::StatusCode;
use std::net::Ipv6Addr;

/// Bytes above 0x7F in a target must be UTF-8; anything else has to be percent-encoded (RFC 3986, 2.1).
pub const NOT_UTF8: Error = Error::bad_request("the request target has bytes that are not UTF-8; percent-encode them");
pub const CONNECT: Error = Error::new(StatusCode::NOT_IMPLEMENTED, "CONNECT is for proxies; this is an origin server");
pub const PROTOCOL: Error = Error::new(StatusCode::NOT_IMPLEMENTED, "no :protocol but websocket is served");

/// Checks the request target (RFC 9112, 3.2); returns where its path begins.
pub fn check_target(method: &str, target: &str) -> Result<usize, Error> {
    let bytes = target.as_bytes();
    // Nothing invisible in ASCII, and no fragment; what is above ASCII is UTF-8 and passed on as it is. Folded, not
    // short-circuited: targets are short.
    let seen = bytes.iter().fold(0, |seen, &b| seen | TARGET_BYTES[b as usize]);
    if seen & ODD != 0 {
        return Err(Error::bad_request("the request target has a character that is not allowed"));
    }
    if method == "CONNECT" {
        return Err(CONNECT);
    }
    let path_start = match bytes {
        [b'/', ..] => 0,
        b"*" if method == "OPTIONS" => 0,
        _ => path_of_absolute(target)
            .ok_or(Error::bad_request("the request target is neither a path nor an http URI"))?,
    };
    // A percent sign in a path is followed by two hex digits.
    let path = &bytes[path_start..];
    if seen & PERCENT != 0 && has_broken_percent(path.split(|&b| b == b'?').next().unwrap_or(path)) {
        return Err(Error::bad_request("the path has a broken percent-encoding"));
    }
    Ok(path_start)
}

/// Where the path of `http://authority/path` begins (RFC 9112, 3.2.2).
fn path_of_absolute(target: &str) -> Option<usize> {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))?;
    let authority = &target[scheme.len()..];
    let end = authority.find(['/', '?']).unwrap_or(authority.len());
    (end > 0 && is_host(&authority.as_bytes()[..end])).then_some(scheme.len() + end)
}

/// `uri-host [":" port]` (RFC 3986, 3.2.2); no user information. A host may be empty, but then it has no port either.
pub fn is_host(value: &[u8]) -> bool {
    let (is_good, port) = match value {
        [b'[', rest @ ..] => match rest.iter().position(|&b| b == b']') {
            Some(end) => (is_ipv6(&rest[..end]), &rest[end + 1..]),
            None => return false,
        },
        _ => {
            let end = value.iter().position(|&b| !NAME_BYTES[b as usize]).unwrap_or(value.len());
            let (name, port) = value.split_at(end);
            ((end > 0 || value.is_empty()) && !has_broken_percent(name), port)
        }
    };
    is_good && matches!(port, [] | [b':', ..]) && port.iter().skip(1).all(u8::is_ascii_digit)
}

fn is_ipv6(address: &[u8]) -> bool {
    std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

/// Whether a percent sign is not followed by two hex digits.
fn has_broken_percent(bytes: &[u8]) -> bool {
    let is_broken = |triplet: &[u8]| triplet.len() < 2 || !triplet[..2].iter().all(u8::is_ascii_hexdigit);
    bytes.split(|&b| b == b'%').skip(1).any(is_broken)
}

/// The bytes of a registered name or an IPv4 address.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128 {
        table[b] = (b as u8).is_ascii_alphanumeric();
        b += 1;
    }
    let others = b"-._~!$&'()*+,;=%";
    let mut i = 0;
    while i < others.len() {
        table[others[i] as usize] = true;
        i += 1;
    }
    table
};

const ODD: u8 = 1;
const PERCENT: u8 = 2;

/// The meaning of a byte in a request target.
const TARGET_BYTES: [u8; 256] = {
    let mut table = [ODD; 256];
    let mut b = 0x21;
    while b <= 0xff {
        table[b] = 0;
        b += 1;
    }
    table[0x7f] = ODD;
    table[b'#' as usize] = ODD;
    table[b'%' as usize] = PERCENT;
    table
};

/// A byte of a target in ASCII that stands for itself.
pub fn is_plain_target_byte(byte: u8) -> bool {
    byte < 0x80 && TARGET_BYTES[byte as usize] == 0
}
