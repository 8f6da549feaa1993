//! Where each value of a line comes from.

use super::capture::{Asked, Asking};
use super::clock::Clock;
use super::datum::Datum;
use super::fields::{Fields, HOST, TRACEPARENT};
use super::refused::of_refused;
use super::trace;
use crate::app::{ClientCertificate, Tls};
use crate::dispatch::{Outcome, Record};
use crate::http::{Request, Version};
use crate::request_log::Captured;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tine_common::access_log::Value;

/// The longest name and password of an `Authorization: Basic` that are decoded, as base64.
pub const CREDENTIALS_BYTES_MAX: usize = 512;

impl Asked<'_> {
    /// What a value comes to.
    #[inline(always)]
    pub fn datum<'d>(&'d self, value: &'d Value, fields: &'d Fields<'d>) -> Datum<'d> {
        let port = |address: Option<std::net::SocketAddr>| {
            // 0: a proxy has not told it.
            let port = address.map(|address| address.port()).filter(|&port| port > 0);
            port.map_or(Datum::Absent, |port| Datum::Number(port.into()))
        };
        let ip = |address: Option<std::net::SocketAddr>| {
            address.map_or(Datum::Absent, |address| Datum::Address(address.ip()))
        };
        match value {
            Value::ClientAddress => ip(self.client),
            Value::ClientPort => port(self.client),
            Value::LocalAddress => ip(self.local),
            Value::LocalPort => port(self.local),
            Value::RequestId => self.request_id.map_or(Datum::Absent, |id| Datum::Foreign(id.as_bytes())),
            value if value.is_of_tls() => self.tls.map_or(Datum::Absent, |tls| of_session(value, tls)),
            value => match self.head {
                Asking::Request(request) => of_request(value, request, fields),
                Asking::Refused(bytes) => of_refused(value, bytes),
            },
        }
    }
}

#[inline(never)]
fn of_session<'d>(value: &Value, tls: &'d Tls) -> Datum<'d> {
    let of_client = |text: for<'c> fn(&'c ClientCertificate) -> &'c str| {
        foreign(tls.client.as_ref().map(|client| text(client).as_bytes()))
    };
    match value {
        Value::TlsProtocol => Datum::Own(tls.version.as_bytes()),
        Value::TlsCipher => Datum::Own(tls.cipher.as_bytes()),
        Value::TlsServerName => foreign(tls.server_name.as_ref().map(|name| name.as_bytes())),
        Value::TlsClientSubject => of_client(|client| &client.subject),
        Value::TlsClientNames => of_client(|client| &client.names),
        _ => of_client(|client| &client.fingerprint),
    }
}

#[inline(always)]
fn of_request<'d>(value: &'d Value, request: &'d Request<'d>, fields: &'d Fields<'d>) -> Datum<'d> {
    let headers = request.headers();
    match value {
        Value::RequestLine => request_line(request),
        Value::Method => Datum::Foreign(request.method().as_bytes()),
        Value::Path => Datum::Foreign(request.path().as_bytes()),
        Value::Query { has_mark } => match (request.query(), has_mark) {
            // The mark precedes it in the target.
            (Some(query), true) => {
                Datum::Foreign(&request.target().as_bytes()[request.target().len() - query.len() - 1..])
            }
            (Some(query), false) => Datum::Foreign(query.as_bytes()),
            (None, true) => Datum::Own(b""),
            (None, false) => Datum::Absent,
        },
        Value::Protocol => Datum::Own(request.version().as_str().as_bytes()),
        Value::ProtocolVersion => Datum::Own(match request.version() {
            Version::Http10 => b"1.0",
            Version::Http11 => b"1.1",
            Version::Http2 => b"2",
        }),
        Value::Host => foreign(host(request, fields)),
        Value::RequestHeader(name) => foreign(headers.get(name)),
        Value::Cookie(name) => foreign(headers.all("cookie").find_map(|cookies| cookie(cookies, name))),
        Value::RequestsBefore => Datum::Number(request.place().saturating_sub(1).into()),
        Value::TraceId | Value::SpanId if fields[TRACEPARENT].is_none() => Datum::Absent,
        Value::TraceId => trace::of(request).map_or(Datum::Absent, |trace| Datum::Own(trace.trace_id)),
        Value::SpanId => trace::of(request).map_or(Datum::Absent, |trace| Datum::Own(trace.span_id)),
        // Constants, and those of other stages.
        _ => Datum::Absent,
    }
}

/// The host that was asked for.
#[inline(always)]
pub fn host<'d>(request: &'d Request<'d>, fields: &'d Fields<'d>) -> Option<&'d [u8]> {
    // Most targets have none of their own.
    match request.target().starts_with('/') {
        true => fields[HOST],
        false => Some(request.host().as_bytes()).filter(|host| !host.is_empty()),
    }
}

