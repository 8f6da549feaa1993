//! What is asked of a Unix socket's path before somebody listens there, and why it cannot be had; for the listeners and for
//! the control socket.

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

/// Whether somebody listens: who does answers, or has a full queue; nobody refuses.
pub fn is_live(path: &Path) -> io::Result<bool> {
    match new()?.connect(&SockAddr::unix(path)?) {
        Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => Ok(false),
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Err(e),
        _ => Ok(true),
    }
}

/// Whether a server of this user's listens; without a user, whether anybody does.
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

/// Gives the file of a socket to another user, if it is still this one. By a descriptor: by then the name may be another
/// file's; and a socket that has other names as well may be somebody's.
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

/// What is wrong with a path, and what would do.
pub fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such folder; create it or give another path".to_string(),
        io::ErrorKind::PermissionDenied => {
            "permission denied; give a path in a folder that you may write to".to_string()
        }
        _ => error.to_string(),
    }
}
