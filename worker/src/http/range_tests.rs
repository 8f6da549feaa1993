//! Tables of Range fields, by the sections of RFC 9110.

use super::super::HttpDate;
use super::super::conditional::EntityTag;
use super::*;
use Selection::{Part, Parts, Unsatisfiable, Whole};
use proptest::prelude::*;

fn validators(is_weak: bool) -> Validators<'static> {
    let last_modified = HttpDate::parse(b"Sun, 06 Nov 1994 08:49:37 GMT");
    Validators { etag: EntityTag::new("a", is_weak), last_modified, last_modified_is_strong: true }
}

fn selected(method: &str, lines: &[(&str, &str)], size: u64) -> Selection {
    let fields: Vec<_> =
        lines.iter().map(|&(name, value)| httparse::Header { name, value: value.as_bytes() }).collect();
    select(method, Headers::new(&fields), validators(false), size)
}

fn part(first: u64, last: u64) -> ByteRange {
    ByteRange { first, last }
}

#[track_caller]
fn check(value: &str, size: u64, expected: Selection) {
    assert_eq!(selected("GET", &[("Range", value)], size), expected, "{value:?} of {size}");
}

/// 14.1.2, with the examples there.
#[test]
fn one_range() {
    for (value, first, last) in [
        ("bytes=0-499", 0, 499),
        ("bytes=500-999", 500, 999),
        ("bytes=-500", 9500, 9999),
        ("bytes=9500-", 9500, 9999),
        ("bytes=0-0", 0, 0),
        ("bytes=-1", 9999, 9999),
        ("bytes=9999-", 9999, 9999),
        ("bytes=0-", 0, 9999),
        ("bytes=0-9999", 0, 9999),
        // Ends after the end.
        ("bytes=0-10000", 0, 9999),
        ("bytes=9999-99999999999999999999999", 9999, 9999),
        ("bytes=-10000", 0, 9999),
        ("bytes=-10001", 0, 9999),
        ("bytes=-99999999999999999999999", 0, 9999),
        ("bytes=007-0008", 7, 8),
        // Units are case-insensitive (14.1); lists may have empty elements and spaces (5.6.1).
        ("BYTES=0-1", 0, 1),
        ("bytes=,0-1", 0, 1),
        ("bytes= , ,\t0-1 , ", 0, 1),
    ] {
        check(value, 10_000, Part(part(first, last)));
    }
}

#[test]
fn several_ranges() {
    for (value, parts) in [
        ("bytes=0-0,-1", vec![part(0, 0), part(9999, 9999)]),
        ("bytes= 0-999, 4500-5499, -1000", vec![part(0, 999), part(4500, 5499), part(9000, 9999)]),
        // In the requested order, overlapping or not, as long as it is not more than the whole.
        ("bytes=500-700,601-999", vec![part(500, 700), part(601, 999)]),
        ("bytes=7-7,3-3,5-5", vec![part(7, 7), part(3, 3), part(5, 5)]),
        ("bytes=1-1,1-1,1-1", vec![part(1, 1), part(1, 1), part(1, 1)]),
        ("bytes=0-4999,5000-", vec![part(0, 4999), part(5000, 9999)]),
        // The unsatisfiable are dropped.
        ("bytes=0-0,10000-,2-2,-0", vec![part(0, 0), part(2, 2)]),
    ] {
        check(value, 10_000, Parts(parts));
    }
    check("bytes=10000-,3-4,-0", 10_000, Part(part(3, 4)));
}

#[test]
fn unsatisfiable_ranges() {
    for value in
        ["bytes=10000-", "bytes=10000-10000", "bytes=-0", "bytes=10000-,-0", "bytes=99999999999999999999-", "bytes=-00"]
    {
        check(value, 10_000, Unsatisfiable);
    }
    check("bytes=1-", 1, Unsatisfiable);
    assert_eq!(unsatisfied_content_range(10_000), "bytes */10000");
}

/// 14.2: an invalid field is ignored, as a whole.
#[test]
fn invalid_ranges() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=--1",
        "bytes=1",
        "bytes=1-0",
        "bytes=0-1,2-1",
        "bytes=0-1,x",
        "bytes=10000-,x",
        "bytes=0-1-2",
        "bytes=+0-1",
        "bytes=0-+1",
        "bytes=0x0-1",
        "bytes=0 -1",
        "bytes=0- 1",
        "bytes=0-1;2-3",
        "bytes=0-1, bytes=2-3",
        "bytes 0-1",
        "bytes =0-1",
        "=0-1",
        "octets=0-1",
        "lines=0-1",
        "0-1",
    ] {
        check(value, 10_000, Whole);
    }
}

