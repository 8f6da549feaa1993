//! What the fields of a request's head say of its client, if its connection is from a trusted proxy.
//!
//! A field is a list to which each proxy adds at the end. So it is read from there: as long as an address is a trusted proxy's, what
//! that one says of the address before it counts. The address that is reached is the client's: the first that is not trusted, or the last
//! that is known.
//! X-Forwarded-Proto and -Host have no place in that list: what the nearest proxy wrote counts, the last value.

use super::{Caller, forwarded, node};
use crate::http::Headers;
use crate::http::target::is_host;
use std::net::SocketAddr;
use tine_common::config::{ForwardedHeader, ProxyConfig};

/// The most proxies in a row, and a bound of the work: a head may have room for thousands.
const HOPS_MAX: usize = 64;
/// A longer host is not one.
const HOST_BYTES_MAX: usize = 261;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Forwarded,
    For,
    RealIp,
    Proto,
    Host,
}

/// What the fields come to.
#[derive(Debug, Default)]
struct Said<'a> {
    client: Option<SocketAddr>,
    proto: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

/// `None`: nothing that counts.
pub fn read(headers: Headers<'_>, connection: &Caller, config: &ProxyConfig) -> Option<Caller> {
    if !connection.is_proxy {
        return None;
    }
    // Most of a head's fields are none of these.
    let mut last = [None; 5];
    for (field, value) in headers.iter().filter_map(|(name, value)| Some((Field::of(name)?, value))) {
        last[field as usize] = Some(value);
    }
    let has = |field: Field| last[field as usize].is_some();
    let has_x = has(Field::For) || has(Field::RealIp) || has(Field::Proto) || has(Field::Host);
    let is_forwarded = match config.header {
        ForwardedHeader::Forwarded => true,
        ForwardedHeader::Any => !has_x,
        ForwardedHeader::XForwardedFor | ForwardedHeader::XRealIp => false,
    };
    let said = match is_forwarded {
        true if has(Field::Forwarded) => of_forwarded(headers, config),
        false if has_x => {
            let is_real_ip = match config.header {
                ForwardedHeader::XRealIp => true,
                ForwardedHeader::Any => !has(Field::For),
                _ => false,
            };
            let client = match is_real_ip {
                true => last[Field::RealIp as usize].and_then(|value| node::address(value.trim_ascii())),
                false => of_list(headers, config),
            };
            let value = |field: Field| last[field as usize].and_then(last_of);
            Said { client, proto: value(Field::Proto), host: value(Field::Host) }
        }
        _ => return None,
    };
    let host = said.host.and_then(host);
    Some(Caller {
        client: said.client.or(connection.client),
        is_https: said.proto.and_then(is_https).unwrap_or(connection.is_https),
        host: host.map(Into::into),
        ..connection.clone()
    })
}

impl Field {
    fn of(name: &str) -> Option<Field> {
        let (expected, field) = match name.len() {
            9 if matches!(name.as_bytes()[0], b'f' | b'F') => ("forwarded", Field::Forwarded),
            9 => ("x-real-ip", Field::RealIp),
            15 => ("x-forwarded-for", Field::For),
            16 => ("x-forwarded-host", Field::Host),
            17 => ("x-forwarded-proto", Field::Proto),
            _ => return None,
        };
        name.eq_ignore_ascii_case(expected).then_some(field)
    }
}

/// The values of all fields of a kind, the last first.
fn values<'a>(headers: Headers<'a>, field: Field) -> impl Iterator<Item = &'a [u8]> {
    headers.iter().rev().filter_map(move |(name, value)| (Field::of(name) == Some(field)).then_some(value))
}

/// The address that X-Forwarded-For leads to.
fn of_list(headers: Headers<'_>, config: &ProxyConfig) -> Option<SocketAddr> {
    let all = values(headers, Field::For).flat_map(|value| value.rsplit(|&byte| byte == b','));
    let mut reached = None;
    for item in all.take(HOPS_MAX).map(<[u8]>::trim_ascii).filter(|item| !item.is_empty()) {
        let Some(address) = node::address(item) else { break };
        reached = Some(address);
        if !config.has_proxy(address.ip()) {
            break;
        }
    }
    reached
}

/// The address that `Forwarded` leads to, and what the proxy that it came to says of the request.
fn of_forwarded<'a>(headers: Headers<'a>, config: &ProxyConfig) -> Said<'a> {
    let mut said = Said::default();
    let mut hops = 0;
    for mut value in values(headers, Field::Forwarded) {
        while !value.is_empty() {
            hops += 1;
            if hops > HOPS_MAX {
                return said;
            }
            let Some(element) = forwarded::take_last(&mut value) else { return said };
            if element.is_empty() {
                continue;
            }
            let Some(element) = forwarded::parse(element) else { return said };
            let client = element.client.and_then(node::address);
            said = Said { client: client.or(said.client), proto: element.proto, host: element.host };
            if !client.is_some_and(|client| config.has_proxy(client.ip())) {
                return said;
            }
        }
    }
    said
}

/// The last value of a list.
fn last_of(value: &[u8]) -> Option<&[u8]> {
    value.rsplit(|&byte| byte == b',').next().map(<[u8]>::trim_ascii)
}

/// `None`: it is another scheme.
fn is_https(proto: &[u8]) -> Option<bool> {
    let is = |name: &[u8]| proto.eq_ignore_ascii_case(name);
    match () {
        () if is(b"https") || is(b"wss") => Some(true),
        () if is(b"http") || is(b"ws") => Some(false),
        () => None,
    }
}

fn host(text: &[u8]) -> Option<&str> {
    let is_good = !text.is_empty() && text.len() <= HOST_BYTES_MAX && is_host(text);
    is_good.then(|| std::str::from_utf8(text).ok()).flatten()
}
