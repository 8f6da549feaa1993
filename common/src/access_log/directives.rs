//! The directives of a format: Apache's, ours, and gunicorn's.
//!
//! Where Apache and gunicorn mean different things by a letter, the spelling decides: `%p` is Apache's, the port, and
//! `%(p)s` is gunicorn's, the process id in `<>`.

use super::format::{Time, Unit, Value, environment};
use std::ffi::CString;

/// What stands in the place of a directive.
#[derive(Debug, PartialEq, Eq)]
pub enum Directive {
    Literal(Vec<u8>),
    Value(Value),
}

/// Ours: `%{NAME}x`. The names of mod_ssl are known as well.
const OURS: &[(&str, Value)] = &[
    ("worker", Value::Worker),
    ("generation", Value::Generation),
    ("protocol", Value::ProtocolVersion),
    ("tls_protocol", Value::TlsProtocol),
    ("tls_cipher", Value::TlsCipher),
    ("tls_server_name", Value::TlsServerName),
    ("tls_client_subject", Value::TlsClientSubject),
    ("tls_client_names", Value::TlsClientNames),
    ("tls_client_fingerprint", Value::TlsClientFingerprint),
    ("SSL_TLS_SNI", Value::TlsServerName),
    ("SSL_CLIENT_S_DN", Value::TlsClientSubject),
    ("SSL_PROTOCOL", Value::TlsProtocol),
    ("SSL_CIPHER", Value::TlsCipher),
    ("ttfb", Value::TimeToFirstByte(Unit::Micros)),
    ("request_id", Value::RequestId),
    ("trace_id", Value::TraceId),
    ("span_id", Value::SpanId),
    ("outcome", Value::Outcome),
];

/// What Apache has and this server cannot have, and what to use instead.
const REFUSED: &[(char, &str)] = &[
    ('f', "no file belongs to each request; %U is its path"),
    ('n', "there are no notes of modules; %{NAME}i and %{NAME}o are header fields"),
    ('R', "there are no handlers; %U is the path"),
    ('F', "write %^FB for the time to the first byte"),
];

/// The directive at the front of `text`, which begins with `%`, and what follows it.
pub fn parse(text: &str) -> Result<(Directive, &str), String> {
    let cut_short = || format!("the format ends in the middle of a directive: {text:?}; write %% for a percent sign");
    if let Some(rest) = text.strip_prefix("%(") {
        let (name, rest) = rest.split_once(")s").ok_or_else(cut_short)?;
        return gunicorns(name).map(|directive| (directive, rest));
    }
    if let Some(rest) = text.strip_prefix("%^FB") {
        return Ok((Directive::Value(Value::TimeToFirstByte(Unit::Micros)), rest));
    }
    // Of the original or of the final request after an internal redirection: there are none.
    let mut rest = text[1..].trim_start_matches(['<', '>']);
    if rest.starts_with(|c: char| c.is_ascii_digit() || c == '!') {
        return Err(format!(
            "{text:?} depends on the status, which a directive cannot here; --access-log-min-status leaves lines out"
        ));
    }
    let argument = match rest.strip_prefix('{') {
        Some(after) => {
            let (argument, after) = after.split_once('}').ok_or_else(cut_short)?;
            rest = after;
            Some(argument)
        }
        None => None,
    };
    let letter = rest.chars().next().ok_or_else(cut_short)?;
    let shown = &text[..text.len() - rest.len() + letter.len_utf8()];
    let directive = match argument {
        None => plain(letter),
        Some(argument) => with_argument(letter, argument, shown)?,
    };
    let directive = directive.ok_or_else(|| unknown(letter, shown))?;
    Ok((directive, &rest[letter.len_utf8()..]))
}

fn unknown(letter: char, shown: &str) -> String {
    let instead = match (REFUSED.iter().find(|(refused, _)| *refused == letter), letter) {
        (Some((_, instead)), _) => instead,
        (None, 'i' | 'o' | 'e' | 'C' | 'x') => return format!("{shown} needs a name, as in %{{NAME}}{letter}"),
        (None, _) => {
            "give one of %h %a %A %l %u %t %r %m %U %q %H %s %b %B %D %T %I %O %S %p %P %v %k %L %X %{NAME}i \
                      %{NAME}o %{NAME}C %{NAME}e %{NAME}x"
        }
    };
    format!("{shown} is not a directive of the access log: {instead}")
}

