//! Checks of a Unix socket's path before it is bound, for the listeners and for the control socket.

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use nix::unistd::{Gid, Uid, fchownat};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::path::Path;

pub fn new() -> io::Result<Socket> {
    Socket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)
}

/// Whether a process is listening: connect(2) succeeds or would block (the queue is full). ECONNREFUSED: no listener.
pub fn is_live(path: &Path) -> io::Result<bool> {
    match new()?.connect(&SockAddr::unix(path)?) {
        Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(e),
        _ => Ok(true),
    }
}

/// Whether a process of this user is listening; of any user if `owner` is `None`.
pub fn is_live_of(path: &Path, owner: Option<u32>) -> io::Result<bool> {
    let Some(owner) = owner else { return is_live(path) };
    let socket = new()?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(getsockopt(&socket, PeerCredentials)?.uid() == owner)
}

/// Device and inode, if what was found is a socket.
pub fn identity_of(found: nix::Result<FileStat>) -> Option<(u64, u64)> {
    let found = found.ok()?;
    let is_socket = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFSOCK.bits();
    is_socket.then_some((found.st_dev, found.st_ino))
}

/// Changes the owner of a socket's file, if it is still the same file. Through a descriptor: by then the name may lead to
/// another file. A socket with further hard links is left alone, as it may belong to another user.
pub fn give_to(path: &Path, identity: Option<(u64, u64)>, uid: u32, gid: u32) -> io::Result<()> {
    let file = match open(path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(()),
        opened => opened?,
    };
    let found = fstat(&file);
    if found.is_ok_and(|found| found.st_nlink == 1) && identity_of(found) == identity {
        fchownat(&file, "", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::AT_EMPTY_PATH)?;
    }
    Ok(())
}

/// What is wrong with a path, with a hint.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such directory; create it or give another path".to_string(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; give a path in a directory that you may write to".to_string()
        }
        _ => error.to_string(),
    }
}
