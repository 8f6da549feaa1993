//! The PROXY protocol (HAProxy's proxy-protocol.txt, 2020/03/05): the header with which a proxy announces each connection before it
//! passes its bytes on. Pure: bytes in, what they announce out. `connection::header` reads it, `caller` keeps it.
//!
//! Both versions are accepted wherever one is. Nothing of a header counts before all of it is there and well-formed.

mod v1;
mod v2;

use std::net::SocketAddr;
use tine_common::telemetry::Count;

/// A longer header is refused: more than any proxy sends, and the names of certificates in it.
pub const BYTES_MAX: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Header {
    /// The beginning of a header.
    Partial,
    /// A header of this length.
    Whole(usize, Box<Announced>),
    /// No header, or a wrong one.
    Wrong(Wrong),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Malformed,
    /// Its CRC32c is that of other bytes.
    Checksum,
}

/// What a header says of its connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Announced {
    pub ends: Ends,
    /// The name that the client asked for: that of TLS (SNI), if it spoke TLS.
    pub authority: Option<String>,
    /// The protocol that the client and the proxy have agreed on (ALPN): `h2`.
    pub alpn: Option<String>,
    /// An identifier of the connection, up to 128 bytes of any kind.
    pub unique_id: Option<Vec<u8>>,
    /// The client spoke TLS to the proxy.
    pub tls: Option<AnnouncedTls>,
}

/// The two ends of the connection to the proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Ends {
    /// Those of the connection itself: the proxy speaks for itself, as for a health check, or does not know.
    #[default]
    Own,
    Known {
        client: SocketAddr,
        local: SocketAddr,
    },
    /// A Unix socket's.
    Unix,
}

impl Ends {
    /// The client's address, on a connection whose other end has the address `peer`; `None`: it is on a Unix socket.
    pub fn client_or(self, peer: Option<SocketAddr>) -> Option<SocketAddr> {
        match self {
            Ends::Own => peer,
            Ends::Known { client, .. } => Some(client),
            Ends::Unix => None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnouncedTls {
    /// `TLSv1.3`
    pub version: Option<String>,
    /// As OpenSSL names it.
    pub cipher: Option<String>,
    /// The common name of the client's certificate, if that was verified.
    pub client_name: Option<String>,
}

impl Header {
    /// What a connection begins with; `bytes`: all that has arrived, or as far as [`BYTES_MAX`].
    pub fn of(bytes: &[u8]) -> Header {
        match bytes.first() {
            None => Header::Partial,
            Some(&b'P') => v1::parse(bytes),
            Some(_) => v2::parse(bytes),
        }
    }
}

impl Wrong {
    pub fn count(self) -> Count {
        match self {
            Wrong::Malformed => Count::HeaderMalformed,
            Wrong::Checksum => Count::HeaderChecksum,
        }
    }
}

#[cfg(test)]
#[path = "proxy_header/tests.rs"]
mod tests;
