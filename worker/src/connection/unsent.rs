//! Responses that are complete but not yet sent completely, because the client reads more slowly than it sends
//! requests.

use std::collections::VecDeque;

#[derive(Default)]
pub struct Unsent(VecDeque<Group>);

/// Responses that were completed together.
struct Group {
    responses: u16,
    /// The bytes of the connection up to the end of the last of them.
    end: u64,
}

impl Unsent {
    /// Responses that end at this byte of the connection.
    pub fn push(&mut self, responses: u16, end: u64) {
        self.0.push_back(Group { responses, end });
    }

    /// Takes the responses that are sent completely, given the number of bytes sent on the connection.
    pub fn take_sent(&mut self, sent_bytes: u64) -> u32 {
        let mut responses = 0;
        while self.0.front().is_some_and(|group| group.end <= sent_bytes) {
            responses += self.0.pop_front().map_or(0, |group| u32::from(group.responses));
        }
        if self.0.is_empty() && self.0.capacity() > 0 {
            // Most connections never need it again.
            self.0 = VecDeque::new();
        }
        responses
    }

    pub fn count(&self) -> u32 {
        self.0.iter().map(|group| u32::from(group.responses)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_sent_in_order_and_together() {
        let mut unsent = Unsent::default();
        assert_eq!((unsent.take_sent(100), unsent.count()), (0, 0));
        unsent.push(2, 150);
        unsent.push(1, 300);
        assert_eq!((unsent.take_sent(149), unsent.count()), (0, 3));
        assert_eq!((unsent.take_sent(150), unsent.count()), (2, 1));
        unsent.push(u16::MAX, 301);
        assert_eq!((unsent.take_sent(1000), unsent.count()), (65536, 0));
        assert_eq!(unsent.0.capacity(), 0);
    }
}
