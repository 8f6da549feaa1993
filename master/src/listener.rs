//! The listening sockets: bound once by the master, or inherited, and held by it for as long as it serves.

mod explain;
mod limits;

pub use limits::{descriptors_needed, warnings};

use crate::holder::Holders;
use crate::inherited::{self, Inherited};
use crate::unix_socket::{self, is_live};
use explain::explain_tcp;
use nix::sys::stat::{Mode, stat, umask};
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use tine_common::config::{AcceptMode, Address, Listen, MasterConfig, WorkerConfig};
use tine_common::sys::process;
use tine_common::sys::queue_waker::QueueWaker;
use tine_common::sys::socket::{
    resume_new_connections, set_defer_accept, set_fastopen, set_notsent_lowat, stop_new_connections, waiting,
};
use tine_worker::net::UNSENT_BYTES_MIN;
use tine_worker::worker::{Listener, Place, Queue, Spoken};

/// Idle time before the first keepalive probe, which detects clients that have vanished.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// Fast Open connections that may wait before their handshake is complete.
const FASTOPEN_PENDING: u16 = 256;

/// Length of the accept queue of `--admin`.
const ADMIN_BACKLOG: u32 = 64;

/// Between two tries to bind an address that a stopping server is about to release.
const HOLDERS_INTERVAL: Duration = Duration::from_millis(50);

/// An address and its sockets.
pub struct Bound {
    /// The bound address: port 0 is replaced by the port that the system chose.
    pub address: Address,
    sockets: Sockets,
    /// Device and inode of a Unix socket's file, for as long as the socket is open here: the file is removed only if it is
    /// still ours. The open socket keeps the inode from being reused; once closed, another file may get the same number.
    file: Option<(u64, u64)>,
    spoken: Spoken,
    /// The socket belongs to another process, which keeps using it after this server exits: pending connections stay in its
    /// queue.
    is_lent: bool,
}

enum Sockets {
    Shared(Socket),
    /// As many as there are workers at the start, or more; each has the waker of its owner.
    PerWorker {
        sockets: Vec<Socket>,
        wakers: Vec<QueueWaker>,
    },
}

/// Adopts lent sockets and the sockets that an upgrade has handed down for configured addresses, and binds the other
/// addresses. The error is one line with the address, the cause and a hint.
///
/// `patience`: how long to wait for workers of a stopping server, which hold an address for their accept grace.
pub fn bind(config: &MasterConfig, inherited: Inherited, patience: Duration) -> Result<Vec<Bound>, String> {
    let until = Instant::now() + patience;
    let addresses: Vec<Address> = config.addresses().map(|one| one.address.clone()).collect();
    let (lent, mut own) = inherited.sort(&addresses);
    let mut bound: Vec<Bound> = Vec::new();
    for (address, socket) in lent {
        let failed = |e: io::Error| format!("the inherited socket of {address} cannot be listened on: {e}");
        adopt(&socket, &address, config).map_err(failed)?;
        let spoken = config.addresses().find(|one| *one.address == address).map(spoken_at).unwrap_or_default();
        bound.push(Bound { address, sockets: Sockets::Shared(socket), file: None, spoken, is_lent: true });
    }
    for (index, listen) in config.addresses().enumerate() {
        let address = listen.address;
        if bound.iter().any(|lent| lent.is_lent && lent.address == *address) {
            continue;
        }
        match bind_one(address, std::mem::take(&mut own[index]), config, until) {
            Ok(one) => bound.push(Bound { spoken: spoken_at(listen), ..one }),
            Err(line) => {
                remove_unix_sockets(&mut bound);
                return Err(line);
            }
        }
    }
    Ok(bound)
}

fn spoken_at(listen: Listen<'_>) -> Spoken {
    Spoken { is_tls: listen.is_tls, is_proxied: listen.is_proxied }
}

/// Binds the address of `--admin`, or adopts the socket that an upgrade has handed down for it: one queue, whatever the
/// workers have, and a Unix socket that only this user can connect to.
pub fn bind_admin(
    address: &Address,
    own: Option<Socket>,
    config: &MasterConfig,
    patience: Duration,
) -> Result<Bound, String> {
    let worker = WorkerConfig { accept: AcceptMode::Shared, ..config.worker.clone() };
    let config = MasterConfig {
        backlog: ADMIN_BACKLOG,
        defer_accept: Duration::ZERO,
        tcp_fastopen: false,
        receive_buffer_bytes: None,
        worker,
        ..config.clone()
    };
    // Created with its mode, as the control socket's.
    let before = umask(Mode::from_bits_truncate(0o177));
    let bound = bind_one(address, own.into_iter().collect(), &config, Instant::now() + patience);
    umask(before);
    bound.map_err(|line| format!("--admin: {line}"))
}

