//! Autobahn's category 6: text that is UTF-8 and text that is not, whole and in fragments. The byte sequences are those
//! of Markus Kuhn's decoder test (www.cl.cam.ac.uk/~mgk25/ucs/examples/UTF-8-test.txt), as Autobahn arranges them.

use crate::support::autobahn::Writes::Joined;
use crate::support::autobahn::{Case, Event, begin, came, expect_all_pass, fragments, last, middle, text};
use crate::support::websocket::{Frame, TEXT};
use std::time::Duration;

const MIXED: &str = "Hello-\u{b5}@\u{df}\u{f6}\u{e4}\u{fc}\u{e0}\u{e1}-UTF-8!!";
/// κόσμε, with the letter ό as U+1F79.
const KOSME: &[u8] = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5";

/// These two send one frame in three writes, of which the second makes it invalid: a server that reads a whole frame
/// before it checks its text fails after the third, which RFC 6455 allows.
const FOUND_AT_THE_FRAMES_END: [&str; 2] = ["6.4.3", "6.4.4"];

#[test]
fn websocket_passes_autobahn_utf8() {
    let server = crate::websocket_echo();
    let cases = [empty_fragments(), valid(), invalid(), invalid_in_parts(), sequences()];
    let count = expect_all_pass(&server, 8, &FOUND_AT_THE_FRAMES_END, cases.into_iter().flatten());
    assert_eq!(count, 145, "Autobahn has 13, and 132 sequences");
}

/// 6.1.
fn empty_fragments() -> Vec<Case> {
    let payload = "middle frame payload";
    vec![
        Case::new("6.1.1").send(Joined, [text("")]).expect([came(text(""))]),
        Case::new("6.1.2").send(Joined, [begin(TEXT, ""), middle(""), last("")]).expect([came(text(""))]),
        Case::new("6.1.3").send(Joined, [begin(TEXT, ""), middle(payload), last("")]).expect([came(text(payload))]),
    ]
}

/// 6.2: whole, fragmented between code points, and within them.
fn valid() -> Vec<Case> {
    let echoed = |id, frames: Vec<Frame>| {
        let whole = frames.iter().flat_map(|frame| frame.payload.clone()).collect::<Vec<u8>>();
        Case::new(id).send(Joined, frames).expect([came(text(whole))])
    };
    let (front, back) = MIXED.split_at(MIXED.find('\u{fc}').expect("it has one"));
    vec![
        echoed("6.2.1", vec![text(MIXED)]),
        echoed("6.2.2", vec![begin(TEXT, front), last(back)]),
        echoed("6.2.3", fragments(TEXT, MIXED.as_bytes(), 1)),
        echoed("6.2.4", fragments(TEXT, KOSME, 1)),
    ]
}

/// 6.3: a surrogate in the middle.
fn invalid() -> Vec<Case> {
    let payload = [KOSME, b"\xed\xa0\x80", b"edited"].concat();
    let failed = |id, frames: Vec<Frame>| Case::new(id).send(Joined, frames).failed_with(&[1007]);
    vec![failed("6.3.1", vec![text(payload.clone())]), failed("6.3.2", fragments(TEXT, &payload, 1))]
}

/// 6.4: a code point that is too large in the middle. The server fails the connection when the part with it has
/// arrived, before the rest.
fn invalid_in_parts() -> Vec<Case> {
    let payload = [KOSME, b"\xf4\x90\x80\x80", b"edited"].concat();
    // The end of each part: after the code point, or after the byte that makes it invalid.
    let (whole, byte) = ([11, 15], [12, 13]);
    let in_frames = |id, [first, second]: [usize; 2]| {
        let case = Case::new(id).send(Joined, [begin(TEXT, &payload[..first])]).quiet("A", Duration::from_secs(1));
        let case = case.send(Joined, [middle(&payload[first..second])]).quiet("B", Duration::from_secs(5));
        case.send(Joined, [last(&payload[second..])])
    };
    let in_writes = |id, ends: [usize; 2]| {
        let mask = [0x6b, 0x03, 0xd5, 0xe2];
        let frame = begin(TEXT, payload.clone()).masked(mask);
        let [first, second] = ends.map(|end| frame.len() - payload.len() + end);
        let case = Case::new(id).send_raw(&frame[..first]).quiet("A", Duration::from_secs(1));
        let case = case.send_raw(&frame[first..second]).quiet("B", Duration::from_secs(5));
        case.send_raw([&frame[second..], &last("").masked(mask)].concat())
    };
    let cases =
        [in_frames("6.4.1", whole), in_frames("6.4.2", byte), in_writes("6.4.3", whole), in_writes("6.4.4", byte)];
    let (early, late) = ([Event::Quiet("A")], [Event::Quiet("A"), Event::Quiet("B")]);
    let judged = |case: Case| case.expect(early.clone()).or_not_strictly(late.clone()).failed_with(&[1007]);
    cases.into_iter().map(judged).collect()
}

/// 6.5 to 6.23: the sequences, each as one message.
fn sequences() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, sequences) in (5..).zip(groups()) {
        for (place, (is_valid, bytes)) in (1..).zip(sequences) {
            let case = Case::new(format!("6.{group}.{place}")).send(Joined, [text(bytes.clone())]);
            cases.push(if is_valid { case.expect([came(text(bytes))]) } else { case.failed_with(&[1007]) });
        }
    }
    cases
}

