//! Moves what the streams have to send into DATA frames of the connection's output, in the order of their priorities: as far
//! as the client's windows are open and the output is below the high watermark.

use super::drive::write_end;
use super::frame::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use super::frame_writer as write;
use super::state::{Http2, Wire};
use super::stream::{Part, Stream};

/// Urgency; taking turns; having had its turn in this round.
pub type Rank = (u8, bool, bool);

impl Http2 {
    pub(super) fn send(&mut self, wire: &mut Wire<'_>) {
        let most = wire.cx.limits().write_high_watermark_bytes;
        while wire.output.len() < most
            && let Some(at) = self.next_to_send()
        {
            self.send_frame(at, wire);
        }
        let now = wire.cx.now();
        let window = self.send_window;
        for stream in &mut self.streams {
            stream.outgoing.watch_window(window, now);
        }
        self.count_paused();
    }

    /// Of the most urgent streams, the first that is to be sent as a whole comes first, and then the others by turns.
    pub(super) fn rank(&self, stream: &Stream) -> Rank {
        let Stream { id, priority, .. } = stream;
        (priority.urgency, priority.incremental, priority.incremental && *id <= self.turn)
    }

    /// The stream whose frame is the next.
    fn next_to_send(&self) -> Option<usize> {
        let able = self.streams.iter().enumerate().filter(|(_, stream)| stream.can_send(self.send_window));
        able.min_by_key(|(_, stream)| (self.rank(stream), stream.id)).map(|(at, _)| at)
    }

    fn send_frame(&mut self, at: usize, wire: &mut Wire<'_>) {
        let stream = &mut *self.streams[at];
        self.turn = stream.id;
        let outgoing = &mut stream.outgoing;
        if !outgoing.queue.is_empty() {
            let length = outgoing.queue.len().min(outgoing.open_window(self.send_window)).min(PAYLOAD_BYTES_MAX);
            let is_last =
                length == outgoing.queue.len() && outgoing.ends_with_body() && matches!(stream.part, Part::Sending);
            wire.output.append_with(|out| write::data_header(length, is_last, stream.id, out));
            outgoing.queue.move_to(wire.output, length);
            outgoing.spend(length);
            self.send_window.spend(length);
            self.queued_bytes -= length;
            outgoing.frame_bytes += (HEADER_BYTES + length) as u64;
            outgoing.written_at = wire.passed.written(wire.output.len());
            outgoing.has_ended = is_last;
        } else if !outgoing.has_ended {
            write_end(stream.id, outgoing, &mut self.encoder, wire);
        }
        if self.streams[at].outgoing.has_ended {
            self.end_response(at, wire);
        }
    }
}