/// Apache's without an argument.
fn plain(letter: char) -> Option<Directive> {
    Some(Directive::Value(match letter {
        '%' => return Some(literal("%")),
        // No server asks its clients' identd.
        'l' => return Some(literal("-")),
        'h' | 'a' => Value::ClientAddress,
        'A' => Value::LocalAddress,
        'p' => Value::LocalPort,
        'u' => Value::User,
        't' => Value::Began(Time::Clf),
        'r' => Value::RequestLine,
        'm' => Value::Method,
        'U' => Value::Path,
        'q' => Value::Query { has_mark: true },
        'H' => Value::Protocol,
        'v' | 'V' => Value::Host,
        'k' => Value::RequestsBefore,
        // Apache's is the ID that the lines of its error log have in common with this one.
        'L' => Value::RequestId,
        'P' => Value::Pid,
        's' => Value::Status,
        'b' => Value::BodyBytes { has_zero: false },
        'B' => Value::BodyBytes { has_zero: true },
        'I' => Value::BytesIn,
        'O' => Value::BytesOut,
        'S' => Value::BytesBoth,
        'D' => Value::Duration(Unit::Micros),
        'T' => Value::Duration(Unit::Seconds),
        // gunicorn's; Apache has it in its error log only.
        'M' => Value::Duration(Unit::Millis),
        'X' => Value::ConnectionStatus,
        _ => return None,
    }))
}

fn with_argument(letter: char, argument: &str, shown: &str) -> Result<Option<Directive>, String> {
    let value = match letter {
        'i' | 'o' | 'C' | 'e' if argument.is_empty() => return Err(format!("{shown} needs a name")),
        'i' => request_header(header_name(argument, shown)?),
        'o' => Value::ResponseHeader(header_name(argument, shown)?),
        'C' => Value::Cookie(argument.to_string()),
        'e' => return Ok(Some(Directive::Literal(environment(argument)))),
        't' => time(argument, shown)?,
        'T' => Value::Duration(match argument {
            "us" => Unit::Micros,
            "ms" => Unit::Millis,
            "s" => Unit::Seconds,
            _ => return Err(format!("{shown} is not a unit of time; give %{{us}}T, %{{ms}}T or %{{s}}T")),
        }),
        'h' | 'a' if argument == "c" => Value::ClientAddress,
        'p' => match argument {
            "canonical" | "local" => Value::LocalPort,
            "remote" => Value::ClientPort,
            _ => return Err(format!("{shown} is not a port; give %p, %{{local}}p or %{{remote}}p")),
        },
        'P' if matches!(argument, "pid" | "tid") => Value::Pid,
        'x' => ours(argument, shown)?,
        _ => return Ok(None),
    };
    Ok(Some(Directive::Value(value)))
}

fn ours(name: &str, shown: &str) -> Result<Value, String> {
    if let Some((_, value)) = OURS.iter().find(|(known, _)| *known == name) {
        return Ok(value.clone());
    }
    let meant = OURS.iter().find(|(known, _)| strsim::damerau_levenshtein(name, known) <= 2);
    let meant = meant.map_or(String::new(), |(known, _)| format!(" (did you mean %{{{known}}}x?)"));
    let known: Vec<String> = OURS.iter().map(|(known, _)| format!("%{{{known}}}x")).collect();
    Err(format!("{shown} is not a directive of the access log{meant}; give one of {}", known.join(" ")))
}

fn header_name(name: &str, shown: &str) -> Result<String, String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    match name.bytes().all(is_token) {
        true => Ok(name.to_string()),
        false => Err(format!("{name:?} in {shown} is not a header name")),
    }
}

fn request_header(name: String) -> Value {
    match name.to_ascii_lowercase().as_str() {
        "referer" => Value::Referer,
        "user-agent" => Value::UserAgent,
        "host" => Value::Host,
        _ => Value::RequestHeader(name),
    }
}

