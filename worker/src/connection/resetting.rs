//! The wait before a reset that is to come after the last byte: until the client's kernel has acknowledged it.
//!
//! A reset drops what is unsent, and nothing tells when all is acknowledged; so the socket is looked at, again and again.
//! A client that reads slowly has as long as for any other output: the write timeout without progress.

use crate::app::Cx;
use crate::net::Socket;
use std::time::{Duration, Instant};

/// The second look comes after this, the next after twice as much, and so on…
const LOOK_MS: u32 = 5;
/// … up to this.
const LOOK_MS_MAX: u32 = 80;

/// What has not been acknowledged, as of the last look.
pub struct Unacknowledged {
    bytes: u32,
    /// When there were last fewer than before.
    progressed: Instant,
    look_at: Instant,
    look_ms: u32,
}

impl Unacknowledged {
    pub fn new(now: Instant) -> Self {
        Unacknowledged { bytes: u32::MAX, progressed: now, look_at: now, look_ms: LOOK_MS }
    }

    /// When to look again.
    pub fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Looks; says whether it is worth waiting on.
    pub fn look(&mut self, socket: &Socket, cx: &Cx<'_>) -> bool {
        // The kernel holds less than 4 GiB for a socket.
        let bytes = socket.unacknowledged_bytes() as u32;
        if bytes < self.bytes {
            (self.bytes, self.progressed) = (bytes, cx.now);
        }
        if bytes == 0 || cx.now >= self.progressed + cx.limits.write_timeout {
            return false;
        }
        self.look_at = cx.now + Duration::from_millis(self.look_ms.into());
        self.look_ms = (2 * self.look_ms).min(LOOK_MS_MAX);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::WorkerInfo;
    use crate::http::DateLine;
    use std::io::Read;
    use std::os::unix::net::UnixStream;
    use tine_common::config::Limits;

    /// A Unix socket acknowledges what was read, and large messages one by one.
    #[test]
    fn it_waits_for_as_long_as_the_client_goes_on() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let socket = Socket::new(ours.into(), false);
        let (limits, date) = (Limits::default(), DateLine::new(Instant::now()));
        let began = Instant::now();
        let cx = |now| Cx {
            now,
            draining: false,
            lame_duck: false,
            limits: &limits,
            date: &date,
            socket: None,
            worker: WorkerInfo { index: 0, workers: 1, generation: 1, buffer_bytes: 256 << 10 },
            in_flight_table: None,
            clock: None,
        };
        for _ in 0..4 {
            assert_eq!(socket.send(&[0; 1000]).unwrap(), Some(1000));
        }
        let mut now = began;
        let mut unacknowledged = Unacknowledged::new(now);
        let mut looks = Vec::new();
        for _ in 0..7 {
            assert!(unacknowledged.look(&socket, &cx(now)));
            looks.push((unacknowledged.look_at() - now).as_millis());
            now = unacknowledged.look_at();
        }
        assert_eq!(looks, [5, 10, 20, 40, 80, 80, 80]);
        for _ in 0..3 {
            theirs.read_exact(&mut [0; 1000]).unwrap();
            now += limits.write_timeout - Duration::from_millis(1);
            assert!(unacknowledged.look(&socket, &cx(now)), "it reads slowly, but it reads");
        }
        assert!(!unacknowledged.look(&socket, &cx(now + limits.write_timeout)), "it reads no more");
        theirs.read_exact(&mut [0; 1000]).unwrap();
        assert!(!unacknowledged.look(&socket, &cx(now)), "it has read all");
    }
}
