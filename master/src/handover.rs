//! What two masters know of each other while one takes over from the other: the program that is started, and the word that
//! it serves.
//!
//! The older starts the program that it was started from itself ([`Program`]), with its listening sockets and one end of a
//! socket pair. The younger says one byte over it once all of its workers are ready ([`Predecessor::tell`]); until then the
//! older serves as if nothing were.

use nix::unistd::{AccessFlags, Pid, access, getppid};
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tine_common::sys::exec;

/// The name of the younger master's end of the pair among the descriptors that it inherits.
pub const CHANNEL: &str = "tine-handover";
/// All workers of the younger master are ready.
pub const SERVES: u8 = b'R';

/// How this process was started, so that it can be done again.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
}

/// Where a shell would find the program.
fn find_in_path(name: &Path) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(name)).find(|path| access(path, AccessFlags::X_OK).is_ok())
}

impl Program {
    /// To be taken before the process is renamed, which overwrites its arguments, and before it goes to another folder. A
    /// program is found again where it was found then, by its path or in PATH, so that a link there may lead to another
    /// one.
    pub fn current() -> io::Result<Program> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let folder = std::env::current_dir()?;
        let name = arguments.first().map(PathBuf::from).unwrap_or_default();
        let path = match name.components().count() {
            0 | 1 => find_in_path(&name).map_or_else(std::env::current_exe, Ok)?,
            _ => name,
        };
        let path = folder.join(path);
        Ok(Program { path, arguments, folder })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it once more, with these variables changed.
    pub fn start(
        &self,
        descriptors: &[(BorrowedFd<'_>, String)],
        environment: &[(&str, Option<OsString>)],
    ) -> io::Result<Pid> {
        // Who has become another user since may not be let into the folder, but may be in it.
        let may_enter = self.folder.join(".").exists();
        exec::start(&exec::Program {
            path: &self.path,
            arguments: &self.arguments,
            folder: if may_enter { &self.folder } else { Path::new(".") },
            environment,
            descriptors,
        })
    }
}

/// The master that this one takes over from.
pub struct Predecessor {
    pub pid: Pid,
    channel: UnixStream,
}

impl Predecessor {
    pub fn new(channel: OwnedFd) -> Predecessor {
        Predecessor { pid: getppid(), channel: channel.into() }
    }

    /// All workers are ready: it may go. The error: it has gone already.
    pub fn tell(mut self) -> io::Result<()> {
        self.channel.write_all(&[SERVES])
    }
}
