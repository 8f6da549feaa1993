//! What the socket crates do not provide: accept without the peer's address, and options of listeners.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv};
use socket2::{SockFilter, SockRef};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// MSG_MORE (send(2)): more follows at once, so the kernel need not send a partial packet.
pub const MORE_FOLLOWS: i32 = libc::MSG_MORE;
/// MSG_NOSIGNAL: if the client has gone, the call fails without a SIGPIPE.
pub const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;

/// The outcome of one accept(2).
pub enum Accepted {
    Connection(OwnedFd),
    /// No connection is pending (EAGAIN).
    WouldBlock,
    /// The pending connection was aborted; there may be others. A firewall or a network that is down causes the same
    /// error for each call and removes none from the queue, so the caller must bound its retries.
    Aborted(io::Error),
    /// No descriptor, buffer or memory left (EMFILE, ENFILE, ENOBUFS, ENOMEM); the connection is still pending.
    Exhausted(io::Error),
    /// The descriptor no longer refers to a listener (EBADF, ENOTSOCK, EINVAL, EOPNOTSUPP).
    Lost(io::Error),
    /// Anything else, for example ENOSYS under a system call filter.
    Failed(io::Error),
}

/// Accepts one connection, nonblocking and CLOEXEC, in one call, which also returns the client's address, even if the
/// client has gone; `None` on a Unix socket.
pub fn accept(listener: BorrowedFd<'_>) -> (Accepted, Option<SocketAddr>) {
    loop {
        let e = match SockRef::from(&listener).accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) {
            Ok((socket, from)) => return (Accepted::Connection(socket.into()), from.as_socket()),
            Err(e) => e.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw),
        };
        if e != Errno::EINTR {
            return (not_accepted(listener, e), None);
        }
    }
}

fn not_accepted(listener: BorrowedFd<'_>, e: Errno) -> Accepted {
    let named = |e: Errno| {
        let text = format!("accept4 of descriptor {}: {e}", listener.as_raw_fd());
        io::Error::new(io::Error::from(e).kind(), text)
    };
    match e {
        Errno::EAGAIN => Accepted::WouldBlock,
        // The errors that accept(2) lists as network errors concern the aborted connection only.
        Errno::ECONNABORTED
        | Errno::ENETDOWN
        | Errno::EPROTO
        | Errno::ENOPROTOOPT
        | Errno::EHOSTDOWN
        | Errno::ENONET
        | Errno::EHOSTUNREACH
        | Errno::ENETUNREACH
        | Errno::EPERM => Accepted::Aborted(named(e)),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => Accepted::Exhausted(e.into()),
        // EOPNOTSUPP is in accept(2)'s list of network errors, too; Linux returns it for a socket that cannot listen.
        Errno::EBADF | Errno::ENOTSOCK | Errno::EINVAL | Errno::EOPNOTSUPP => Accepted::Lost(named(e)),
        e => Accepted::Failed(named(e)),
    }
}

/// Copies the first bytes that have arrived, and leaves them in the socket (MSG_PEEK); returns their number, `Some(0)` at the end of the
/// stream, `None` if there are none yet.
pub fn peek(socket: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<Option<usize>> {
    loop {
        return match recv(socket.as_raw_fd(), room, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::EAGAIN) => Ok(None),
            Err(Errno::EINTR) => continue,
            Err(e) => Err(e.into()),
        };
    }
}

/// Whether a connection could not be accepted because there are too many descriptors, here or in the whole system.
pub fn is_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// Whether a connection is pending in each of these queues, in order; one poll(2) for all.
pub fn have_waiting<'a>(listeners: impl Iterator<Item = BorrowedFd<'a>>) -> Vec<bool> {
    let mut fds: Vec<PollFd> = listeners.map(|listener| PollFd::new(listener, PollFlags::POLLIN)).collect();
    // None if it fails: the caller will check again.
    let some = matches!(poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0);
    fds.iter().map(|fd| some && fd.any().unwrap_or(false)).collect()
}

/// The number of connections in a TCP listener's queue (TCP_INFO, tcp(7): `tcpi_unacked` of a listener); 0 if it is
/// unknown.
pub fn waiting(listener: BorrowedFd<'_>) -> u64 {
    // SAFETY: all fields of the structure are numbers, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the call writes at most `length` bytes of `info`, which outlives it.
    let done = unsafe {
        let value = (&raw mut info).cast();
        libc::getsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, value, &raw mut length)
    };
    if done == 0 { info.tcpi_unacked.into() } else { 0 }
}

/// TCP_DEFER_ACCEPT (tcp(7)): a connection can be accepted once it has sent bytes, or after about `wait` without.
pub fn set_defer_accept(listener: BorrowedFd<'_>, wait: Duration) -> io::Result<()> {
    let seconds = wait.as_millis().div_ceil(1000) as libc::c_int;
    set_tcp_option(listener, libc::TCP_DEFER_ACCEPT, seconds, "TCP_DEFER_ACCEPT")
}

/// TCP_FASTOPEN (tcp(7)): accepts data in the SYN of clients that have a cookie; up to `pending` at a time.
pub fn set_fastopen(listener: BorrowedFd<'_>, pending: u16) -> io::Result<()> {
    set_tcp_option(listener, libc::TCP_FASTOPEN, pending.into(), "TCP_FASTOPEN")
}

/// TCP_NOTSENT_LOWAT (tcp(7)): the kernel buffers no more than about this many bytes that it cannot send yet.
pub fn set_notsent_lowat(listener: BorrowedFd<'_>, bytes: u32) -> io::Result<()> {
    set_tcp_option(listener, libc::TCP_NOTSENT_LOWAT, bytes as libc::c_int, "TCP_NOTSENT_LOWAT")
}

