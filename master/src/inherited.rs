//! Listening sockets that this process was started with, by the LISTEN_FDS protocol (sd_listen_fds(3)).
//!
//! There are two kinds, told apart by the sockets' names. A master that is being upgraded hands down its own ([`name`]): they
//! take the place of the same addresses of the command line. Sockets passed by any other process, such as systemd, are
//! *lent*: Tine listens on them in addition and leaves them intact when it exits, with the file of a Unix socket and the
//! connections pending in the queue.

use crate::handover::{self, Predecessor};
use socket2::{Domain, Socket, Type};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use tine_common::config::Address;
use tine_common::sys::inherit;

#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<InheritedSocket>,
    /// The channel to the master that this one takes over from.
    channel: Option<OwnedFd>,
}

#[derive(Debug)]
struct InheritedSocket {
    socket: Socket,
    address: Address,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// One of the predecessor's own: the number of its address there, and the queue of that address.
    HandedDown {
        address: usize,
        queue: usize,
    },
    Lent,
}

/// The number of the address of `--admin`: more than a server has addresses, so that a version without that option closes it.
pub const ADMIN: usize = 1 << 20;

/// The name under which a socket is handed down. A socket that was lent to the predecessor stays lent.
pub fn name(is_lent: bool, address: usize, queue: usize) -> String {
    let lent = if is_lent { "lent-" } else { "" };
    format!("tine-{lent}{address}-{queue}")
}

fn origin(name: &str) -> Origin {
    let place = || {
        let (address, queue) = name.strip_prefix("tine-")?.split_once('-')?;
        Some(Origin::HandedDown { address: address.parse().ok()?, queue: queue.parse().ok()? })
    };
    place().unwrap_or(Origin::Lent)
}

impl Inherited {
    /// Takes the inherited sockets. To be called before this process opens or starts anything. The error is one line.
    pub fn take() -> Result<Inherited, String> {
        let given = inherit::take_descriptors().map_err(|e| format!("LISTEN_FDS, the inherited sockets: {e}"))?;
        let (channels, given): (Vec<_>, Vec<_>) = given.into_iter().partition(|(_, name)| name == handover::CHANNEL);
        let adopt = |(fd, name): (OwnedFd, String)| {
            let number = fd.as_raw_fd();
            let socket = Socket::from(fd);
            let address = listening_address(&socket)
                .map_err(|why| format!("the inherited descriptor {number} ({name}) cannot be listened on: {why}"))?;
            Ok(InheritedSocket { socket, address, origin: origin(&name) })
        };
        let sockets = given.into_iter().map(adopt).collect::<Result<_, String>>()?;
        Ok(Inherited { sockets, channel: channels.into_iter().map(|(fd, _)| fd).next() })
    }

    /// The master that this one takes over from, if there is one. The error is one line.
    pub fn take_predecessor(&mut self) -> Result<Option<Predecessor>, String> {
        let predecessor = self.channel.take().map(Predecessor::new).transpose();
        predecessor.map_err(|e| format!("the channel to the master that started this one cannot be used: {e}"))
    }

    /// The addresses of the lent sockets.
    pub fn lent(&self) -> Vec<Address> {
        let lent = self.sockets.iter().filter(|one| one.origin == Origin::Lent);
        lent.map(|one| one.address.clone()).collect()
    }

    /// The socket of the predecessor's `--admin`, if it is at this address.
    pub fn take_admin(&mut self, ours: &Address) -> Option<Socket> {
        let is_it = |one: &InheritedSocket| {
            matches!(one.origin, Origin::HandedDown { address: ADMIN, .. })
                && (one.address == *ours || is_chosen(&one.address, ours))
        };
        let at = self.sockets.iter().position(is_it)?;
        Some(self.sockets.swap_remove(at).socket)
    }

    /// The lent sockets, and the queues of each of our own addresses. Sockets of addresses that we do not have are closed.
    pub fn sort(self, ours: &[Address]) -> (Vec<(Address, Socket)>, Vec<Vec<Socket>>) {
        let (lent, handed_down): (Vec<_>, Vec<_>) =
            self.sockets.into_iter().partition(|one| one.origin == Origin::Lent);
        let lent = lent.into_iter().map(|one| (one.address, one.socket)).collect();
        let mut own: Vec<Vec<(usize, Socket)>> = ours.iter().map(|_| Vec::new()).collect();
        for one in handed_down {
            let Origin::HandedDown { address: before, queue } = one.origin else { continue };
            match place(&one.address, before, ours) {
                Some(index) => own[index].push((queue, one.socket)),
                None => log::warn!("no longer listening on {}, as before the upgrade", one.address),
            }
        }
        let in_order = |mut queues: Vec<(usize, Socket)>| {
            queues.sort_by_key(|(queue, _)| *queue);
            queues.into_iter().map(|(_, socket)| socket).collect()
        };
        (lent, own.into_iter().map(in_order).collect())
    }
}

/// Which of our addresses belongs to a socket that was number `before` of the predecessor's. Port 0 stands for the port that
/// the system chose.
fn place(address: &Address, before: usize, ours: &[Address]) -> Option<usize> {
    let exactly = ours.iter().position(|one| one == address);
    exactly.or_else(|| Some(before).filter(|&before| before < ours.len() && is_chosen(address, &ours[before])))
}

