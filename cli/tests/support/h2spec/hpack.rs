//! Errors of header compression: h2spec's group *hpack*.

use super::case::{Case, Expected, Paths};
use crate::support::http2::{Frame, block, code, request};

pub fn cases(paths: Paths) -> Vec<Case> {
    // Each follows the fields of a request.
    let malformed: [(&str, &[u8]); 8] = [
        // An index above all entries, of a field and of a name.
        ("2.3.3/1", &[0xc6]),
        ("2.3.3/2", &[0x7f, 0x07, 0x04, b't', b'e', b's', b't']),
        // A change of the table's size at the end.
        ("4.2/1", &[0x20]),
        // `x-test: test`, its value padded by more than seven bits, by zeros, and with EOS.
        ("5.2/1", b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        ("5.2/2", b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"),
        ("5.2/3", b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x50\x9f\xff\xff\xff\xf4"),
        // Index 0.
        ("6.1/1", &[0x80]),
        // A table larger than announced; in place.
        ("6.3/1", &[]),
    ];
    let fields = block(&request("GET", paths.get));
    let case = |(id, after): (&str, &[u8])| {
        let before: &[u8] = if id == "6.3/1" { &[0x3f, 0xe1, 0xff, 0x03] } else { &[] };
        let block = [before, &fields, after].concat();
        let expected = Expected::ConnectionError(&[code::COMPRESSION_ERROR]);
        Case::new(format!("hpack/{id}"), [Frame::headers(1, true, block)], expected)
    };
    malformed.into_iter().map(case).collect()
}
