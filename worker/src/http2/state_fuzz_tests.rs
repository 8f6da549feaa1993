//! Random traces of a client, and damaged ones: no bytes break the state machine, what it keeps is bounded, what it sends is valid, and
//! the answers do not depend on how the bytes were cut.
//!
//! Short by default. `PROPTEST_CASES=100000 cargo test --release -p tine-worker http2_fuzz` runs as many traces, and PROPTEST_RNG_SEED the
//! same again.

use super::frame::{Frame, FrameHeader, HEADER_BYTES, PREFACE, flag, kind};
use super::hpack::Decoder;
use super::state::STREAMS_MAX;
use super::test_client::*;
use crate::http1::test_client::Paths;
use crate::protocol::Next;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use std::collections::BTreeMap;
use std::time::Duration;

fn config() -> ProptestConfig {
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { 300 };
    ProptestConfig { cases, ..config }
}

/// What a client does next. Streams are numbered from 0, as they begin.
#[derive(Debug, Clone)]
enum Does {
    /// A request without a body, or one that is sent in these pieces; with how many frames its head has.
    Asks {
        path: &'static str,
        pieces: Option<Vec<usize>>,
        in_frames: usize,
        trailers: bool,
    },
    Opens {
        stream: Option<Index>,
        by: u32,
    },
    Sets {
        id: u16,
        value: u32,
    },
    Pings,
    Prefers(Index, u8),
    Sends(u8),
    Cancels(Index),
}

fn does() -> impl Strategy<Value = Does> {
    const PATHS: [&str; 9] =
        ["/text", "/204", "/sized", "/stream", "/echo", "/echo/nibbling", "/echo/later", "/refuse", "/nothing"];
    let pieces = proptest::option::of(vec(prop_oneof![4 => 0usize..50, 1 => 0usize..6000], 1..5));
    let asks = (select(&PATHS[..]), pieces, 1usize..4, any::<bool>());
    prop_oneof![
        8 => asks.prop_map(|(path, pieces, in_frames, trailers)| Does::Asks { path, pieces, in_frames, trailers }),
        2 => (proptest::option::of(any::<Index>()), 1u32..100_000).prop_map(|(stream, by)| Does::Opens { stream, by }),
        1 => prop_oneof![(Just(4u16), 0u32..40), (select(vec![1u16, 3, 4, 5, 6, 99]), 16_384u32..70_000)]
            .prop_map(|(id, value)| Does::Sets { id, value }),
        1 => Just(Does::Pings),
        1 => (any::<Index>(), 0u8..8).prop_map(|(stream, urgency)| Does::Prefers(stream, urgency)),
        1 => (17u8..255).prop_map(Does::Sends),
        2 => any::<Index>().prop_map(Does::Cancels),
    ]
}

/// The frames of a trace, after the preface.
fn frames(trace: &[Does]) -> Vec<Vec<u8>> {
    let mut frames = vec![settings(&[]), frame(kind::SETTINGS, flag::ACK, 0, b"")];
    let mut last: u32 = 0;
    let id_of = |index: &Index, last: u32| index.index(last.div_ceil(2) as usize) as u32 * 2 + 1;
    for does in trace {
        match does {
            Does::Asks { path, pieces, in_frames, trailers } => {
                last = if last == 0 { 1 } else { last + 2 };
                let method = if pieces.is_some() { "POST" } else { "GET" };
                let block = block(&[(":method", method), (":scheme", "http"), (":authority", "a"), (":path", path)]);
                let fragments: Vec<_> = block.chunks(block.len().div_ceil(*in_frames)).collect();
                let ends = if pieces.is_none() { flag::END_STREAM } else { 0 };
                for (at, fragment) in fragments.iter().enumerate() {
                    let (kind, flags) = if at == 0 { (kind::HEADERS, ends) } else { (kind::CONTINUATION, 0) };
                    let end_headers = if at + 1 == fragments.len() { flag::END_HEADERS } else { 0 };
                    frames.push(frame(kind, flags | end_headers, last, fragment));
                }
                let pieces = pieces.as_deref().unwrap_or_default();
                for (at, &piece) in pieces.iter().enumerate() {
                    let most = piece.min(16_384);
                    frames.push(data(last, &vec![b'a' + at as u8; most], at + 1 == pieces.len() && !trailers));
                }
                if *trailers && !pieces.is_empty() {
                    frames.push(headers(last, true, &[("x-trailer", "t")]));
                }
            }
            Does::Opens { stream: None, by } => frames.push(window(0, *by)),
            Does::Sets { id, value } => frames.push(settings(&[(*id, *value)])),
            Does::Pings => frames.push(frame(kind::PING, 0, 0, b"pingpong")),
            Does::Sends(unknown) => frames.push(frame(*unknown, 0xff, last, b"whatever")),
            _ if last == 0 => {}
            Does::Opens { stream: Some(stream), by } => frames.push(window(id_of(stream, last), *by)),
            Does::Prefers(stream, urgency) => {
                let field = [&id_of(stream, last).to_be_bytes()[..], format!("u={urgency}").as_bytes()].concat();
                frames.push(frame(kind::PRIORITY_UPDATE, 0, 0, &field));
            }
            Does::Cancels(stream) => frames.push(rst(id_of(stream, last), 8)),
        }
    }
    frames
}