/// `%{…}t`: when the request arrived, or with `end:` when its response had left.
fn time(argument: &str, shown: &str) -> Result<Value, String> {
    let (is_end, format) = match argument.split_once(':') {
        Some(("end", format)) => (true, format),
        Some(("begin", format)) => (false, format),
        _ => (false, argument),
    };
    let time = match format {
        "" => Time::Clf,
        "sec" => Time::Seconds,
        "msec" => Time::Millis,
        "usec" => Time::Micros,
        "msec_frac" => Time::MillisOfSecond,
        "usec_frac" => Time::MicrosOfSecond,
        format if format.contains('%') && !format.contains(['\n', '\0']) => {
            let wrong = |_| format!("{shown} has a NUL");
            Time::Strftime(CString::new(format).map_err(wrong)?)
        }
        _ => {
            return Err(format!(
                "{shown} is not a time; give a format of strftime, or sec, msec, usec, msec_frac, usec_frac"
            ));
        }
    };
    Ok(if is_end { Value::Ended(time) } else { Value::Began(time) })
}

/// `%(NAME)s`, with gunicorn's meaning.
fn gunicorns(name: &str) -> Result<Directive, String> {
    let shown = format!("%({name})s");
    if let Some((argument, letter @ ("i" | "o" | "e"))) = name.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        let letter = letter.chars().next().unwrap_or_default();
        return with_argument(letter, argument, &shown)?.ok_or_else(|| unknown(letter, &shown));
    }
    let letter = match *name.as_bytes() {
        [
            letter @ (b'h' | b'l' | b'u' | b't' | b'r' | b'm' | b'U' | b'H' | b's' | b'B' | b'b' | b'T' | b'D' | b'M'),
        ] => letter,
        [b'q'] => return Ok(Directive::Value(Value::Query { has_mark: false })),
        [b'f'] => return Ok(Directive::Value(Value::Referer)),
        [b'a'] => return Ok(Directive::Value(Value::UserAgent)),
        [b'L'] => return Ok(Directive::Value(Value::Duration(Unit::Decimal))),
        [b'p'] => return Ok(Directive::Value(Value::PidInBrackets)),
        _ => {
            return Err(format!(
                "{shown} is not a directive of gunicorn's access log: give one of h l u t r m U q H s B b f a T D M L p {{NAME}}i \
                 {{NAME}}o {{NAME}}e"
            ));
        }
    };
    plain(char::from(letter)).ok_or_else(|| unknown(char::from(letter), &shown))
}

fn literal(text: &str) -> Directive {
    Directive::Literal(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        match parse(text) {
            Ok((Directive::Value(value), "")) => value,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_spelling_decides_where_apache_and_gunicorn_differ() {
        for (text, expected) in [
            ("%p", Value::LocalPort),
            ("%(p)s", Value::PidInBrackets),
            ("%L", Value::RequestId),
            ("%(L)s", Value::Duration(Unit::Decimal)),
            ("%a", Value::ClientAddress),
            ("%(a)s", Value::UserAgent),
            ("%(f)s", Value::Referer),
            ("%q", Value::Query { has_mark: true }),
            ("%(q)s", Value::Query { has_mark: false }),
            ("%M", Value::Duration(Unit::Millis)),
            ("%(M)s", Value::Duration(Unit::Millis)),
            ("%({X-A}i)s", Value::RequestHeader("X-A".to_string())),
            ("%({x-b}o)s", Value::ResponseHeader("x-b".to_string())),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
    }

    #[test]
    fn arguments_and_modifiers() {
        for (text, expected) in [
            ("%s", Value::Status),
            ("%>s", Value::Status),
            ("%<s", Value::Status),
            ("%{referer}i", Value::Referer),
            ("%{HOST}i", Value::Host),
            ("%{session}C", Value::Cookie("session".to_string())),
            ("%{us}T", Value::Duration(Unit::Micros)),
            ("%{remote}p", Value::ClientPort),
            ("%^FB", Value::TimeToFirstByte(Unit::Micros)),
            ("%{c}a", Value::ClientAddress),
            ("%t", Value::Began(Time::Clf)),
            ("%{end:sec}t", Value::Ended(Time::Seconds)),
            ("%{begin:msec_frac}t", Value::Began(Time::MillisOfSecond)),
            ("%{%H:%M:%S}t", Value::Began(Time::Strftime(c"%H:%M:%S".into()))),
            ("%{SSL_PROTOCOL}x", Value::TlsProtocol),
            ("%{ttfb}x", Value::TimeToFirstByte(Unit::Micros)),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(parse("%l"), Ok((literal("-"), "")));
        assert_eq!(parse("%%x"), Ok((literal("%"), "x")));
        assert_eq!(parse("%{TINE_NOT_SET_ANYWHERE}e"), Ok((literal("-"), "")));
    }
}
