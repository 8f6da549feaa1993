//! The messages between master and worker over their socket pair. End of file means that the other side is gone.
//!
//! A message is one byte; the text of a failed boot follows its byte until the end of the stream.

/// From the master to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The server stops soon: keep serving, but fail health checks.
    LameDuck,
    /// The server stops: accept connections for the accept grace, finish what is in flight, exit.
    Drain,
    /// A successor serves: accept no more, finish what is in flight however long it takes, exit.
    Leave,
    /// Cut what is left, log its number, exit.
    Cut,
    /// Another master has the listening sockets, too: leave them as they are, whatever happens.
    Lent,
    /// The listening sockets are this server's alone again.
    Owned,
    /// The log file was moved: reopen its path.
    ReopenLogs,
}

/// From a worker to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Report {
    /// The app is built and the listeners are in the event loop.
    Ready,
    /// The app could not be built; its error follows as text.
    BootFailed,
    /// It leaves because of a signal or its app, and accepts no more connections.
    Leaving,
    /// It has answered as many requests as it may, and serves until a successor does.
    Due,
}

impl Order {
    const ALL: [Order; 7] =
        [Order::LameDuck, Order::Drain, Order::Leave, Order::Cut, Order::Lent, Order::Owned, Order::ReopenLogs];

    pub fn byte(self) -> u8 {
        match self {
            Order::LameDuck => b'U',
            Order::Drain => b'D',
            Order::Leave => b'L',
            Order::Cut => b'C',
            Order::Lent => b'S',
            Order::Owned => b'W',
            Order::ReopenLogs => b'O',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Order> {
        Order::ALL.into_iter().find(|order| order.byte() == byte)
    }
}

impl Report {
    const ALL: [Report; 4] = [Report::Ready, Report::BootFailed, Report::Leaving, Report::Due];

    pub fn byte(self) -> u8 {
        match self {
            Report::Ready => b'R',
            Report::BootFailed => b'F',
            Report::Leaving => b'L',
            Report::Due => b'U',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Report> {
        Report::ALL.into_iter().find(|report| report.byte() == byte)
    }
}
