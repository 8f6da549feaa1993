use super::block::{Block, Bounds};
use super::decoder::Decoder;
use super::encoder::Encoder;
use super::names::*;
use proptest::collection::vec;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes_max: 1 << 20, fields_max: 1000 };
const DATE_VALUE: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";

/// An encoder, and the client's decoder.
struct Pair {
    encoder: Encoder,
    decoder: Decoder,
}

impl Pair {
    fn new() -> Self {
        Pair { encoder: Encoder::new(), decoder: Decoder::new() }
    }

    /// The length of a block, and its fields as the client sees them.
    fn pass(&mut self, write: impl FnOnce(&mut Encoder, &mut Vec<u8>)) -> (usize, Vec<(String, String)>) {
        let mut out = Vec::new();
        self.encoder.begin(&mut out);
        write(&mut self.encoder, &mut out);
        let mut block = Block::default();
        self.decoder.decode(&out, BOUNDS, &mut block).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.len(), block.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn usual(&mut self, date: &[u8]) -> usize {
        let (length, fields) = self.pass(|encoder, out| {
            encoder.status(200, out);
            encoder.known(SERVER, b"tine/0.1.0", out);
            encoder.known(DATE, date, out);
            encoder.known(CONTENT_TYPE, b"text/plain; charset=utf-8", out);
            encoder.known(CONTENT_LENGTH, b"1234", out);
        });
        assert_eq!(fields[2], ("date".to_string(), String::from_utf8_lossy(date).into_owned()));
        assert_eq!(fields.len(), 5);
        length
    }
}

#[test]
fn what_is_the_same_again_takes_one_byte() {
    let mut pair = Pair::new();
    assert_eq!(pair.usual(DATE_VALUE), 65);
    // The length's name takes two bytes, its value five.
    assert_eq!(pair.usual(DATE_VALUE), 4 + 7);
    // Dates of a minute: each enters once; what it evicts returns with the next responses.
    for second in 0..60 {
        let date = format!("Sun, 06 Nov 1994 08:50:{second:02} GMT");
        for _ in 0..3 {
            pair.usual(date.as_bytes());
        }
        assert_eq!(pair.usual(date.as_bytes()), 4 + 7, "{date}");
    }
}

#[test]
fn statuses_that_the_static_table_lacks_enter_the_other() {
    let mut pair = Pair::new();
    for (status, first, again) in [(200, 4, 1), (404, 1, 1), (302, 5, 1), (503, 5, 1)] {
        let (length, fields) = pair.pass(|encoder, out| encoder.status(status, out));
        assert_eq!((length, &*fields[0].1), (first, &*status.to_string()));
        assert_eq!(pair.pass(|encoder, out| encoder.status(status, out)).0, again);
    }
}

#[test]
fn names_are_written_in_lower_case_and_the_clients_table_is_the_limit() {
    let mut pair = Pair::new();
    let fields = [("X-Some-Name", "Some Value"), ("Set-Cookie", "a=b"), ("Content-TYPE", "a/b"), ("Grpc-Status", "0")];
    let mut last = 0;
    for size in [0, 4096, 40, 4096, 1 << 30, 0, 1024] {
        for _ in 0..2 {
            let (length, seen) = pair.pass(|encoder, out| {
                fields.iter().for_each(|(name, value)| encoder.field(name.as_bytes(), value.as_bytes(), out));
            });
            last = length;
            let expected: Vec<_> =
                fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.to_string())).collect();
            assert_eq!(seen, expected);
        }
        pair.encoder.set_table_size(size);
        // Each size in between counts: here the table is emptied.
        pair.encoder.set_table_size(0);
        pair.encoder.set_table_size(size);
    }
    // A table of size 0 has nothing: all are literals.
    assert_eq!(last, 22 + 6 + 6 + 12);
}

#[test]
fn secrets_are_never_indexed_and_long_values_do_not_enter() {
    let mut pair = Pair::new();
    let mut out = Vec::new();
    pair.encoder.field(b"set-cookie", b"a=b", &mut out);
    assert_eq!(out, [0x1f, 55 - 15, 3, b'a', b'=', b'b']);
    let long = vec![b'!'; 600];
    for _ in 0..2 {
        let (length, _) = pair.pass(|encoder, out| encoder.known(CONTENT_TYPE, &long, out));
        assert!(length > 600);
    }
}

fn field() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name =
        prop_oneof!["[A-Za-z0-9-]{1,30}", "content-type", "Date", "server", "grpc-status", "vary", "etag", "cookie"];
    let value = prop_oneof![
        9 => vec(any::<u8>(), 0..30),
        9 => "[a-c]{0,2}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..1000),
    ];
    (name, value)
}

proptest! {
    #[test]
    fn a_client_decodes_what_was_encoded(
        blocks in vec((vec(field(), 0..10), proptest::option::weighted(0.2, 0usize..2000)), 1..9),
    ) {
        let mut pair = Pair::new();
        for (fields, size) in blocks {
            if let Some(size) = size {
                pair.encoder.set_table_size(size);
            }
            let mut out = Vec::new();
            pair.encoder.begin(&mut out);
            for (name, value) in &fields {
                pair.encoder.field(name.as_bytes(), value, &mut out);
            }
            let mut block = Block::default();
            prop_assert_eq!(pair.decoder.decode(&out, BOUNDS, &mut block), Ok(()));
            let seen: Vec<_> = block.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
            let expected: Vec<_> =
                fields.iter().map(|(name, value)| (name.to_ascii_lowercase().into_bytes(), value.clone())).collect();
            prop_assert_eq!(seen, expected);
        }
    }
}

#[test]
fn the_start_is_as_its_fields_by_themselves() {
    let dates: [&[u8]; 2] = [b"Thu, 01 Jan 1970 00:00:00 GMT", b"Thu, 01 Jan 1970 00:00:01 GMT"];
    let types: [Option<&[u8]>; 3] = [Some(b"text/plain"), None, Some(b"")];
    let (mut encoder, mut plain) = (Encoder::new(), Encoder::new());
    let mut sizes = [0; 80];
    for (at, size) in sizes.iter_mut().enumerate() {
        let (mut out, mut expected) = (Vec::new(), Vec::new());
        // What enters the table between moves the indexes.
        for (encoder, out) in [(&mut encoder, &mut out), (&mut plain, &mut expected)] {
            encoder.begin(out);
            if at % 13 == 0 {
                encoder.known(CONTENT_TYPE, format!("text/{at}").as_bytes(), out);
            }
            if at == 70 {
                encoder.set_table_size(0);
                encoder.begin(out);
            }
        }
        let (status, date, content_type) = ([200, 404, 418][at / 5 % 3], dates[at / 7 % 2], types[at / 9 % 3]);
        encoder.start(status, Some(b"tine/0"), Some(date), content_type, &mut out);
        plain.status(status, &mut expected);
        plain.known(SERVER, b"tine/0", &mut expected);
        plain.known(DATE, date, &mut expected);
        if let Some(content_type) = content_type {
            plain.known(CONTENT_TYPE, content_type, &mut expected);
        }
        assert_eq!(out, expected, "response {at}");
        *size = out.len();
    }
    assert_eq!((sizes[3], sizes[16]), (4, 3));
}
