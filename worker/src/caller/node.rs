//! Addresses as proxies write them (RFC 7239, 6; X-Forwarded-For has no standard, and its values are these and bare IPv6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest that is looked at.
const BYTES_MAX: usize = "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65535".len();

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`; the port is 0 if there is none, or one that is
/// hidden (`_p`). `None`: it is `unknown`, hidden (`_h`), or anything else.
pub fn address(text: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.len() <= BYTES_MAX)?;
    if let Some(rest) = text.strip_prefix('[') {
        let (ip, after) = rest.split_once(']')?;
        let ip = ip.parse::<Ipv6Addr>().ok()?;
        return Some(SocketAddr::new(ip.to_canonical(), port_after(after)?));
    }
    match text.find(':') {
        None => Some(SocketAddr::new(IpAddr::V4(text.parse().ok()?), 0)),
        Some(at) if !text[at + 1..].contains(':') => {
            Some(SocketAddr::new(IpAddr::V4(text[..at].parse::<Ipv4Addr>().ok()?), port_after(&text[at..])?))
        }
        Some(_) => Some(SocketAddr::new(text.parse::<Ipv6Addr>().ok()?.to_canonical(), 0)),
    }
}

/// Of a colon and a port, or of nothing.
fn port_after(text: &str) -> Option<u16> {
    if text.is_empty() {
        return Some(0);
    }
    let port = text.strip_prefix(':')?;
    let is_hidden = |port: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        port.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_plain))
    };
    match port.bytes().all(|b| b.is_ascii_digit()) {
        true => port.parse().ok(),
        false => is_hidden(port).then_some(0),
    }
}
