//! What two masters know of each other while one takes over from the other: the program that is started, and what they say
//! to each other.
//!
//! The older starts the program that it was started from itself ([`Program`]), with its listening sockets and one end of a
//! socket pair, over which each [`Word`] is a byte. Until the younger has said that it serves, the older serves as if
//! nothing were. Both keep their ends for as long as they live: the end of the stream is the end of the other.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tine_common::sys::exec::{self, Minded};

/// The name of the younger master's end of the pair among the descriptors that it inherits.
pub const CHANNEL: &str = "tine-handover";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Of the younger: all of its workers are ready.
    Serves,
    /// Of the older: the sockets are the younger's alone, and it speaks for the service.
    HandedOver,
    /// Of the younger: finish in time; once more: cut what is left.
    Stop,
    /// Of the younger: end at once.
    StopNow,
    /// Of the older, which ends: it had to cut connections.
    HasCut,
}

impl Word {
    const ALL: [Word; 5] = [Word::Serves, Word::HandedOver, Word::Stop, Word::StopNow, Word::HasCut];

    fn byte(self) -> u8 {
        match self {
            Word::Serves => b'R',
            Word::HandedOver => b'H',
            Word::Stop => b'T',
            Word::StopNow => b'Q',
            Word::HasCut => b'C',
        }
    }

    /// Says it. The error: the other has ended.
    pub fn say(self, mut channel: impl Write) -> io::Result<()> {
        channel.write_all(&[self.byte()])
    }

    /// What has been said since the last time, and whether the stream has ended. What another version may say besides is
    /// left alone.
    pub fn hear(mut channel: impl Read) -> (Vec<Word>, bool) {
        let (mut words, mut bytes) = (Vec::new(), [0; 16]);
        loop {
            let count = match channel.read(&mut bytes) {
                Ok(count @ 1..) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return (words, false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // A reset, where the other ended before it had read everything.
                Ok(0) | Err(_) => return (words, true),
            };
            let known = |&byte: &u8| Word::ALL.into_iter().find(|word| word.byte() == byte);
            words.extend(bytes[..count].iter().filter_map(known));
        }
    }
}

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
    ) -> io::Result<Minded> {
        // Who has become another user since may not be let into the folder, but may be in it.
        let may_enter = self.folder.join(".").exists();
        exec::start_minded(&exec::Program {
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
    pub channel: UnixStream,
}

impl Predecessor {
    pub fn new(channel: OwnedFd) -> io::Result<Predecessor> {
        let channel = UnixStream::from(channel);
        // Whoever has made the pair. The parent is a minder.
        let pid = Pid::from_raw(getsockopt(&channel, PeerCredentials)?.pid());
        channel.set_nonblocking(true)?;
        Ok(Predecessor { pid, channel })
    }
}
