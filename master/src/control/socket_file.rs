//! The control socket's file: made so that nobody else can connect and no caller ever finds it missing, and removed only
//! while it is ours.
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

/// Callers that may wait to be accepted.
const BACKLOG: i32 = 16;
/// sun_path holds 108 bytes with its final NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// What becomes of a socket at the path that somebody listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It stays, and the claim is refused.
    Free,
    /// It is replaced: its owner is on its way out, or the file of ours was taken away.
    TakeOver,
}

pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: Option<(u64, u64)>,
}

impl SocketFile {
    /// Listens at the path; the error is one line that says why not and what would do.
    pub fn listen(path: &Path, claim: Claim) -> Result<(SocketFile, UnixListener), String> {
        let shown = path.display();
        let failed = |e: io::Error| format!("{shown}: {}", unix_socket::explain(&e));
        let beside = beside(path)?;
        if claim == Claim::Free {
            look_for_others(path, failed)?;
        }
        match fs::remove_file(&beside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {} // left by somebody who had this process number
        }
        let socket = unix_socket::new().map_err(failed)?;
        let address = SockAddr::unix(&beside).map_err(failed)?;
        // Born with its mode: to change that later by its name could change what a link there leads to.
        let before = umask(Mode::from_bits_truncate(0o177));
        let bound = socket.bind(&address);
        umask(before);
        bound.map_err(failed)?;
        let placed = socket.listen(BACKLOG).and_then(|()| fs::rename(&beside, path));
        if let Err(e) = placed {
            let _ = fs::remove_file(&beside); // whether it can be removed changes nothing
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
        None => Err(format!("{}: this names no file; give a path such as /run/tine/8080.ctl", path.display())),
        Some(_) if longest > PATH_BYTES_MAX => Err(format!(
            "{}: the path of a socket has at most {PATH_BYTES_MAX} bytes, and this one comes to {longest}; give a shorter one",
            path.display()
        )),
        Some(_) => Ok(beside),
    }
}

/// Refuses a file of another kind, and a socket that somebody listens on.
fn look_for_others(path: &Path, failed: impl Fn(io::Error) -> String) -> Result<(), String> {
    if fs::symlink_metadata(path).is_err() {
        return Ok(());
    }
    let shown = path.display();
    if identity(path).is_none() {
        return Err(format!("{shown}: there is a file of another kind; remove it or give another path"));
    }
    match is_live(path) {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!("{shown}: another server answers there; stop it or give another path")),
        Err(e) => Err(failed(e)),
    }
}

/// Device and inode, if the path is a socket itself, and not a link to one.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    unix_socket::identity_of(lstat(path))
}
