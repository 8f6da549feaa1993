//! Autobahn's categories 1 to 5 and 10: lengths, pings and pongs, reserved bits, opcodes, fragments.

use crate::support::autobahn::Writes::{Chops, FrameWise, Joined};
use crate::support::autobahn::{Case, begin, binary, came, expect_all_pass, fragments, last, middle, ping, pong, text};
use crate::support::websocket::{BINARY, CLOSE, Frame, PING, PONG, TEXT};
use std::time::Duration;

const HELLO: &str = "Hello, world!";
/// Not UTF-8.
const BYTES: &[u8] = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";

#[test]
fn websocket_passes_autobahn_framing() {
    let server = crate::websocket_echo();
    let cases = [lengths(), pings(), reserved_bits(), opcodes(), fragmented_control(), fragmented_messages()];
    let cases = cases.into_iter().flatten().chain([misplaced_fragments(), automatic_fragments()].into_iter().flatten());
    let count = expect_all_pass(&server, 8, &[], cases);
    assert_eq!(count, 65, "Autobahn has 16, 11, 7, 10, 20 and 1");
}

/// Category 1: empty messages and messages of lengths where the encoding of the length changes.
fn lengths() -> Vec<Case> {
    let sizes = [0, 125, 126, 127, 128, 65535, 65536, 65536];
    let case = |group: u32, place: usize, message: Frame| {
        let writes = if place == 8 { Chops(997) } else { Joined };
        Case::new(format!("1.{group}.{place}")).send(writes, [message.clone()]).expect([came(message)])
    };
    let texts = sizes.iter().zip(1..).map(|(&size, place)| case(1, place, text("*".repeat(size))));
    let binaries = sizes.iter().zip(1..).map(|(&size, place)| case(2, place, binary([0xfe].repeat(size))));
    texts.chain(binaries).collect()
}

/// Category 2.
fn pings() -> Vec<Case> {
    let answered = |id: &str, payload: &[u8]| Case::new(id).send(Joined, [ping(payload)]).expect([came(pong(payload))]);
    let unsolicited = "unsolicited pong payload";
    let close = || Frame::close(1000, b"");
    let ten = || (0..10).map(|i| format!("payload-{i}"));
    let ten_pongs = || ten().map(|payload| came(pong(payload)));
    vec![
        answered("2.1", b""),
        answered("2.2", HELLO.as_bytes()),
        answered("2.3", BYTES),
        answered("2.4", &[0xfe; 125]),
        Case::new("2.5").send(Joined, [ping([0xfe; 126])]).failed_with(&[1002]),
        Case::new("2.6").send(Chops(1), [ping([0xfe; 125])]).expect([came(pong([0xfe; 125]))]),
        Case::new("2.7").send(Joined, [pong(""), close()]),
        Case::new("2.8").send(Joined, [pong(unsolicited), close()]),
        Case::new("2.9").send(Joined, [pong(unsolicited), ping("ping payload")]).expect([came(pong("ping payload"))]),
        Case::new("2.10").send(Joined, ten().map(ping)).expect(ten_pongs()),
        Case::new("2.11").send(Chops(1), ten().map(ping)).expect(ten_pongs()),
    ]
}

/// Category 3.
fn reserved_bits() -> Vec<Case> {
    let failed = |id, frame| Case::new(id).send(Joined, [frame]).failed_with(&[1002]);
    let echoed_then_failed = |id, writes, rsv| {
        let frames = [text(HELLO), Frame::new(true, rsv, TEXT, HELLO), ping("")];
        Case::new(id).send(writes, frames).expect([came(text(HELLO))]).or_not_strictly([]).failed_with(&[1002])
    };
    vec![
        failed("3.1", Frame::new(true, 1, TEXT, HELLO)),
        echoed_then_failed("3.2", Joined, 2),
        echoed_then_failed("3.3", FrameWise, 3),
        echoed_then_failed("3.4", Chops(1), 4),
        failed("3.5", Frame::new(true, 5, BINARY, BYTES)),
        // Autobahn's text says "Ping"; this is what it sends.
        failed("3.6", Frame::new(true, 6, BINARY, HELLO)),
        failed("3.7", Frame::new(true, 7, CLOSE, "")),
    ]
}

