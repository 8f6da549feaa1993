//! Version 1 (proxy-protocol.txt, 2.1), a line of text: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n`.

use super::{Announced, Ends, Header, Wrong};
use std::net::{IpAddr, SocketAddr};

const START: &[u8] = b"PROXY ";
/// With CRLF.
const BYTES_MAX: usize = 107;

pub fn parse(bytes: &[u8]) -> Header {
    let common = bytes.len().min(START.len());
    if bytes[..common] != START[..common] {
        return Header::Wrong(Wrong::Malformed);
    }
    let line = &bytes[..bytes.len().min(BYTES_MAX)];
    match memchr::memchr(b'\n', line) {
        None if bytes.len() < BYTES_MAX => Header::Partial,
        Some(end) if end > START.len() && line[end - 1] == b'\r' => match ends(&line[START.len()..end - 1]) {
            Some(ends) => Header::Whole(end + 1, Announced { ends, ..Announced::default() }.into()),
            None => Header::Wrong(Wrong::Malformed),
        },
        _ => Header::Wrong(Wrong::Malformed),
    }
}

/// What follows `PROXY `, without CRLF.
fn ends(text: &[u8]) -> Option<Ends> {
    let text = std::str::from_utf8(text).ok()?;
    // What follows is to be ignored.
    if text == "UNKNOWN" || text.starts_with("UNKNOWN ") {
        return Some(Ends::Own);
    }
    let mut words = text.split(' ');
    let is_v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let ip = |text: &str| text.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() == is_v4);
    let port = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (from, to) = (ip(words.next()?)?, ip(words.next()?)?);
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    let ends = Ends::Known { client: SocketAddr::new(from, from_port), local: SocketAddr::new(to, to_port) };
    words.next().is_none().then_some(ends)
}
