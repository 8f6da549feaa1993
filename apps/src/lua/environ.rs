//! A request as a WSGI environ (PEP 3333, "environ Variables"): the part that only some apps look up, read from the
//! request's head when they do.

use crate::percent;
use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use tine_worker::app::{Addresses, Caller, Tls};
use tine_worker::http::Request;

/// Keys that are not HTTP_*.
const CGI_KEYS: [&str; 10] = [
    "REQUEST_URI",
    "SERVER_PROTOCOL",
    "CONTENT_TYPE",
    "CONTENT_LENGTH",
    "SERVER_NAME",
    "SERVER_PORT",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    SCHEME,
    REQUEST_ID,
];
const SCHEME: &str = "wsgi.url_scheme";
const REQUEST_ID: &str = "tine.request_id";
/// Keys of requests over TLS, by the names of mod_ssl.
const TLS_KEYS: [&str; 9] = [
    "HTTPS",
    "SSL_PROTOCOL",
    "SSL_CIPHER",
    "SSL_TLS_SNI",
    "SSL_CLIENT_S_DN",
    "SSL_CLIENT_I_DN",
    "SSL_CLIENT_M_SERIAL",
    "SSL_CLIENT_SAN",
    "SSL_CLIENT_FINGERPRINT",
];

/// Keys of what a proxy has announced by the PROXY protocol.
const ANNOUNCED_KEYS: [&str; 3] = ["tine.proxy_authority", "tine.proxy_alpn", "tine.proxy_unique_id"];

/// The connection of a request.
#[derive(Debug, Default, Clone, Copy)]
pub struct Line<'a> {
    pub addresses: Addresses,
    /// `None`: it is plain.
    pub tls: Option<&'a Tls>,
    /// What proxies say of the client; `None`: it is the other end of the connection.
    pub caller: Option<&'a Caller>,
}

impl Line<'_> {
    fn is_https(&self) -> bool {
        self.caller.map_or(self.tls.is_some(), Caller::is_https)
    }

    /// The host and the port that a proxy says were asked for.
    fn host(&self) -> Option<(&str, &str)> {
        let host = self.caller?.host()?;
        Some(match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port),
            _ => (host, ""),
        })
    }
}

/// The head of a request as the other functions read it. One with an ID has it in a line without a name, which no client
/// can send, and in place of any `X-Request-ID` of the client's.
pub fn head_of<'a>(request: &Request<'a>) -> Cow<'a, [u8]> {
    let text = request.text();
    let Some(id) = request.id() else { return Cow::Borrowed(text) };
    let mut head = Vec::with_capacity(text.len() + 2 * id.len() + 32);
    for (at, line) in text.split_inclusive(|&b| b == b'\n').enumerate() {
        let is_old = line.split(|&b| b == b':').next().is_some_and(|name| name.eq_ignore_ascii_case(b"x-request-id"));
        if !is_old {
            head.extend_from_slice(line);
        }
        if at == 0 {
            head.extend_from_slice(format!(":{id}\r\nX-Request-ID: {id}\r\n").as_bytes());
        }
    }
    Cow::Owned(head)
}

/// Whether [`field`] may have a value for this key.
pub fn is_of_request(key: &[u8]) -> bool {
    key.starts_with(b"HTTP")
        || key.starts_with(b"tine.proxy_")
        || CGI_KEYS.iter().any(|other| other.as_bytes() == key)
        || key.starts_with(b"SSL_")
}

