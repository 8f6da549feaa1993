//! The listening sockets: bound once by the master, or inherited, and held by it for as long as it serves.

use crate::holder::Holders;
use crate::inherited::{self, Inherited};
use crate::unix_socket::{self, is_live};
use nix::sys::stat::stat;
use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};
use tine_common::config::{AcceptMode, Address, Config, ControlAt, RECEIVE_BUFFER_BYTES};
use tine_common::sys::process;
use tine_common::sys::queue_waker::QueueWaker;
use tine_common::sys::socket::{
    resume_new_connections, set_defer_accept, set_fastopen, set_notsent_lowat, stop_new_connections,
};
use tine_common::units::show_size;
use tine_worker::net::UNSENT_BYTES_MIN;
use tine_worker::worker::{Listener, Place, Queue};

/// Clients that vanished without a word are found after this long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;
/// Fast Open connections that may wait before their handshake is complete.
const FASTOPEN_PENDING: u16 = 256;

/// Between two looks at an address that another server is about to let go of.
const HOLDERS_EVERY: Duration = Duration::from_millis(50);

/// One address and its sockets.
pub struct Bound {
    /// As the system gave it: with the port that it chose.
    pub address: Address,
    sockets: Sockets,
    /// Device and inode of a Unix socket's file, for as long as the socket is open here: it is removed only if it is still
    /// ours. The open socket keeps the inode from being used again; once it is closed, the same number may be another's.
    file: Option<(u64, u64)>,
    /// Somebody else's, who goes on with the socket when this server has ended: whoever waits in its queue is left there.
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

/// Descriptors that the master holds at the most: standard streams, poll and signals, a channel a worker, listeners, the
/// control socket and its callers.
pub fn descriptors_needed(config: &Config) -> u64 {
    const OWN: usize = 16;
    let sockets = |address: &Address| match (address, config.accept) {
        // Each with its waker.
        (Address::Tcp(_), AcceptMode::PerWorker) => 2 * config.workers,
        _ => 1,
    };
    let control = if config.control == ControlAt::Nowhere { 0 } else { crate::control::DESCRIPTORS };
    (OWN + control + config.workers + config.listen.iter().map(sockets).sum::<usize>()) as u64
}

/// What the kernel's settings take from what was asked for, one line each.
pub fn warnings(config: &Config) -> Vec<String> {
    const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";
    const FASTOPEN: &str = "/proc/sys/net/ipv4/tcp_fastopen";
    /// The bit of ip-sysctl's tcp_fastopen without which a listener's TCP_FASTOPEN does nothing.
    const FASTOPEN_SERVER: u32 = 2;
    const RECEIVE: &str = "/proc/sys/net/core/rmem_max";
    let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    let mut lines = Vec::new();
    let backlog = config.backlog;
    if let Some(most) = read(SOMAXCONN).filter(|&most| most < backlog) {
        lines.push(format!("--backlog {backlog} is clipped to {most} by the kernel; raise {SOMAXCONN}"));
    }
    let receive = config.receive_buffer_bytes.filter(|&bytes| bytes != RECEIVE_BUFFER_BYTES);
    if let (Some(bytes), Some(most)) = (receive, read(RECEIVE))
        && bytes / 2 > most as usize
    {
        let (given, most) = (show_size(bytes as u64), show_size(2 * u64::from(most)));
        lines.push(format!("--receive-buffer {given} is clipped to {most} by the kernel; raise {RECEIVE}"));
    }
    if config.tcp_fastopen
        && let Some(bits) = read(FASTOPEN).filter(|bits| bits & FASTOPEN_SERVER == 0)
    {
        let with = bits | FASTOPEN_SERVER;
        lines.push(format!(
            "--tcp-fastopen does nothing, the kernel has it off for servers; write {with} to {FASTOPEN}"
        ));
    }
    lines
}

/// Takes what is lent, and what an upgrade has handed down of the configured addresses, and binds the others. The error is
/// one line that says which, why and what would do.
///
/// `patience`: for workers of another server that ends, which hold an address until they have let in who was connecting.
pub fn bind(config: &Config, inherited: Inherited, patience: Duration) -> Result<Vec<Bound>, String> {
    let until = Instant::now() + patience;
    let (lent, mut own) = inherited.sort(&config.listen);
    let mut bound: Vec<Bound> = Vec::new();
    for (address, socket) in lent {
        let failed = |e: io::Error| format!("the inherited socket of {address} cannot be listened on: {e}");
        adopt(&socket, &address, config).map_err(failed)?;
        bound.push(Bound { address, sockets: Sockets::Shared(socket), file: None, is_lent: true });
    }
    for (index, address) in config.listen.iter().enumerate() {
        if bound.iter().any(|lent| lent.is_lent && lent.address == *address) {
            continue;
        }
        let mut own = std::mem::take(&mut own[index]);
        let (mut has_said, mut is_last) = (false, false);
        let one = loop {
            let one = match address {
                Address::Tcp(tcp) => {
                    bind_tcp(*tcp, std::mem::take(&mut own), config).map_err(|e| explain_tcp(*tcp, &e))
                }
                Address::Unix(path) => bind_unix(path, std::mem::take(&mut own), config),
            };
            if one.is_ok() || Instant::now() >= until || process::is_told_to_end() {
                break one;
            }
            let holders = Holders::of(address);
            if !holders.are_leaving() {
                // Those that were there may have gone just now.
                if holders.is_anybody() || std::mem::replace(&mut is_last, true) {
                    break one;
                }
                continue;
            }
            is_last = false;
            if !std::mem::replace(&mut has_said, true) {
                log::info!("{address}: {}; waiting for at most {patience:.0?}", holders.describe());
            }
            std::thread::sleep(HOLDERS_EVERY);
        };
        match one {
            Ok(one) => bound.push(one),
            Err(line) => {
                remove_unix_sockets(&mut bound);
                return Err(line);
            }
        }
    }
    Ok(bound)
}

impl Bound {
    /// The sockets as a worker has them, in its own process: all, so that it can look after those of others, too.
    pub fn into_listeners(self) -> Vec<Listener> {
        let is_tcp = matches!(self.address, Address::Tcp(_));
        let is_lent = self.is_lent;
        let listener = |socket, queue| Listener { fd: OwnedFd::from(socket), queue, is_tcp, is_lent };
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

    /// The sockets, one a queue.
    fn sockets(&self) -> &[Socket] {
        match &self.sockets {
            Sockets::Shared(socket) => std::slice::from_ref(socket),
            Sockets::PerWorker { sockets, .. } => sockets,
        }
    }

    /// From now on the file of a Unix socket that was handed down is ours to remove.
    pub fn claim_file(&mut self) {
        if let (Address::Unix(path), false) = (&self.address, self.is_lent) {
            self.file = identity(path);
        }
    }

    /// From now on these are another master's: the sockets and the file of a Unix socket.
    pub fn hand_over(&mut self) {
        self.is_lent = true;
        self.file = None;
    }

    /// For who goes on as another user: the file of a Unix socket is made that user's, if it is still ours.
    pub fn give_to(&self, uid: u32, gid: u32) -> Result<(), String> {
        match &self.address {
            Address::Unix(path) if self.file.is_some() => unix_socket::give_to(path, self.file, uid, gid)
                .map_err(|e| format!("unix:{} cannot be given to user {uid}, group {gid}: {e}", path.display())),
            _ => Ok(()),
        }
    }

    /// Lets no new connection begin; see [`stop_new_connections`].
    pub fn stop_new_connections(&self) {
        if self.is_lent || matches!(self.address, Address::Unix(_)) {
            return;
        }
        for socket in self.sockets() {
            if let Err(e) = stop_new_connections(socket.as_fd()) {
                log::warn!("connections to {} that begin during the drain may be reset: {e}", self.address);
            }
        }
    }

    /// Closes the sockets in this process; the address is kept for what is said. What is to become of a Unix socket's file
    /// is decided before.
    pub fn close(&mut self) {
        self.file = None;
        self.sockets = Sockets::PerWorker { sockets: Vec::new(), wakers: Vec::new() };
    }

    /// How a client names the address.
    pub fn url(&self) -> String {
        match &self.address {
            Address::Tcp(tcp) => format!("http://{tcp}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

/// What the program that takes over is given: every queue of every address, under the name by which it knows them.
pub fn hand_down(bound: &[Bound]) -> Vec<(BorrowedFd<'_>, String)> {
    let mut all = Vec::new();
    // Each kind is counted by itself: the younger master counts its own addresses so.
    for is_lent in [true, false] {
        for (index, one) in bound.iter().filter(|one| one.is_lent == is_lent).enumerate() {
            for (queue, socket) in one.sockets().iter().enumerate() {
                all.push((socket.as_fd(), inherited::name(is_lent, index, queue)));
            }
        }
    }
    all
}

/// Removes the files of Unix sockets that are still the ones bound here, once: what is at the path later is another's.
pub fn remove_unix_sockets(bound: &mut [Bound]) {
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

/// `own`: the queues that there are already, handed down.
fn bind_tcp(address: SocketAddr, own: Vec<Socket>, config: &Config) -> io::Result<Bound> {
    let is_new = own.is_empty();
    // Something may have begun to stop the other server; it matters no more. What stays stopped is made anew.
    let own: Vec<Socket> = own.into_iter().filter(|socket| resume_new_connections(socket.as_fd()).is_ok()).collect();
    // With SO_REUSEPORT a second server could bind the same port and silently take half of the connections.
    // So ask first as one who does not share.
    if address.port() != 0 && is_new {
        let probe = tcp_socket(address)?;
        probe.bind(&address.into())?;
    }
    let count = match config.accept {
        AcceptMode::Shared | AcceptMode::Plain => 1,
        // One that is dropped would lose who waits in it.
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
                    // The others of an address are refused the same.
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
    let sockets = match config.accept {
        AcceptMode::Shared | AcceptMode::Plain => Sockets::Shared(sockets.remove(0)),
        AcceptMode::PerWorker => {
            let wakers = sockets.iter().map(|_| QueueWaker::new()).collect::<io::Result<_>>()?;
            Sockets::PerWorker { sockets, wakers }
        }
    };
    Ok(Bound { address: Address::Tcp(address), sockets, file: None, is_lent: false })
}

/// What a socket that listens already needs to be one of ours. What the kernel refuses now it was made without.
fn adopt(socket: &Socket, address: &Address, config: &Config) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    if matches!(address, Address::Tcp(_)) {
        set_tcp_options(socket, config).iter().for_each(|line| log::warn!("the socket of {address}: {line}"));
    }
    // Again, for the backlog.
    socket.listen(config.backlog as i32)
}

/// Whoever answers for the kernel may not have all of them (gVisor): a server can do without. A line for each that was
/// refused. Before listen(2), as the window's scale goes by the receive buffer; accepted sockets inherit all.
fn set_tcp_options(socket: &Socket, config: &Config) -> Vec<String> {
    let patience = config.limits.write_timeout.max(Duration::from_millis(1));
    // TCP_USER_TIMEOUT also says when probes have failed (tcp(7)): several are to be lost before.
    let idle = KEEPALIVE_IDLE.min(patience / 2).max(Duration::from_secs(1));
    let interval = KEEPALIVE_INTERVAL.min(patience / 6).max(Duration::from_secs(1));
    let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval);
    let fastopen = || if config.tcp_fastopen { set_fastopen(socket.as_fd(), FASTOPEN_PENDING) } else { Ok(()) };
    // The kernel takes the size twice, for its bookkeeping (socket(7)).
    let receive_buffer = |bytes| socket.set_recv_buffer_size(bytes / 2);
    [
        (socket.set_tcp_nodelay(true), "small answers may be late"),
        (
            socket.set_tcp_keepalive(&keepalive.with_retries(KEEPALIVE_PROBES)),
            "a client that vanished is not noticed while it is waited for",
        ),
        (
            set_notsent_lowat(socket.as_fd(), UNSENT_BYTES_MIN),
            "for a client that does not read the kernel takes as much as it likes",
        ),
        (
            socket.set_tcp_user_timeout(Some(patience)),
            "what a client does not read stays in the kernel for minutes after the close",
        ),
        (config.receive_buffer_bytes.map_or(Ok(()), receive_buffer), "--receive-buffer does nothing"),
        // Zero is what a socket has without.
        (set_defer_accept(socket.as_fd(), config.defer_accept), "--defer-accept does nothing"),
        (fastopen(), "--tcp-fastopen does nothing"),
    ]
    .into_iter()
    .filter_map(|(done, what)| done.err().map(|e| format!("{what}: {e}")))
    .collect()
}

fn tcp_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // [::] beside 0.0.0.0, as nginx has it.
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// A Unix socket has one queue, which all workers share in either mode.
fn bind_unix(path: &Path, own: Vec<Socket>, config: &Config) -> Result<Bound, String> {
    let shown = path.display();
    let address = Address::Unix(path.to_path_buf());
    if let Some(socket) = own.into_iter().next() {
        adopt(&socket, &address, config)
            .map_err(|e| format!("cannot listen on unix:{shown}, which was inherited: {e}"))?;
        // Its file is the other master's until that has handed over.
        return Ok(Bound { address, sockets: Sockets::Shared(socket), file: None, is_lent: false });
    }
    let failed = |e: io::Error| format!("cannot listen on unix:{shown}: {}", unix_socket::explain(&e));
    let name = SockAddr::unix(path).map_err(failed)?;
    if fs::symlink_metadata(path).is_ok() {
        if identity(path).is_none() {
            return Err(format!(
                "cannot listen on unix:{shown}: there is a file of another kind; remove it or give another path"
            ));
        }
        if is_live(path).map_err(failed)? {
            let holders = Holders::of(&address);
            let (who, advice, which) = (holders.describe(), holders.advice(), holders.which());
            return Err(format!("cannot listen on unix:{shown}: {who}; {advice} or give another path{which}"));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    let socket = unix_socket::new().map_err(failed)?;
    socket.bind(&name).and_then(|()| socket.listen(config.backlog as i32)).map_err(failed)?;
    Ok(Bound { address, sockets: Sockets::Shared(socket), file: identity(path), is_lent: false })
}

/// Device and inode, if the path leads to a socket.
fn identity(path: &Path) -> Option<(u64, u64)> {
    unix_socket::identity_of(stat(path))
}

/// The first port that needs no right (ip-sysctl's ip_unprivileged_port_start).
fn first_free_port() -> u16 {
    const START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    fs::read_to_string(START).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

fn explain_tcp(address: SocketAddr, error: &io::Error) -> String {
    let (why, what) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let next = address.port().checked_add(1).unwrap_or(8080);
            let holders = Holders::of(&Address::Tcp(address));
            (
                holders.describe(),
                format!("{} or choose another port, such as {next}{}", holders.advice(), holders.which()),
            )
        }
        io::ErrorKind::PermissionDenied => {
            let first = first_free_port();
            let what = match address.port() < first {
                true => format!("ports below {first} need root or CAP_NET_BIND_SERVICE; choose one from {first}"),
                false => "a rule of this system forbids it (SELinux, AppArmor, seccomp, a container's or a unit's); \
                    allow it there or choose another port"
                    .to_string(),
            };
            ("permission denied".to_string(), what)
        }
        io::ErrorKind::AddrNotAvailable => (
            "this machine does not have that address".to_string(),
            "choose 127.0.0.1, 0.0.0.0 or one of its own".to_string(),
        ),
        _ => (error.to_string(), "check the address and the limits of this process".to_string()),
    };
    format!("cannot listen on {address}: {why}; {what}")
}
