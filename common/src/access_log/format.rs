//! `--access-log-format`. Directives are compiled once into a list of pieces: literal text, and the values between.
//!
//! The directives are Apache's (mod_log_config), which nginx's and gunicorn's users know as well; ours are `%{NAME}x`.
//! gunicorn's own spelling, `%(NAME)s`, has gunicorn's meaning (`directives.rs`). [`Form::Json`] is a preset only: a
//! format with JSON in it would have to quote what it quotes, and a value that is absent would break it.

use super::directives::{self, Directive};
use crate::escape;
use std::ffi::CString;
use std::fmt;
use std::str::FromStr;

const COMMON: &str = "%h %l %u %t \"%r\" %>s %b";
const COMBINED: &str = "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\"";
pub const PRESETS: [&str; 3] = ["common", "combined", "json"];

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// As it was given.
    text: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// An absent value is `-`.
    Directives(Vec<Piece>),
    /// One object, whose fields are fixed; one whose value is absent is left out.
    Json,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(Vec<u8>),
    Value(Value),
}

/// When a value is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// As long as the request's head is in the input.
    Request,
    /// When the response's head is written.
    Response,
    /// Once the response has left.
    End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    ClientAddress,
    ClientPort,
    LocalAddress,
    LocalPort,
    /// The name in an `Authorization: Basic` header, whatever became of it.
    User,
    Began(Time),
    RequestLine,
    Method,
    Path,
    /// `has_mark`: preceded by its `?`, and empty if there is none.
    Query {
        has_mark: bool,
    },
    /// `HTTP/1.1`
    Protocol,
    /// `1.1`
    ProtocolVersion,
    Host,
    Referer,
    UserAgent,
    RequestHeader(String),
    Cookie(String),
    /// The requests before it on its connection.
    RequestsBefore,
    RequestId,
    TraceId,
    SpanId,
    TlsProtocol,
    TlsCipher,
    TlsServerName,
    TlsClientSubject,
    TlsClientNames,
    TlsClientFingerprint,
    Worker,
    Generation,
    Pid,
    /// `<4711>`, gunicorn's.
    PidInBrackets,
    ResponseHeader(String),
    Status,
    /// What was sent after the head; `has_zero`: none is 0, not `-`.
    BodyBytes {
        has_zero: bool,
    },
    BytesIn,
    BytesOut,
    BytesBoth,
    Duration(Unit),
    TimeToFirstByte(Unit),
    Ended(Time),
    /// `X`: aborted before it was complete, `+`: the connection was kept, `-`: it was closed.
    ConnectionStatus,
    /// `complete`, `cut` or `aborted`.
    Outcome,
}

/// How a time of day is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Time {
    /// `[01/Dec/2026:13:01:45 +0000]`, local time.
    Clf,
    /// `2026-12-01T13:01:45.123456Z`
    Iso,
    /// By strftime(3), local time.
    Strftime(CString),
    /// Since the epoch.
    Seconds,
    Millis,
    Micros,
    /// The part of the second that has passed, of 3 or 6 digits.
    MillisOfSecond,
    MicrosOfSecond,
}

/// How a span of time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Micros,
    Millis,
    Seconds,
    /// `0.000123`, in seconds.
    Decimal,
}

impl Value {
    pub fn stage(&self) -> Stage {
        match self {
            Value::ResponseHeader(_) => Stage::Response,
            Value::Status
            | Value::BodyBytes { .. }
            | Value::BytesIn
            | Value::BytesOut
            | Value::BytesBoth
            | Value::Duration(_)
            | Value::TimeToFirstByte(_)
            | Value::Ended(_)
            | Value::ConnectionStatus
            | Value::Outcome => Stage::End,
            _ => Stage::Request,
        }
    }

    /// Whether it is of the TLS session.
    pub fn is_of_tls(&self) -> bool {
        matches!(
            self,
            Value::TlsProtocol
                | Value::TlsCipher
                | Value::TlsServerName
                | Value::TlsClientSubject
                | Value::TlsClientNames
                | Value::TlsClientFingerprint
        )
    }

    /// Whether a client or an app chooses its text, and so its length.
    pub fn is_foreign(&self) -> bool {
        matches!(
            self,
            Value::User
                | Value::RequestLine
                | Value::Method
                | Value::Path
                | Value::Query { .. }
                | Value::Host
                | Value::Referer
                | Value::UserAgent
                | Value::RequestHeader(_)
                | Value::Cookie(_)
                | Value::RequestId
                | Value::TlsServerName
                | Value::TlsClientSubject
                | Value::TlsClientNames
                | Value::TlsClientFingerprint
                | Value::ResponseHeader(_)
        )
    }
}

impl FromStr for Format {
    type Err = String;

