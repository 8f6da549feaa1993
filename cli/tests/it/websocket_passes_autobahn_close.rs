//! Autobahn's category 7: which side closes, with what, and what is ignored afterwards.

use crate::support::autobahn::Writes::Joined;
use crate::support::autobahn::{Case, begin, came, expect_all_pass, last, ping, text};
use crate::support::websocket::{CLOSE, Frame, TEXT};

const HELLO: &str = "Hello World!";

#[test]
fn websocket_passes_autobahn_close() {
    let server = crate::websocket_echo();
    let cases = [after_close(), lengths(), valid_codes(), invalid_codes(), undefined_codes()];
    let count = expect_all_pass(&server, 8, &[], cases.into_iter().flatten());
    assert_eq!(count, 37, "Autobahn has this many");
}

fn close() -> Frame {
    Frame::close(1000, b"")
}

/// A close frame with any payload.
fn close_saying(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(true, 0, CLOSE, payload)
}

/// 7.1: frames after a Close have no effect.
fn after_close() -> Vec<Case> {
    let long = text("BAsd7&jh23".repeat(26215)[..256 << 10].to_string());
    vec![
        Case::new("7.1.1").send(Joined, [text(HELLO)]).expect([came(text(HELLO))]),
        Case::new("7.1.2").send(Joined, [close(), close_saying("")]),
        Case::new("7.1.3").send(Joined, [close(), ping("")]),
        Case::new("7.1.4").send(Joined, [close(), text(HELLO)]),
        Case::new("7.1.5").send(Joined, [begin(TEXT, "fragment1"), close(), last("fragment2")]),
        // Whether the echo comes before the Close depends on the server.
        Case::new("7.1.6").send(Joined, [long, text(HELLO), close(), ping("")]).informational(),
    ]
}

/// 7.3: every length of a Close's payload that matters; 7.5: a reason that is not UTF-8.
fn lengths() -> Vec<Case> {
    let answered = |id, frame| Case::new(id).send(Joined, [frame]).answered_with(&[1000]);
    let refused = |id, frame, codes| Case::new(id).send(Joined, [frame]).answered_or_dropped(codes);
    let not_utf8 = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65\x64\x69\x74\x65\x64";
    vec![
        answered("7.3.1", close_saying("")),
        refused("7.3.2", close_saying("a"), &[1002]),
        answered("7.3.3", close()),
        answered("7.3.4", Frame::close(1000, HELLO.as_bytes())),
        answered("7.3.5", Frame::close(1000, &[b'*'; 123])),
        refused("7.3.6", Frame::close(1000, &[b'*'; 124]), &[1002]),
        refused("7.5.1", Frame::close(1000, not_utf8), &[1002, 1007]),
    ]
}

/// 7.7: answered with the same code or with 1000.
fn valid_codes() -> Vec<Case> {
    let codes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    let case = |(code, place): (u16, u32)| {
        let case = Case::new(format!("7.7.{place}")).send(Joined, [Frame::close(code, b"")]);
        case.answered_with(&[1000, code])
    };
    codes.into_iter().zip(1..).map(case).collect()
}

/// 7.9: codes that must not be sent.
fn invalid_codes() -> Vec<Case> {
    let codes = [0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999];
    let case = |(code, place): (u16, u32)| {
        let case = Case::new(format!("7.9.{place}")).send(Joined, [Frame::close(code, b"")]);
        case.answered_or_dropped(&[1002])
    };
    codes.into_iter().zip(1..).map(case).collect()
}

/// 7.13: codes that RFC 6455 does not define.
fn undefined_codes() -> Vec<Case> {
    let case = |id, code| Case::new(id).send(Joined, [Frame::close(code, b"")]).informational();
    vec![case("7.13.1", 5000), case("7.13.2", 65535)]
}
