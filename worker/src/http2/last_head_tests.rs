use super::*;
use crate::http2::hpack::{Bounds, Decoder, Encoder, names};

const BOUNDS: Bounds = Bounds { bytes_max: 10_000, fields_max: 60 };

fn limits() -> Limits {
    tine_common::config::WorkerConfig::default().limits
}

/// Literals that enter no table.
fn coded(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut coded = Vec::new();
    for (name, value) in fields {
        coded.push(0);
        for text in [name, value] {
            coded.push(text.len() as u8);
            coded.extend_from_slice(text.as_bytes());
        }
    }
    coded
}

fn get(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    coded(&[&[(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)], more].concat())
}

/// A connection of a worker; the last head is the worker's.
struct Connection {
    number: u64,
    decoder: Decoder,
}

impl Connection {
    /// The text of the head, and whether its block was decoded.
    fn read(&mut self, last: &mut LastHead, bytes: &[u8], ends_stream: bool) -> Result<(String, bool), Refusal> {
        let table = |decoder: &Decoder| Table { connection: self.number, changes: decoder.changes() };
        let before = table(&self.decoder);
        let is_last = last.is_of(bytes, before, ends_stream);
        let mut block = Block::default();
        if !is_last {
            self.decoder.decode(bytes, BOUNDS, &mut block).unwrap();
        }
        let unchanged = (table(&self.decoder) == before).then_some(before);
        let coded = Coded { bytes, table: unchanged, is_last };
        let head = last.read(coded, &mut block, ends_stream, &limits())?;
        let mut room = crate::http2::head::FieldRoom::new();
        Ok((String::from_utf8_lossy(head.request(&mut room).text()).into_owned(), !is_last))
    }
}

fn connections() -> [Connection; 2] {
    [1, 2].map(|number| Connection { number, decoder: Decoder::new() })
}

#[test]
fn only_what_stands_for_the_same_is_the_last_head() {
    let ([mut one, mut other], mut last) = (connections(), LastHead::default());
    let (plain, with_cookie, malformed) =
        (get("/", &[]), get("/", &[("cookie", "secret")]), get("/", &[("Capital", "x")]));
    let (text, _) = one.read(&mut last, &plain, true).unwrap();
    assert_eq!(one.read(&mut last, &plain, true), Ok((text.clone(), false)));
    assert_eq!(other.read(&mut last, &plain, true), Ok((text.clone(), true)), "another connection's bytes are decoded");
    let (of_cookie, _) = one.read(&mut last, &with_cookie, true).unwrap();
    assert!(of_cookie.contains("cookie: secret\r\n") && !text.contains("secret"));
    assert_eq!(one.read(&mut last, &plain, true), Ok((text.clone(), true)));
    for _ in 0..2 {
        assert!(one.read(&mut last, &malformed, true).is_err());
    }
    assert_eq!(one.read(&mut last, &plain, true), Ok((text.clone(), true)));
    // With a body to come it is another request.
    let (of_body, was_decoded) = one.read(&mut last, &plain, false).unwrap();
    assert!(was_decoded && of_body.contains("transfer-encoding: chunked\r\n"));
    assert_eq!(one.read(&mut last, &plain, true), Ok((text, true)));
}

#[test]
fn a_block_that_refers_to_a_table_means_what_that_has_now() {
    let ([mut one, _], mut last) = (connections(), LastHead::default());
    let mut encoder = Encoder::new();
    let mut block = |value: &str| {
        let mut bytes = get("/", &[]);
        let mut field = Vec::new();
        encoder.begin(&mut field);
        encoder.known(names::CONTENT_TYPE, value.as_bytes(), &mut field);
        // A change of the table's size comes first.
        let at = field.iter().take_while(|&&byte| byte & 0xe0 == 0x20).count().min(3);
        let resized: Vec<u8> = field.drain(..if at > 0 { 3 } else { 0 }).collect();
        bytes.splice(..0, resized);
        bytes.extend(field);
        bytes
    };
    let enters = block("text/a");
    let refers = block("text/a");
    assert!(one.read(&mut last, &enters, true).unwrap().0.contains("content-type: text/a"));
    for was_decoded in [true, false, false] {
        let (text, decoded) = one.read(&mut last, &refers, true).unwrap();
        assert!(text.contains("content-type: text/a") && decoded == was_decoded);
    }
    // Another entry takes the first index: the same bytes stand for that.
    let other = block("text/b");
    assert!(one.read(&mut last, &other, true).unwrap().0.contains("content-type: text/b"));
    let (text, decoded) = one.read(&mut last, &refers, true).unwrap();
    assert!(text.contains("content-type: text/b") && decoded, "{text}");
}
