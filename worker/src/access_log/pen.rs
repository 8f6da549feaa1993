//! Writes the text of a line into room of a fixed size. What has no room is left out, so a line that is too long is cut
//! at its end.
//!
//! Most pieces of a line have a few bytes. They are copied as blocks of one size, of which only the front counts: that
//! is one move, where a copy of any other length is a call. The next piece overwrites the rest.

use std::net::IpAddr;
use std::time::Duration;
use tine_common::escape::not_plain;

const BLOCK: usize = 32;
const SHORT: usize = 16;
/// A literal, a short value, and what the mask allows for.
const PIECE: usize = 80;
/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = pairs();
/// Each octet of an address, with a dot after it, and its length.
const OCTETS: [([u8; 4], u8); 256] = octets();

#[derive(Debug)]
pub struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
}

/// Text that is written again and again.
#[derive(Debug, Clone)]
pub struct Literal {
    block: [u8; BLOCK],
    /// Of the block.
    length: usize,
    /// What has no room in the block.
    rest: Box<[u8]>,
}

/// A value of a few bytes.
#[derive(Debug, Clone, Copy)]
pub struct Short {
    block: [u8; SHORT],
    length: usize,
}

impl Literal {
    pub fn new(text: &[u8]) -> Literal {
        let length = text.len().min(BLOCK);
        let mut block = [0; BLOCK];
        block[..length].copy_from_slice(&text[..length]);
        Literal { block, length, rest: text[length..].into() }
    }
}

impl<'a> Pen<'a> {
    pub fn new(room: &'a mut [u8]) -> Pen<'a> {
        Pen { room, at: 0 }
    }

    /// The bytes that are written.
    pub fn len(&self) -> usize {
        self.at
    }

    /// Takes back what was written from `length` on.
    pub fn truncate(&mut self, length: usize) {
        self.at = self.at.min(length);
    }

    /// The next `N` bytes of room.
    #[inline(always)]
    fn next_block<const N: usize>(&mut self) -> Option<&mut [u8; N]> {
        let end = self.at.checked_add(N)?;
        self.room.get_mut(self.at..end)?.first_chunk_mut()
    }

    #[inline(always)]
    fn block<const N: usize>(&mut self, block: &[u8; N], length: usize) {
        debug_assert!(length <= N);
        match self.next_block() {
            Some(room) => {
                *room = *block;
                self.at += length;
            }
            None => self.push(&block[..length.min(N)]),
        }
    }

    #[inline(always)]
    pub fn literal(&mut self, literal: &Literal) {
        self.block(&literal.block, literal.length);
        if !literal.rest.is_empty() {
            self.push(&literal.rest);
        }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        let room = self.room.get_mut(self.at..).unwrap_or_default();
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
        self.at += fits;
    }

    /// Text of the code: copied as such, without a call.
    #[inline(always)]
    pub fn constant<const N: usize>(&mut self, text: &[u8; N]) {
        self.block(text, N);
    }

    #[inline(always)]
    pub fn byte(&mut self, byte: u8) {
        if let Some(room) = self.room.get_mut(self.at) {
            *room = byte;
            self.at += 1;
        }
    }

    /// Text that a client or an app chose, if none of its bytes has to be escaped; false, and nothing is written, if one
    /// has, or if there is no room.
    #[inline(always)]
    pub fn plain(&mut self, text: &[u8]) -> bool {
        let Some(room) = self.room.get_mut(self.at..).and_then(|room| room.get_mut(..text.len())) else { return false };
        let bad = match text.len() {
            8.. => copy_words(text, room),
            4.. => copy_halves::<4>(text, room),
            2.. => copy_halves::<2>(text, room),
            1 => copy_halves::<1>(text, room),
            0 => 0,
        };
        self.at += if bad == 0 { text.len() } else { 0 };
        bad == 0
    }

    /// A literal and a short value after it, with one check for room.
    #[inline(always)]
    pub fn piece(&mut self, before: &Literal, value: Short) {
        if before.rest.is_empty()
            && let Some(room) = self.next_block::<PIECE>()
        {
            // The mask makes the index smaller than the table, which spares the checks.
            room[..BLOCK].copy_from_slice(&before.block);
            let at = before.length & 63;
            room[at..at + SHORT].copy_from_slice(&value.block);
            self.at += at + value.length;
        } else {
            self.piece_slowly(before, value);
        }
    }

    #[cold]
    fn piece_slowly(&mut self, before: &Literal, value: Short) {
        self.literal(before);
        self.push(&value.block[..value.length]);
    }

    #[inline(always)]
    pub fn number(&mut self, number: u64) {
        match Short::number(number) {
            Some(short) => self.short(short),
            None => self.push(itoa::Buffer::new().format(number).as_bytes()),
        }
    }

    #[inline(always)]
    pub fn short(&mut self, short: Short) {
        self.block(&short.block, short.length);
    }

    /// A number below 1000 with leading zeros.
    pub fn three_digits(&mut self, number: u32) {
        let [_, digits @ ..] = four_digits(number);
        self.block(&digits, 3);
    }

    /// A number below 1 000 000 with leading zeros.
    #[inline(always)]
    pub fn six_digits(&mut self, number: u32) {
        let ([a, b], [c, d, e, f]) = (pair(number / 10_000), four_digits(number % 10_000));
        self.block(&[a, b, c, d, e, f, 0, 0], 6);
    }

    pub fn address(&mut self, address: IpAddr) {
        match Short::address(address) {
            Some(short) => self.short(short),
            None => self.display(&address),
        }
    }

    #[inline(never)]
    fn display(&mut self, value: &dyn std::fmt::Display) {
        use std::io::Write;
        let mut room = self.room.get_mut(self.at..).unwrap_or_default();
        let before = room.len();
        // An error: there is no more room.
        let _ = write!(room, "{value}");
        self.at += before - room.len();
    }
}

impl Short {
    pub const DASH: Short = Short { block: [b'-'; SHORT], length: 1 };

