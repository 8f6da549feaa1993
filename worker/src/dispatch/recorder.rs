//! The one place that sees how each request ended: counters and logs hang on [`Recorder::end`].

use super::record::{Outcome, Part, Record};

/// One per worker; its connections share it, as they share the buffers.
#[derive(Default)]
pub struct Recorder {
    /// Requests of the connection that has its turn whose responses were written since its last flush.
    completed: Vec<Record>,
    counts: Counts,
}

/// Requests since the worker's start, by what became of their responses.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// All of the response was passed to the kernel.
    pub answered: u64,
    /// The server did not complete it.
    pub cut: u64,
    /// The client left before.
    pub left: u64,
}

impl Recorder {
    /// A request's response is written, complete or not; it ends once the kernel has taken it.
    pub fn complete(&mut self, record: Record) {
        self.completed.push(record);
    }

    /// The number of requests passed to [`Recorder::complete`] and not yet taken.
    pub fn completed_count(&self) -> usize {
        self.completed.len()
    }

    /// Requests passed to [`Recorder::complete`] since the last call. To be given back by [`Recorder::put_back`], so
    /// that no request allocates.
    pub fn take_completed(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.completed)
    }

    pub fn put_back(&mut self, emptied: Vec<Record>) {
        debug_assert!(emptied.is_empty() && self.completed.is_empty());
        self.completed = emptied;
    }

    /// A request has ended, and this is all there is to know of it.
    pub fn end(&mut self, record: &Record) {
        if record.part == Part::WebSocket {
            return; // its handshake was counted
        }
        match record.outcome {
            Outcome::Answered | Outcome::Refused => self.counts.answered += 1,
            Outcome::Cut(_) => self.counts.cut += 1,
            Outcome::ClientLeft => self.counts.left += 1,
        }
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }
}