/// 14.2 and 17.15: ranges that cost more than the whole are ignored.
#[test]
fn too_much() {
    check("bytes=0-,0-0", 10_000, Whole);
    check("bytes=0-,0-", 10_000, Whole);
    check("bytes=0-5000,5000-", 10_000, Whole);
    let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
    check(&many(RANGES_MAX), 10_000, Parts(vec![part(0, 0); RANGES_MAX]));
    check(&many(RANGES_MAX + 1), 10_000, Whole);
    check(&format!("{},{}", many(1), vec!["10000-"; RANGES_MAX].join(",")), 10_000, Whole);
}

#[test]
fn of_the_largest_and_the_smallest() {
    check("bytes=-1", SIZE_MAX, Part(part(SIZE_MAX - 1, SIZE_MAX - 1)));
    check("bytes=0-18446744073709551615", SIZE_MAX, Part(part(0, SIZE_MAX - 1)));
    check("bytes=18446744073709551615-", SIZE_MAX, Unsatisfiable);
    check("bytes=0-,-18446744073709551615", SIZE_MAX, Whole);
    // 2^64 + 4.
    check("bytes=18446744073709551620-", SIZE_MAX, Unsatisfiable);
    check("bytes=0-0", SIZE_MAX + 1, Whole);
    check("bytes=18446744073709551615-", u64::MAX, Whole);
    check("bytes=0-0", 1, Part(part(0, 0)));
    // An empty representation has no parts.
    for value in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
        check(value, 0, Whole);
    }
}

/// 14.2: only GET has ranges. 5.3: the field is not a list. 13.1.5: If-Range decides whether it applies.
#[test]
fn whether_the_field_applies() {
    let range = ("Range", "bytes=0-0");
    assert_eq!(selected("GET", &[range], 9), Part(part(0, 0)));
    assert_eq!(selected("GET", &[("rANGE", "bytes=0-0")], 9), Part(part(0, 0)));
    assert_eq!(selected("GET", &[], 9), Whole);
    for method in ["HEAD", "POST", "PUT", "get", "X"] {
        assert_eq!(selected(method, &[range], 9), Whole, "{method}");
    }
    assert_eq!(selected("GET", &[range, ("Range", "bytes=1-1")], 9), Whole);
    for (value, expected) in [
        ("\"a\"", Part(part(0, 0))),
        ("\"b\"", Whole),
        ("W/\"a\"", Whole),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Part(part(0, 0))),
        ("Sun, 06 Nov 1994 08:49:38 GMT", Whole),
    ] {
        assert_eq!(selected("GET", &[range, ("If-Range", value)], 9), expected, "{value}");
        // If it does not apply, it does not matter that it is unsatisfiable.
        let expected = if expected == Whole { Whole } else { Unsatisfiable };
        assert_eq!(selected("GET", &[("Range", "bytes=9-"), ("If-Range", value)], 9), expected, "{value}");
    }
}

/// 14.6, whose example has this form.
#[test]
fn a_multipart_body() {
    let parts = [part(500, 999), part(7000, 7999)];
    let multipart = Multipart::new(&parts, 8000, "application/pdf", "THIS");
    assert_eq!(multipart.content_type, "multipart/byteranges; boundary=THIS");
    let framing = |text: &str| MultipartPiece::Framing(text.to_string());
    assert_eq!(
        multipart.pieces,
        [
            framing("--THIS\r\nContent-Type: application/pdf\r\nContent-Range: bytes 500-999/8000\r\n\r\n"),
            MultipartPiece::Bytes(parts[0]),
            framing("\r\n--THIS\r\nContent-Type: application/pdf\r\nContent-Range: bytes 7000-7999/8000\r\n\r\n"),
            MultipartPiece::Bytes(parts[1]),
            framing("\r\n--THIS--\r\n"),
        ]
    );
    assert_eq!(multipart.length, 500 + 1000 + 76 + 80 + 12);
    let halves = [part(0, SIZE_MAX / 2), part(SIZE_MAX / 2 + 1, SIZE_MAX - 1)];
    assert!(Multipart::new(&halves, SIZE_MAX, "a/b", "THIS").length > SIZE_MAX);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the value: no panic, and the selected bytes are inside and not more than the whole.
    #[test]
    fn what_is_selected_is_inside(value in "(bytes=)?[0-9,x -]{0,24}", size in 0..40u64) {
        match selected("GET", &[("Range", &value)], size) {
            Whole | Unsatisfiable => {}
            Part(range) => prop_assert!(range.first <= range.last && range.last < size),
            Parts(ranges) => {
                prop_assert!(ranges.len() > 1);
                prop_assert!(ranges.iter().all(|range| range.first <= range.last && range.last < size));
                prop_assert!(ranges.iter().map(|range| range.length()).sum::<u64>() <= size);
            }
        }
    }
}