#[derive(Debug, Clone)]
enum Damage {
    Drops,
    Repeats,
    SwapsWithNext,
    SetsKind(u8),
    FlipsFlags(u8),
    SetsStream(u32),
    /// Of the frame's bytes, its header included.
    SetsByte(Index, u8),
    /// The header then announces another length.
    LosesByte(Index),
}

fn damage() -> impl Strategy<Value = (Index, Damage)> {
    let how = prop_oneof![
        Just(Damage::Drops),
        Just(Damage::Repeats),
        Just(Damage::SwapsWithNext),
        (0u8..18).prop_map(Damage::SetsKind),
        select(vec![1u8, 4, 8, 0x20, 0xff]).prop_map(Damage::FlipsFlags),
        (0u32..40).prop_map(Damage::SetsStream),
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::SetsByte(at, byte)),
        any::<Index>().prop_map(Damage::LosesByte),
    ];
    (any::<Index>(), how)
}

fn damage_all(frames: &mut Vec<Vec<u8>>, damages: &[(Index, Damage)]) {
    for (at, damage) in damages {
        if frames.is_empty() {
            return;
        }
        let at = at.index(frames.len());
        match damage {
            Damage::Drops => drop(frames.remove(at)),
            Damage::Repeats => {
                let again = frames[at].clone();
                frames.insert(at, again);
            }
            Damage::SwapsWithNext => {
                let next = (at + 1) % frames.len();
                frames.swap(at, next);
            }
            Damage::SetsKind(kind) => frames[at][3] = *kind,
            Damage::FlipsFlags(flags) => frames[at][4] ^= flags,
            Damage::SetsStream(id) => frames[at][5..9].copy_from_slice(&id.to_be_bytes()),
            Damage::SetsByte(byte, value) => {
                let byte = byte.index(frames[at].len());
                frames[at][byte] = *value;
            }
            Damage::LosesByte(byte) => {
                let byte = byte.index(frames[at].len());
                frames[at].remove(byte);
                // No later damage reaches into a frame that is shorter than its header.
                if frames[at].len() < 9 {
                    let rest = frames.remove(at);
                    match frames.get_mut(at) {
                        Some(next) => drop(next.splice(0..0, rest)),
                        None => return,
                    }
                }
            }
        }
    }
}

/// How a trace is sent.
#[derive(Debug, Clone)]
struct Sending {
    /// The bytes come in parts of these sizes, in rotation.
    sizes: Vec<usize>,
    /// The most that the client reads after each step, until it has sent all.
    takes_bytes: usize,
    /// The time that all of it takes, no longer than a client may.
    lasts: Duration,
}

const WHOLE: Sending = Sending { sizes: Vec::new(), takes_bytes: usize::MAX, lasts: Duration::ZERO };

fn sending() -> impl Strategy<Value = Sending> {
    let sizes = prop_oneof![vec(1usize..30, 1..4), vec(1usize..5000, 1..4), Just(vec![1])];
    (sizes, prop_oneof![3 => Just(usize::MAX), 1 => 1usize..500], prop_oneof![3 => Just(0u64), 1 => 0..3000u64])
        .prop_map(|(sizes, takes_bytes, lasts)| Sending { sizes, takes_bytes, lasts: Duration::from_millis(lasts) })
}

