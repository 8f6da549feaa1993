//! Properties of whole conversations: how the bytes are cut changes nothing, valid messages are echoed, and no bytes at
//! all break a WebSocket's state machine.

use super::test_client::{BINARY, CLOSE, Client, Echo, SECOND, TEXT, frame, said};
use crate::protocol::Next::{Close, Wait};
use crate::turn_clock::TurnClock;
use proptest::collection::vec;
use proptest::prelude::*;

/// A frame as a client might send it, mostly valid: the first byte, the payload.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x81u8, 0x82, 0x01, 0x02, 0x00, 0x80, 0x89, 0x8a]),
        1 => Just(CLOSE),
        1 => any::<u8>(),
    ];
    let payload = prop_oneof![
        6 => "[a-zä€😀]{0,40}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..130),
        1 => (15_000usize..40_000).prop_map(|length| "ä€😀".bytes().cycle().take(length).collect()),
    ];
    (first, payload).prop_map(|(first, payload)| frame(first, &payload))
}

/// The output for these bytes, if they arrive in portions of these sizes and then the client's stream ends.
fn conversation(bytes: &[u8], sizes: &[usize], is_time_up: bool) -> Vec<u8> {
    let mut client = Client::new(Echo);
    client.clock = is_time_up.then(TurnClock::always_up);
    let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
    while !rest.is_empty() {
        let (portion, after) = rest.split_at((*sizes.next().expect("a size")).min(rest.len()));
        rest = after;
        match client.send(portion) {
            Close(_) => return client.got,
            next => assert_eq!((next, client.input.len()), (Wait, 0), "what it waits for has not yet arrived"),
        }
    }
    client.input_ended = true;
    assert!(matches!(client.run(), Close(_)));
    client.got
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn how_the_bytes_are_cut_changes_nothing(
        frames in vec(any_frame(), 0..12),
        sizes in prop_oneof![vec(1usize..20, 1..4), vec(1usize..5000, 1..6)],
        is_time_up in any::<bool>(),
    ) {
        let bytes = frames.concat();
        prop_assert_eq!(conversation(&bytes, &sizes, is_time_up), conversation(&bytes, &[1 << 19], false));
    }

    #[test]
    fn valid_messages_are_echoed(
        messages in vec(
            (prop_oneof![Just(TEXT), Just(BINARY)], "[a-zä€😀]{0,9}", 1usize..3000, vec(0usize..30_000, 0..3)),
            1..6,
        ),
        size in 1usize..50_000,
    ) {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for (opcode, text, times, mut cuts) in messages {
            let payload = text.repeat(times).into_bytes();
            cuts.extend([0, payload.len()]);
            cuts.iter_mut().for_each(|cut| *cut = (*cut).min(payload.len()));
            cuts.sort_unstable();
            for (at, cut) in cuts.windows(2).enumerate() {
                let fin = if at + 2 == cuts.len() { 0x80 } else { 0 };
                let first = if at == 0 { opcode & 0x7f } else { 0 };
                sent.extend(frame(fin | first, &payload[cut[0]..cut[1]]));
            }
            expected.extend(said(opcode, &payload));
        }
        prop_assume!(sent.len() < 1 << 19 && expected.len() < 1 << 19);
        prop_assert_eq!(conversation(&sent, &[size], false) == expected, true);
    }

    #[test]
    fn any_bytes_end_well(bytes in vec(any::<u8>(), 0..300), size in 1usize..40, reads in any::<bool>()) {
        let mut client = Client::new(Echo);
        client.reads = reads;
        for portion in bytes.chunks(size) {
            client.now += SECOND * 7;
            if let Close(_) = client.send(portion) {
                return Ok(());
            }
        }
        // The connection, not the protocol, closes a client that never reads.
        client.reads = true;
        for _ in 0..4 {
            client.now += SECOND * 120;
            if let Close(_) = client.run() {
                return Ok(());
            }
        }
        prop_assert!(false, "it never ends");
    }
}