/// The value of one key. `head` was checked when it was parsed.
pub fn field<'a>(head: &'a [u8], key: &[u8], line: Line<'_>) -> Option<Cow<'a, [u8]>> {
    let addresses = line.addresses;
    if let Some(name) = key.strip_prefix(b"HTTP_") {
        // URLs are made with it.
        if let (b"HOST", Some(host)) = (name, line.caller.and_then(Caller::host)) {
            return Some(Cow::Owned(host.into()));
        }
        return header(head, name).filter(|_| name != b"CONTENT_TYPE" && name != b"CONTENT_LENGTH");
    }
    let address = |end: Option<SocketAddr>, show: fn(SocketAddr) -> String, none: &str| {
        Some(Cow::Owned(end.map_or_else(|| none.to_string(), show).into_bytes()))
    };
    let ip: fn(SocketAddr) -> String = |end| ip_text(end.ip());
    let port: fn(SocketAddr) -> String = |end| itoa::Buffer::new().format(end.port()).to_string();
    let default_port = if line.is_https() { "443" } else { "80" };
    match key {
        b"REQUEST_URI" => first_line(head).nth(1).map(Cow::Borrowed),
        b"SERVER_PROTOCOL" => first_line(head).nth(2).map(Cow::Borrowed),
        // A chunked body is not an empty one, which "" would mean.
        b"CONTENT_LENGTH" if header(head, b"TRANSFER_ENCODING").is_some() => None,
        // Otherwise always present, as in CGI: the empty string means that the field is absent.
        b"CONTENT_TYPE" | b"CONTENT_LENGTH" => Some(header(head, key).unwrap_or(Cow::Borrowed(b""))),
        // A Unix socket has no addresses; PEP 3333 requires a server name and port in any case.
        b"SERVER_NAME" => match line.host() {
            Some((name, _)) => Some(Cow::Owned(name.into())),
            None => address(addresses.local, ip, "localhost"),
        },
        b"SERVER_PORT" => match line.host() {
            Some((_, port)) => Some(Cow::Owned(if port.is_empty() { default_port } else { port }.into())),
            None => address(addresses.local, port, default_port),
        },
        b"REMOTE_ADDR" => address(addresses.client, ip, ""),
        // 0: a proxy has not told it.
        b"REMOTE_PORT" => address(addresses.client.filter(|client| client.port() > 0), port, ""),
        b"HTTPS" => line.is_https().then_some(Cow::Borrowed(b"on")),
        key if key == SCHEME.as_bytes() => Some(Cow::Borrowed(if line.is_https() { &b"https"[..] } else { b"http" })),
        key if key == REQUEST_ID.as_bytes() => {
            headers(head).find(|(name, _)| name.is_empty()).map(|(_, id)| Cow::Borrowed(id))
        }
        key if key.starts_with(b"tine.proxy_") => announced(key, line.caller?).map(|value| Cow::Owned(value.to_vec())),
        key => tls_field(key, line.tls?).map(|value| Cow::Owned(value.as_bytes().to_vec())),
    }
}

fn tls_field<'t>(key: &[u8], tls: &'t Tls) -> Option<&'t str> {
    let client = tls.client.as_ref();
    match key {
        b"SSL_PROTOCOL" => Some(&*tls.version),
        b"SSL_CIPHER" => Some(&*tls.cipher),
        b"SSL_TLS_SNI" => tls.server_name.as_deref(),
        b"SSL_CLIENT_S_DN" => client.map(|client| client.subject.as_str()),
        b"SSL_CLIENT_I_DN" => client.map(|client| client.issuer.as_str()),
        b"SSL_CLIENT_M_SERIAL" => client.map(|client| client.serial.as_str()),
        b"SSL_CLIENT_SAN" => client.map(|client| client.names.as_str()),
        b"SSL_CLIENT_FINGERPRINT" => client.map(|client| client.fingerprint.as_str()),
        _ => None,
    }
    .filter(|value| !value.is_empty())
}

fn announced<'c>(key: &[u8], caller: &'c Caller) -> Option<&'c [u8]> {
    match key {
        b"tine.proxy_authority" => caller.authority().map(str::as_bytes),
        b"tine.proxy_alpn" => caller.alpn().map(str::as_bytes),
        b"tine.proxy_unique_id" => caller.unique_id(),
        _ => None,
    }
}

/// As its `Display` writes it, which takes three times as long for those of version 4.
fn ip_text(ip: IpAddr) -> String {
    let IpAddr::V4(ip) = ip else { return ip.to_string() };
    let mut text = String::with_capacity("255.255.255.255".len());
    for (number, octet) in ip.octets().into_iter().enumerate() {
        if number > 0 {
            text.push('.');
        }
        text.push_str(itoa::Buffer::new().format(octet));
    }
    text
}

