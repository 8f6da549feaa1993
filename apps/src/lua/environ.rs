//! A request as WSGI has it (PEP 3333, "environ Variables"): the part that only some apps ask for, read from the request's
//! head when they do.

use mlua::{Lua, Table};
use std::borrow::Cow;
use std::net::SocketAddr;

/// What is not in the head.
pub struct Ends {
    pub peer: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}

/// Completes `environ`; whether the head announces a body. `head` was checked when it was parsed.
pub fn fill(lua: &Lua, environ: &Table, head: &[u8], ends: &Ends) -> mlua::Result<bool> {
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut first = lines.next().unwrap_or_default().split(|&b| b == b' ');
    let (target, version) = (first.nth(1).unwrap_or_default(), first.next().unwrap_or_default());
    let set = |key: &str, value: &[u8]| environ.raw_set(key, lua.create_string(value)?);
    set("REQUEST_URI", target)?;
    set("SERVER_PROTOCOL", version)?;
    set("wsgi.url_scheme", b"http")?;
    set("CONTENT_TYPE", b"")?;
    set("CONTENT_LENGTH", b"")?;
    set_ends(environ, ends)?;
    let mut has_body = false;
    let mut seen: Vec<(String, Cow<'_, [u8]>)> = Vec::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // `X_A` and `X-A` would be one key, and a proxy in front that strips the one lets the other pass.
        if name.contains(&b'_') {
            continue;
        }
        let key = key(name);
        has_body |= key == "HTTP_TRANSFER_ENCODING" || key == "CONTENT_LENGTH" && value.iter().any(|&b| b != b'0');
        match seen.iter_mut().find(|(other, _)| *other == key) {
            // RFC 9110, 5.3; of cookies RFC 6265, 5.4, whose separator is another.
            Some((_, earlier)) => {
                let earlier = earlier.to_mut();
                earlier.extend_from_slice(if key == "HTTP_COOKIE" { b"; " } else { b", " });
                earlier.extend_from_slice(value);
            }
            None => seen.push((key, Cow::Borrowed(value))),
        }
    }
    for (key, value) in &seen {
        set(key, value)?;
    }
    Ok(has_body)
}

/// `Accept-Language` as `HTTP_ACCEPT_LANGUAGE`; the two fields that describe the body have names of their own.
fn key(name: &[u8]) -> String {
    let upper = |&b: &u8| if b == b'-' { '_' } else { b.to_ascii_uppercase() as char };
    if name.eq_ignore_ascii_case(b"content-type") || name.eq_ignore_ascii_case(b"content-length") {
        return name.iter().map(upper).collect();
    }
    "HTTP_".chars().chain(name.iter().map(upper)).collect()
}

/// On a Unix socket nobody has an address; PEP 3333 wants a server's name and port in any case.
fn set_ends(environ: &Table, ends: &Ends) -> mlua::Result<()> {
    let ip = |end: Option<SocketAddr>, none: &str| end.map_or(none.to_string(), |at| at.ip().to_string());
    let port = |end: Option<SocketAddr>, none: &str| end.map_or(none.to_string(), |at| at.port().to_string());
    environ.raw_set("SERVER_NAME", ip(ends.local, "localhost"))?;
    environ.raw_set("SERVER_PORT", port(ends.local, "80"))?;
    environ.raw_set("REMOTE_ADDR", ip(ends.peer, ""))?;
    environ.raw_set("REMOTE_PORT", port(ends.peer, ""))
}

/// A path's bytes with `%XX` decoded; what is no such escape stays.
pub fn decode(path: &str) -> Cow<'_, [u8]> {
    let path = path.as_bytes();
    if memchr::memchr(b'%', path).is_none() {
        return Cow::Borrowed(path);
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|digit| digit as u8);
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if let (b'%', [high, low, behind @ ..]) = (*byte, tail)
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            out.push(high << 4 | low);
            rest = behind;
        } else {
            out.push(*byte);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlua::Lua;

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

    fn filled(head: &str) -> (Lua, Table, bool) {
        let lua = Lua::new();
        let environ = lua.create_table().unwrap();
        let ends = Ends { peer: "[::1]:7".parse().ok(), local: "127.0.0.1:8080".parse().ok() };
        let has_body = fill(&lua, &environ, head.as_bytes(), &ends).unwrap();
        (lua, environ, has_body)
    }

    #[test]
    fn fields_become_keys() {
        let (_lua, environ, has_body) = filled(
            "POST /a%20b?c=d HTTP/1.1\r\nHost: h:1\r\ncontent-TYPE: text/plain\r\nContent-Length: 10\r\nX-A: 1\r\n\
             x-a:  2 \r\nCookie: a=1\r\nCookie: b=2\r\nX_A: evil\r\nX-Empty:\r\n\r\n",
        );
        assert!(has_body);
        for (key, expected) in [
            ("REQUEST_URI", "/a%20b?c=d"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTP_HOST", "h:1"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "10"),
            ("HTTP_X_A", "1, 2"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X_EMPTY", ""),
            ("SERVER_NAME", "127.0.0.1"),
            ("SERVER_PORT", "8080"),
            ("REMOTE_ADDR", "::1"),
            ("REMOTE_PORT", "7"),
        ] {
            assert_eq!(environ.raw_get::<String>(key).unwrap(), expected, "{key}");
        }
        for key in ["HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"] {
            assert!(environ.raw_get::<Option<String>>(key).unwrap().is_none(), "{key}");
        }
    }

    #[test]
    fn a_body_is_announced_by_its_length_or_its_coding() {
        for (field, expected) in [
            ("Host: h", false),
            ("Content-Length: 0", false),
            ("Content-Length: 00", false),
            ("Content-Length: 1", true),
            ("Transfer-Encoding: chunked", true),
        ] {
            assert_eq!(filled(&format!("GET / HTTP/1.1\r\n{field}\r\n\r\n")).2, expected, "{field}");
        }
    }
}
