//! Requests whose responses are written but not yet sent completely, because the client reads more slowly than it sends
//! requests.

use crate::dispatch::{Record, Recorder};
use std::collections::VecDeque;
use std::slice;
use std::time::Instant;

#[derive(Default)]
pub struct Unsent(VecDeque<Record>);

impl Unsent {
    pub fn push(&mut self, record: Record) {
        self.0.push_back(record);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Ends the requests whose responses are sent completely, given the number of bytes sent on the connection.
    pub fn end_sent(&mut self, sent_bytes: u64, now: Instant, recorder: &mut Recorder) {
        while self.0.front().is_some_and(|record| record.is_sent(sent_bytes)) {
            let Some(mut record) = self.0.pop_front() else { break };
            record.end(sent_bytes, now);
            recorder.end(slice::from_mut(&mut record));
        }
        if let Some(record) = self.0.front_mut() {
            record.on_sent(sent_bytes, now);
        } else if self.0.capacity() > 0 {
            // Most connections never need it again.
            self.0 = VecDeque::new();
        }
    }

    /// All of them, in the order of their responses.
    pub fn take(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::Outcome;
    use tine_common::method::Method;

    #[test]
    fn responses_are_sent_in_order_and_each_ends_with_its_last_byte() {
        let (mut unsent, mut recorder, now) = (Unsent::default(), Recorder::default(), Instant::now());
        let mut end_sent = |unsent: &mut Unsent, sent_bytes| {
            unsent.end_sent(sent_bytes, now, &mut recorder);
            recorder.counts().answered
        };
        assert_eq!((end_sent(&mut unsent, 100), unsent.is_empty()), (0, true));
        for (starts_at, ends_at) in [(0, 100), (100, 150), (150, 300)] {
            let mut record = Record::new(Method::Get, None, starts_at, now);
            record.outcome = Outcome::Answered;
            record.written(ends_at);
            unsent.push(record);
        }
        for (sent_bytes, answered) in [(99, 0), (149, 1), (150, 2)] {
            assert_eq!((end_sent(&mut unsent, sent_bytes), unsent.is_empty()), (answered, false), "{sent_bytes} bytes");
        }
        assert_eq!(unsent.0[0].first_byte, None, "none of it is sent");
        assert_eq!((end_sent(&mut unsent, 151), unsent.0[0].first_byte), (2, Some(now)));
        assert_eq!((end_sent(&mut unsent, 1000), unsent.0.capacity()), (3, 0));
    }
}
