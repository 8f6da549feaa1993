//! One client's socket, TCP or Unix: nonblocking calls whose "not yet" is a value.

use socket2::{SockRef, Socket as RawSocket};
use std::cell::OnceCell;
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;
use tine_common::sys::file::{SentFile, send_file};
use tine_common::sys::socket::{MORE_FOLLOWS, NO_SIGNAL, peek, set_notsent_lowat, unacknowledged_bytes};

/// The most that the kernel buffers for a client without being able to send it (TCP_NOTSENT_LOWAT), set on the
/// listeners. By default it takes up to 4 MiB: clients that never read would pin gigabytes of shared memory (tcp_mem).
pub const UNSENT_BYTES_MIN: u32 = 128 << 10;
/// The same for a client that has read [`FAST_CLIENT_BYTES`]: long bursts cost a third less CPU per byte.
const UNSENT_BYTES_FAST: u32 = 1 << 20;
/// A client that has taken this many bytes does read: no window is that large before anything was read.
pub const FAST_CLIENT_BYTES: u64 = 8 << 20;

pub struct Socket {
    raw: RawSocket,
    is_tcp: bool,
    client: Option<SocketAddr>,
    /// Once it was asked for.
    local: OnceCell<Option<SocketAddr>>,
}

/// The two ends of a connection; each is `None` on a Unix socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Addresses {
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
}

impl Socket {
    /// `client`: the address that accept(2) returned.
    pub fn new(fd: OwnedFd, is_tcp: bool, client: Option<SocketAddr>) -> Self {
        Socket { raw: RawSocket::from(fd), is_tcp, client, local: OnceCell::new() }
    }

    /// Whether a short read means that no more bytes are there. On a Unix socket it may also have stopped at a message
    /// with descriptors (unix(7)).
    pub fn short_read_is_all(&self) -> bool {
        self.is_tcp
    }

    pub fn fd(&self) -> RawFd {
        self.raw.as_raw_fd()
    }

    /// Reads into `room`; returns the number of bytes, `Some(0)` at the end of the stream, `None` if there are none
    /// yet.
    pub fn receive(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        not_yet(|| (&self.raw).read(room))
    }

    /// As [`Socket::receive`], and leaves the bytes where they are.
    pub fn peek(&self, room: &mut [u8]) -> io::Result<Option<usize>> {
        peek(self.raw.as_fd(), room)
    }

    /// Returns how many bytes the kernel took; `None` if it is not writable.
    pub fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        not_yet(|| self.raw.send_with_flags(bytes, NO_SIGNAL))
    }

    pub fn send_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        not_yet(|| self.raw.send_vectored_with_flags(slices, NO_SIGNAL))
    }

    /// As [`Socket::send_vectored`], if [`Socket::send_file`] follows: both can share a packet.
    pub fn send_before_file(&self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        not_yet(|| self.raw.send_vectored_with_flags(slices, MORE_FOLLOWS | NO_SIGNAL))
    }

    /// Sends up to `count` bytes of `file` from `offset` on, read by the kernel.
    pub fn send_file(&self, file: &File, offset: u64, count: usize) -> io::Result<SentFile> {
        send_file(self.raw.as_fd(), file, offset, count)
    }

    /// Shuts down our side: the client reads what was sent and then sees the end of the stream.
    pub fn finish_sending(&self) -> io::Result<()> {
        self.raw.shutdown(Shutdown::Write)
    }

    /// Lets the kernel buffer more for a client that reads fast.
    pub fn send_in_long_bursts(&self) -> io::Result<()> {
        set_notsent_lowat(self.raw.as_fd(), UNSENT_BYTES_FAST)
    }

    /// The number of bytes that the client's kernel has not acknowledged; 0 if it is unknown.
    pub fn unacknowledged_bytes(&self) -> usize {
        unacknowledged_bytes(self.raw.as_fd()).unwrap_or(0)
    }

    /// The number of sent bytes that a reset could destroy: on TCP those not acknowledged, with our FIN counted as one.
    /// On a Unix socket 0: what was sent can always be read.
    pub fn bytes_at_risk(&self) -> usize {
        if self.is_tcp { self.unacknowledged_bytes() } else { 0 }
    }

    /// Makes the following close discard what is unsent and reset the connection: a client that does not read would
    /// otherwise hold the kernel's send buffer for minutes. An error means that
    /// the socket is gone already.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(&self.raw).set_linger(Some(Duration::ZERO));
    }

    pub fn addresses(&self) -> Addresses {
        Addresses { client: self.client, local: self.local() }
    }

    /// The client's address; `None` on a Unix socket.
    pub fn client(&self) -> Option<SocketAddr> {
        self.client
    }

    /// This end's address; `None` on a Unix socket. The kernel is asked the first time.
    pub fn local(&self) -> Option<SocketAddr> {
        let ask = || self.is_tcp.then(|| self.raw.local_addr().ok()?.as_socket()).flatten();
        *self.local.get_or_init(ask)
    }
}

fn not_yet(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Option<usize>> {
    loop {
        match call() {
            Ok(n) => return Ok(Some(n)),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        }
    }
}
