//! The one place that sees how each request ended: counters and logs hang on [`Recorder::end`].

use super::record::{Cut, Outcome, Part, Record};
use crate::app::Cx;
use crate::http::{Request, Version};
use crate::request_log::RequestLog;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::log;
use tine_common::method::Method;
use tine_common::telemetry::{Count, Labels, Level, Protocol, Requests};

/// One per worker; its connections share it, as they share the buffers.
#[derive(Default)]
pub struct Recorder {
    /// Requests of the connection that has its turn whose responses were written since its last flush; the last one may
    /// just have begun.
    completed: Vec<Record>,
    counts: Counts,
    /// Bytes queued for all clients.
    buffered_bytes: usize,
    /// Connections that wait with a part of a request's head.
    pub parts_of_heads: usize,
    /// `None` outside of a worker.
    requests: Option<Requests>,
    /// Lines of the log that were dropped and are counted, or were dropped by the master before the fork.
    log_lines_dropped: u64,
    request_log: Option<Rc<RequestLog>>,
}

/// Requests since the worker's start, by what became of their responses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All of the response was passed to the kernel.
    pub answered: u64,
    /// The server did not complete it.
    pub cut: u64,
    /// WebSockets that have not ended.
    pub websockets: u64,
}

impl Recorder {
    pub fn new(requests: Requests, request_log: Option<Rc<RequestLog>>) -> Recorder {
        let log_lines_dropped = log::lines_dropped();
        Recorder { requests: Some(requests), log_lines_dropped, request_log, ..Recorder::default() }
    }

    /// A request of the connection that has its turn begins. `starts_at`: the position in the connection's output where
    /// its response will start. Its record stays here, as one whose response is written, unless it is taken out by
    /// [`Recorder::take_last`].
    #[inline]
    pub fn begin(&mut self, request: &Request<'_>, began: Instant, starts_at: u64, cx: &Cx<'_>) -> &mut Record {
        self.completed.push(Record::begun(request, began, starts_at, cx));
        self.last()
    }

    /// The record of the request that began last.
    #[inline]
    pub fn last(&mut self) -> &mut Record {
        self.completed.last_mut().expect("a request has begun in this turn")
    }

    /// The record of the request that began last: its response takes longer.
    pub fn take_last(&mut self) -> Record {
        self.completed.pop().expect("a request has begun in this turn")
    }

    /// A request's response is written, complete or not; it ends once the kernel has taken it.
    pub fn complete(&mut self, record: Record) {
        self.completed.push(record);
    }

    /// The number of requests whose responses were written and that are not yet taken.
    pub fn completed_count(&self) -> usize {
        self.completed.len()
    }