/// `own`: the queues that were handed down. Waits until `until` for holders that are leaving.
fn bind_one(address: &Address, mut own: Vec<Socket>, config: &MasterConfig, until: Instant) -> Result<Bound, String> {
    let (mut has_said, mut is_last) = (false, false);
    loop {
        let one = match address {
            Address::Tcp(tcp) => bind_tcp(*tcp, std::mem::take(&mut own), config).map_err(|e| explain_tcp(*tcp, &e)),
            Address::Unix(path) => bind_unix(path, std::mem::take(&mut own), config),
        };
        let left = until.saturating_duration_since(Instant::now());
        if one.is_ok() || left.is_zero() || process::is_told_to_end() {
            return one;
        }
        let holders = Holders::of(address);
        if !holders.are_leaving() {
            // The listeners may have left just now, perhaps with connections that they still have: try once more.
            if holders.are_listeners() || std::mem::replace(&mut is_last, true) {
                return one;
            }
            continue;
        }
        is_last = false;
        if !std::mem::replace(&mut has_said, true) {
            log::info!("{address}: {}; waiting for at most {left:.0?}", holders.describe());
        }
        std::thread::sleep(HOLDERS_INTERVAL);
    }
}

impl Bound {
    /// The sockets for a worker, in its own process: all of them, so that it can serve those of other workers, too.
    pub fn into_listeners(self) -> Vec<Listener> {
        let is_tcp = matches!(self.address, Address::Tcp(_));
        let (spoken, is_lent) = (self.spoken, self.is_lent);
        let listener = |socket, queue| Listener { fd: OwnedFd::from(socket), queue, is_tcp, spoken, is_lent };
        match self.sockets {
            Sockets::Shared(socket) => vec![listener(socket, Queue::Shared)],
            Sockets::PerWorker { sockets, wakers } => {
                let count = sockets.len();
                let own =
                    |(index, (socket, waker))| listener(socket, Queue::Own { place: Place { index, count }, waker });
                sockets.into_iter().zip(wakers).enumerate().map(own).collect()
            }
        }
    }

    /// The sockets, one for each queue.
    fn sockets(&self) -> &[Socket] {
        match &self.sockets {
            Sockets::Shared(socket) => std::slice::from_ref(socket),
            Sockets::PerWorker { sockets, .. } => sockets,
        }
    }

    /// Takes ownership of the file of a Unix socket that was handed down: from now on it is ours to remove.
    pub fn claim_file(&mut self) {
        if let (Address::Unix(path), false) = (&self.address, self.is_lent) {
            self.file = identity(path);
        }
    }

    /// The address without its sockets, to remove the file of a Unix socket by ([`remove_unix_sockets`]).
    pub fn take_file(&mut self) -> Bound {
        let sockets = Sockets::PerWorker { sockets: Vec::new(), wakers: Vec::new() };
        Bound {
            address: self.address.clone(),
            sockets,
            file: self.file.take(),
            spoken: self.spoken,
            is_lent: self.is_lent,
        }
    }

    /// Gives the sockets and the file of a Unix socket to another master.
    pub fn hand_over(&mut self) {
        self.is_lent = true;
        self.file = None;
    }

    /// Before a change of user: makes that user the owner of a Unix socket's file, if it is still ours.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        match &self.address {
            Address::Unix(path) if self.file.is_some() => unix_socket::give_to(path, self.file, uid, gid)
                .map_err(|e| format!("unix:{} cannot be given to user {uid}, group {gid}: {e}", path.display())),
            _ => Ok(()),
        }
    }

    /// Stops new handshakes; see [`stop_new_connections`].
    pub fn stop_new_connections(&self) {
        if self.is_lent || matches!(self.address, Address::Unix(_)) {
            return;
        }
        for socket in self.sockets() {
            if let Err(e) = stop_new_connections(socket.as_fd()) {
                log::warn!("new connections to {} during the drain may be reset: {e}", self.address);
            }
        }
    }

    /// Closes the sockets in this process; the address is kept for messages. The file of a Unix socket is to be removed or
    /// handed over before.
    pub fn close(&mut self) {
        self.file = None;
        self.sockets = Sockets::PerWorker { sockets: Vec::new(), wakers: Vec::new() };
    }

    /// Connections that wait to be accepted; 0 for a Unix socket, of which the kernel does not tell.
    pub fn waiting(&self) -> u64 {
        match &self.sockets {
            Sockets::Shared(socket) => waiting(socket.as_fd()),
            Sockets::PerWorker { sockets, .. } => sockets.iter().map(|own| waiting(own.as_fd())).sum(),
        }
    }

    /// The address as a URL for clients; with `proxy:` before it, if only proxies can use it.
    pub fn url(&self) -> String {
        let proxy = if self.spoken.is_proxied { "proxy:" } else { "" };
        match &self.address {
            Address::Tcp(tcp) if self.spoken.is_tls => format!("{proxy}https://{tcp}"),
            Address::Tcp(tcp) => format!("{proxy}http://{tcp}"),
            Address::Unix(path) => format!("{proxy}unix:{}", path.display()),
        }
    }
}

