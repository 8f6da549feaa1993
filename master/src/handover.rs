//! The protocol of an upgrade between two masters: the program that is started, and the messages that they exchange.
//!
//! The old master starts the program that it was started from itself ([`Program`]), with its listening sockets and one end
//! of a socket pair, over which each [`Word`] is one byte. A new master that cannot serve sends its reason before it exits
//! ([`Reason`]). Until the new master reports that it serves, the old one serves as usual. Both keep their ends for as long
//! as they live: the end of the stream is the end of the other process.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tine_common::log::one_line;
use tine_common::sys::exec::{self, Minded};

/// The name of the new master's end of the pair among the descriptors that it inherits.
pub const CHANNEL: &str = "tine-handover";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// From the new master: all of its workers are ready.
    Serves,
    /// From the old master: the new one alone owns the sockets and speaks for the service.
    HandedOver,
    /// From the new master: drain; a second one cuts what is left.
    Stop,
    /// From the new master: stop at once.
    StopNow,
    /// From the old master before it exits: it had to cut connections.
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

    /// Sends it. An error means that the other process has exited.
    pub fn send(self, mut channel: impl Write) -> io::Result<()> {
        channel.write_all(&[self.byte()])
    }

    /// The words received since the last call, and whether the stream has ended; the bytes of a reason are collected in
    /// `reason`. Unknown bytes, of another version, are ignored.
    pub fn receive(mut channel: impl Read, reason: &mut Reason) -> (Vec<Word>, bool) {
        let (mut words, mut bytes) = (Vec::new(), [0; 16]);
        loop {
            let count = match channel.read(&mut bytes) {
                Ok(count @ 1..) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return (words, false),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                // A reset if the other exited before it had read everything.
                Ok(0) | Err(_) => return (words, true),
            };
            let known = |&byte: &u8| Word::ALL.into_iter().find(|word| word.byte() == byte);
            words.extend(bytes[..count].iter().filter_map(known));
            bytes[..count].iter().for_each(|&byte| reason.push(byte));
        }
    }
}

/// Why the new master cannot serve, in its own words.
///
/// Each byte is sent as two halves, each with a mark, so that none of them is a word: an old master of a version without
/// reasons ignores them.
#[derive(Debug, Default)]
pub struct Reason {
    halves: Vec<u8>,
}

impl Reason {
    /// A longer reason is cut.
    const BYTES_MAX: usize = 4096;
    const MARK: u8 = 0x80;
    const MARK_MASK: u8 = 0xf0;

    pub fn send(text: &str, mut channel: impl Write) -> io::Result<()> {
        let bytes = text.bytes().take(Reason::BYTES_MAX);
        let halves: Vec<u8> = bytes.flat_map(|byte| [Reason::MARK | byte >> 4, Reason::MARK | byte & 0xf]).collect();
        channel.write_all(&halves)
    }

    fn push(&mut self, byte: u8) {
        if byte & Reason::MARK_MASK == Reason::MARK && self.halves.len() < 2 * Reason::BYTES_MAX {
            self.halves.push(byte & !Reason::MARK_MASK);
        }
    }

    /// The first line, which says what is wrong; the full text is in the new master's log. `None` if there is none.
    pub fn first_line(&self) -> Option<String> {
        let bytes: Vec<u8> = self.halves.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().map(str::trim).find(|line| !line.is_empty()).map(one_line)
    }
}

/// How this process was started, so that it can be started again.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    directory: PathBuf,
}

/// The path at which a shell would find the program.
fn find_in_path(name: &Path) -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    std::env::split_paths(&directories)
        .map(|directory| directory.join(name))
        .find(|path| access(path, AccessFlags::X_OK).is_ok())
}

impl Program {
    /// To be called before the process title is set, which overwrites the arguments, and before the working directory changes.
    /// The program is later started by the same path, so a link there may lead to a new binary by then.
    pub fn current() -> io::Result<Program> {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let directory = std::env::current_dir()?;
        let name = arguments.first().map(PathBuf::from).unwrap_or_default();
        let path = match name.components().count() {
            0 | 1 => find_in_path(&name).map_or_else(std::env::current_exe, Ok)?,
            _ => name,
        };
        let path = directory.join(path);
        Ok(Program { path, arguments, directory })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts the program again, with these environment variables changed.
    pub fn start(
        &self,
        descriptors: &[(BorrowedFd<'_>, String)],
        environment: &[(&str, Option<OsString>)],
    ) -> io::Result<Minded> {
        // After a change of user, this process may be in the directory without the right to enter it.
        let may_enter = self.directory.join(".").exists();
        exec::start_minded(&exec::Program {
            path: &self.path,
            arguments: &self.arguments,
            directory: if may_enter { &self.directory } else { Path::new(".") },
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
        // The process that created the pair; the parent is a minder.
        let pid = Pid::from_raw(getsockopt(&channel, PeerCredentials)?.pid());
        channel.set_nonblocking(true)?;
        Ok(Predecessor { pid, channel })
    }

    /// Sends the reason why this process exits.
    pub fn send_reason(&self, line: &str) {
        // The predecessor may have exited; and the channel, nearly empty, has room.
        let _ = Reason::send(line, &self.channel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8], step: usize) -> (Vec<Word>, Option<String>) {
        let (mut words, mut reason) = (Vec::new(), Reason::default());
        for part in bytes.chunks(step) {
            words.extend(Word::receive(part, &mut reason).0);
        }
        (words, reason.first_line())
    }

    #[test]
    fn a_reason_comes_in_one_line_and_is_no_word() {
        for (text, expected) in [
            ("", None),
            (" \n", None),
            ("RHTQC", Some("RHTQC")),
            ("app.lua:1: it is “wrong”\n\tstack", Some("app.lua:1: it is “wrong”")),
            ("\n  a\u{1b}[31m\u{7}\r\nb", Some("a\\u{1b}[31m\\u{7}")),
        ] {
            let mut bytes = Vec::new();
            Reason::send(text, &mut bytes).expect("there is room");
            for step in 1..=bytes.len().max(1) {
                assert_eq!(heard(&bytes, step), (Vec::new(), expected.map(str::to_string)), "{text:?} by {step}");
            }
            Word::Serves.send(&mut bytes).expect("there is room");
            assert_eq!(heard(&bytes, 7).0, [Word::Serves]);
        }
    }

    #[test]
    fn a_reason_is_bounded() {
        let mut bytes = Vec::new();
        Reason::send(&"x".repeat(100_000), &mut bytes).expect("there is room");
        assert_eq!(bytes.len(), 2 * Reason::BYTES_MAX);
        let twice = [&bytes[..], &bytes[..]].concat();
        assert_eq!(heard(&twice, 16).1.map(|line| line.len()), Some(Reason::BYTES_MAX));
    }
}
