//! Version 2 (proxy-protocol.txt, 2.2): a signature, a command, the addresses, and vectors of type, length and value (TLV).

use super::{Announced, AnnouncedTls, BYTES_MAX, Ends, Header, Wrong};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Up to the addresses.
const FIXED_BYTES: usize = 16;
/// The most of a unique identifier (2.2.5).
const UNIQUE_ID_BYTES_MAX: usize = 128;

// The types of vectors.
const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// Of the first byte of SSL: the client spoke TLS; it has shown a certificate, on this connection or in its session.
const CLIENT_SSL: u8 = 1;
const CLIENT_CERT: u8 = 2 | 4;

pub fn parse(bytes: &[u8]) -> Header {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] != SIGNATURE[..common] {
        return Header::Wrong(Wrong::Malformed);
    }
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else {
        // The version is known before all is there.
        return match bytes.get(12).is_none_or(|byte| byte >> 4 == 2) {
            true => Header::Partial,
            false => Header::Wrong(Wrong::Malformed),
        };
    };
    let [.., command, family, high, low] = *fixed;
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) || length > BYTES_MAX {
        return Header::Wrong(Wrong::Malformed);
    }
    let Some(header) = bytes.get(..length) else { return Header::Partial };
    // LOCAL: the proxy speaks for itself, and what it says besides does not count.
    let announced = if command == 0x20 { Ok(Announced::default()) } else { announced(header, family) };
    announced.map_or_else(Header::Wrong, |announced| Header::Whole(length, announced.into()))
}

fn announced(header: &[u8], family: u8) -> Result<Announced, Wrong> {
    let rest = &header[FIXED_BYTES..];
    // The lower half is the transport: unspecified, a stream or datagrams, of which the proxy makes a stream.
    let (ends, vectors) = match (family >> 4, family & 0xf) {
        (_, 3..) => return Err(Wrong::Malformed),
        (0, _) => (Ends::Own, rest),
        (1, _) => ends::<4>(rest)?,
        (2, _) => ends::<16>(rest)?,
        (3, _) => (Ends::Unix, rest.get(216..).ok_or(Wrong::Malformed)?),
        _ => return Err(Wrong::Malformed),
    };
    match announced_by(header, ends, vectors) {
        // What follows an unspecified address is not specified either; HAProxy has its vectors there.
        Err(Wrong::Malformed) if family >> 4 == 0 => Ok(Announced::default()),
        announced => announced,
    }
}

/// What the vectors say.
fn announced_by(header: &[u8], ends: Ends, vectors: &[u8]) -> Result<Announced, Wrong> {
    let mut announced = Announced { ends, ..Announced::default() };
    for vector in Vectors(vectors) {
        let (kind, value) = vector?;
        match kind {
            ALPN => announced.alpn = Some(text(value)?),
            AUTHORITY => announced.authority = Some(text(value)?),
            UNIQUE_ID if value.len() > UNIQUE_ID_BYTES_MAX => return Err(Wrong::Malformed),
            UNIQUE_ID => announced.unique_id = Some(value.to_vec()),
            CRC32C => check(header, value)?,
            SSL => announced.tls = tls(value)?,
            // NOOP, and what we do not need or know.
            _ => {}
        }
    }
    Ok(announced)
}

/// Two addresses of `BYTES` and two ports; what follows them.
fn ends<const BYTES: usize>(bytes: &[u8]) -> Result<(Ends, &[u8]), Wrong> {
    let (from, rest) = bytes.split_at_checked(BYTES).ok_or(Wrong::Malformed)?;
    let (to, rest) = rest.split_at_checked(BYTES).ok_or(Wrong::Malformed)?;
    let (&[a, b, c, d], rest) = rest.split_first_chunk().ok_or(Wrong::Malformed)?;
    let (client, local) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let ends = Ends::Known { client: SocketAddr::new(ip(from), client), local: SocketAddr::new(ip(to), local) };
    Ok((ends, rest))
}

fn ip(bytes: &[u8]) -> IpAddr {
    match (<[u8; 4]>::try_from(bytes), <[u8; 16]>::try_from(bytes)) {
        (Ok(v4), _) => Ipv4Addr::from(v4).into(),
        (_, Ok(v6)) => Ipv6Addr::from(v6).into(),
        _ => unreachable!("an address has 4 or 16 bytes"),
    }
}

/// Those of the value of SSL (2.2.6); `None`: the client did not speak TLS.
fn tls(value: &[u8]) -> Result<Option<AnnouncedTls>, Wrong> {
    let (&[flags, verify @ ..], vectors) = value.split_first_chunk::<5>().ok_or(Wrong::Malformed)?;
    // 0: the client has shown a certificate, and it was verified.
    let is_verified = verify == [0; 4] && flags & CLIENT_CERT != 0;
    let mut tls = AnnouncedTls::default();
    for vector in Vectors(vectors) {
        let (kind, value) = vector?;
        match kind {
            SSL_VERSION => tls.version = Some(text(value)?),
            SSL_CIPHER => tls.cipher = Some(text(value)?),
            SSL_CN if is_verified => tls.client_name = Some(text(value)?),
            _ => {}
        }
    }
    Ok((flags & CLIENT_SSL != 0).then_some(tls))
}

/// A value that ends up in environ and logs: it has no control characters.
fn text(value: &[u8]) -> Result<String, Wrong> {
    let text = std::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control));
    text.map(str::to_string).ok_or(Wrong::Malformed)
}

struct Vectors<'a>(&'a [u8]);

impl<'a> Iterator for Vectors<'a> {
    type Item = Result<(u8, &'a [u8]), Wrong>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let vector = self.0.split_first_chunk().and_then(|(&[kind, high, low], rest)| {
            let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
            self.0 = rest;
            Some((kind, value))
        });
        Some(vector.ok_or_else(|| {
            self.0 = &[];
            Wrong::Malformed
        }))
    }
}

/// The checksum is that of the whole header with zeros in its place (2.2.3). `value` is a part of the header.
fn check(header: &[u8], value: &[u8]) -> Result<(), Wrong> {
    let expected = u32::from_be_bytes(value.try_into().map_err(|_| Wrong::Malformed)?);
    let at = value.as_ptr() as usize - header.as_ptr() as usize;
    let sum = [&header[..at], &[0; 4], &header[at + 4..]].into_iter().fold(!0, crc32c);
    if !sum == expected { Ok(()) } else { Err(Wrong::Checksum) }
}

/// Castagnoli's, reflected, bit by bit: a header is short, and comes once a connection.
pub(super) fn crc32c(sum: u32, bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes
        .iter()
        .fold(sum, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| sum >> 1 ^ (POLYNOMIAL * (sum & 1))))
}
