//! `--limit-*`: the limits of the whole server as it starts, and what the workers need beside them.

use crate::throttle::{CLIENT_CONCURRENCY_MAX, CONCURRENCY_MAX, Rate, ThrottleLimits};
use crate::units::{show_duration, show_size};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// The limits of requests, of the whole server and of each client.
#[derive(Debug, Clone, Default)]
pub struct ThrottleConfig {
    /// The numbers, which the master can change while the server runs.
    pub limits: ThrottleLimits,
    /// Requests that no limit counts or refuses.
    pub exempt: Vec<Exempt>,
    /// What tells clients apart.
    pub client_key: ClientKey,
    /// Responses have the fields RateLimit and RateLimit-Policy.
    pub has_headers: bool,
}

/// What makes a request exempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exempt {
    /// This path.
    Path(String),
    /// Paths that begin with this.
    Below(String),
    /// Clients with an address in this network.
    Network(Network),
}

/// An address, or a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix_bits: u8,
}

/// What makes two requests the same client's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientKey {
    /// The address; the /64 of an IPv6 address.
    #[default]
    Ip,
    /// The value of this header field; the address if a request has none.
    Header(String),
}

impl Exempt {
    /// `path`: undecoded, as it was requested.
    #[inline]
    pub fn includes(&self, path: &str, client: impl FnOnce() -> Option<IpAddr>) -> bool {
        match self {
            Exempt::Path(exact) => path == exact,
            // What an application may take for a path elsewhere is not exempt.
            Exempt::Below(prefix) => path.starts_with(prefix.as_str()) && !path.contains("..") && !path.contains('%'),
            Exempt::Network(network) => client().is_some_and(|address| network.includes(address)),
        }
    }
}

impl Network {
    /// Addresses of version 4 that are written as such of version 6 are those of version 4.
    pub fn includes(&self, address: IpAddr) -> bool {
        let bits = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, true),
            IpAddr::V6(v6) => (u128::from(v6), false),
        };
        let ((own, is_own_v4), (other, is_other_v4)) = (bits(self.address), bits(address));
        let differing = own ^ other;
        is_own_v4 == is_other_v4 && differing.leading_zeros() >= u32::from(self.prefix_bits)
    }
}