/// As it was sent, if the request has its text.
#[inline(always)]
fn request_line<'d>(request: &'d Request<'d>) -> Datum<'d> {
    let (method, target, version) = (request.method(), request.target(), request.version().as_str());
    let line = request.text().get(..method.len() + target.len() + version.len() + 2);
    match line.filter(|line| line.ends_with(version.as_bytes())) {
        Some(line) => Datum::Foreign(line),
        None => Datum::Line([method.as_bytes(), target.as_bytes(), version.as_bytes()]),
    }
}

pub fn foreign(value: Option<&[u8]>) -> Datum<'_> {
    value.map_or(Datum::Absent, Datum::Foreign)
}

/// The value of a cookie in a `Cookie` field.
fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pairs = cookies.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    pairs
        .filter_map(|pair| pair.split_at_checked(name.len()))
        .find_map(|(found, value)| (found == name.as_bytes()).then(|| value.strip_prefix(b"=")).flatten())
}

/// The name in the value of an `Authorization: Basic` (RFC 7617), decoded into `room`.
pub fn user<'r>(value: &[u8], room: &'r mut [u8; CREDENTIALS_BYTES_MAX]) -> Option<&'r [u8]> {
    let (scheme, credentials) = value.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") || credentials.len() > CREDENTIALS_BYTES_MAX {
        return None;
    }
    let length = STANDARD.decode_slice(credentials.trim_ascii(), room).ok()?;
    let name = room[..length].split(|&byte| byte == b':').next()?;
    Some(name).filter(|name| !name.is_empty())
}

/// The value of a field in the bytes of a response's head.
pub fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    lines.filter_map(|line| line.split_at_checked(name.len())).find_map(|(found, rest)| {
        let value = rest.strip_prefix(b":").filter(|_| found.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(value.trim_ascii())
    })
}

/// A value that is known at the end.
#[inline(always)]
pub fn end_datum<'a>(value: &Value, record: &Record, captured: &Captured, clock: &mut Clock) -> Datum<'a> {
    let mut span = |end: Option<std::time::Instant>, unit| {
        end.map_or(Datum::Absent, |end| Datum::Span(clock.span(record.began, end), unit))
    };
    match value {
        Value::Status => record.status.map_or(Datum::Absent, |status| Datum::Number(status.as_u16().into())),
        Value::BodyBytes { has_zero } => match (captured.body_bytes(record), has_zero) {
            (0, false) => Datum::Absent,
            (bytes, _) => Datum::Number(bytes),
        },
        Value::BytesIn => Datum::Number(record.request_bytes),
        Value::BytesOut => Datum::Number(record.response_bytes),
        Value::BytesBoth => Datum::Number(record.request_bytes + record.response_bytes),
        Value::Duration(unit) => span(Some(record.ended), *unit),
        Value::TimeToFirstByte(unit) => span(record.first_byte, *unit),
        Value::ConnectionStatus => Datum::Own(match record.outcome {
            Outcome::Cut(_) | Outcome::ClientLeft => b"X",
            Outcome::Answered | Outcome::Refused if captured.is_kept() => b"+",
            Outcome::Answered | Outcome::Refused => b"-",
        }),
        Value::Outcome => Datum::Own(match record.outcome {
            Outcome::Answered | Outcome::Refused => b"complete",
            Outcome::Cut(_) => b"cut",
            Outcome::ClientLeft => b"aborted",
        }),
        _ => Datum::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_in_a_head_as_it_is_sent() {
        let head = b"HTTP/1.1 200 OK\r\nServer: tine\r\ncontent-length: 5\r\nX-A:\r\nX-AB: 1\r\n\r\n";
        for (name, expected) in [
            ("server", Some(&b"tine"[..])),
            ("Content-Length", Some(b"5")),
            ("x-a", Some(b"")),
            ("X-AB", Some(b"1")),
            ("X", None),
            ("HTTP/1.1 200 OK", None),
        ] {
            assert_eq!(field(head, name), expected, "{name}");
        }
        assert_eq!(field(b"", "server"), None);
    }

    #[test]
    fn a_user_is_the_name_of_basic_credentials() {
        let long = format!("Basic {}", "QQ==".repeat(200));
        for (value, expected) in [
            ("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", Some(&b"Aladdin"[..])),
            ("basic YTpi", Some(b"a")),
            ("Basic YQ==", Some(b"a")),
            ("Basic OmI=", None),
            ("Basic ***", None),
            ("Basic ", None),
            ("Bearer YTpi", None),
            (&long, None),
        ] {
            let mut room = [0; CREDENTIALS_BYTES_MAX];
            assert_eq!(user(value.as_bytes(), &mut room), expected, "{value}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let cookies = b"a=1; session=x=y ;ab=2;c";
        for (name, expected) in
            [("a", Some(&b"1"[..])), ("session", Some(b"x=y")), ("ab", Some(b"2")), ("b", None), ("c", None)]
        {
            assert_eq!(cookie(cookies, name), expected, "{name}");
        }
    }
}