    /// Text of at most 16 bytes.
    #[inline(always)]
    pub fn text(text: &[u8]) -> Option<Short> {
        let (mut block, length) = ([0; SHORT], text.len());
        if length > SHORT {
            return None;
        }
        match length {
            // Both halves, which overlap.
            8.. => {
                block[..8].copy_from_slice(text.first_chunk::<8>()?);
                block[length - 8..length].copy_from_slice(text.last_chunk::<8>()?);
            }
            4..8 => {
                block[..4].copy_from_slice(text.first_chunk::<4>()?);
                block[length - 4..length].copy_from_slice(text.last_chunk::<4>()?);
            }
            1..4 => (block[length - 1], block[length / 2], block[0]) = (text[length - 1], text[length / 2], text[0]),
            0 => {}
        }
        Some(Short { block, length })
    }

    /// Of at most eight digits.
    #[inline(always)]
    pub fn number(number: u64) -> Option<Short> {
        let mut short = Short { block: [0; SHORT], length: 0 };
        match number {
            0..10_000 => short.up_to_four_digits(number as u32),
            10_000..100_000_000 => {
                short.up_to_four_digits((number / 10_000) as u32);
                let at = short.length & 7;
                short.block[at..at + 4].copy_from_slice(&four_digits((number % 10_000) as u32));
                short.length = at + 4;
            }
            _ => return None,
        }
        Some(short)
    }

    #[inline(always)]
    fn up_to_four_digits(&mut self, number: u32) {
        let leading = usize::from(number < 1000) + usize::from(number < 100) + usize::from(number < 10);
        let digits = u32::from_le_bytes(four_digits(number)) >> (8 * leading);
        self.block[..4].copy_from_slice(&digits.to_le_bytes());
        self.length = 4 - leading;
    }