type Sequences = Vec<(bool, Vec<u8>)>;

fn all_valid(sequences: &[&[u8]]) -> Sequences {
    sequences.iter().map(|bytes| (true, bytes.to_vec())).collect()
}

fn all_invalid(sequences: &[&[u8]]) -> Sequences {
    sequences.iter().map(|bytes| (false, bytes.to_vec())).collect()
}

fn groups() -> [Sequences; 19] {
    [
        // 6.5: some correct text.
        all_valid(&[
            b"hello\x24world",
            b"hello\xc2\xa2world",
            b"hello\xe2\x82\xacworld",
            b"hello\xf0\xa4\xad\xa2world",
            KOSME,
        ]),
        // 6.6: its prefixes, which are valid if they end with a code point.
        (1..=KOSME.len()).map(|end| ([2, 5, 7, 9, 11].contains(&end), KOSME[..end].to_vec())).collect(),
        // 6.7, 6.8: the first sequence of each length; those of five and six bytes are not code points.
        all_valid(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"]),
        all_invalid(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"]),
        // 6.9, 6.10: the last sequence of each length.
        all_valid(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"]),
        all_invalid(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"]),
        // 6.11: around the surrogates and at the end of Unicode.
        [
            all_valid(&[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"]),
            all_invalid(&[b"\xf4\x90\x80\x80"]),
        ]
        .concat(),
        unexpected_continuations(),
        lonely_starts(),
        // 6.14, 6.15: the last byte is missing, one by one and all together.
        all_invalid(&INCOMPLETE),
        all_invalid(&[&INCOMPLETE.concat()]),
        // 6.16: bytes that never occur in UTF-8.
        all_invalid(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"]),
        // 6.17 to 6.19: overlong sequences: a slash, the largest of each length, and NUL.
        all_invalid(&[
            b"\xc0\xaf",
            b"\xe0\x80\xaf",
            b"\xf0\x80\x80\xaf",
            b"\xf8\x80\x80\x80\xaf",
            b"\xfc\x80\x80\x80\x80\xaf",
        ]),
        all_invalid(&[
            b"\xc1\xbf",
            b"\xe0\x9f\xbf",
            b"\xf0\x8f\xbf\xbf",
            b"\xf8\x87\xbf\xbf\xbf",
            b"\xfc\x83\xbf\xbf\xbf\xbf",
        ]),
        all_invalid(&[
            b"\xc0\x80",
            b"\xe0\x80\x80",
            b"\xf0\x80\x80\x80",
            b"\xf8\x80\x80\x80\x80",
            b"\xfc\x80\x80\x80\x80\x80",
        ]),
        // 6.20: surrogates.
        all_invalid(&[
            b"\xed\xa0\x80",
            b"\xed\xad\xbf",
            b"\xed\xae\x80",
            b"\xed\xaf\xbf",
            b"\xed\xb0\x80",
            b"\xed\xbe\x80",
            b"\xed\xbf\xbf",
        ]),
        paired_surrogates(),
        noncharacters(),
        // 6.23: specials, the replacement character among them.
        (0xb9..=0xbf).map(|end| (true, vec![0xef, 0xbf, end])).collect(),
    ]
}

/// What 6.14 sends one by one and 6.15 in one message.
const INCOMPLETE: [&[u8]; 10] = [
    b"\xc0",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xf8\x80\x80\x80",
    b"\xfc\x80\x80\x80\x80",
    b"\xdf",
    b"\xef\xbf",
    b"\xf7\xbf\xbf",
    b"\xfb\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf",
];

/// 6.12: one to six of them, and nearly all that exist.
fn unexpected_continuations() -> Sequences {
    let alternating = b"\x80\xbf\x80\xbf\x80\xbf";
    let all: Vec<u8> = (0x80..0xbf).collect();
    let sequences = [b"\x80".as_slice(), b"\xbf"].into_iter().chain((2..=6).map(|count| &alternating[..count]));
    all_invalid(&sequences.chain([all.as_slice()]).collect::<Vec<_>>())
}

/// 6.13: the first bytes of sequences of two to six bytes, a space after each. As in Autobahn, the last of each group
/// is left out.
fn lonely_starts() -> Sequences {
    let starts = [0xc0..0xdf, 0xe0..0xef, 0xf0..0xf7, 0xf8..0xfb, 0xfc..0xfd];
    starts.into_iter().map(|starts| (false, starts.flat_map(|start| [start, b' ']).collect())).collect()
}

/// 6.21.
fn paired_surrogates() -> Sequences {
    let high: [[u8; 3]; 4] = [*b"\xed\xa0\x80", *b"\xed\xad\xbf", *b"\xed\xae\x80", *b"\xed\xaf\xbf"];
    let low: [[u8; 3]; 2] = [*b"\xed\xb0\x80", *b"\xed\xbf\xbf"];
    high.iter().flat_map(|high| low.map(|low| (false, [*high, low].concat()))).collect()
}

/// 6.22: the last two code points of each plane, which are valid UTF-8.
fn noncharacters() -> Sequences {
    let ends = (0..=0x10).flat_map(|plane| [plane << 16 | 0xfffe, plane << 16 | 0xffff]);
    let utf8 = |point| char::from_u32(point).expect("not a surrogate").to_string().into_bytes();
    ends.map(|point| (true, utf8(point))).collect()
}
