use super::block::{Block, Bounds, Excess};
use super::decoder::{DecodeError, Decoder};
use super::{huffman, integer};
use proptest::collection::vec;
use proptest::prelude::*;

const BOUNDS: Bounds = Bounds { bytes_max: 16 << 10, fields_max: 128 };

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn lines(block: &Block) -> String {
    block.iter().map(|(name, value)| format!("{}: {}\n", name.escape_ascii(), value.escape_ascii())).collect()
}

/// Decodes blocks one after the other, on one connection: the fields of each, or the error of the last.
fn decode(blocks: &[Vec<u8>]) -> Vec<Result<String, DecodeError>> {
    let (mut decoder, mut block) = (Decoder::new(), Block::default());
    let mut all = Vec::new();
    for coded in blocks {
        all.push(decoder.decode(coded, BOUNDS, &mut block).map(|()| lines(&block)));
    }
    all
}

/// Decodes each block, and each beginning of it, which is fields of the whole or an error.
#[track_caller]
fn check(blocks: &[(&str, &str)]) {
    let coded: Vec<Vec<u8>> = blocks.iter().map(|(hex, _)| bytes(hex)).collect();
    let expected: Vec<_> = blocks.iter().map(|(_, lines)| Ok(lines.to_string())).collect();
    assert_eq!(decode(&coded), expected);
    for last in 0..coded.len() {
        for end in 0..coded[last].len() {
            let mut cut = coded[..=last].to_vec();
            cut[last].truncate(end);
            match decode(&cut).pop().unwrap() {
                Ok(lines) => assert!(blocks[last].1.starts_with(&lines), "block {last} cut at {end}: {lines}"),
                Err(e) => assert_eq!(e, DecodeError::Malformed),
            }
        }
    }
}

