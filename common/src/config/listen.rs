//! Where to listen: addresses of TCP and Unix sockets, and those of them whose connections a proxy announces.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address and a port; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // sun_path holds 108 bytes with its final NUL (unix(7)).
            return match path.len() {
                0 => Err("\"unix:\" names no path; write unix:/run/tine.sock".to_string()),
                1..108 => Ok(Address::Unix(PathBuf::from(path))),
                n => Err(format!("the path of a Unix socket has at most 107 bytes; this one has {n}")),
            };
        }
        // A path, as other servers accept it.
        if text.starts_with(['/', '.']) {
            return format!("unix:{text}").parse();
        }
        let wrong =
            || format!("{text:?} is not an address; write it as 8080, 127.0.0.1:8080, [::1]:8080, *:80 or unix:/path");
        let address = match text.rsplit_once(':') {
            // A bare PORT.
            None => is_number(text).then_some((Ipv4Addr::LOCALHOST, text)),
            Some(("localhost", port)) => Some((Ipv4Addr::LOCALHOST, port)),
            Some(("" | "*", port)) => Some((Ipv4Addr::UNSPECIFIED, port)),
            Some(_) => return text.parse().map(Address::Tcp).map_err(|_| wrong()),
        };
        let (address, port) = address.filter(|(_, port)| is_number(port)).ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Address::Tcp(SocketAddr::new(address.into(), port)))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether listening here includes the other's connections: the same address, or the wildcard of its family.
    pub(super) fn includes(&self, other: &Address) -> bool {
        match (self, other) {
            // The system chooses a port of its own for each.
            (Address::Tcp(a), Address::Tcp(b)) if a.port() == 0 || b.port() == 0 => false,
            (Address::Tcp(a), Address::Tcp(b)) => {
                let is_wildcard = a.ip().is_unspecified() && a.is_ipv4() == b.is_ipv4();
                a == b || a.port() == b.port() && is_wildcard
            }
            (Address::Unix(a), Address::Unix(b)) => a == b,
            _ => false,
        }
    }
}

/// An address to listen on, as it is given: with `proxy:` before it, each connection has to begin with a header of the PROXY protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// The address.
    pub address: Address,
    /// It is given with `proxy:`.
    pub is_proxied: bool,
}

/// An address to listen on, and what is spoken there.
#[derive(Debug, Clone, Copy)]
pub struct Listen<'a> {
    /// The address.
    pub address: &'a Address,
    /// HTTPS.
    pub is_tls: bool,
    /// Each connection has to begin with a header of the PROXY protocol.
    pub is_proxied: bool,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let proxied = text.strip_prefix("proxy:");
        Ok(ListenAddress { address: proxied.unwrap_or(text).parse()?, is_proxied: proxied.is_some() })
    }
}

impl From<Address> for ListenAddress {
    fn from(address: Address) -> ListenAddress {
        ListenAddress { address, is_proxied: false }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_proxied { "proxy:" } else { "" }, self.address)
    }
}

impl fmt::Display for Listen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_proxied { "proxy:" } else { "" }, self.address)
    }
}

impl ListenAddress {
    pub(super) fn listen(&self, is_tls: bool) -> Listen<'_> {
        Listen { address: &self.address, is_tls, is_proxied: self.is_proxied }
    }
}