    /// The error is one line that states what would be right.
    fn from_str(text: &str) -> Result<Self, String> {
        let directives = match text {
            "json" => return Ok(Format { text: text.to_string(), form: Form::Json }),
            "common" => COMMON,
            "combined" => COMBINED,
            _ if text.contains('%') => text,
            _ => return Err(no_format(text)),
        };
        Ok(Format { text: text.to_string(), form: Form::Directives(pieces(directives)?) })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn no_format(text: &str) -> String {
    if text.contains('$') {
        return format!(
            "{text:?} has nginx's variables; give {}, or Apache's directives such as '%h \"%r\" %s'",
            PRESETS.join(", ")
        );
    }
    let meant = PRESETS.into_iter().find(|preset| strsim::damerau_levenshtein(text, preset) <= 2);
    let meant = meant.map_or(String::new(), |preset| format!(" (did you mean {preset}?)"));
    format!("{text:?} is not a format{meant}; give {}, or directives such as '%h \"%r\" %s'", PRESETS.join(", "))
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let (mut pieces, mut literal, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some(c) = rest.chars().next() {
        match c {
            '%' => {
                let (directive, after) = directives::parse(rest)?;
                rest = after;
                match directive {
                    Directive::Literal(bytes) => literal.extend_from_slice(&bytes),
                    Directive::Value(value) => {
                        if !literal.is_empty() {
                            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                        }
                        pieces.push(Piece::Value(value));
                    }
                }
                continue;
            }
            // Apache's escapes of a format's own text.
            '\\' => match rest[1..].chars().next() {
                Some('t') => literal.push(b'\t'),
                Some(c @ ('"' | '\\' | '\'')) => literal.push(c as u8),
                _ => {
                    literal.push(b'\\');
                    rest = &rest[1..];
                    continue;
                }
            },
            c if c.is_control() && c != '\t' => {
                return Err(format!("the format has the control character {c:?}, and a request has one line"));
            }
            c => literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        rest = &rest[if c == '\\' { 2 } else { c.len_utf8() }..];
    }
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal));
    }
    Ok(pieces)
}

/// A variable of this process's environment, as text of the line.
pub(super) fn environment(name: &str) -> Vec<u8> {
    let value = std::env::var_os(name).filter(|value| !value.is_empty());
    let Some(value) = value else { return b"-".to_vec() };
    let mut literal = Vec::new();
    escape::text(value.as_encoded_bytes(), |bytes| literal.extend_from_slice(bytes));
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(value: Value) -> Piece {
        Piece::Value(value)
    }

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.as_bytes().to_vec())
    }

    fn pieces_of(text: &str) -> Vec<Piece> {
        match text.parse::<Format>().expect("a format").form {
            Form::Directives(pieces) => pieces,
            Form::Json => panic!("{text} has no pieces"),
        }
    }

    #[test]
    fn a_format_is_a_list_of_pieces() {
        let parsed: Format = "%h \\\"%r\\\" 100%%\\t%{X-A}i|%{ms}T".parse().expect("a format");
        let expected = [
            value(Value::ClientAddress),
            literal(" \""),
            value(Value::RequestLine),
            literal("\" 100%\t"),
            value(Value::RequestHeader("X-A".to_string())),
            literal("|"),
            value(Value::Duration(Unit::Millis)),
        ];
        assert_eq!(parsed.form, Form::Directives(expected.into()));
        assert_eq!(parsed.to_string(), "%h \\\"%r\\\" 100%%\\t%{X-A}i|%{ms}T");
    }

    #[test]
    fn gunicorns_own_format_is_combined() {
        let gunicorn = "%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \"%(a)s\"";
        let [gunicorn, combined] = [gunicorn, "combined"].map(pieces_of);
        let named = |piece: &Piece| match piece {
            Piece::Value(Value::RequestHeader(name)) => value(match name.as_str() {
                "Referer" => Value::Referer,
                _ => Value::UserAgent,
            }),
            other => other.clone(),
        };
        assert_eq!(gunicorn, combined.iter().map(named).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_format_is_refused_with_what_would_be() {
        for (text, expected) in [
            ("", "give common, combined, json"),
            ("combind", "did you mean combined?"),
            ("JSON", "give common, combined, json"),
            ("$remote_addr [$time_local]", "nginx's variables"),
            ("%h\n", "one line"),
            ("%", "ends in the middle"),
            ("%{Referer", "ends in the middle"),
            ("%{X}", "ends in the middle"),
            ("%(h", "ends in the middle"),
            ("%z", "%z is not a directive"),
            ("%é", "%é is not a directive"),
            ("%(z)s", "%(z)s is not a directive"),
            ("%{workers}x", "did you mean %{worker}x?"),
            ("%{x}x", "%{request_id}x"),
            ("%{min}T", "%{ms}T"),
            ("%f", "%U"),
            ("%400{Referer}i", "--access-log-min-status"),
            ("%{}i", "needs a name"),
            ("%i", "needs a name"),
            ("%{X Y}i", "is not a header name"),
        ] {
            let error = text.parse::<Format>().expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}