/// What the client is told of its streams, however it was framed.
#[derive(Debug, Default)]
struct Told {
    complete: BTreeMap<u32, Answer>,
    incomplete: BTreeMap<u32, Answer>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Reads the server's frames, all of which have to be valid.
fn told(mut bytes: &[u8]) -> Told {
    let (mut told, mut decoder) = (Told::default(), Decoder::new());
    while let Some(header) = FrameHeader::parse(bytes).expect("a header") {
        let Some(payload) = bytes[HEADER_BYTES..].get(..header.length) else { break };
        bytes = &bytes[HEADER_BYTES + header.length..];
        let id = header.stream;
        let ends = match Frame::parse(header, payload).expect("a valid frame") {
            Frame::Headers(headers) => {
                assert!(headers.ends_headers, "no answer has a longer head");
                told.incomplete.entry(id).or_default().head += &fields(&mut decoder, headers.fragment);
                headers.ends_stream
            }
            Frame::Data(data) => {
                let answer = told.incomplete.get_mut(&id).expect("DATA of a stream that has a head and no end");
                answer.body.extend_from_slice(data.body);
                data.ends_stream
            }
            _ => false,
        };
        if ends {
            let answer = told.incomplete.remove(&id).expect("it has a head");
            assert!(told.complete.insert(id, answer).is_none(), "stream {id} has two answers");
        }
    }
    assert_eq!(bytes, b"", "a part of a frame");
    told
}

/// What is kept of a connection is what the limits say.
fn check_bounds(client: &Client<Paths>) {
    let http2 = &client.http2;
    assert!(http2.streams.len() <= STREAMS_MAX && http2.reset.len() <= STREAMS_MAX);
    let queued: usize = http2.streams.iter().map(|stream| stream.outgoing.queue.len()).sum();
    assert_eq!(queued, http2.queued_bytes, "the sum is kept");
    let waiting: usize = http2.streams.iter().map(|stream| stream.incoming.data().len()).sum();
    assert!(waiting <= 2 << 20, "{waiting} bytes wait for applications");
    let mark = client.limits.write_high_watermark_bytes;
    let output = client.output.len();
    assert!(output <= mark + (128 << 10), "{output} bytes wait for the client, whose mark is {mark}");
}

/// Sends the bytes, then reads all and leaves. The answer is what it was told.
fn converse(bytes: &[u8], sending: &Sending) -> Told {
    let mut client = Client::silent(Paths);
    client.takes_bytes = sending.takes_bytes;
    let mut rest = bytes;
    let mut sizes = sending.sizes.iter().cycle();
    let mut next = client.run();
    let part_bytes = sending.sizes.iter().sum::<usize>() / sending.sizes.len().max(1);
    let pause = sending.lasts / (bytes.len() / part_bytes.max(1) + 1) as u32;
    while !rest.is_empty() && !matches!(next, Next::Close(_)) {
        let size = sizes.next().copied().unwrap_or(rest.len());
        let (part, after) = rest.split_at(size.min(rest.len()));
        rest = after;
        client.now += pause;
        next = client.send(part);
        check_bounds(&client);
    }
    client.takes_bytes = usize::MAX;
    if !matches!(next, Next::Close(_)) {
        client.run();
        check_bounds(&client);
        client.ended = true;
        // Whatever it waits for has a deadline.
        for _ in 0..20 {
            next = client.later(Duration::from_secs(60));
            if matches!(next, Next::Close(_)) {
                break;
            }
        }
    }
    assert!(matches!(next, Next::Close(_)), "it ends: {next:?}");
    told(client.take_all())
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn http2_fuzz_valid_traces_are_answered_whatever_the_cut(
        trace in vec(does(), 1..20),
        sending in sending(),
    ) {
        // With a window of 65535 or more for each stream, and enough of them for all.
        let is_kept = |does: &Does| !matches!(does, Does::Cancels(_) | Does::Sets { id: 4, .. });
        let trace: Vec<_> = trace.into_iter().filter(is_kept).collect();
        let bytes = [&PREFACE[..], &frames(&trace).concat(), &window(0, 1 << 24)].concat();
        let asked = trace.iter().filter(|does| matches!(does, Does::Asks { .. })).count();
        let whole = converse(&bytes, &WHOLE);
        prop_assert_eq!(whole.complete.len(), asked, "{:?}", whole);
        let cut = converse(&bytes, &sending);
        prop_assert_eq!(cut.complete, whole.complete);
    }

    #[test]
    fn http2_fuzz_damaged_traces_break_nothing(
        trace in vec(does(), 1..20),
        damages in vec(damage(), 1..5),
        window in prop_oneof![Just(65_535), 0u32..40],
        sending in sending(),
    ) {
        let mut frames = frames(&trace);
        frames.insert(1, settings(&[(4, window)]));
        damage_all(&mut frames, &damages);
        let bytes = [&PREFACE[..], &frames.concat()].concat();
        let (whole, cut) = (converse(&bytes, &WHOLE), converse(&bytes, &sending));
        for (id, text) in &whole.complete {
            if let Some(other) = cut.complete.get(id) {
                prop_assert_eq!(text, other, "stream {}", id);
            }
        }
    }

    #[test]
    fn http2_fuzz_any_bytes_break_nothing(bytes in vec(any::<u8>(), 0..600), sending in sending()) {
        converse(&[&PREFACE[..], &settings(&[]), &bytes].concat(), &sending);
        converse(&bytes, &sending);
    }
}
