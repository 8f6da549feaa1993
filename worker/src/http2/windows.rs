//! Flow control (RFC 9113, 5.2 and 6.9): how many bytes of DATA each side may send, on a stream and on the connection. A frame
//! counts in both windows.
//!
//! What is received is given back in steps of half a window, so that a WINDOW_UPDATE is sent for many frames: for a stream
//! once the exchange has taken the bytes, for the connection as they arrive, so that a slow exchange stops no other
//! stream. To withhold a window, as while the output is full, the caller asks for no update until there is room again.

use super::error::{Code, Scope, Violation};
use super::frame::MAX_31_BITS;

/// Of the connection, and of each stream as long as no other value is announced (RFC 9113, 6.9.2).
pub const INITIAL_WINDOW: u32 = 65_535;

/// The bytes that we may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendWindow {
    /// Negative after the client has made the initial window smaller than what was already sent (RFC 9113, 6.9.2): by no more
    /// than that, so that 32 bits are enough.
    left: i32,
}

impl SendWindow {
    pub fn new(bytes: u32) -> Self {
        debug_assert!(bytes <= MAX_31_BITS);
        SendWindow { left: bytes as i32 }
    }

    /// How much may be sent now.
    pub fn bytes(&self) -> usize {
        self.left.max(0) as usize
    }

    /// Bytes are sent, no more than may be.
    pub fn spend(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.bytes());
        self.left -= bytes as i32;
    }

    /// Bytes are sent, however many may be.
    pub fn overspend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub_unsigned(bytes.try_into().unwrap_or(u32::MAX));
    }

    /// The client's WINDOW_UPDATE (RFC 9113, 6.9.1).
    pub fn widen(&mut self, increment: u32, scope: Scope) -> Result<(), Violation> {
        self.change(increment.into(), scope)
    }

    /// The client has changed the initial window of its streams, of which this is one (RFC 9113, 6.9.2).
    pub fn change_initial(&mut self, from: u32, to: u32) -> Result<(), Violation> {
        self.change(i64::from(to) - i64::from(from), Scope::Connection)
    }

    fn change(&mut self, by: i64, scope: Scope) -> Result<(), Violation> {
        const WHY: &str = "a window is larger than 2^31-1";
        // Only what was overspent can be below the least.
        let left = (i64::from(self.left) + by).max(i32::MIN.into());
        self.left = left.try_into().map_err(|_| Violation { code: Code::FlowControl, scope, why: WHY })?;
        Ok(())
    }
}

/// The bytes that the client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiveWindow {
    left: u32,
    /// Taken, and not yet given back.
    taken: u32,
    /// The most that `left` can be.
    size: u32,
}

impl ReceiveWindow {
    pub fn new(size: u32) -> Self {
        ReceiveWindow { left: size, taken: 0, size }
    }

    /// Enlarges the connection's window, which no setting does; the increment of the WINDOW_UPDATE that says so.
    pub fn enlarge(&mut self, size: u32) -> Option<u32> {
        let more = size.checked_sub(self.size).filter(|&more| more > 0)?;
        self.left += more;
        self.size = size;
        Some(more)
    }

    /// A DATA frame has arrived; its padding counts.
    pub fn receive(&mut self, counted: u32, scope: Scope) -> Result<(), Violation> {
        const WHY: &str = "there is more DATA than the window allows";
        self.left = self.left.checked_sub(counted).ok_or(Violation { code: Code::FlowControl, scope, why: WHY })?;
        Ok(())
    }

    /// The client may send nothing.
    pub fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Received bytes were taken, or were padding.
    pub fn take(&mut self, bytes: u32) {
        self.taken += bytes;
        debug_assert!(self.left + self.taken <= self.size);
    }

    /// The increment of a WINDOW_UPDATE, once it is worth one; it counts as sent.
    #[inline]
    pub fn update(&mut self) -> Option<u32> {
        if self.taken < self.size.div_ceil(2) {
            return None;
        }
        let increment = std::mem::take(&mut self.taken);
        self.left += increment;
        Some(increment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn the_initial_window_may_make_a_window_negative() {
        let mut window = SendWindow::new(INITIAL_WINDOW);
        window.spend(60_000);
        assert_eq!(window.change_initial(INITIAL_WINDOW, 16_384), Ok(()));
        assert_eq!((window.left, window.bytes()), (-43_616, 0));
        // Before anything can be sent, the client has to make up for it.
        assert_eq!(window.widen(43_616, Scope::Stream), Ok(()));
        assert_eq!(window.bytes(), 0);
        assert_eq!(window.widen(1, Scope::Stream), Ok(()));
        assert_eq!(window.bytes(), 1);
        let mut window = SendWindow::new(MAX_31_BITS);
        window.spend(MAX_31_BITS as usize);
        assert_eq!(window.change_initial(MAX_31_BITS, 0), Ok(()));
        assert_eq!(window.left, -i32::MAX);
    }

    #[test]
    fn no_window_is_larger_than_31_bits() {
        for scope in [Scope::Stream, Scope::Connection] {
            let mut window = SendWindow::new(1);
            assert_eq!(window.widen(MAX_31_BITS - 1, scope), Ok(()));
            assert_eq!(window.widen(1, scope).map_err(|e| (e.code, e.scope)), Err((Code::FlowControl, scope)));
        }
        let mut window = SendWindow::new(10);
        assert_eq!(window.widen(MAX_31_BITS - 10, Scope::Stream), Ok(()));
        let error = window.change_initial(10, 11).unwrap_err();
        assert_eq!((error.code, error.scope), (Code::FlowControl, Scope::Connection));
    }

    #[test]
    fn what_is_received_is_given_back_in_halves() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.receive(60, Scope::Stream), Ok(()));
        window.take(49);
        assert_eq!(window.update(), None);
        window.take(1);
        assert_eq!((window.update(), window.update()), (Some(50), None));
        assert_eq!(window.receive(90, Scope::Stream), Ok(()));
        let error = window.receive(1, Scope::Connection).unwrap_err();
        assert_eq!((error.code, error.scope), (Code::FlowControl, Scope::Connection));
        // Withheld, and given back at once.
        window.take(40);
        window.take(60);
        assert_eq!(window.update(), Some(100));
        // A window of one byte is given back byte by byte.
        let mut window = ReceiveWindow::new(1);
        assert_eq!((window.update(), window.receive(1, Scope::Stream)), (None, Ok(())));
        window.take(1);
        assert_eq!(window.update(), Some(1));
    }

    #[test]
    fn the_connections_window_is_enlarged_once() {
        let mut window = ReceiveWindow::new(INITIAL_WINDOW);
        assert_eq!(window.enlarge(1 << 20), Some((1 << 20) - INITIAL_WINDOW));
        assert_eq!((window.enlarge(1 << 20), window.enlarge(7)), (None, None));
        assert_eq!(window.receive(1 << 20, Scope::Connection), Ok(()));
        assert!(window.receive(1, Scope::Connection).is_err());
    }

    proptest! {
        /// A client that sends what it may can always go on once all is taken.
        #[test]
        fn a_window_never_stalls(size in 1u32..1000, frames in vec(1u32..600, 0..100)) {
            let mut window = ReceiveWindow::new(size);
            let mut clients = size;
            for frame in frames {
                let sent = frame.min(clients);
                clients -= sent;
                prop_assert_eq!(window.receive(sent, Scope::Stream), Ok(()));
                window.take(sent);
                clients += window.update().unwrap_or(0);
                prop_assert!(clients > size / 2 && clients <= size);
                prop_assert_eq!(window.left, clients);
            }
        }
    }
}