/// The system chose the port of this address.
fn is_chosen(found: &Address, asked: &Address) -> bool {
    match (asked, found) {
        (Address::Tcp(asked), Address::Tcp(found)) => asked.port() == 0 && asked.ip() == found.ip(),
        _ => false,
    }
}

/// The address of a listening stream socket; an error for anything else.
fn listening_address(socket: &Socket) -> Result<Address, String> {
    let system = |e: io::Error| e.to_string();
    let (domain, kind) = (socket.domain().map_err(not_a_socket)?, socket.r#type().map_err(system)?);
    if kind != Type::STREAM || ![Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&domain) {
        return Err("it is not a TCP or Unix stream socket; use a socket unit with ListenStream=".to_string());
    }
    if !socket.is_listener().map_err(system)? {
        return Err("it does not listen; a socket unit needs Accept=no, the default".to_string());
    }
    let address = socket.local_addr().map_err(system)?;
    if let Some(tcp) = address.as_socket() {
        return Ok(Address::Tcp(tcp));
    }
    // An abstract name has no file (unix(7)); only a name is needed here.
    let name = || Some(PathBuf::from(format!("@{}", String::from_utf8_lossy(address.as_abstract_namespace()?))));
    let path = address.as_pathname().map(PathBuf::from).or_else(name);
    path.map(Address::Unix).ok_or_else(|| "it has no address".to_string())
}

fn not_a_socket(e: io::Error) -> String {
    match e.raw_os_error() {
        Some(libc::ENOTSOCK) => "it is not a socket; use a socket unit with ListenStream=".to_string(),
        _ => e.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockAddr;

    #[test]
    fn a_name_tells_the_origin_of_a_socket() {
        for (text, expected) in [
            ("tine-0-0", Origin::HandedDown { address: 0, queue: 0 }),
            ("tine-12-3", Origin::HandedDown { address: 12, queue: 3 }),
            ("tine-lent-0-0", Origin::Lent),
            ("tine.socket", Origin::Lent),
            ("tine-", Origin::Lent),
            ("tine-0", Origin::Lent),
            ("tine-0-x", Origin::Lent),
            ("tine-0-0-0", Origin::Lent),
            ("unknown", Origin::Lent),
            ("", Origin::Lent),
        ] {
            assert_eq!(origin(text), expected, "{text}");
        }
        assert_eq!(origin(&name(false, 2, 1)), Origin::HandedDown { address: 2, queue: 1 });
        assert_eq!(origin(&name(true, 2, 1)), Origin::Lent);
    }

    #[test]
    fn sockets_find_their_address() {
        for (address, before, ours, expected) in [
            ("127.0.0.1:80", 0, &["127.0.0.1:80"][..], Some(0)),
            ("127.0.0.1:80", 0, &["127.0.0.1:81", "127.0.0.1:80"], Some(1)), // another came before it
            ("127.0.0.1:80", 1, &["127.0.0.1:81"], None),
            ("127.0.0.1:80", 0, &["0.0.0.0:80"], None),
            ("127.0.0.1:40000", 0, &["127.0.0.1:0"], Some(0)),
            ("127.0.0.1:40000", 1, &["127.0.0.1:0", "127.0.0.1:0"], Some(1)),
            ("127.0.0.1:40000", 0, &["127.0.0.2:0"], None),
            ("127.0.0.1:40000", 7, &["127.0.0.1:0"], None),
            ("unix:/run/a", 0, &["127.0.0.1:0", "unix:/run/a"], Some(1)),
            ("unix:/run/a", 0, &["unix:/run/b"], None),
        ] {
            let parse = |text: &str| text.parse::<Address>().expect("an address");
            let ours: Vec<Address> = ours.iter().map(|text| parse(text)).collect();
            assert_eq!(place(&parse(address), before, &ours), expected, "{address} {before} {ours:?}");
        }
    }

    #[test]
    fn only_listening_stream_sockets_will_do() {
        let socket = |domain, kind| Socket::new(domain, kind, None).expect("a socket");
        let localhost = SockAddr::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = socket(Domain::IPV4, Type::STREAM);
        assert!(listening_address(&listener).expect_err("it does not listen").contains("Accept=no"));
        listener.bind(&localhost).and_then(|()| listener.listen(1)).expect("a listener");
        assert_eq!(listening_address(&listener), Ok(Address::Tcp(listener.local_addr().unwrap().as_socket().unwrap())));

        let datagrams = socket(Domain::IPV4, Type::DGRAM);
        assert!(listening_address(&datagrams).expect_err("no stream").contains("ListenStream="));
        let file = std::fs::File::open("/dev/null").expect("a file");
        assert!(listening_address(&Socket::from(OwnedFd::from(file))).expect_err("a file").contains("not a socket"));

        let name = format!("tine-inherited-{}", std::process::id());
        let hidden = socket(Domain::UNIX, Type::STREAM);
        let address = SockAddr::unix(format!("\0{name}")).expect("an abstract address");
        hidden.bind(&address).and_then(|()| hidden.listen(1)).expect("a listener");
        assert_eq!(listening_address(&hidden), Ok(Address::Unix(format!("@{name}").into())));
    }
}
