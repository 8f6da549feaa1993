//! Opening a file for writing as root where other users may have made links.
//!
//! Directories that only root may write to are walked as they are, links included. From the first directory that others
//! may write to, no link is followed, and the file must have a single name: a user with write access to the directory
//! could have linked any file there, and root would write into that.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::unistd::geteuid;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// The number of links that the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// The mode of a new file, before the umask.
const NEW: Mode = Mode::from_bits_truncate(0o666);

/// Opens an absolute path; if this process is not root, as open(2) does.
pub fn open_guarded(path: &Path, flags: OFlag) -> io::Result<File> {
    let others = if geteuid().is_root() { where_others_write(path)? } else { None };
    let Some((directory, rest)) = others else { return Ok(open(path, flags, NEW)?.into()) };
    let of_others = |what: &str| {
        let text = format!("{what}, and users other than root may write to {}", directory.display());
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    };
    let file = match open_without_links(&directory, &rest, flags) {
        Err(Errno::ELOOP) => return Err(of_others("a link leads to it")),
        opened => File::from(opened?),
    };
    match is_plain(&file.metadata()?) {
        true => Ok(file),
        false => Err(of_others("it is not a regular file with a single name")),
    }
}

/// Whether it is a regular file with a single name: a file with further names may be another user's.
pub fn is_plain(file: &Metadata) -> bool {
    file.is_file() && file.nlink() == 1
}

fn open_without_links(directory: &Path, rest: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let directory = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    // openat2(2) refuses a mode where no file is created.
    let mode = if flags.contains(OFlag::O_CREAT) { NEW } else { Mode::empty() };
    let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(directory, rest, how)
}

/// The first directory on the way that users other than root may write to, and the way from there; `None`: there is
/// none.
fn where_others_write(path: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let parts = |path: &Path| -> VecDeque<OsString> {
        path.components().filter(|part| *part != Component::RootDir).map(|part| part.as_os_str().into()).collect()
    };
    let (mut at, mut rest, mut links) = (PathBuf::from("/"), parts(path), 0);
    // /proc is the kernel's.
    while !rest.is_empty() && !at.starts_with("/proc") {
        let directory = fs::metadata(&at)?;
        let may_group_write = directory.mode() & 0o020 != 0 && directory.gid() != 0;
        if directory.uid() != 0 || may_group_write || directory.mode() & 0o002 != 0 {
            return Ok(Some((at, rest.into_iter().collect())));
        }
        let Some(part) = rest.pop_front() else { break };
        if part == ".." {
            at.pop();
            continue;
        }
        let next = at.join(part);
        match fs::symlink_metadata(&next) {
            Ok(found) if found.is_symlink() => {
                links += 1;
                if links > LINKS_MAX {
                    return Err(Errno::ELOOP.into());
                }
                let target = fs::read_link(&next)?;
                if target.is_absolute() {
                    at = PathBuf::from("/");
                }
                let mut way = parts(&target);
                way.append(&mut rest);
                rest = way;
            }
            Ok(_) => at = next,
            // open(2) creates it or reports the error.
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
