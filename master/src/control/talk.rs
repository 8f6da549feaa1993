//! The client's end of the control socket: sends a request and waits for its answer. Blocking, with a deadline for each answer.

use super::place::Found;
use super::protocol::{ANSWER_BYTES_MAX, Line};
use crate::command::Command;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

pub struct Talk {
    stream: BufReader<UnixStream>,
    timeout: Option<Duration>,
}

/// The last line of an answer, raw and parsed.
#[derive(Debug)]
pub struct Last {
    pub text: String,
    pub line: Line,
}

#[derive(Debug)]
pub enum TalkError {
    /// No server listens there.
    NotListening(io::Error),
    /// The server closed the connection before it answered.
    Gone,
    /// The server did not answer within this time.
    Late(Duration),
    /// What came is not an answer.
    Strange(String),
}

impl Talk {
    /// `timeout`: for connecting, and then for each answer.
    pub fn open(path: &Path, timeout: Option<Duration>) -> Result<Talk, TalkError> {
        let connect = || -> io::Result<UnixStream> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.cloexec(), None)?;
            // While the queue is full, connect(2) blocks for as long as the send timeout allows (unix(7)).
            socket.set_write_timeout(timeout)?;
            socket.connect(&SockAddr::unix(path)?)?;
            Ok(UnixStream::from(OwnedFd::from(socket)))
        };
        match connect() {
            Ok(stream) => Ok(Talk { stream: BufReader::new(stream), timeout }),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(TalkError::Late(timeout.unwrap_or_default())),
            Err(e) => Err(TalkError::NotListening(e)),
        }
    }

    /// As [`Talk::open`], but refuses a server that runs as another user than the owner of the socket's directory.
    pub fn open_found(found: &Found, timeout: Option<Duration>) -> Result<Talk, TalkError> {
        let talk = Talk::open(&found.path, timeout)?;
        let peer =
            getsockopt(talk.stream.get_ref(), PeerCredentials).map_err(|e| TalkError::NotListening(e.into()))?.uid();
        match found.owner {
            Some(owner) if owner != peer => Err(TalkError::NotListening(io::Error::other(format!(
                "the directory belongs to user {owner}, but the server there runs as user {peer}"
            )))),
            _ => Ok(talk),
        }
    }

    /// Sends a command and waits for its outcome; `on_progress` gets each line of progress.
    pub fn ask(&mut self, command: Command, mut on_progress: impl FnMut(&str)) -> Result<Last, TalkError> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        self.stream.get_mut().write_all(command.line().as_bytes()).map_err(|e| self.lost(&e))?;
        loop {
            let text = self.read_line(deadline)?;
            let line: Line = serde_json::from_str(&text).map_err(|e| TalkError::Strange(e.to_string()))?;
            match (line.ok, &line.said) {
                (Some(_), _) => return Ok(Last { text, line }),
                (None, Some(said)) => on_progress(said),
                (None, None) => {} // a line of another version
            }
        }
    }

    /// Waits until the server closes the connection, which it does when it exits.
    pub fn wait_end(&mut self) -> Result<(), TalkError> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        loop {
            match self.read_line(deadline) {
                Ok(_) => {}
                Err(TalkError::Gone) => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    fn read_line(&mut self, deadline: Option<Instant>) -> Result<String, TalkError> {
        let mut text = Vec::new();
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(self.late());
            }
            self.stream.get_ref().set_read_timeout(left).map_err(|e| self.lost(&e))?;
            let room = (ANSWER_BYTES_MAX + 1 - text.len()) as u64;
            match (&mut self.stream).take(room).read_until(b'\n', &mut text) {
                Ok(_) if text.last() == Some(&b'\n') => {
                    text.pop();
                    return String::from_utf8(text).map_err(|e| TalkError::Strange(e.to_string()));
                }
                Ok(_) if text.len() > ANSWER_BYTES_MAX => {
                    return Err(TalkError::Strange("a line without end".to_string()));
                }
                Ok(_) => return Err(TalkError::Gone),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.lost(&e)),
            }
        }
    }

    fn lost(&self, error: &io::Error) -> TalkError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.late(),
            _ => TalkError::Gone,
        }
    }

    fn late(&self) -> TalkError {
        TalkError::Late(self.timeout.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    /// Connects to a server that sends `said` and closes.
    fn answer_of(name: &str, said: &'static [u8]) -> (Result<Last, TalkError>, Vec<String>) {
        let path = path(name);
        let listener = UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 100];
            let count = stream.read(&mut request).unwrap();
            stream.write_all(said).unwrap();
            request[..count].to_vec()
        });
        let mut progress = Vec::new();
        let mut talk = Talk::open(&path, Some(Duration::from_secs(20))).unwrap();
        let last = talk.ask(Command::Reload, |said| progress.push(said.to_string()));
        assert_eq!(server.join().unwrap(), b"{\"command\":\"reload\"}\n");
        std::fs::remove_file(&path).unwrap();
        (last, progress)
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("tine-talk-{}-{name}", std::process::id()))
    }

    #[test]
    fn progress_comes_before_the_outcome() {
        let said = b"{\"said\":\"worker 1 ready\"}\n{\"mood\":1}\n{\"ok\":false,\"error\":\"no\",\"new\":[]}\n";
        let (last, progress) = answer_of("progress", said);
        let last = last.unwrap();
        assert_eq!((last.line.ok, last.line.error.as_deref()), (Some(false), Some("no")));
        assert!(last.text.contains("\"new\":[]"), "the text is what came");
        assert_eq!(progress, ["worker 1 ready"]);
    }

    #[test]
    fn a_server_that_goes_away_or_talks_nonsense_is_told() {
        assert!(matches!(answer_of("gone", b"").0, Err(TalkError::Gone)));
        assert!(matches!(answer_of("half", b"{\"said\":\"x\"}\n{\"ok\":tr").0, Err(TalkError::Gone)));
        assert!(matches!(answer_of("http", b"HTTP/1.1 400 Bad Request\r\n\r\n").0, Err(TalkError::Strange(_))));
        assert!(matches!(answer_of("bytes", b"\xff\xff\n").0, Err(TalkError::Strange(_))));
        assert!(matches!(Talk::open(Path::new("/no/such/x"), None), Err(TalkError::NotListening(_))));
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let path = path("late");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut talk = Talk::open(&path, Some(Duration::from_millis(50))).unwrap();
        assert!(matches!(talk.ask(Command::Status, |_| {}), Err(TalkError::Late(_))));
        assert!(matches!(talk.wait_end(), Err(TalkError::Late(_))));
        std::fs::remove_file(&path).unwrap();
    }
}