/// The sockets for a new master, one for each queue of each address, with their names in the LISTEN_FDS protocol.
pub fn hand_down<'b>(bound: &'b [Bound], admin: Option<&'b Bound>) -> Vec<(BorrowedFd<'b>, String)> {
    let mut all = Vec::new();
    // Each kind is numbered by itself, as the new master numbers its own addresses.
    for is_lent in [true, false] {
        for (index, one) in bound.iter().filter(|one| one.is_lent == is_lent).enumerate() {
            for (queue, socket) in one.sockets().iter().enumerate() {
                all.push((socket.as_fd(), inherited::name(is_lent, index, queue)));
            }
        }
    }
    let admin = admin.into_iter().flat_map(Bound::sockets);
    all.extend(admin.map(|socket| (socket.as_fd(), inherited::name(false, inherited::ADMIN, 0))));
    all
}

/// Removes the files of Unix sockets that are still the ones bound here. Only once: a file at the path later is another
/// process's.
pub fn remove_unix_sockets<'b>(bound: impl IntoIterator<Item = &'b mut Bound>) {
    for one in bound {
        let file = one.file.take();
        if let Address::Unix(path) = &one.address
            && file.is_some()
            && identity(path) == file
            && let Err(e) = fs::remove_file(path)
        {
            log::warn!("the socket {} cannot be removed: {e}", path.display());
        }
    }
}

/// `own`: the queues that were handed down.
fn bind_tcp(address: SocketAddr, own: Vec<Socket>, config: &MasterConfig) -> io::Result<Bound> {
    let is_new = own.is_empty();
    // The old server may have begun to stop and disabled new connections. A socket that stays disabled is replaced.
    let own: Vec<Socket> = own.into_iter().filter(|socket| resume_new_connections(socket.as_fd()).is_ok()).collect();
    // With SO_REUSEPORT a second server could bind the same port and silently take half of the connections.
    // So probe first with a socket that does not share.
    if address.port() != 0 && is_new {
        let probe = tcp_socket(address)?;
        probe.bind(&address.into())?;
    }
    let count = match config.worker.accept {
        AcceptMode::Shared | AcceptMode::Plain => 1,
        // Dropping a queue would lose its pending connections.
        AcceptMode::PerWorker => config.workers.max(own.len()),
    };
    let mut address = address;
    let mut sockets = Vec::new();
    for inherited in own.into_iter().map(Some).chain(std::iter::repeat_with(|| None)).take(count) {
        let socket = match inherited {
            Some(socket) => {
                adopt(&socket, &Address::Tcp(address), config)?;
                socket
            }
            None => {
                let socket = tcp_socket(address)?;
                socket.set_reuse_port(true)?;
                let refused = set_tcp_options(&socket, config);
                socket.bind(&address.into())?;
                if sockets.is_empty() {
                    // The other sockets of the address are refused the same options.
                    refused.iter().for_each(|line| log::warn!("the sockets of {address}: {line}"));
                }
                socket.listen(config.backlog as i32)?;
                socket
            }
        };
        // The first socket knows which port the system chose.
        address = socket.local_addr()?.as_socket().unwrap_or(address);
        sockets.push(socket);
    }
    let sockets = match config.worker.accept {
        AcceptMode::Shared | AcceptMode::Plain => Sockets::Shared(sockets.remove(0)),
        AcceptMode::PerWorker => {
            let wakers = sockets.iter().map(|_| QueueWaker::new()).collect::<io::Result<_>>()?;
            Sockets::PerWorker { sockets, wakers }
        }
    };
    Ok(Bound { address: Address::Tcp(address), sockets, file: None, spoken: Spoken::default(), is_lent: false })
}

/// Prepares a socket that is listening already. An option that the kernel refuses stays as it was.
fn adopt(socket: &Socket, address: &Address, config: &MasterConfig) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if matches!(address, Address::Tcp(_)) {
        set_tcp_options(socket, config).iter().for_each(|line| log::warn!("the socket of {address}: {line}"));
    }
    // Again, for the backlog.
    socket.listen(config.backlog as i32)
}