/// Passes each key with its value to `push`.
pub fn fields(head: &[u8], line: Line<'_>, mut push: impl FnMut(&[u8], &[u8])) {
    let mut all: Vec<(&[u8], &[u8])> = Vec::with_capacity(32);
    all.extend(headers(head));
    for key in CGI_KEYS {
        let is_of_header = matches!(key, "CONTENT_TYPE" | "CONTENT_LENGTH" | REQUEST_ID);
        // Most requests lack all three.
        if is_of_header && !all.iter().any(|(name, _)| is_special(name)) {
            if key != REQUEST_ID {
                push(key.as_bytes(), b"");
            }
        } else if let Some(value) = field(head, key.as_bytes(), line) {
            push(key.as_bytes(), &value);
        }
    }
    if line.tls.is_some() || line.caller.is_some() {
        for key in TLS_KEYS.iter().chain(&ANNOUNCED_KEYS).map(|key| key.as_bytes()) {
            field(head, key, line).into_iter().for_each(|value| push(key, &value));
        }
    }
    let host = line.caller.and_then(Caller::host);
    host.into_iter().for_each(|host| push(b"HTTP_HOST", host.as_bytes()));
    let mut key = Vec::with_capacity(64);
    for (at, &(name, value)) in all.iter().enumerate() {
        if is_special(name) && !name.eq_ignore_ascii_case(b"transfer-encoding") {
            continue;
        }
        if host.is_some() && name.eq_ignore_ascii_case(b"host") {
            continue;
        }
        key.clear();
        key.extend_from_slice(b"HTTP_");
        key.extend(name.iter().map(|&b| if b == b'-' { b'_' } else { b.to_ascii_uppercase() }));
        let is_same = |(other, _): &(&[u8], &[u8])| other.len() == name.len() && other.eq_ignore_ascii_case(name);
        if all[..at].iter().any(is_same) {
            continue; // joined with the first field of this name
        }
        match all[at + 1..].iter().any(is_same) {
            true => push(&key, &header(head, &key["HTTP_".len()..]).unwrap_or_default()),
            false => push(&key, value),
        }
    }
}

/// Whether keys of environ that are not HTTP_* depend on this header field.
fn is_special(name: &[u8]) -> bool {
    match name.len() {
        0 => true, // the ID, see `head_of`
        12 => name.eq_ignore_ascii_case(b"content-type"),
        14 => name.eq_ignore_ascii_case(b"content-length"),
        17 => name.eq_ignore_ascii_case(b"transfer-encoding"),
        _ => false,
    }
}

/// The value of a header field; `key` is its name as it follows `HTTP_`. Several fields of one name are joined in order
/// (RFC 9110, 5.3; cookies with another separator, RFC 6265, 5.4).
fn header<'a>(head: &'a [u8], key: &[u8]) -> Option<Cow<'a, [u8]>> {
    let mut found = lines(head).filter_map(|line| value_for(key, line));
    let mut value = Cow::Borrowed(found.next()?);
    for more in found {
        let value = value.to_mut();
        value.extend_from_slice(if key == b"COOKIE" { b"; " } else { b", " });
        value.extend_from_slice(more);
    }
    Some(value)
}

/// The value of a line, if its name is this. Most lines fail by the place of their colon.
fn value_for<'a>(key: &[u8], line: &'a [u8]) -> Option<&'a [u8]> {
    let is_same = |(&b, &k): (&u8, &u8)| match b {
        b'-' => k == b'_',
        // Of a name that is left out, and of one that ends earlier.
        b'_' | b':' => false,
        _ => b.to_ascii_uppercase() == k,
    };
    let is_it = line.get(key.len()) == Some(&b':') && !key.is_empty() && line.iter().zip(key).all(is_same);
    is_it.then(|| line[key.len() + 1..].trim_ascii())
}

/// Names and values. Names with an underscore are left out: `X_A` and `X-A` would be one key, and a proxy that strips
/// one lets the other pass.
fn headers(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(head).filter_map(|line| {
        // A name is short.
        let end = line.iter().position(|&byte| matches!(byte, b':' | b'_')).filter(|&end| line[end] == b':')?;
        Some((&line[..end], line[end + 1..].trim_ascii()))
    })
}

