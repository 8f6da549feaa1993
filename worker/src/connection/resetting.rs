//! The wait before a reset that has to follow the last byte: until the client's kernel has acknowledged all output.
//!
//! A reset drops what is unsent, and no event reports that all is acknowledged; so the socket is polled. A client that
//! reads slowly has as long as for any other output: the write timeout without progress.

use crate::app::Cx;
use crate::net::Socket;
use std::time::{Duration, Instant};

/// The interval between the first two checks; it doubles each time.
const CHECK_MS: u32 = 5;
/// The longest interval between checks.
const CHECK_MS_MAX: u32 = 80;

/// The bytes that were not acknowledged at the last check.
pub struct Unacknowledged {
    bytes: u32,
    /// When that number last decreased.
    progressed: Instant,
    check_at: Instant,
    check_ms: u32,
}

impl Unacknowledged {
    pub fn new(now: Instant) -> Self {
        Unacknowledged { bytes: u32::MAX, progressed: now, check_at: now, check_ms: CHECK_MS }
    }

    /// When to check again.
    pub fn check_at(&self) -> Instant {
        self.check_at
    }

    /// Checks the socket; returns whether to keep waiting.
    pub fn check(&mut self, socket: &Socket, cx: &Cx<'_>) -> bool {
        // The kernel holds less than 4 GiB for a socket.
        let bytes = socket.unacknowledged_bytes() as u32;
        if bytes < self.bytes {
            (self.bytes, self.progressed) = (bytes, cx.now());
        }
        if bytes == 0 || cx.now() >= self.progressed + cx.limits().write_timeout {
            return false;
        }
        self.check_at = cx.now() + Duration::from_millis(self.check_ms.into());
        self.check_ms = (2 * self.check_ms).min(CHECK_MS_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::{ConnectionCx, TurnCx};
    use crate::http::DateLine;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use tine_common::config::Limits;

    /// A Unix socket acknowledges what was read, message by message.
    #[test]
    fn it_waits_as_long_as_the_client_makes_progress() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Socket::new(ours.into(), false, None);
        let (limits, date) = (Limits::default(), DateLine::new(Instant::now()));
        let began = Instant::now();
        let turn = |now| TurnCx::alone(now, &limits, &date, None);
        for _ in 0..4 {
            assert_eq!(socket.send(&[0; 1000]).unwrap(), Some(1000));
        }
        let mut now = began;
        let mut unacknowledged = Unacknowledged::new(now);
        let mut intervals = Vec::new();
        for _ in 0..7 {
            assert!(unacknowledged.check(&socket, &Cx { turn: &turn(now), connection: ConnectionCx::default() }));
            intervals.push((unacknowledged.check_at() - now).as_millis());
            now = unacknowledged.check_at();
        }
        assert_eq!(intervals, [5, 10, 20, 40, 80, 80, 80]);
        for _ in 0..3 {
            theirs.read_exact(&mut [0; 1000]).unwrap();
            now += limits.write_timeout - Duration::from_millis(1);
            assert!(
                unacknowledged.check(&socket, &Cx { turn: &turn(now), connection: ConnectionCx::default() }),
                "it reads slowly, but it reads"
            );
        }
        assert!(
            !unacknowledged
                .check(&socket, &Cx { turn: &turn(now + limits.write_timeout), connection: ConnectionCx::default() }),
            "it reads no more"
        );
        theirs.read_exact(&mut [0; 1000]).unwrap();
        assert!(
            !unacknowledged.check(&socket, &Cx { turn: &turn(now), connection: ConnectionCx::default() }),
            "it has read all"
        );
    }
}
