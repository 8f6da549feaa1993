//! What master and worker say to each other over their socket pair. End of file means that the other side is gone.
//!
//! One byte a message; the text of a failed boot follows its byte until the end of the stream.

/// From the master to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The server stops soon: go on, and say so to who asks whether it is healthy.
    Unready,
    /// Let in who is in the doorway, finish what is in flight, exit.
    Drain,
    /// Cut what is left, say how much it was, exit.
    Cut,
}

/// From a worker to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The app is built and the listeners are in the event loop.
    Ready,
    /// The app could not be built; its error follows as text.
    BootFailed,
    /// The app has asked for a fresh worker; this one drains as if alone.
    Retiring,
}

impl Order {
    pub fn byte(self) -> u8 {
        match self {
            Order::Unready => b'U',
            Order::Drain => b'D',
            Order::Cut => b'C',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Order> {
        [Order::Unready, Order::Drain, Order::Cut].into_iter().find(|order| order.byte() == byte)
    }
}

impl Report {
    pub fn byte(self) -> u8 {
        match self {
            Report::Ready => b'R',
            Report::BootFailed => b'F',
            Report::Retiring => b'T',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Report> {
        [Report::Ready, Report::BootFailed, Report::Retiring].into_iter().find(|report| report.byte() == byte)
    }
}
