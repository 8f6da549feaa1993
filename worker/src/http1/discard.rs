//! The rest of a request's body that was not read before the response was complete: it is dropped, so that the connection
//! can be kept.

use super::decode::Decoder;
use crate::app::Cx;
use crate::exchange::Piece;
use crate::http::Error;
use crate::net::ReadBuffer;
use std::time::Instant;

/// Up to this many bytes are read and dropped, also by HTTP/2.
pub const DISCARD_BYTES_MAX: u64 = 1 << 20;
/// The timeout for all of it, as a multiple of the timeout for its next byte.
const WAITS_MAX: u32 = 6;

/// A response is queued, but the request body is incomplete.
pub struct Discard {
    body: Decoder,
    bytes_left: u64,
    /// When the response was last seen to be sent completely.
    pub answered: Instant,
}

impl Discard {
    pub fn new(body: Decoder, answered: Instant) -> Discard {
        Discard { body, bytes_left: DISCARD_BYTES_MAX, answered }
    }

    /// `since`: when the last bytes of the body arrived; `answered` if none have. In a drain it ends like an idle
    /// connection.
    pub fn until(&self, since: Instant, cx: &Cx<'_>) -> Instant {
        let whole = self.answered + WAITS_MAX * cx.limits().linger_timeout;
        let until = whole.min(since + cx.limits().linger_timeout);
        cx.idle_end().map_or(until, |end| until.min(end.after(self.answered)))
    }

    /// Drops what has arrived, and notes in `since` when. A [`Piece::Data`] that it returns is more than may be dropped.
    pub fn take_arrived(&mut self, input: &mut ReadBuffer, since: &mut Instant, now: Instant) -> Result<Piece, Error> {
        loop {
            match self.body.next(input) {
                Ok(Piece::Data { bytes, .. }) if bytes as u64 <= self.bytes_left => {
                    *since = now;
                    self.bytes_left -= bytes as u64;
                    self.body.consume(bytes);
                    input.consume(bytes);
                }
                other => return other,
            }
        }
    }
}