impl FromStr for Exempt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is neither a path nor a network; write it as /health, /static/* or 10.0.0.0/8");
        if text.starts_with('/') {
            return match text.split_once('*') {
                None => Ok(Exempt::Path(text.to_string())),
                Some((prefix, "")) => Ok(Exempt::Below(prefix.to_string())),
                Some(_) => Err(format!("{text:?}: a * can only be the end of a path")),
            };
        }
        text.parse().map(Exempt::Network).map_err(|reason: Option<String>| reason.unwrap_or_else(wrong))
    }
}

impl FromStr for Network {
    /// `None`: it does not look like one.
    type Err = Option<String>;

    fn from_str(text: &str) -> Result<Self, Option<String>> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| None)?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.map_or(Ok(bits_max), |bits| bits.parse().map_err(|_| None))?;
        match prefix_bits <= bits_max {
            true => Ok(Network { address, prefix_bits }),
            false => Err(Some(format!("{text:?}: such an address has {bits_max} bits"))),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_bits)
    }
}

impl fmt::Display for Exempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exempt::Path(path) => f.write_str(path),
            Exempt::Below(prefix) => write!(f, "{prefix}*"),
            Exempt::Network(network) => network.fmt(f),
        }
    }
}

impl FromStr for ClientKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_name =
            |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        match text.split_once(':') {
            None if text == "ip" => Ok(ClientKey::Ip),
            Some(("header", name)) if is_name(name) => Ok(ClientKey::Header(name.to_string())),
            _ => Err("give ip or header:NAME, such as header:X-Api-Key".to_string()),
        }
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientKey::Ip => f.write_str("ip"),
            ClientKey::Header(name) => write!(f, "header:{name}"),
        }
    }
}

impl ThrottleConfig {
    pub(super) fn check(&self, graceful_timeout: Duration) -> Result<(), String> {
        let limits = &self.limits;
        for (name, most, highest) in [
            ("--limit-concurrency", limits.concurrency, CONCURRENCY_MAX),
            ("--limit-client-concurrency", limits.client_concurrency, CLIENT_CONCURRENCY_MAX),
        ] {
            if let Some(most) = most.filter(|&most| most > highest) {
                return Err(format!("{name} {most} is too high; give at most {highest}, or off"));
            }
        }
        if limits.is_any() && limits.wait >= graceful_timeout && !limits.wait.is_zero() {
            return Err(format!(
                "--limit-wait {} is not below --graceful-timeout {}: a stop would cut requests that wait; give less",
                show_duration(limits.wait),
                show_duration(graceful_timeout)
            ));
        }
        Ok(())
    }

    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let off = || "off".to_string();
        let number = |most: Option<usize>| most.map_or_else(off, |most| most.to_string());
        let rate = |rate: Option<Rate>| rate.map_or_else(off, |rate| rate.to_string());
        let exempt: Vec<String> = self.exempt.iter().map(Exempt::to_string).collect();
        vec![
            ("limit-concurrency", number(limits.concurrency)),
            ("limit-rate", rate(limits.rate)),
            ("limit-memory", limits.memory_bytes.map_or_else(off, show_size)),
            ("limit-cpu", limits.cpu_percent.map_or_else(off, |percent| format!("{percent}%"))),
            ("limit-client-concurrency", number(limits.client_concurrency)),
            ("limit-client-rate", rate(limits.client_rate)),
            ("limit-client-key", self.client_key.to_string()),
            ("limit-warn", format!("{}%", limits.warn_percent)),
            ("limit-wait", show_duration(limits.wait)),
            ("limit-queue", limits.queue_max.to_string()),
            ("limit-exempt", if exempt.is_empty() { "none".to_string() } else { exempt.join(",") }),
            ("limit-dry-run", super::on_or_off(limits.is_dry_run)),
            ("ratelimit-headers", super::on_or_off(self.has_headers)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exempt_are_a_path_those_below_one_and_networks() {
        for (text, path, client, expected) in [
            ("/health", "/health", "192.0.2.1", true),
            ("/health", "/health/", "192.0.2.1", false),
            ("/health", "/healthy", "192.0.2.1", false),
            ("/static/*", "/static/a/b.css", "192.0.2.1", true),
            ("/static/*", "/static", "192.0.2.1", false),
            ("/static/*", "/static/../slow", "192.0.2.1", false),
            ("/static/*", "/static/%2e%2e/slow", "192.0.2.1", false),
            ("192.0.2.1", "/", "192.0.2.1", true),
            ("192.0.2.1", "/", "192.0.2.2", false),
            ("10.0.0.0/8", "/", "10.200.3.4", true),
            ("10.0.0.0/8", "/", "::ffff:10.200.3.4", true),
            ("10.0.0.0/8", "/", "11.0.0.0", false),
            ("0.0.0.0/0", "/", "192.0.2.1", true),
            ("0.0.0.0/0", "/", "2001:db8::1", false),
            ("2001:db8::/32", "/", "2001:db8:5::1", true),
            ("2001:db8::/32", "/", "2001:db9::1", false),
        ] {
            let exempt: Exempt = text.parse().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(exempt.includes(path, || client.parse().ok()), expected, "{text} and {path} of {client}");
            assert_eq!(exempt.to_string().parse(), Ok(exempt));
        }
        assert!(
            !"10.0.0.0/8".parse::<Exempt>().unwrap().includes("/", || None),
            "a Unix socket's client has no address"
        );
        for text in ["", "health", "/a*b", "10.0.0.0/33", "10.0.0/8", "::/129", "10.0.0.0/x"] {
            assert!(text.parse::<Exempt>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_client_is_its_address_or_a_headers_value() {
        assert_eq!("ip".parse(), Ok(ClientKey::Ip));
        assert_eq!("header:X-Api-Key".parse(), Ok(ClientKey::Header("X-Api-Key".to_string())));
        for text in ["", "header", "header:", "header:a b", "cookie:x", "IP"] {
            assert!(text.parse::<ClientKey>().is_err(), "{text}");
        }
    }
}
