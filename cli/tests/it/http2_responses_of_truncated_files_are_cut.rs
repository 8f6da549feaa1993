//! A file that is truncated while it is sent over HTTP/2 is never taken for whole: the connection ends, since frames of a known length have begun,
//! and the worker and its other clients go on.

use crate::support::eventually;
use crate::support::http2::{DATA, Frame, Http2, RST_STREAM, block, request};
use crate::support::site::Site;
use std::fs::File;

#[test]
fn and_nothing_else() {
    let site = Site::of(&[("y", b"y")]);
    let server = site.serve(&[]);
    let worker = server.workers();
    let mut other = Http2::connect(&server);
    for (round, length) in [(1, 0), (2, 2 << 20)] {
        site.write_sparse("x", 16);
        let mut http2 = Http2::connect(&server);
        http2.send(&[Frame::headers(1, true, block(&request("GET", "/x")))]);
        let mut come = 0;
        while come < 65_535 {
            come += http2.frame_of(DATA).payload.len() as u64;
        }
        let file = File::options().write(true).open(site.path("x"));
        file.and_then(|file| file.set_len(length)).expect("it can be truncated");
        http2.send(&[Frame::window_update(0, 32 << 20), Frame::window_update(1, 32 << 20)]);
        // An error, a reset of the connection, ends it as well.
        while let Ok(Some(frame)) = http2.frame() {
            assert!(!frame.ends_stream(), "after {come} bytes of a file of {length}");
            if frame.kind == RST_STREAM {
                break;
            }
            come += if frame.kind == DATA { frame.payload.len() as u64 } else { 0 };
        }
        assert!(come <= length.max(65_535), "{come} bytes came of a file of {length}");
        eventually("the log says so", || {
            (server.log().matches("before the length that it had").count() == round).then_some(())
        });
        assert_eq!(other.get(2 * round as u32 - 1, "/y").text(), "y");
    }
    assert_eq!(server.workers(), worker, "the worker is the same");
}