#[test]
fn examples_of_single_fields() {
    // RFC 7541, C.2.
    check(&[("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header\n")]);
    check(&[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path\n")]);
    check(&[("1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret\n")]);
    check(&[("82", ":method: GET\n")]);
}

const REQUESTS: [&str; 3] = [
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\n",
    ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache\n",
    ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value\n",
];

#[test]
fn examples_of_requests() {
    // RFC 7541, C.3.
    check(&[
        ("8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", REQUESTS[0]),
        ("8286 84be 5808 6e6f 2d63 6163 6865", REQUESTS[1]),
        ("8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", REQUESTS[2]),
    ]);
    // C.4: the same with Huffman coding.
    check(&[
        ("8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", REQUESTS[0]),
        ("8286 84be 5886 a8eb 1064 9cbf", REQUESTS[1]),
        ("8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", REQUESTS[2]),
    ]);
}

const RESPONSES: [&str; 3] = [
    ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
    ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com\n",
    ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n\
     content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n",
];

#[test]
fn examples_of_responses_whose_entries_are_evicted() {
    // RFC 7541, C.5, after a change of the table's size to 256.
    check(&[
        (
            "3fe1 01 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 \
             3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            RESPONSES[0],
        ),
        ("4803 3330 37c1 c0bf", RESPONSES[1]),
        (
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
             3630 303b 2076 6572 7369 6f6e 3d31",
            RESPONSES[2],
        ),
    ]);
    // C.6: the same with Huffman coding.
    check(&[
        (
            "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d \
             29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            RESPONSES[0],
        ),
        ("4883 640e ffc1 c0bf", RESPONSES[1]),
        (
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
            RESPONSES[2],
        ),
    ]);
}

#[test]
fn what_breaks_the_rules_is_malformed() {
    for (hex, why) in [
        ("80", "index 0"),
        ("be", "an index after the static table, and nothing is in the dynamic one"),
        ("ff ff ff ff ff 01", "an index that is too long"),
        ("7e 00", "the name of an entry that does not exist"),
        ("40 00 ff 00", "a string longer than the block"),
        ("40 81 ff 00", "padding of eight bits"),
        ("40 81 1e 00", "padding that is not ones"),
        ("82 20", "a change of the table's size after a field"),
        ("3f e2 1f", "a table above the announced size"),
        ("3f", "a cut integer"),
        ("40", "no name"),
        ("40 01 61", "no value"),
        ("00 84 ff ff ff fc 00", "EOS in a string"),
    ] {
        assert_eq!(decode(&[bytes(hex)]), [Err(DecodeError::Malformed)], "{why}");
    }
    // Changes of the size, and nothing else.
    assert_eq!(decode(&[bytes("3f e1 1f 20 3f e1 1f")]), [Ok(String::new())]);
    // An empty name is a matter of the fields' rules.
    assert_eq!(decode(&[bytes("00 00 00")]), [Ok(": \n".to_string())]);
}

#[test]
fn a_table_of_size_zero_has_no_entries() {
    let add = "40 01 61 01 62";
    let expected = [Ok("a: b\n".to_string()), Ok("a: b\n".to_string()), Err(DecodeError::Malformed)];
    assert_eq!(decode(&[bytes(add), bytes(&format!("20 {add}")), bytes("be")]), expected);
    // It was empty in between, and is so even if it grows again.
    assert_eq!(decode(&[bytes(add), bytes("20 3f e1 1f be")])[1], Err(DecodeError::Malformed));
}

/// Fields of one byte each that refer to the newest entry.
fn references(count: usize) -> Vec<u8> {
    vec![0xbe; count]
}

#[test]
fn what_exceeds_the_bounds_is_decoded_but_not_kept() {
    let (mut decoder, mut block) = (Decoder::new(), Block::default());
    let mut decode = |coded: &[u8], bytes_max, fields_max| {
        let result = decoder.decode(coded, Bounds { bytes_max, fields_max }, &mut block);
        (result, block.iter().count(), block.count(), block.excess())
    };
    let add = bytes("40 01 61 01 62");
    // 34 bytes a field.
    let four = [&add[..], &references(3)].concat();
    assert_eq!(decode(&four, 136, 4), (Ok(()), 4, 4, None));
    assert_eq!(decode(&four, 135, 4), (Ok(()), 3, 4, Some(Excess::Bytes)));
    assert_eq!(decode(&four, 136, 3), (Ok(()), 3, 4, Some(Excess::Fields)));
    // Entries are added after the excess, too; a short field after a long one is not kept.
    let later = [&references(4)[..], &bytes("40 01 63 01 64")].concat();
    assert_eq!(decode(&later, 68, 128), (Ok(()), 2, 5, Some(Excess::Bytes)));
    assert_eq!(decode(&references(1), 68, 128), (Ok(()), 1, 1, None));
    assert_eq!(lines(&block), "c: d\n");
}

#[test]
fn a_bomb_ends_after_a_multiple_of_its_bounds() {
    let (mut decoder, mut block) = (Decoder::new(), Block::default());
    let mut entry = bytes("40 01 61");
    integer::put(4000, 0, 7, &mut entry);
    entry.resize(entry.len() + 4000, b'x');
    assert_eq!(decoder.decode(&entry, BOUNDS, &mut block), Ok(()));
    assert_eq!(decoder.decode(&references(16_000), BOUNDS, &mut block), Err(DecodeError::Bomb));
    assert!(block.bytes.capacity() <= 64 << 10, "{}", block.bytes.capacity());
    // By their number: 33 bytes each, which is 33 KB.
    let (mut decoder, mut block) = (Decoder::new(), Block::default());
    assert_eq!(decoder.decode(&bytes("40 01 61 00"), BOUNDS, &mut block), Ok(()));
    assert_eq!(decoder.decode(&references(16_000), BOUNDS, &mut block), Err(DecodeError::Bomb));
    assert!(block.count() <= 8 * BOUNDS.fields_max + 1 && block.iter().count() <= BOUNDS.fields_max);
}

/// What PyPI's hpack 4.1.0 encodes: see the head of the file.
#[test]
fn blocks_of_another_encoder() {
    let mut stories = 0;
    for story in include_str!("vectors.txt").split("\n\n").filter(|story| !story.starts_with('#')) {
        let (mut decoder, mut block) = (Decoder::new(), Block::default());
        stories += 1;
        for case in story.split("= ").filter(|case| !case.trim().is_empty()) {
            let (hex, expected) = case.split_once('\n').unwrap();
            assert_eq!(decoder.decode(&bytes(hex), BOUNDS, &mut block), Ok(()), "{case}");
            assert_eq!(lines(&block).trim_end(), expected.trim_end());
        }
    }
    assert_eq!(stories, 12);
}

/// Bytes that are fields more often than by chance.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let literal = (prop_oneof![Just(0u8), Just(0x10), Just(0x40)], any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(
        |(kind, is_huffman, value)| {
            let mut out = vec![kind, 1, b'n'];
            let mut string = value;
            if is_huffman {
                let plain = std::mem::take(&mut string);
                huffman::encode(&plain, &mut string);
            }
            integer::put(string.len(), if is_huffman { 0x80 } else { 0 }, 7, &mut out);
            [out, string].concat()
        },
    );
    prop_oneof![
        4 => literal,
        4 => (0x80u8..=0xff).prop_map(|index| vec![index]),
        1 => vec(any::<u8>(), 0..5),
        1 => (0usize..5000).prop_map(|size| {
            let mut out = Vec::new();
            integer::put(size, 0x20, 5, &mut out);
            out
        }),
    ]
}

proptest! {
    /// A fuzz target: no bytes make it panic, and what it keeps is within the bounds.
    #[test]
    fn any_bytes_are_fields_or_an_error(blocks in vec(vec(pieces(), 0..60), 1..5)) {
        let (mut decoder, mut block) = (Decoder::new(), Block::default());
        let bounds = Bounds { bytes_max: 1000, fields_max: 20 };
        for coded in blocks {
            let result = decoder.decode(&coded.concat(), bounds, &mut block);
            let kept: usize = block.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
            prop_assert!(kept <= bounds.bytes_max && block.iter().count() <= bounds.fields_max);
            if result == Err(DecodeError::Malformed) {
                break;
            }
        }
    }
}
