//! What the calls of a worker hold of messages: parts that have come, and replies that are not taken. While that is much, long
//! messages are refused, so that neither grows with the number of clients.

use super::{Code, Status};
use std::cell::Cell;

/// More than this, of all calls together, is much.
const BYTES_MAX: usize = 128 << 20;
/// What a call may hold in any case, each way.
const EACH_BYTES_MAX: usize = 64 << 10;

thread_local! {
    /// Of all calls of this worker, which is one thread.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

/// What one call holds of the messages that come, or of those that go.
#[derive(Default)]
pub struct Held(usize);

impl Held {
    /// Whether the call may hold this many bytes; the error is its status.
    pub fn admit(&self, bytes: usize) -> Result<(), Status> {
        let others = BYTES.get() - self.0;
        match bytes <= EACH_BYTES_MAX || others + bytes <= BYTES_MAX {
            true => Ok(()),
            false => Err(Status::new(Code::ResourceExhausted, "the server holds too many long messages")),
        }
    }

    /// The call holds this many bytes now.
    pub fn set(&mut self, bytes: usize) {
        BYTES.set(BYTES.get() - self.0 + bytes);
        self.0 = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_messages_are_refused_while_much_is_held() {
        let (mut first, mut second) = (Held::default(), Held::default());
        assert!(first.admit(BYTES_MAX).is_ok() && first.admit(BYTES_MAX + 1).is_err());
        first.set(BYTES_MAX);
        assert!(first.admit(BYTES_MAX).is_ok(), "what it has counts once");
        assert!(second.admit(EACH_BYTES_MAX).is_ok() && second.admit(EACH_BYTES_MAX + 1).is_err());
        second.set(EACH_BYTES_MAX);
        first.set(0);
        assert!(second.admit(BYTES_MAX).is_ok());
        drop(second);
        assert_eq!(BYTES.get(), 0);
    }
}