    /// Requests whose responses were written since the last call. To be given back by [`Recorder::put_back`], so that no
    /// request allocates.
    pub fn take_completed(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.completed)
    }

    pub fn put_back(&mut self, emptied: Vec<Record>) {
        debug_assert!(emptied.is_empty() && self.completed.is_empty());
        self.completed = emptied;
    }

    /// A connection has become a WebSocket, whose record comes when it ends.
    pub fn websocket_begun(&mut self) {
        self.counts.websockets += 1;
    }

    /// The bytes queued for a connection have become more or fewer.
    pub fn buffered(&mut self, before: usize, after: usize) {
        self.buffered_bytes = self.buffered_bytes + after - before;
    }

    /// Once a turn.
    pub fn publish(&mut self) {
        let Some(requests) = &self.requests else { return };
        let (seat, dropped) = (requests.seat(), log::lines_dropped());
        seat.set_level(Level::WebSockets, self.counts.websockets);
        seat.set_level(Level::BufferedBytes, self.buffered_bytes as u64);
        seat.set_level(Level::PartsOfHeads, self.parts_of_heads as u64);
        seat.count(Count::LogLinesDropped, dropped - std::mem::replace(&mut self.log_lines_dropped, dropped));
    }

    /// These requests have ended, and this is all there is to know of them. Pipelined requests begin and end together and
    /// are often alike: those that are cost one count.
    pub fn end(&mut self, records: &mut [Record]) {
        for record in &mut *records {
            if let (Some(captured), Some(log)) = (record.log.take(), &self.request_log) {
                log.end(record, captured);
            }
            self.count_outcome(record);
        }
        for alike in records.chunk_by(Record::is_counted_as) {
            self.measure(&alike[0], alike.len() as u64);
        }
    }

    fn count_outcome(&mut self, record: &Record) {
        match (record.part, record.outcome) {
            // Its handshake was counted as a request.
            (Part::WebSocket, _) => self.counts.websockets -= 1,
            // It is counted as a refused connection.
            (Part::Connection, _) => {}
            (Part::Request, Outcome::Answered | Outcome::Refused) => self.counts.answered += 1,
            (Part::Request, Outcome::Cut(why)) => {
                self.counts.cut += 1;
                self.count(cut(why));
            }
            (Part::Request, Outcome::ClientLeft) => self.count(Count::ClientsLeft),
        }
    }

    /// `count` requests as this one.
    fn measure(&mut self, record: &Record, count: u64) {
        let Some(requests) = self.requests.as_mut().filter(|_| record.part == Part::Request) else { return };
        let duration = ns(record.duration());
        let first_byte = match record.first_byte {
            // A subtraction of times is 40 instructions.
            Some(at) if at == record.ended => Some(duration),
            _ => record.time_to_first_byte().map(ns),
        };
        requests.record(labels(record), duration, first_byte, count);
    }

    fn count(&self, count: Count) {
        if let Some(requests) = &self.requests {
            requests.seat().count(count, 1);
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}

fn ns(time: Duration) -> u64 {
    time.as_secs() * 1_000_000_000 + u64::from(time.subsec_nanos())
}

fn cut(why: Cut) -> Count {
    match why {
        Cut::App => Count::CutApp,
        Cut::Request => Count::CutRequest,
        Cut::WriteTimeout => Count::CutWriteTimeout,
        Cut::File => Count::CutFile,
        Cut::Shutdown => Count::CutShutdown,
        Cut::Poll => Count::CutDescriptors,
    }
}

fn labels(record: &Record) -> Labels {
    let protocol = match record.version {
        Some(Version::Http10) => Protocol::Http10,
        Some(Version::Http11) => Protocol::Http11,
        Some(Version::Http2) => Protocol::Http2,
        None => Protocol::Unknown,
    };
    // What a malformed head begins with is not a method.
    let method = if protocol == Protocol::Unknown { Method::Other } else { record.method };
    Labels { method, status: record.status.map(|status| status.as_u16()), protocol }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use tine_common::scoreboard::Scoreboard;
    use tine_common::telemetry::Latency;

    #[test]
    fn requests_that_end_together_are_each_counted_by_what_they_are() {
        let board = Scoreboard::new(1).expect("memory");
        board.take(0, 0);
        let mut recorder = Recorder::new(board.telemetry().requests(0), None);
        let now = Instant::now();
        let record = |status: u16, began_ms: u64| {
            let mut record = Record::new(Method::Get, Some(Version::Http11), 0, now - Duration::from_millis(began_ms));
            record.status = StatusCode::from_u16(status).ok();
            record.written(10);
            record.end(10, now);
            record
        };
        let mut records =
            [record(200, 1), record(200, 1), record(404, 1), record(200, 1), record(200, 30), record(200, 30)];
        records[1].outcome = Outcome::Cut(Cut::App);
        recorder.end(&mut records);
        let sets = board.telemetry().request_sets();
        let seen: Vec<_> = sets.iter().map(|set| (set.labels.status, set.count(), set.sum_ns / 1_000_000)).collect();
        assert_eq!(seen, [(Some(200), 5, 3 + 60), (Some(404), 1, 1)]);
        assert_eq!((recorder.counts().answered, recorder.counts().cut), (5, 1));
        let first_bytes = board.telemetry().latencies(Latency::FirstByte);
        assert_eq!((first_bytes.count(), board.telemetry().latencies(Latency::Duration).count()), (6, 6));
    }
}
