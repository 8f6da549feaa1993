//! One value of a line, and how the two styles write it.

use std::net::IpAddr;
use std::time::Duration;
use tine_common::access_log::{Style, Unit};
use tine_common::escape;

#[derive(Debug, Clone, Copy)]
pub enum Datum<'a> {
    /// It is not known, or there is none.
    Absent,
    /// What a client or an app chose; escaped, and cut if the line would become too long.
    Foreign(&'a [u8]),
    /// A method, a target and a version, each as [`Datum::Foreign`].
    Line([&'a [u8]; 3]),
    /// Text of the server's own, without a character that has to be escaped.
    Own(&'a [u8]),
    Number(u64),
    Address(IpAddr),
    Span(Duration, Unit),
}

/// The most that a byte becomes: `\u001b`.
const GROWTH: usize = 6;
/// What follows a value that was cut.
const CUT: &[u8] = b"...";

/// The bytes of a line that foreign values may still fill, and how many of those are to come.
#[derive(Debug, Default, Clone, Copy)]
pub struct Room {
    pub bytes: usize,
    pub values: usize,
}

impl Room {
    /// Each value to come has at least this many bytes, or its share of a line that is shorter.
    const EACH: usize = 64;

    /// A value that is absent leaves its share to the others.
    pub fn skip(&mut self) {
        self.values = self.values.saturating_sub(1);
    }

    /// For the next value.
    fn next(&mut self) -> usize {
        self.values = self.values.saturating_sub(1);
        let reserved = Room::EACH.min(self.bytes / (self.values + 1)) * self.values;
        self.bytes - reserved
    }
}

/// Appends a value; an absent one is `-`.
pub fn push(out: &mut Vec<u8>, datum: Datum<'_>, style: Style, room: &mut Room) {
    match datum {
        Datum::Absent => out.push(b'-'),
        Datum::Foreign(bytes) => push_foreign(out, bytes, style, room),
        // A request line is one value: the target has what the method leaves.
        Datum::Line([method, target, version]) => {
            room.values += 1;
            push_foreign(out, method, style, room);
            out.push(b' ');
            push_foreign(out, target, style, room);
            out.push(b' ');
            out.extend_from_slice(version);
        }
        Datum::Own(bytes) => out.extend_from_slice(bytes),
        Datum::Number(number) => push_number(out, number),
        Datum::Address(address) => push_address(out, address),
        Datum::Span(span, unit) => push_span(out, span, unit),
    }
}

fn push_foreign(out: &mut Vec<u8>, bytes: &[u8], style: Style, room: &mut Room) {
    let before = out.len();
    // Without a division where there is room for all, as almost always.
    let is_ample = bytes.len() * GROWTH + room.values * Room::EACH <= room.bytes;
    let most = if is_ample { bytes.len() * GROWTH } else { room.next() };
    if is_ample {
        room.values = room.values.saturating_sub(1);
    }
    if bytes.len() * GROWTH <= most {
        match style {
            Style::Text => escape::text(bytes, |piece| out.extend_from_slice(piece)),
            Style::Json => escape::json(bytes, |piece| out.extend_from_slice(piece)),
        }
    } else {
        push_cut(out, bytes, style, most);
    }
    room.bytes = room.bytes.saturating_sub(out.len() - before);
}

/// Appends what fits into `most` bytes; an escaped character is not divided.
fn push_cut(out: &mut Vec<u8>, bytes: &[u8], style: Style, most: usize) {
    let end = out.len() + most;
    let before_mark = end - CUT.len().min(most);
    // Up to where the value is kept if the mark has to follow.
    let (mut kept, mut is_cut) = (out.len(), false);
    let push = |piece: &[u8]| {
        if is_cut {
            return;
        }
        // Only a run of characters that stand for themselves is longer, and can be divided anywhere.
        let is_run = piece.len() > GROWTH;
        let fits = piece.len().min(end - out.len());
        is_cut = fits < piece.len();
        if is_run && out.len() <= before_mark {
            kept = before_mark.min(out.len() + fits);
        }
        out.extend_from_slice(&piece[..fits]);
        if !is_cut && out.len() <= before_mark {
            kept = out.len();
        }
    };
    match style {
        Style::Text => escape::text(bytes, push),
        Style::Json => escape::json(bytes, push),
    }
    if is_cut {
        out.truncate(kept);
        out.extend_from_slice(&CUT[..CUT.len().min(most)]);
    }
}

pub fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number with leading zeros.
pub fn push_padded(out: &mut Vec<u8>, mut number: u32, digits: usize) {
    let mut text = [b'0'; 10];
    for digit in text[..digits].iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
    out.extend_from_slice(&text[..digits]);
}

fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for octet in address.octets() {
                push_octet(out, octet);
                out.push(b'.');
            }
            out.pop();
        }
        IpAddr::V6(address) => {
            use std::io::Write;
            // Writing to a vector cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

fn push_octet(out: &mut Vec<u8>, octet: u8) {
    if octet >= 100 {
        out.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        out.push(b'0' + octet / 10 % 10);
    }
    out.push(b'0' + octet % 10);
}

fn push_span(out: &mut Vec<u8>, span: Duration, unit: Unit) {
    match unit {
        Unit::Micros => push_number(out, span.as_micros() as u64),
        Unit::Millis => push_number(out, span.as_millis() as u64),
        Unit::Seconds => push_number(out, span.as_secs()),
        Unit::Decimal => {
            push_number(out, span.as_secs());
            out.push(b'.');
            push_padded(out, span.subsec_micros(), 6);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_json::fields;
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn written(datum: Datum<'_>, style: Style, room: usize) -> String {
        let mut out = Vec::new();
        push(&mut out, datum, style, &mut Room { bytes: room, values: 1 });
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn values_have_their_forms() {
        for (datum, expected) in [
            (Datum::Absent, "-"),
            (Datum::Foreign(b"a\"b"), "a\\\"b"),
            (Datum::Line([b"GET", b"/", b"HTTP/1.1"]), "GET / HTTP/1.1"),
            (Datum::Own(b"complete"), "complete"),
            (Datum::Number(0), "0"),
            (Datum::Address(Ipv4Addr::new(127, 0, 0, 1).into()), "127.0.0.1"),
            (Datum::Address(Ipv6Addr::LOCALHOST.into()), "::1"),
            (Datum::Address(Ipv4Addr::new(10, 0, 100, 9).to_ipv6_mapped().into()), "10.0.100.9"),
            (Datum::Span(Duration::from_micros(1_000_123), Unit::Decimal), "1.000123"),
            (Datum::Span(Duration::from_micros(1_000_123), Unit::Micros), "1000123"),
            (Datum::Span(Duration::from_millis(1_999), Unit::Seconds), "1"),
            (Datum::Span(Duration::from_micros(1_999), Unit::Millis), "1"),
        ] {
            assert_eq!(written(datum, Style::Text, 1000), expected);
            assert_eq!(written(datum, Style::Json, 1000), expected);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let values: [&[u8]; 6] = [
            &[b'x'; 60],
            &[0x1b; 60],
            &[b'"'; 60],
            "é€\u{10348}".repeat(10).as_bytes(),
            b"a\\b\xff".repeat(9).as_slice(),
            &[0xff; 60],
        ]
        .map(|bytes: &[u8]| Box::leak(bytes.to_vec().into_boxed_slice()) as &[u8]);
        for bytes in values {
            for room in 0..400 {
                for style in [Style::Text, Style::Json] {
                    let text = written(Datum::Foreign(bytes), style, room);
                    assert!(text.len() <= room, "{text} in {room}");
                    if style == Style::Json {
                        let json = format!("{{\"key\":\"{text}\"}}");
                        let (read, whole) = (&fields(&json)["key"], String::from_utf8_lossy(bytes));
                        let kept = read.trim_end_matches('.');
                        assert!(whole.starts_with(kept) && (*read == whole || room < 360), "{read}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_long_value_leaves_room_for_those_after_it() {
        let (mut out, mut room) = (Vec::new(), Room { bytes: 1000, values: 3 });
        let lengths = [5000, 5000, 10].map(|length| {
            let before = out.len();
            push(&mut out, Datum::Foreign(&vec![b'x'; length]), Style::Text, &mut room);
            out.len() - before
        });
        assert_eq!(lengths, [872, 64, 10]);
        assert!(out.len() <= 1000);
    }
}
