//! The control socket's file: created so that no other user can connect and no client ever finds it missing, and removed
//! only while it is ours.
//!
//! The socket is bound beside its path, gets its mode before it listens, and is then renamed onto the path. So an upgrade's
//! new master takes the path over from the old one in one step.

use crate::unix_socket::{self, is_live};
use nix::sys::stat::{Mode, lstat, umask};
use socket2::SockAddr;
use std::fs;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Length of the accept queue.
const BACKLOG: i32 = 16;
/// sun_path holds 108 bytes with its final NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// What to do with a socket at the path on which another process listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// Leave it and refuse the claim.
    Free,
    /// Replace it: its owner is shutting down, or our own file was removed.
    TakeOver,
}

pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Listens at the path. The error is one line with a hint.
    pub fn listen(path: &Path, claim: Claim) -> Result<(SocketFile, UnixListener), String> {
        let shown = path.display();
        let failed = |e: io::Error| format!("{shown}: {}", unix_socket::explain(&e));
        let beside = beside(path)?;
        if claim == Claim::Free {
            check_unused(path, failed)?;
        }
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {} // left by a process that had the same ID
        }
        let socket = unix_socket::new().map_err(failed)?;
        let address = SockAddr::unix(&beside).map_err(failed)?;
        // Created with its mode: a later chmod by name could change the target of a link.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = socket.bind(&address);
        umask(before);
        bound.map_err(failed)?;
        let placed = socket.listen(BACKLOG).and_then(|()| fs::rename(&beside, path));
        if let Err(e) = placed {
            let _ = fs::remove_file(&beside); // best effort: the error below is the one to report
            return Err(failed(e));
        }
        let file = SocketFile { path: path.to_path_buf(), identity: identity(path) };
        Ok((file, UnixListener::from(std::os::fd::OwnedFd::from(socket))))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the path still leads to this socket.
    pub fn is_ours(&self) -> bool {
        self.identity.is_some() && identity(&self.path) == self.identity
    }

    /// Removes the file, if it is still ours.
    pub fn remove(&self) {
        if self.is_ours()
            && let Err(e) = fs::remove_file(&self.path)
        {
            log::warn!("the control socket {} cannot be removed: {e}", self.path.display());
        }
    }
}

/// Where the socket is bound before it is renamed: in the same directory, under a short name of this process's own.
fn beside(path: &Path) -> Result<PathBuf, String> {
    let beside = path.with_file_name(format!(".{}", std::process::id()));
    let longest = [path, &beside].iter().map(|path| path.as_os_str().len()).max().unwrap_or(0);
    match path.file_name() {
        None => Err(format!("{}: this does not name a file; give a path such as /run/tine/8080.ctl", path.display())),
        Some(_) if longest > PATH_BYTES_MAX => Err(format!(
            "{}: the path of a socket has at most {PATH_BYTES_MAX} bytes, but this one needs {longest}; give a shorter one",
            path.display()
        )),
        Some(_) => Ok(beside),
    }
}

/// Refuses a file that is not a socket, and a socket on which a process listens.
fn check_unused(path: &Path, failed: impl Fn(io::Error) -> String) -> Result<(), String> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let shown = path.display();
    if identity(path).is_none() {
        return Err(format!("{shown}: the file there is not a socket; remove it or give another path"));
    }
    match is_live(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!("{shown}: another server listens there; stop it or give another path")),
        Err(e) => Err(failed(e)),
    }
}

/// Device and inode, if the path is a socket itself, and not a link to one.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    unix_socket::identity_of(lstat(path))
}