/// SIOCOUTQ (tcp(7)): bytes, sent or not, that the peer has not acknowledged.
pub fn unacknowledged_bytes(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the call writes one int, which lives longer; TIOCOUTQ is SIOCOUTQ by another name.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) } {
        0 => Ok(bytes.max(0) as usize),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_tcp_option(fd: BorrowedFd<'_>, option: libc::c_int, value: libc::c_int, name: &str) -> io::Result<()> {
    set_option(fd, libc::IPPROTO_TCP, option, value, name)
}

fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: libc::c_int,
    name: &str,
) -> io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` outlives the call and `length` is its size.
    let done = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if done == 0 {
        return Ok(());
    }
    let e = io::Error::last_os_error();
    Err(io::Error::new(e.kind(), format!("setsockopt {name} of descriptor {}: {e}", fd.as_raw_fd())))
}

/// Stops new handshakes on a TCP listener, while those that have begun still reach its queue.
///
/// close(2) of a listener resets the connections in its queue and in handshakes. So before it is closed, a socket
/// filter drops first SYNs only (SYN without ACK, byte 13 of the TCP header); the client retries and finds the listener
/// gone. Accepted sockets inherit the filter, which matches none of their packets.
///
/// Newer kernels require CAP_NET_ADMIN for a filter. Without it the listener is bound to a device that does not exist,
/// so that lookups no longer find it: new connections are refused. A handshake that has begun is found by its
/// addresses, and its connection has the device that it had when it began, which is none (both observed with Linux
/// 6.18, IPv4 and IPv6).
pub fn stop_new_connections(listener: BorrowedFd<'_>) -> io::Result<()> {
    match drop_first_syns(listener) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => bind_to_no_device(listener),
        done => done,
    }
}

/// Undoes [`stop_new_connections`], as far as it did anything. An error: this needs CAP_NET_RAW.
pub fn resume_new_connections(listener: BorrowedFd<'_>) -> io::Result<()> {
    // Without a filter: ENOENT.
    let _ = SockRef::from(&listener).detach_filter();
    match is_bound_to_no_device(listener) {
        true => set_option(listener, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, 0, "SO_BINDTOIFINDEX"),
        false => Ok(()),
    }
}

fn drop_first_syns(listener: BorrowedFd<'_>) -> io::Result<()> {
    const SYN: u32 = 0x02;
    const SYN_ACK: u32 = 0x12;
    let op = |code: u32, k: u32, yes: u8, no: u8| SockFilter::new(code as u16, yes, no, k);
    SockRef::from(&listener).attach_filter(&[
        op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 13, 0, 0),
        op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, SYN_ACK, 0, 0),
        op(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, SYN, 0, 1),
        op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        op(libc::BPF_RET | libc::BPF_K, u32::MAX, 0, 0),
    ])
}

/// The index of a network device that does not exist: the kernel counts up from 1.
const NO_DEVICE: libc::c_int = libc::c_int::MAX;

/// Since Linux 5.7 this needs no privilege for a socket that is not bound to a device.
fn bind_to_no_device(listener: BorrowedFd<'_>) -> io::Result<()> {
    // Another process with the same listener may have been first.
    if is_bound_to_no_device(listener) {
        return Ok(());
    }
    set_option(listener, libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, NO_DEVICE, "SO_BINDTOIFINDEX")
}

fn is_bound_to_no_device(listener: BorrowedFd<'_>) -> bool {
    let mut device: libc::c_int = 0;
    let mut length = size_of_val(&device) as libc::socklen_t;
    // SAFETY: the call writes at most `length` bytes of `device`, which outlives it.
    let done = unsafe {
        let value = (&raw mut device).cast();
        libc::getsockopt(listener.as_raw_fd(), libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX, value, &raw mut length)
    };
    done == 0 && device == NO_DEVICE
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn connections_that_have_begun_are_accepted_and_no_others() {
        let ways = [drop_first_syns as fn(BorrowedFd<'_>) -> io::Result<()>, bind_to_no_device];
        for (address, stop) in ["127.0.0.1:0", "[::1]:0"].into_iter().flat_map(|at| ways.map(|way| (at, way))) {
            for defer in [0, 1] {
                let Ok(listener) = TcpListener::bind(address) else { continue }; // a machine without IPv6
                let at = listener.local_addr().expect("an address");
                set_defer_accept(listener.as_fd(), Duration::from_secs(defer)).expect("an option");
                let mut begun: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(at).expect("a connection")).collect();
                match stop(listener.as_fd()) {
                    Err(e) if e.kind() == io::ErrorKind::PermissionDenied => continue,
                    done => done.expect("no new connections"),
                }
                let new = TcpStream::connect_timeout(&at, Duration::from_millis(100));
                assert!(new.is_err(), "{at}: {new:?}");
                for client in &mut begun {
                    client.write_all(b"hello").expect("it is connected");
                    let (mut server, _) = listener.accept().expect("one that has begun");
                    let mut bytes = [0; 5];
                    server.read_exact(&mut bytes).expect("what was sent");
                    server.write_all(b"bye").expect("an answer");
                    client.read_exact(&mut bytes[..3]).expect("the answer");
                    // More packets pass, too.
                    client.write_all(&[b'x'; 65536]).expect("it is connected");
                    server.read_exact(&mut [0; 65536]).expect("all of it");
                }
                if resume_new_connections(listener.as_fd()).is_ok() {
                    TcpStream::connect(at).expect("new connections once more");
                }
            }
        }
    }
}