/// The lines after the first.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = memchr::memchr(b'\n', head).map_or(&[][..], |end| &head[end + 1..]);
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        Some(line)
    })
}

/// Method, target, version.
fn first_line(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let line = memchr::memchr(b'\r', head).map_or(head, |end| &head[..end]);
    line.split(|&b| b == b' ')
}

/// The bytes of a path with `%XX` decoded; malformed escapes stay as they are.
pub fn decode(path: &str) -> Cow<'_, [u8]> {
    percent::decode(path).unwrap_or_else(Cow::Owned)
}

/// Whether the path has a zero byte once [`decode`]d.
pub fn has_zero_byte(path: &str) -> bool {
    memchr::memchr(b'%', path.as_bytes()).is_some_and(|at| path[at..].contains("%00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        for (path, expected) in [
            ("/a", "/a"),
            ("/a%20b", "/a b"),
            ("/%2525", "/%25"),
            ("/%2e%2E/x", "/../x"),
            ("/%", "/%"),
            ("/%4", "/%4"),
            ("/%zz%41", "/%zzA"),
            ("/a+b", "/a+b"),
            ("*", "*"),
        ] {
            assert_eq!(decode(path).as_ref(), expected.as_bytes(), "{path}");
        }
        assert_eq!(decode("/%ff%00").as_ref(), b"/\xff\0");
    }

    const HEAD: &[u8] = b"POST /a%20b?c=d HTTP/1.1\r\nHost: h:1\r\ncontent-TYPE: text/plain\r\nContent-Length: 10\r\n\
        X-A: 1\r\nx-a:  2 \r\nCookie: a=1\r\nCookie: b=2\r\nX_A: evil\r\nX_B: evil\r\nX-Empty:\r\n\r\n";

    const EXPECTED: [(&str, &str); 13] = [
        ("REQUEST_URI", "/a%20b?c=d"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("CONTENT_TYPE", "text/plain"),
        ("CONTENT_LENGTH", "10"),
        ("SERVER_NAME", "localhost"),
        ("SERVER_PORT", "80"),
        ("REMOTE_ADDR", ""),
        ("REMOTE_PORT", ""),
        ("wsgi.url_scheme", "http"),
        ("HTTP_HOST", "h:1"),
        ("HTTP_X_A", "1, 2"),
        ("HTTP_COOKIE", "a=1; b=2"),
        ("HTTP_X_EMPTY", ""),
    ];

    #[test]
    fn addresses_are_written_as_everywhere() {
        for ip in ["0.0.0.0", "127.0.0.1", "255.255.255.255", "10.20.0.9", "::1", "::ffff:1.2.3.4"] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(ip_text(ip), ip.to_string());
        }
    }

    #[test]
    fn fields_become_keys() {
        for (key, expected) in EXPECTED {
            let value = field(HEAD, key.as_bytes(), Line::default());
            assert_eq!(value.as_deref(), Some(expected.as_bytes()), "{key}");
        }
        for key in [
            "HTTP_CONTENT_TYPE",
            "HTTP_CONTENT_LENGTH",
            "HTTP_X_B",
            "HTTP_X-A",
            "HTTP_x_a",
            "HTTP_",
            "HTTP",
            "",
            "X_A",
            "HTTP_COOKIE: A=1; B",
        ] {
            assert_eq!(field(HEAD, key.as_bytes(), Line::default()), None, "{key}");
        }
    }

    #[test]
    fn all_fields_are_those_that_can_be_asked_for() {
        let mut all = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields(HEAD, Line::default(), |key, value| all.push((text(key), text(value))));
        assert_eq!(all, EXPECTED.map(|(key, value)| (key.to_string(), value.to_string())));
    }

    #[test]
    fn a_chunked_body_has_no_length() {
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(field(head, b"CONTENT_LENGTH", Line::default()), None);
        let mut keys = Vec::new();
        fields(head, Line::default(), |key, _| keys.push(key.to_vec()));
        let has = |key: &[u8]| keys.iter().any(|other| other == key);
        assert!(has(b"CONTENT_TYPE") && !has(b"CONTENT_LENGTH"), "{keys:?}");
    }
}
