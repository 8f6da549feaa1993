//! Opening a file to write to as root, where others may have made links.
//!
//! Folders in which only root can make anything are walked as they are, links included. From the first folder on that others
//! may write to, a link is not followed, and the file has to be one with one name: who may write to the folder could have
//! linked any file there, and root would write into that.

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

/// As many as the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;
/// What a new file may be, before the umask.
const NEW: Mode = Mode::from_bits_truncate(0o666);

/// Opens an absolute path, with no more care than open(2) takes where this process is not root.
pub fn open_with_care(path: &Path, flags: OFlag) -> io::Result<File> {
    let others = if geteuid().is_root() { where_others_write(path)? } else { None };
    let Some((folder, rest)) = others else { return Ok(open(path, flags, NEW)?.into()) };
    let of_others = |what: &str| {
        let text = format!("{what}, and others than root may write to {}", folder.display());
        io::Error::new(io::ErrorKind::PermissionDenied, text)
    };
    let file = match open_without_links(&folder, &rest, flags) {
        Err(Errno::ELOOP) => return Err(of_others("a link leads to it")),
        opened => File::from(opened?),
    };
    match is_plain(&file.metadata()?) {
        true => Ok(file),
        false => Err(of_others("it is not a file with one name")),
    }
}

/// A file with one name: one that has others may be somebody's.
pub fn is_plain(file: &Metadata) -> bool {
    file.is_file() && file.nlink() == 1
}

fn open_without_links(folder: &Path, rest: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let folder = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    // openat2(2) refuses a mode that nothing is made with.
    let mode = if flags.contains(OFlag::O_CREAT) { NEW } else { Mode::empty() };
    let how = OpenHow::new().flags(flags | OFlag::O_NOFOLLOW).mode(mode).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(folder, rest, how)
}

/// The first folder on the way that others than root may write to, and the way from there; `None`: there is none.
fn where_others_write(path: &Path) -> io::Result<Option<(PathBuf, PathBuf)>> {
    let parts = |path: &Path| -> VecDeque<OsString> {
        path.components().filter(|part| *part != Component::RootDir).map(|part| part.as_os_str().into()).collect()
    };
    let (mut at, mut rest, mut links) = (PathBuf::from("/"), parts(path), 0);
    // What is in /proc is the kernel's.
    while !rest.is_empty() && !at.starts_with("/proc") {
        let folder = fs::metadata(&at)?;
        let may_group_write = folder.mode() & 0o020 != 0 && folder.gid() != 0;
        if folder.uid() != 0 || may_group_write || folder.mode() & 0o002 != 0 {
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
            // open(2) says what is wrong with it, or makes it.
            Err(_) => return Ok(None),
        }
    }
    Ok(None)
}
