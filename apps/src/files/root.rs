//! The directory whose files are served: opened once, and the only way to a file.
//!
//! openat2(2) with RESOLVE_BENEATH: the kernel ensures that neither `..` nor a symbolic link leads out, even while
//! directories are renamed. Opening never blocks (on a FIFO) and never acquires a controlling terminal.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use std::fmt;
use std::fs::{File, Metadata};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// openat2 fails with EAGAIN if names change while the kernel resolves the path.
const ATTEMPTS_MAX: usize = 8;

const DIRECTORY: OFlag = OFlag::O_PATH.union(OFlag::O_DIRECTORY).union(OFlag::O_CLOEXEC);

/// A directory that was opened, or that is awaited, and below which no path leads out.
#[derive(Debug)]
pub struct Root {
    /// Empty while the directory is awaited.
    directory: OnceLock<OwnedFd>,
    path: PathBuf,
}

/// Why nothing can be served.
#[derive(Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No such file, or none that is served: a FIFO, a device, a socket, a link out of the root.
    Absent,
    /// It is a directory.
    Directory,
    /// The server has no permission to read it.
    Forbidden,
    /// No descriptor is left.
    Exhausted,
    Failed(Errno),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFound::Absent => f.write_str("there is no such file beneath it"),
            NotFound::Directory => f.write_str("it is a directory"),
            NotFound::Forbidden => f.write_str("permission denied"),
            NotFound::Exhausted => f.write_str("no descriptor is left"),
            NotFound::Failed(e) => f.write_str(e.desc()),
        }
    }
}

impl Root {
    /// Opens the directory, and tests that files beneath it can be opened with openat2. The error is one line that says
    /// what is wrong, without the directory's name.
    pub fn open(path: &Path) -> Result<Root, String> {
        let root = Root::open_or_await(path)?;
        if root.is_awaited() { Err("there is no such directory".to_string()) } else { Ok(root) }
    }

    /// As [`Root::open`], but a directory that does not exist is awaited: no file is found until it does.
    pub fn open_or_await(path: &Path) -> Result<Root, String> {
        let wrong = |e: Errno| match e {
            Errno::ENOTDIR => "it is not a directory".to_string(),
            Errno::EACCES => "it cannot be opened: permission denied".to_string(),
            e => format!("it cannot be opened: {}", e.desc()),
        };
        let directory = match open(path, DIRECTORY, Mode::empty()) {
            Ok(directory) => Some(directory),
            Err(Errno::ENOENT) => None,
            Err(e) => return Err(wrong(e)),
        };
        let tested = match &directory {
            Some(directory) => open_beneath(directory, b".", DIRECTORY),
            None => open("/", DIRECTORY, Mode::empty()).and_then(|slash| open_beneath(&slash, b".", DIRECTORY)),
        };
        match tested {
            Ok(_) => {
                let directory = directory.map_or_else(OnceLock::new, OnceLock::from);
                Ok(Root { directory, path: path.to_path_buf() })
            }
            Err(e @ (Errno::ENOSYS | Errno::EPERM)) => Err(format!(
                "files cannot be served: openat2(2), which keeps paths beneath their directory, is {} ({}); it needs Linux \
                 5.6 and a sandbox (seccomp) that allows it",
                if e == Errno::ENOSYS { "missing" } else { "forbidden" },
                e.desc()
            )),
            Err(e) => Err(wrong(e)),
        }
    }

    /// Opens the directory that has the name now: for a reload, when a symbolic link may lead elsewhere. The error is
    /// as in [`Root::open`]. One that is awaited may still be missing.
    pub fn reopen(&self) -> Result<Root, String> {
        if self.is_awaited() { Root::open_or_await(&self.path) } else { Root::open(&self.path) }
    }

    /// The directory did not exist, and has not been opened since.
    pub fn is_awaited(&self) -> bool {
        self.directory.get().is_none()
    }

    /// The directory as it was named.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file at this path for reading; the path is relative and not empty.
    pub fn find(&self, path: &[u8]) -> Result<(File, Metadata), NotFound> {
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
        let opened = self.directory().and_then(|root| open_beneath(root, path, flags)).map(File::from);
        let found = opened.and_then(|file| match file.metadata() {
            Ok(metadata) => Ok((file, metadata)),
            Err(e) => Err(Errno::from_raw(e.raw_os_error().unwrap_or(Errno::EIO as i32))),
        });
        match found {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata)),
            Ok((_, metadata)) if metadata.is_dir() => Err(NotFound::Directory),
            Ok(_) => Err(NotFound::Absent),
            Err(e) => Err(match e {
                // EXDEV and ELOOP: a link that leads out, or that the kernel does not follow. ENXIO and ENODEV: a
                // socket, a device without a driver.
                Errno::ENOENT
                | Errno::ENOTDIR
                | Errno::ENAMETOOLONG
                | Errno::EXDEV
                | Errno::ELOOP
                | Errno::ENXIO
                | Errno::ENODEV => NotFound::Absent,
                Errno::EACCES | Errno::EPERM => NotFound::Forbidden,
                Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM => NotFound::Exhausted,
                e => NotFound::Failed(e),
            }),
        }
    }

    /// Opens an awaited directory once it exists.
    fn directory(&self) -> Result<&OwnedFd, Errno> {
        match self.directory.get() {
            Some(directory) => Ok(directory),
            None => open(&self.path, DIRECTORY, Mode::empty()).map(|found| self.directory.get_or_init(|| found)),
        }
    }
}

fn open_beneath(directory: &OwnedFd, path: &[u8], flags: OFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let mut opened = Err(Errno::EAGAIN);
    for _ in 0..ATTEMPTS_MAX {
        opened = openat2(directory, Path::new(std::ffi::OsStr::from_bytes(path)), how);
        if !matches!(opened, Err(Errno::EAGAIN | Errno::EINTR)) {
            break;
        }
    }
    opened
}