/// Sets the options that accepted sockets inherit; returns a line for each that was refused, as a server can do without
/// (gVisor does not have all). To be called before listen(2), as the window scale depends on the receive buffer.
fn set_tcp_options(socket: &Socket, config: &MasterConfig) -> Vec<String> {
    let (keepalive, user_timeout) = patience_with_clients(socket, config.worker.limits.write_timeout);
    let fastopen = || if config.tcp_fastopen { set_fastopen(socket.as_fd(), FASTOPEN_PENDING) } else { Ok(()) };
    // The kernel doubles the size, for its bookkeeping (socket(7)).
    let receive_buffer = |bytes| socket.set_recv_buffer_size(bytes / 2);
    [
        (socket.set_tcp_nodelay(true), "small responses may be delayed"),
        (keepalive, "a client that has vanished is not detected while it is idle"),
        (
            set_notsent_lowat(socket.as_fd(), UNSENT_BYTES_MIN),
            "the kernel buffers more output for clients that do not read",
        ),
        (user_timeout, "unread output stays in the kernel for minutes after a close"),
        (config.receive_buffer_bytes.map_or(Ok(()), receive_buffer), "--receive-buffer has no effect"),
        // Zero is the kernel's default.
        (set_defer_accept(socket.as_fd(), config.defer_accept), "--defer-accept has no effect"),
        (fastopen(), "--tcp-fastopen has no effect"),
    ]
    .into_iter()
    .filter_map(|(done, what)| done.err().map(|e| format!("{what}: {e}")))
    .collect()
}

/// Sets how long the kernel waits for a client that does not respond; returns the result for keepalive probes and that for
/// data. TCP_USER_TIMEOUT limits the probes, too (tcp(7)): several must be lost before it expires.
fn patience_with_clients(socket: &Socket, write_timeout: Duration) -> (io::Result<()>, io::Result<()>) {
    let patience = write_timeout.max(Duration::from_millis(1));
    let idle = KEEPALIVE_IDLE.min(patience / 2).max(Duration::from_secs(1));
    let interval = KEEPALIVE_INTERVAL.min(patience / 6).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(KEEPALIVE_PROBES);
    (socket.set_tcp_keepalive(&keepalive), socket.set_tcp_user_timeout(Some(patience)))
}

/// Sets `--write-timeout` for the connections that are accepted from now on.
pub fn set_write_timeout(bound: &[Bound], write_timeout: Duration) {
    for one in bound.iter().filter(|one| matches!(one.address, Address::Tcp(_))) {
        let sockets = match &one.sockets {
            Sockets::Shared(socket) => std::slice::from_ref(socket),
            Sockets::PerWorker { sockets, .. } => sockets,
        };
        // What the kernel refuses was logged at the start.
        sockets.iter().for_each(|socket| _ = patience_with_clients(socket, write_timeout));
    }
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Allows [::] beside 0.0.0.0, as in nginx.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A Unix socket has one queue, which all workers share in either mode.
fn bind_unix(path: &Path, own: Vec<Socket>, config: &MasterConfig) -> Result<Bound, String> {
    let shown = path.display();
    let address = Address::Unix(path.to_path_buf());
    if let Some(socket) = own.into_iter().next() {
        adopt(&socket, &address, config)
            .map_err(|e| format!("cannot listen on unix:{shown}, which was inherited: {e}"))?;
        // The file belongs to the old master until the handover.
        return Ok(Bound {
            address,
            sockets: Sockets::Shared(socket),
            file: None,
            spoken: Spoken::default(),
            is_lent: false,
        });
    }
    let failed = |e: io::Error| format!("cannot listen on unix:{shown}: {}", unix_socket::explain(&e));
    let name = SockAddr::unix(path).map_err(failed)?;
    if fs::symlink_metadata(path).is_ok() {
        if identity(path).is_none() {
            return Err(format!(
                "cannot listen on unix:{shown}: the file there is not a socket; remove it or give another path"
            ));
        }
        if is_live(path).map_err(failed)? {
            let holders = Holders::of(&address);
            let (why, advice) = (holders.describe(), holders.advice());
            return Err(format!("cannot listen on unix:{shown}: {why}; {advice} or give another path"));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let socket = unix_socket::new().map_err(failed)?;
    socket.bind(&name).and_then(|()| socket.listen(config.backlog as i32)).map_err(failed)?;
    Ok(Bound {
        address,
        sockets: Sockets::Shared(socket),
        file: identity(path),
        spoken: Spoken::default(),
        is_lent: false,
    })
}

/// Device and inode, if the path leads to a socket.
fn identity(path: &Path) -> Option<(u64, u64)> {
    unix_socket::identity_of(stat(path))
}