/// Category 4: opcodes that RFC 6455 reserves, of data and of control frames.
fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for (group, first) in [(1, 3), (2, 11)] {
        let failed = |place, opcode, payload: &str| {
            let frames = [Frame::new(true, 0, opcode, payload)];
            Case::new(format!("4.{group}.{place}")).send(Joined, frames).failed_with(&[1002])
        };
        let echoed_then_failed = |place, writes, opcode, payload: &str| {
            let frames = [text(HELLO), Frame::new(true, 0, opcode, payload), ping("")];
            let case = Case::new(format!("4.{group}.{place}")).send(writes, frames);
            case.expect([came(text(HELLO))]).or_not_strictly([]).failed_with(&[1002])
        };
        cases.extend([
            failed(1, first, ""),
            failed(2, first + 1, "reserved opcode payload"),
            echoed_then_failed(3, Joined, first + 2, ""),
            echoed_then_failed(4, Joined, first + 3, HELLO),
            echoed_then_failed(5, Chops(1), first + 4, HELLO),
        ]);
    }
    cases
}

/// Category 5, the first two: control frames marked as fragments.
fn fragmented_control() -> Vec<Case> {
    let case =
        |id, opcode| Case::new(id).send(Joined, [begin(opcode, "fragment1"), last("fragment2")]).failed_with(&[1002]);
    vec![case("5.1", PING), case("5.2", PONG)]
}

/// Category 5: what is allowed.
fn fragmented_messages() -> Vec<Case> {
    let echoed = |id, writes| {
        let case = Case::new(id).send(writes, [begin(TEXT, "fragment1"), last("fragment2")]);
        case.expect([came(text("fragment1fragment2"))])
    };
    let with_ping = |id, writes| {
        let case = Case::new(id).send(writes, [begin(TEXT, "fragment1"), ping("ping payload"), last("fragment2")]);
        case.expect([came(pong("ping payload")), came(text("fragment1fragment2"))])
    };
    let with_pause = |id, writes| {
        let first = [begin(TEXT, "fragment1"), middle("fragment2"), ping("pongme 1!")];
        let second = [middle("fragment3"), middle("fragment4"), ping("pongme 2!"), last("fragment5")];
        // The first pong arrives before the rest of the message is sent.
        let case = Case::new(id).send(writes, first).wait_events(1).pause(Duration::from_secs(1)).send(writes, second);
        let whole = text("fragment1fragment2fragment3fragment4fragment5");
        case.expect([pong("pongme 1!"), pong("pongme 2!"), whole].map(came))
    };
    vec![
        echoed("5.3", Joined),
        echoed("5.4", FrameWise),
        echoed("5.5", Chops(1)),
        with_ping("5.6", Joined),
        with_ping("5.7", FrameWise),
        with_ping("5.8", Chops(1)),
        with_pause("5.19", Joined),
        with_pause("5.20", FrameWise),
    ]
}

/// Category 5: continuations without a message, and messages that begin within another.
fn misplaced_fragments() -> Vec<Case> {
    let failed = |id, writes, frames: Vec<Frame>| Case::new(id).send(writes, frames).failed_with(&[1002]);
    let lonely_last = || vec![last("non-continuation payload"), text(HELLO)];
    let lonely_middle = || vec![middle("non-continuation payload"), text(HELLO)];
    let twice = |lonely: Frame| vec![[lonely, begin(TEXT, "fragment2"), last("fragment3")]; 2].concat();
    let whole_then_lonely = [begin(TEXT, "fragment1"), last("fragment2"), middle("fragment3"), text("fragment4")];
    vec![
        failed("5.9", Joined, lonely_last()),
        failed("5.10", FrameWise, lonely_last()),
        failed("5.11", Chops(1), lonely_last()),
        failed("5.12", Joined, lonely_middle()),
        failed("5.13", FrameWise, lonely_middle()),
        failed("5.14", Chops(1), lonely_middle()),
        failed("5.15", Joined, whole_then_lonely.to_vec())
            .expect([came(text("fragment1fragment2"))])
            .or_not_strictly([]),
        failed("5.16", Joined, twice(middle("fragment1"))),
        failed("5.17", Joined, twice(last("fragment1"))),
        failed("5.18", Joined, vec![begin(TEXT, "fragment1"), text("fragment2")]),
    ]
}

/// Category 10: a message that its sender fragments because of its length.
fn automatic_fragments() -> Vec<Case> {
    let message = text("*".repeat(65536));
    let frames = fragments(TEXT, &message.payload, 1300);
    assert_eq!(frames.len(), 51, "one frame begins the message and fifty continue it");
    vec![Case::new("10.1.1").send(Joined, frames).expect([came(message)])]
}