    /// `0.000123`: seconds, less than ten.
    #[inline(always)]
    pub fn decimal(span: Duration) -> Option<Short> {
        let seconds = span.as_secs();
        let micros = span.subsec_micros();
        let ([a, b], [c, d, e, f]) = (pair(micros / 10_000), four_digits(micros % 10_000));
        let mut block = [0; SHORT];
        block[..8].copy_from_slice(&[b'0' + (seconds % 10) as u8, b'.', a, b, c, d, e, f]);
        (seconds < 10).then_some(Short { block, length: 8 })
    }

    /// Of an address of four octets.
    #[inline(always)]
    pub fn address(address: IpAddr) -> Option<Short> {
        let octets = match address {
            IpAddr::V4(address) => address.octets(),
            IpAddr::V6(address) => address.to_ipv4_mapped()?.octets(),
        };
        let mut short = Short { block: [0; SHORT], length: 0 };
        for octet in octets {
            let (text, length) = &OCTETS[usize::from(octet)];
            // At most 12: three octets with their dots.
            let at = short.length.min(SHORT - 4);
            short.block[at..at + 4].copy_from_slice(text);
            short.length = at + usize::from(*length);
        }
        // Without the last dot.
        short.length -= 1;
        Some(short)
    }
}

/// Copies text of at least eight bytes by words, the last of which overlaps the one before. Returns what
/// [`not_plain`] does of all of them.
#[inline(always)]
fn copy_words(text: &[u8], room: &mut [u8]) -> u64 {
    let ((from, _), (to, _), mut bad) = (text.as_chunks::<8>(), room.as_chunks_mut::<8>(), 0);
    for (from, to) in from.iter().zip(to) {
        bad |= not_plain(u64::from_ne_bytes(*from));
        *to = *from;
    }
    if let (Some(from), Some(to)) = (text.last_chunk::<8>(), room.last_chunk_mut::<8>()) {
        bad |= not_plain(u64::from_ne_bytes(*from));
        *to = *from;
    }
    bad
}

/// As [`copy_words`], of text of `N` to twice as many bytes, for an `N` of up to 4.
#[inline(always)]
fn copy_halves<const N: usize>(text: &[u8], room: &mut [u8]) -> u64 {
    let mut word = [b'a'; 8];
    if let (Some(first), Some(last)) = (text.first_chunk::<N>(), text.last_chunk::<N>()) {
        word[..N].copy_from_slice(first);
        word[4..4 + N].copy_from_slice(last);
        room[..N].copy_from_slice(first);
        if let Some(to) = room.last_chunk_mut::<N>() {
            *to = *last;
        }
    }
    not_plain(u64::from_ne_bytes(word))
}

#[inline(always)]
fn pair(number: u32) -> [u8; 2] {
    PAIRS[(number % 100) as usize]
}

/// Of a number below 10 000.
#[inline(always)]
fn four_digits(number: u32) -> [u8; 4] {
    let ([a, b], [c, d]) = (pair(number / 100), pair(number));
    [a, b, c, d]
}

const fn pairs() -> [[u8; 2]; 100] {
    let (mut pairs, mut number) = ([[0; 2]; 100], 0);
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
}

const fn octets() -> [([u8; 4], u8); 256] {
    let (mut octets, mut number) = ([([b'.'; 4], 0); 256], 0);
    while number < 256 {
        let digits = [b'0' + (number / 100) as u8, b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8];
        octets[number] = match number {
            0..10 => ([digits[2], b'.', 0, 0], 2),
            10..100 => ([digits[1], digits[2], b'.', 0], 3),
            _ => ([digits[0], digits[1], digits[2], b'.'], 4),
        };
        number += 1;
    }
    octets
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// What is written to room of this size.
    fn written(room: usize, write: impl FnOnce(&mut Pen<'_>)) -> String {
        let mut room = vec![b'#'; room];
        let mut pen = Pen::new(&mut room);
        write(&mut pen);
        let length = pen.len();
        String::from_utf8(room[..length].to_vec()).expect("text")
    }

    #[test]
    fn numbers_have_all_their_digits() {
        let edges = (0..20).flat_map(|power| {
            let edge = 10_u64.pow(power);
            [edge - 1, edge, edge + 1, edge.saturating_mul(3), edge.saturating_mul(9)]
        });
        for number in edges.chain(0..12_000).chain([u64::MAX]) {
            assert_eq!(written(64, |pen| pen.number(number)), number.to_string());
        }
        for number in (0..1_000_000).step_by(7).chain([999_999]) {
            assert_eq!(written(64, |pen| pen.six_digits(number)), format!("{number:06}"));
            assert_eq!(written(64, |pen| pen.three_digits(number % 1000)), format!("{:03}", number % 1000));
        }
    }

    #[test]
    fn addresses_are_as_the_standard_librarys() {
        for octet in 0..=u8::MAX {
            for address in [Ipv4Addr::new(octet, 1, 22, 255), Ipv4Addr::new(127, 0, octet, octet)] {
                assert_eq!(written(64, |pen| pen.address(address.into())), address.to_string());
                assert_eq!(written(64, |pen| pen.address(address.to_ipv6_mapped().into())), address.to_string());
            }
        }
        for address in ["::1", "2001:db8::ff", "fe80:1:2:3:4:5:6:7", "::"] {
            let parsed: Ipv6Addr = address.parse().expect("an address");
            assert_eq!(written(64, |pen| pen.address(parsed.into())), address);
        }
    }

    #[test]
    fn text_of_every_length_is_copied_whole() {
        let text: Vec<u8> = (0..80).map(|n| b'0' + n % 64).filter(|&byte| byte != b'\\').collect();
        for length in 0..text.len() {
            let text = &text[..length];
            let expected = String::from_utf8(text.to_vec()).expect("text");
            assert_eq!(written(200, |pen| pen.literal(&Literal::new(text))), expected);
            assert_eq!(Short::text(text).is_some(), length <= SHORT);
            if let Some(short) = Short::text(text) {
                assert_eq!(written(200, |pen| pen.short(short)), expected);
                let piece = |pen: &mut Pen<'_>| pen.piece(&Literal::new(text), short);
                assert_eq!(written(200, piece), format!("{expected}{expected}"));
                assert_eq!(written(2 * length, piece), format!("{expected}{expected}"));
            }
            let piece = |pen: &mut Pen<'_>| pen.piece(&Literal::new(text), Short::text(b"xy").expect("short"));
            assert_eq!(written(200, piece), format!("{expected}xy"));
            assert_eq!(written(200, |pen| assert!(pen.plain(text))), expected);
        }
    }

    #[test]
    fn what_has_to_be_escaped_is_found_at_every_place() {
        for length in 1..50 {
            for place in 0..length {
                for byte in 0..=u8::MAX {
                    let mut text = vec![b'a'; length];
                    text[place] = byte;
                    let is_plain = (0x20..0x7f).contains(&byte) && byte != b'"' && byte != b'\\';
                    let expected =
                        if is_plain { String::from_utf8(text.clone()).expect("text") } else { String::new() };
                    assert_eq!(written(100, |pen| assert_eq!(pen.plain(&text), is_plain)), expected);
                }
            }
        }
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let literal = Literal::new(&[b'x'; 40]);
        let whole = |pen: &mut Pen<'_>| {
            pen.literal(&literal);
            pen.piece(&literal, Short::text(b"abc").expect("short"));
            pen.constant(b"constant");
            pen.number(12_345);
            pen.six_digits(7);
            pen.address(Ipv4Addr::LOCALHOST.into());
            pen.address(Ipv6Addr::LOCALHOST.into());
            pen.byte(b'!');
        };
        let all = written(200, whole);
        for room in 0..all.len() {
            let cut = written(room, whole);
            assert!(cut.len() <= room && all.starts_with(&cut[..cut.len().min(40)]), "{cut} in {room}");
        }
    }
}
