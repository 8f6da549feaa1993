//! One value of a line, and how the two styles write it.

use super::pen::{Pen, Short};
use std::net::IpAddr;
use std::time::Duration;
use tine_common::access_log::Unit;
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

/// How a foreign value is escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Text,
    Json,
}

impl Datum<'_> {
    /// As it is written, if that is short and never escaped.
    #[inline(always)]
    pub fn short(self) -> Option<Short> {
        match self {
            Datum::Absent | Datum::Foreign(_) | Datum::Line(_) => None,
            Datum::Own(bytes) => Short::text(bytes),
            Datum::Number(number) => Short::number(number),
            Datum::Address(address) => Short::address(address),
            Datum::Span(span, Unit::Decimal) => Short::decimal(span),
            Datum::Span(span, Unit::Micros) => Short::number(span.as_micros() as u64),
            Datum::Span(span, Unit::Millis) => Short::number(span.as_millis() as u64),
            Datum::Span(span, Unit::Seconds) => Short::number(span.as_secs()),
        }
    }
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

/// Writes a value; an absent one is `-`.
pub fn push(pen: &mut Pen<'_>, datum: Datum<'_>, style: Style, room: &mut Room) {
    match datum {
        Datum::Absent => pen.byte(b'-'),
        Datum::Foreign(bytes) => push_foreign(pen, bytes, style, room),
        Datum::Line(parts) => push_line(pen, parts, style, room),
        Datum::Own(bytes) => pen.push(bytes),
        Datum::Number(number) => pen.number(number),
        Datum::Address(address) => pen.address(address),
        Datum::Span(span, unit) => push_span(pen, span, unit),
    }
}

/// A request line is one value: the target has what the method leaves.
#[inline(never)]
fn push_line(pen: &mut Pen<'_>, [method, target, version]: [&[u8]; 3], style: Style, room: &mut Room) {
    room.values += 1;
    push_foreign(pen, method, style, room);
    pen.byte(b' ');
    push_foreign(pen, target, style, room);
    pen.byte(b' ');
    pen.push(version);
}

#[inline(always)]
pub fn push_foreign(pen: &mut Pen<'_>, bytes: &[u8], style: Style, room: &mut Room) {
    // Without a division where there is room for all, as almost always.
    let is_ample = bytes.len() * GROWTH + room.values * Room::EACH <= room.bytes;
    if is_ample && pen.plain(bytes) {
        room.skip();
        room.bytes = room.bytes.saturating_sub(bytes.len());
    } else {
        push_escaped(pen, bytes, style, room, is_ample);
    }
}

#[inline(never)]
fn push_escaped(pen: &mut Pen<'_>, bytes: &[u8], style: Style, room: &mut Room, is_ample: bool) {
    let before = pen.len();
    let most = if is_ample { bytes.len() * GROWTH } else { room.next() };
    if is_ample {
        room.skip();
    }
    if bytes.len() * GROWTH <= most {
        match style {
            Style::Text => escape::text(bytes, |piece| pen.push(piece)),
            Style::Json => escape::json(bytes, |piece| pen.push(piece)),
        }
    } else {
        push_cut(pen, bytes, style, most);
    }
    room.bytes = room.bytes.saturating_sub(pen.len() - before);
}

/// Writes what fits into `most` bytes; an escaped character is not divided.
fn push_cut(pen: &mut Pen<'_>, bytes: &[u8], style: Style, most: usize) {
    let end = pen.len() + most;
    let before_mark = end - CUT.len().min(most);
    // Up to where the value is kept if the mark has to follow.
    let (mut kept, mut is_cut) = (pen.len(), false);
    let push = |piece: &[u8]| {
        if is_cut {
            return;
        }
        // Only a run of characters that stand for themselves is longer, and can be divided anywhere.
        let is_run = piece.len() > GROWTH;
        let fits = piece.len().min(end - pen.len());
        is_cut = fits < piece.len();
        if is_run && pen.len() <= before_mark {
            kept = before_mark.min(pen.len() + fits);
        }
        pen.push(&piece[..fits]);
        if !is_cut && pen.len() <= before_mark {
            kept = pen.len();
        }
    };
    match style {
        Style::Text => escape::text(bytes, push),
        Style::Json => escape::json(bytes, push),
    }
    if is_cut {
        pen.truncate(kept);
        pen.push(&CUT[..CUT.len().min(most)]);
    }
}

fn push_span(pen: &mut Pen<'_>, span: Duration, unit: Unit) {
    match unit {
        Unit::Micros => pen.number(span.as_micros() as u64),
        Unit::Millis => pen.number(span.as_millis() as u64),
        Unit::Seconds => pen.number(span.as_secs()),
        Unit::Decimal => {
            pen.number(span.as_secs());
            pen.byte(b'.');
            pen.six_digits(span.subsec_micros());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_json::fields;
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn written(datum: Datum<'_>, style: Style, room: usize) -> String {
        let mut out = [0; 1000];
        let mut pen = Pen::new(&mut out);
        push(&mut pen, datum, style, &mut Room { bytes: room, values: 1 });
        if let Some(short) = datum.short() {
            let before = pen.len();
            pen.short(short);
            let (long, short) = (out[..before].to_vec(), out[before..2 * before].to_vec());
            assert_eq!(long, short);
            pen = Pen::new(&mut out);
            pen.push(&long);
        }
        let length = pen.len();
        String::from_utf8(out[..length].to_vec()).expect("text")
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
        let (mut out, mut room) = ([0; 1200], Room { bytes: 1000, values: 3 });
        let mut pen = Pen::new(&mut out);
        let lengths = [5000, 5000, 10].map(|length| {
            let before = pen.len();
            push(&mut pen, Datum::Foreign(&vec![b'x'; length]), Style::Text, &mut room);
            pen.len() - before
        });
        assert_eq!(lengths, [872, 64, 10]);
        assert!(pen.len() <= 1000);
    }
}
