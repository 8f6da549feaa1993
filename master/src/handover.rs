//! The protocol of an upgrade between two masters: the program that is started, and the messages that they exchange.
//!
//! The old master starts the program that it was started from itself ([`Program`]), with its listening sockets and one end
//! of a socket pair, over which each [`Word`] is one byte. There are texts as well ([`Topic`]): the limits that an operator has
//! set, for the new master, and the reason of one that cannot serve, before it exits. Before all else comes the file of the server
//! memory ([`MEMORY`]). Until the new master reports that it serves, the old one serves as usual. Both keep their ends for as long
//! as they live: the end of the stream is the end of the other process.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{AccessFlags, Pid, access};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tine_common::log::one_line;
use tine_common::sys::exec::{self, Minded};
use tine_common::sys::passing;

/// The name of the new master's end of the pair among the descriptors that it inherits.
pub const CHANNEL: &str = "tine-handover";
/// The byte that the file of the server memory comes with: the first of the old master. Neither words nor texts have it.
const MEMORY: u8 = b'M';

/// Passes the memory on. To be called before the new master is started.
pub fn send_memory(memory: BorrowedFd<'_>, channel: &UnixStream) -> io::Result<()> {
    Ok(passing::send(channel.as_fd(), MEMORY, memory)?)
}

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

    /// The words received since the last call, and whether the stream has ended; the bytes of texts are collected in `texts`.
    /// Unknown bytes, of another version, are ignored.
    pub fn receive(mut channel: impl Read, texts: &mut Texts) -> (Vec<Word>, bool) {
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
            bytes[..count].iter().for_each(|&byte| texts.push(byte));
        }
    }
}

/// What a text between two masters is about.
///
/// Each byte is sent as two halves, each with the topic's mark, so that none of them is a word: a master of a version without
/// this topic ignores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// From the new master: why it cannot serve, in its own words.
    Reason,
    /// From the old master, before the new one is started and whenever they change: the limits that were set while it ran. All
    /// of them, after [`Topic::BEGIN`] if it is not the first time.
    Limits,
}

impl Topic {
    const ALL: [Topic; 2] = [Topic::Reason, Topic::Limits];
    /// What came before it is outdated.
    pub const BEGIN: &str = "\0\n";
    /// A longer text is cut.
    const BYTES_MAX: usize = 4096;
    const MARK_MASK: u8 = 0xf0;

    fn mark(self) -> u8 {
        match self {
            Topic::Reason => 0x80,
            Topic::Limits => 0x90,
        }
    }

    pub fn send(self, text: &str, mut channel: impl Write) -> io::Result<()> {
        let bytes = text.bytes().take(Topic::BYTES_MAX);
        let halves: Vec<u8> = bytes.flat_map(|byte| [self.mark() | byte >> 4, self.mark() | byte & 0xf]).collect();
        channel.write_all(&halves)
    }
}

/// The texts received so far.
#[derive(Debug, Default)]
pub struct Texts {
    halves: [Vec<u8>; Topic::ALL.len()],
}

impl Texts {
    fn push(&mut self, byte: u8) {
        let Some(topic) = Topic::ALL.into_iter().find(|topic| byte & Topic::MARK_MASK == topic.mark()) else { return };
        let halves = &mut self.halves[topic as usize];
        if halves.len() < 2 * Topic::BYTES_MAX {
            halves.push(byte & !Topic::MARK_MASK);
        }
        if halves.len().is_multiple_of(2) && halves.ends_with(&[0, 0]) {
            halves.clear(); // as after `Topic::BEGIN`
        }
    }

