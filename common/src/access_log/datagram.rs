//! Lines as datagrams on a Unix socket: syslog's messages (RFC 5424), or entries of systemd's journal.
//!
//! The daemon may be restarted, and then has another socket at the same path: on such an error the socket is connected
//! again, once.

use super::target::Facility;
use crate::fixed_text::FixedText;
use crate::log::push_time;
use nix::errno::Errno;
use std::fmt::Write as _;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub struct Datagrams {
    socket: UnixDatagram,
    path: PathBuf,
    format: Format,
    /// The message that is sent, used again.
    message: Vec<u8>,
}

#[derive(Debug)]
enum Format {
    Syslog { facility: Facility, host: String },
    Journal,
}

/// What it is called in the journal and by syslog.
const NAME: &str = "tine";

impl Datagrams {
    /// Most syslog daemons take 8 KiB, with what precedes the line.
    pub const LINE_BYTES_MAX: usize = 8000;

    pub fn syslog(path: &Path, facility: Facility) -> Result<Datagrams, String> {
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        // A name that would break the message's head is none (RFC 5424, 6.2.4).
        let host = host.filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic()));
        Datagrams::new(path, Format::Syslog { facility, host: host.unwrap_or_else(|| "-".to_string()) })
    }

    pub fn journal(path: &Path) -> Result<Datagrams, String> {
        Datagrams::new(path, Format::Journal)
    }

    fn new(path: &Path, format: Format) -> Result<Datagrams, String> {
        let shown = path.display();
        let socket = connected(path).map_err(|e| {
            format!(
                "--access-log: no connection to the socket {shown}: {e}; give the path of a socket that a daemon reads"
            )
        })?;
        Ok(Datagrams { socket, path: path.to_path_buf(), format, message: Vec::new() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn connect(&mut self) -> io::Result<()> {
        self.socket = connected(&self.path)?;
        Ok(())
    }

    /// Sends each line; returns how many bytes of them were taken, and why the rest was not.
    pub fn write(&mut self, lines: &[u8]) -> (usize, Result<(), Errno>) {
        self.message.clear();
        self.push_head();
        let head = self.message.len();
        let mut taken = 0;
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            self.message.truncate(head);
            self.message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
            if matches!(self.format, Format::Journal) {
                self.message.push(b'\n');
            }
            if let Err(e) = self.send() {
                return (taken, Err(e));
            }
            taken += line.len();
        }
        (taken, Ok(()))
    }

    fn send(&mut self) -> Result<(), Errno> {
        let errno = |e: io::Error| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO));
        loop {
            match self.socket.send(&self.message).map_err(errno) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                // The daemon is gone; a new one may have its path.
                Err(Errno::ECONNREFUSED | Errno::ECONNRESET | Errno::ENOTCONN | Errno::EPIPE) => {
                    self.connect().map_err(errno)?;
                    return self.socket.send(&self.message).map(|_| ()).map_err(errno);
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// What precedes each line of one write.
    fn push_head(&mut self) {
        match &self.format {
            Format::Syslog { facility, host } => {
                let mut time = FixedText::default();
                push_time(&mut time, SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
                let mut head = FixedText::default();
                // Writing to this cannot fail. MSGID is `access`, and there is no structured data.
                let _ = write!(head, "<{}>1 ", facility.priority());
                self.message.extend_from_slice(head.as_bytes());
                self.message.extend_from_slice(time.as_bytes());
                let rest = format!(" {host} {NAME} {} access - ", std::process::id());
                self.message.extend_from_slice(rest.as_bytes());
            }
            // systemd.journal-fields(7); the kernel adds the process's own.
            Format::Journal => {
                let head = format!("PRIORITY=6\nSYSLOG_IDENTIFIER={NAME}\nTINE_LOG=access\nMESSAGE=");
                self.message.extend_from_slice(head.as_bytes());
            }
        }
    }
}

fn connected(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn received(daemon: &UnixDatagram) -> String {
        let mut bytes = [0; 9000];
        let count = daemon.recv(&mut bytes).expect("a message");
        String::from_utf8(bytes[..count].to_vec()).expect("text")
    }

    #[test]
    fn each_line_is_a_message_also_of_the_next_daemon() {
        let path = std::env::temp_dir().join(format!("tine-datagrams-{}", std::process::id()));
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        let facility = "local0".parse().expect("a facility");
        let mut syslog = Datagrams::syslog(&path, facility).expect("connected");
        assert_eq!(syslog.write(b"one\ntwo\n"), (8, Ok(())));
        let first = received(&daemon);
        assert!(
            first.starts_with("<134>1 20") && first.ends_with(&format!(" tine {} access - one", std::process::id()))
        );
        assert_eq!(first.split(' ').count(), 8, "{first}");
        assert!(received(&daemon).ends_with(" - two"));
        drop(daemon);
        fs::remove_file(&path).expect("removed");
        assert_eq!(syslog.write(b"lost\n"), (0, Err(Errno::ENOENT)));
        let daemon = UnixDatagram::bind(&path).expect("a socket");
        assert_eq!(syslog.write(b"three\n"), (6, Ok(())));
        assert!(received(&daemon).ends_with(" - three"));
        let mut journal = Datagrams::journal(&path).expect("connected");
        assert_eq!(journal.write(b"four\n"), (5, Ok(())));
        assert_eq!(received(&daemon), "PRIORITY=6\nSYSLOG_IDENTIFIER=tine\nTINE_LOG=access\nMESSAGE=four\n");
        fs::remove_file(&path).expect("removed");
        assert!(Datagrams::journal(&path).expect_err("no socket").contains("--access-log"));
    }

    #[test]
    fn a_daemon_that_does_not_read_is_not_waited_for() {
        let path = std::env::temp_dir().join(format!("tine-datagrams-full-{}", std::process::id()));
        let _daemon = UnixDatagram::bind(&path).expect("a socket");
        let mut journal = Datagrams::journal(&path).expect("connected");
        let refused = (0..100_000).map(|_| journal.write(b"line\n")).find(|(_, result)| result.is_err());
        assert_eq!(refused, Some((0, Err(Errno::EAGAIN))));
        fs::remove_file(&path).expect("removed");
    }
}
