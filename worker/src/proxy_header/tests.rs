//! Headers as bytes: each whole, split at every byte, with something after it, and broken.

use super::v2::crc32c;
use super::*;
use proptest::prelude::*;

fn known(client: &str, local: &str) -> Announced {
    let address = |text: &str| text.parse().expect("an address");
    Announced { ends: Ends::Known { client: address(client), local: address(local) }, ..Announced::default() }
}

/// A header of version 2.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend((rest.len() as u16).to_be_bytes());
    header.extend(rest);
    header
}

fn vector(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &(value.len() as u16).to_be_bytes(), value].concat()
}

const V4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 4, 1, 0xbb];

/// It is announced however it is split, and what follows is left.
#[track_caller]
fn announces(header: &[u8], expected: &Announced) {
    for end in 0..header.len() {
        assert_eq!(Header::of(&header[..end]), Header::Partial, "{end} bytes of {header:?}");
    }
    for after in [&b""[..], b"G", b"GET / HTTP/1.1\r\n\r\n", &[0; 300]] {
        let bytes = [header, after].concat();
        assert_eq!(Header::of(&bytes), Header::Whole(header.len(), expected.clone().into()), "{header:?}");
    }
}

#[test]
fn lines_of_version_1() {
    announces(b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n", &known("192.0.2.1:56324", "198.51.100.1:443"));
    announces(b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", &known("[2001:db8::1]:0", "[::1]:65535"));
    announces(b"PROXY UNKNOWN\r\n", &Announced::default());
    announces(b"PROXY UNKNOWN ffff::f ffff::f 65535 65535\r\n", &Announced::default());
    for line in [
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n",
        "PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 65536\r\n",
        "PROXY TCP4 192.0.2.1 198.51.100.1 +1 443\r\n",
        "PROXY TCP4 192.0.2.1 ::1 1 443\r\n",
        "PROXY TCP6 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY TCP4 192.0.2.256 198.51.100.1 1 443\r\n",
        "PROXY UDP4 192.0.2.1 198.51.100.1 1 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "proxy UNKNOWN\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n",
    ] {
        assert_eq!(Header::of(line.as_bytes()), Header::Wrong(Wrong::Malformed), "{line}");
    }
    let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
    assert_eq!(long.len(), 107);
    announces(long.as_bytes(), &Announced::default());
    let too_long = format!("PROXY UNKNOWN {}", "x".repeat(93));
    assert_eq!(Header::of(too_long.as_bytes()), Header::Wrong(Wrong::Malformed));
}

#[test]
fn headers_of_version_2() {
    announces(&v2(0x21, 0x11, &V4), &known("192.0.2.1:56324", "198.51.100.1:443"));
    announces(&v2(0x21, 0x12, &V4), &known("192.0.2.1:56324", "198.51.100.1:443"));
    let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[1], &[0; 15], &[1], &[0, 80, 0, 81]].concat();
    announces(&v2(0x21, 0x21, &v6), &known("[2001:db8::1]:80", "[::1]:81"));
    announces(&v2(0x21, 0x31, &[b'a'; 216]), &Announced { ends: Ends::Unix, ..Announced::default() });
    announces(
        &v2(0x21, 0, &vector(2, b"a.test")),
        &Announced { authority: Some("a.test".to_string()), ..Announced::default() },
    );
    // LOCAL, and a family that is not specified: whatever follows.
    for (command, family, rest) in [(0x20, 0, &b""[..]), (0x20, 0x11, &V4), (0x20, 0xff, b"?"), (0x21, 0, b"\x02\xff")]
    {
        announces(&v2(command, family, rest), &Announced::default());
    }
    for (command, family, rest) in [
        (0x22, 0x11, &V4[..]),
        (0x11, 0x11, &V4),
        (0x31, 0x11, &V4),
        (0x21, 0x13, &V4),
        (0x21, 0x41, &V4),
        (0x21, 0x11, &V4[..11]),
        (0x21, 0x21, &V4),
        (0x21, 0x31, &V4),
        (0x21, 0x11, &[0; BYTES_MAX]),
    ] {
        let header = v2(command, family, rest);
        assert_eq!(Header::of(&header), Header::Wrong(Wrong::Malformed), "{command:x} {family:x} {rest:?}");
    }
    // One that is too long is refused before all of it has come.
    let long = v2(0x21, 0x11, &[0; BYTES_MAX]);
    assert_eq!(Header::of(&long[..16]), Header::Wrong(Wrong::Malformed));
    for bytes in [&b"\r\n\r\n\0\r\nQUIT\x0b"[..], b"\r\n\r\n\0\r\nQUIT\n\x11", b"\r\nGET", b"\x16\x03\x01\x02\0"] {
        assert_eq!(Header::of(bytes), Header::Wrong(Wrong::Malformed), "{bytes:?}");
    }
}

#[test]
fn vectors_of_version_2() {
    let ssl =
        [&[1 | 2, 0, 0, 0, 0][..], &vector(0x21, b"TLSv1.3"), &vector(0x23, b"AES"), &vector(0x22, b"cn")].concat();
    let vectors = [
        vector(1, b"h2"),
        vector(2, "ex\u{e4}mple.org".as_bytes()),
        vector(4, b"padding"),
        vector(5, &[0xff; 128]),
        vector(0x20, &ssl),
        vector(0x30, b"ns"),
        vector(0xe0, b"custom"),
    ];
    let tls = AnnouncedTls {
        version: Some("TLSv1.3".to_string()),
        cipher: Some("AES".to_string()),
        client_name: Some("cn".to_string()),
    };
    let expected = Announced {
        alpn: Some("h2".to_string()),
        authority: Some("ex\u{e4}mple.org".to_string()),
        unique_id: Some(vec![0xff; 128]),
        tls: Some(tls),
        ..known("192.0.2.1:56324", "198.51.100.1:443")
    };
    announces(&v2(0x21, 0x11, &[&V4[..], &vectors.concat()].concat()), &expected);
    // The name of a certificate that was not verified does not count; without TLS nothing of it does.
    for (flags, verify, expected) in
        [(1 | 2, 1, Some(None)), (1, 0, Some(None)), (1 | 4, 0, Some(Some("cn"))), (2, 0, None)]
    {
        let ssl = [&[flags, 0, 0, 0, verify][..], &vector(0x22, b"cn")].concat();
        let header = v2(0x21, 0x11, &[&V4[..], &vector(0x20, &ssl)].concat());
        let Header::Whole(_, announced) = Header::of(&header) else { panic!("{header:?}") };
        assert_eq!(announced.tls.as_ref().map(|tls| tls.client_name.as_deref()), expected, "{flags} {verify}");
    }
    for vectors in [
        &b"\x02"[..],
        b"\x02\0",
        b"\x02\0\x05four",
        &vector(2, b"\xff"),
        &vector(2, b"a\nb"),
        &vector(5, &[0; 129]),
        &vector(0x20, &[1, 0, 0, 0]),
        &vector(0x20, &[1, 0, 0, 0, 0, 0x21, 0, 9]),
        &vector(3, &[0; 3]),
    ] {
        let header = v2(0x21, 0x11, &[&V4[..], vectors].concat());
        assert_eq!(Header::of(&header), Header::Wrong(Wrong::Malformed), "{vectors:?}");
    }
}

/// With its checksum, in the middle.
fn summed(vectors: &[u8]) -> Vec<u8> {
    let mut header = v2(0x21, 0x11, &[&V4[..], &vector(3, &[0; 4]), vectors].concat());
    let sum = !crc32c(!0, &header);
    header[31..35].copy_from_slice(&sum.to_be_bytes());
    header
}

#[test]
fn a_checksum_is_that_of_the_header() {
    // The check value of CRC-32C.
    assert_eq!(!crc32c(!0, b"123456789"), 0xe306_9283);
    let header = summed(&vector(4, b"padding"));
    announces(&header, &known("192.0.2.1:56324", "198.51.100.1:443"));
    for at in 16..header.len() {
        let mut broken = header.clone();
        broken[at] ^= 1;
        assert!(matches!(Header::of(&broken), Header::Wrong(_)), "{at}");
    }
    let mut broken = header.clone();
    broken[20] ^= 1;
    assert_eq!(Header::of(&broken), Header::Wrong(Wrong::Checksum));
}

proptest! {
    /// No bytes are too odd, and more bytes never change what was decided.
    #[test]
    fn whatever_arrives_is_decided_once(
        start in prop_oneof![
            Just(b"PROXY ".to_vec()), Just(b"PROXY TCP4 1.1.1.1".to_vec()), Just(b"PROXY TCP6 ::".to_vec()),
            Just(v2(0x21, 0x11, &V4)[..16].to_vec()), Just(v2(0x21, 0x21, &[0; 60])[..20].to_vec()), Just(Vec::new()),
        ],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, rest].concat();
        let mut decided = None;
        for end in 0..=bytes.len() {
            let header = Header::of(&bytes[..end]);
            if let Header::Whole(length, _) = &header {
                prop_assert!(*length <= end);
            }
            match &decided {
                None if header == Header::Partial => {}
                None => decided = Some(header),
                Some(earlier) => prop_assert_eq!(earlier, &header),
            }
        }
    }

    #[test]
    fn a_header_with_anything_in_it_is_parsed(vectors in proptest::collection::vec(any::<u8>(), 0..100)) {
        let header = Header::of(&summed(&vectors));
        prop_assert!(header != Header::Partial);
    }
}