    pub fn get(&self, topic: Topic) -> String {
        let halves = &self.halves[topic as usize];
        let bytes: Vec<u8> = halves.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The first line of the reason, which says what is wrong; the full text is in the new master's log. `None` if there is none.
    pub fn reason(&self) -> Option<String> {
        let text = self.get(Topic::Reason);
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
    /// Its server memory; `None`: it cannot hand it on.
    pub memory: Option<OwnedFd>,
    texts: Texts,
}

impl Predecessor {
    pub fn new(channel: OwnedFd) -> io::Result<Predecessor> {
        let channel = UnixStream::from(channel);
        // The process that created the pair; the parent is a minder.
        let pid = Pid::from_raw(getsockopt(&channel, PeerCredentials)?.pid());
        channel.set_nonblocking(true)?;
        let memory = passing::receive(channel.as_fd(), MEMORY)?;
        Ok(Predecessor { pid, channel, memory, texts: Texts::default() })
    }

    /// Sends the reason why this process exits.
    pub fn send_reason(&self, line: &str) {
        // The predecessor may have exited; and the channel, nearly empty, has room.
        let _ = Topic::Reason.send(line, &self.channel);
    }

    /// The limits that were set while it ran until now, as [`Topic::Limits`] has them.
    pub fn limits(&mut self) -> String {
        // It sends no word before this master serves; if it has ended, that is noticed then.
        let _ = Word::receive(&self.channel, &mut self.texts);
        self.texts.get(Topic::Limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(bytes: &[u8], step: usize) -> (Vec<Word>, Texts) {
        let (mut words, mut texts) = (Vec::new(), Texts::default());
        for part in bytes.chunks(step) {
            words.extend(Word::receive(part, &mut texts).0);
        }
        (words, texts)
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
            Topic::Reason.send(text, &mut bytes).expect("there is room");
            for step in 1..=bytes.len().max(1) {
                let (words, texts) = heard(&bytes, step);
                assert_eq!((words, texts.reason()), (Vec::new(), expected.map(str::to_string)), "{text:?} by {step}");
            }
            Word::Serves.send(&mut bytes).expect("there is room");
            assert_eq!(heard(&bytes, 7).0, [Word::Serves]);
        }
    }

    #[test]
    fn texts_of_several_topics_do_not_mix() {
        let mut bytes = Vec::new();
        Topic::Limits.send("rate=off over ", &mut bytes).expect("there is room");
        Topic::Reason.send("no", &mut bytes).expect("there is room");
        Topic::Limits.send("50/s\n", &mut bytes).expect("there is room");
        let (words, texts) = heard(&bytes, 3);
        assert_eq!((words, texts.get(Topic::Limits).as_str()), (vec![], "rate=off over 50/s\n"));
        assert_eq!(texts.reason().as_deref(), Some("no"));
    }

    #[test]
    fn limits_that_are_sent_again_take_the_place_of_those_before() {
        let mut bytes = Vec::new();
        Topic::Limits.send("rate=off over 50/s\n", &mut bytes).expect("there is room");
        for (text, expected) in [("wait=2s over 1s\n", "\nwait=2s over 1s\n"), ("", "\n")] {
            Topic::Limits.send(&format!("{}{text}", Topic::BEGIN), &mut bytes).expect("there is room");
            for step in [1, 7, bytes.len()] {
                assert_eq!(heard(&bytes, step).1.get(Topic::Limits), expected);
            }
        }
    }

    #[test]
    fn the_memory_comes_first_and_is_not_a_word() {
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        let file = std::fs::File::open("/dev/null").expect("a file");
        send_memory(file.as_fd(), &ours).expect("there is room");
        Topic::Limits.send("wait=2s over 1s\n", &ours).expect("there is room");
        let mut next = Predecessor::new(theirs.into()).expect("a channel");
        assert_eq!((next.memory.is_some(), next.limits().as_str()), (true, "wait=2s over 1s\n"));
        let (ours, theirs) = UnixStream::pair().expect("a pair");
        Topic::Limits.send("wait=3s over 1s\n", &ours).expect("there is room");
        let mut next = Predecessor::new(theirs.into()).expect("a channel");
        assert_eq!((next.memory.is_some(), next.limits().as_str()), (false, "wait=3s over 1s\n"), "an older version");
    }

    #[test]
    fn a_text_is_bounded() {
        let mut bytes = Vec::new();
        Topic::Reason.send(&"x".repeat(100_000), &mut bytes).expect("there is room");
        assert_eq!(bytes.len(), 2 * Topic::BYTES_MAX);
        let twice = [&bytes[..], &bytes[..]].concat();
        assert_eq!(heard(&twice, 16).1.reason().map(|line| line.len()), Some(Topic::BYTES_MAX));
    }
}
