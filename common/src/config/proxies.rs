//! What is believed of proxies, and the path below which they mount the application.

use super::Network;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

/// Which proxies are trusted, and which of their header fields count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// Peers that are believed what they say of their clients.
    pub trusted: Vec<TrustedProxy>,
    /// The fields in which they say so.
    pub header: ForwardedHeader,
}

/// A peer that is trusted, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedProxy {
    /// Those with an address in this network.
    Network(Network),
    /// Those on Unix sockets.
    Unix,
    /// All that connect. An address that is only told of is none of them.
    Any,
}

/// Which header fields of a trusted proxy count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// X-Forwarded-For, -Proto and -Host, with X-Real-IP where there is no X-Forwarded-For; Forwarded, if there is none of these.
    #[default]
    Any,
    /// X-Forwarded-For, with -Proto and -Host.
    XForwardedFor,
    /// X-Real-IP, with X-Forwarded-Proto and -Host.
    XRealIp,
    /// Forwarded (RFC 7239).
    Forwarded,
}

/// The path below which the application is mounted: `/shop`, without a slash at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootPath(&'static str);

impl ProxyConfig {
    /// Whether a peer is trusted; `None`: it is on a Unix socket.
    pub fn trusts(&self, peer: Option<IpAddr>) -> bool {
        self.trusted.iter().any(|trusted| match trusted {
            TrustedProxy::Network(network) => peer.is_some_and(|peer| network.includes(peer)),
            TrustedProxy::Unix => peer.is_none(),
            TrustedProxy::Any => true,
        })
    }

    /// Whether a trusted proxy has this address, of which another one tells: it did not connect here.
    pub fn has_proxy(&self, address: IpAddr) -> bool {
        let includes =
            |trusted: &TrustedProxy| matches!(trusted, TrustedProxy::Network(network) if network.includes(address));
        self.trusted.iter().any(includes)
    }

    pub(super) fn check(&self) -> Result<(), String> {
        match self.trusted.is_empty() && self.header != ForwardedHeader::Any {
            true => Err(format!(
                "--forwarded-header {} has no effect without proxies that are trusted; give --trusted-proxies 10.0.0.0/8",
                self.header
            )),
            false => Ok(()),
        }
    }

    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let trusted: Vec<String> = self.trusted.iter().map(TrustedProxy::to_string).collect();
        vec![
            ("trusted-proxies", if trusted.is_empty() { "none".to_string() } else { trusted.join(",") }),
            ("forwarded-header", self.header.to_string()),
        ]
    }
}

impl FromStr for TrustedProxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "*" => Ok(TrustedProxy::Any),
            "unix:" => Ok(TrustedProxy::Unix),
            text => text.parse().map(TrustedProxy::Network).map_err(|reason: Option<String>| {
                let wrong = || {
                    format!(
                        "{text:?} is not a network; write 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32, unix: for clients of Unix \
                         sockets, or * for all"
                    )
                };
                reason.unwrap_or_else(wrong)
            }),
        }
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrustedProxy::Network(network) => network.fmt(f),
            TrustedProxy::Unix => f.write_str("unix:"),
            TrustedProxy::Any => f.write_str("*"),
        }
    }
}

impl FromStr for ForwardedHeader {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "any" => Ok(ForwardedHeader::Any),
            "x-forwarded-for" => Ok(ForwardedHeader::XForwardedFor),
            "x-real-ip" => Ok(ForwardedHeader::XRealIp),
            "forwarded" => Ok(ForwardedHeader::Forwarded),
            _ => Err("give any, x-forwarded-for, x-real-ip or forwarded".to_string()),
        }
    }
}

impl fmt::Display for ForwardedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ForwardedHeader::Any => "any",
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::XRealIp => "x-real-ip",
            ForwardedHeader::Forwarded => "forwarded",
        })
    }
}

impl RootPath {
    /// As it is written: `/shop`.
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// The length of the part of a path, undecoded, that is this one: the path is at it or below it. `None`: it is elsewhere.
    pub fn length_in(self, path: &str) -> Option<usize> {
        let path = path.as_bytes();
        let mut at = 0;
        for &expected in self.0.as_bytes() {
            let (byte, length) = match path.get(at)? {
                b'%' => (crate::percent::hex_byte(path.get(at + 1..at + 3)?)?, 3),
                &byte => (byte, 1),
            };
            if byte != expected {
                return None;
            }
            at += length;
        }
        matches!(path.get(at), None | Some(b'/')).then_some(at)
    }
}

impl FromStr for RootPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = text.strip_suffix('/').unwrap_or(text);
        let is_segment = |segment: &str| {
            let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b);
            !matches!(segment, "" | "." | "..") && segment.bytes().all(is_plain)
        };
        match path.strip_prefix('/') {
            Some(rest) if rest.split('/').all(is_segment) => Ok(RootPath(kept(path))),
            _ => {
                Err(format!("{text:?} is not a path that an application can be mounted at; write it as /shop or /a/b"))
            }
        }
    }
}

impl fmt::Display for RootPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// The text for as long as the process lives. Each only once, as reloads read it again and again.
fn kept(text: &str) -> &'static str {
    static KEPT: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().copied().find(|known| *known == text).unwrap_or_else(|| {
        let text: &'static str = Box::leak(text.into());
        all.push(text);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_trusted_by_network_and_by_kind() {
        let config = |list: &str| ProxyConfig {
            trusted: list.split(',').map(|text| text.parse().expect("valid")).collect(),
            ..ProxyConfig::default()
        };
        let (inside, outside) = ("10.1.2.3".parse().ok(), "192.0.2.1".parse().ok());
        for (list, expected) in [
            ("10.0.0.0/8", [true, false, false]),
            ("unix:", [false, false, true]),
            ("192.0.2.1,unix:", [false, true, true]),
            ("2001:db8::/32", [false, false, false]),
            ("*", [true, true, true]),
        ] {
            assert_eq!([inside, outside, None].map(|peer| config(list).trusts(peer)), expected, "{list}");
        }
        for text in ["", "proxy", "unix:/run/x", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8 ", "127.0.0.1:80"] {
            assert!(text.parse::<TrustedProxy>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_is_at_the_root_path_or_below_it() {
        let root: RootPath = "/a/b/".parse().expect("a path");
        for (path, length) in [
            ("/a/b", Some(4)),
            ("/a/b/", Some(4)),
            ("/a/b/c", Some(4)),
            ("/%61/b/c", Some(6)),
            ("/a%2Fb/c", Some(6)),
            ("/a/bc", None),
            ("/a", None),
            ("/", None),
            ("*", None),
            ("/a/%", None),
            ("/a/%6", None),
            ("/A/b", None),
        ] {
            assert_eq!(root.length_in(path), length, "{path}");
        }
        for text in ["", "/", "a", "//", "/a//b", "/a?b", "/a/..", "/%61", "/a b", "http://t/a"] {
            assert!(text.parse::<RootPath>().is_err(), "{text}");
        }
        let again: RootPath = "/a/b".parse().expect("a path");
        assert!(std::ptr::eq(root.as_str(), again.as_str()), "each is kept once");
    }
}
