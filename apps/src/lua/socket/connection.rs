//! A socket of an app, plain or with a TLS session on it: one read, one write, and whether it can be left in a pool.

use super::input::Input;
use super::session::{Peer, Session};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use rustls::ClientConfig;
use socket2::Socket;
use std::borrow::Cow;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use tine_worker::app::{Interest, Watch};

/// Of what came in a pool, which can only be tickets of TLS.
const POOLED_BYTES_MAX: usize = 16 << 10;
const POOLED_READS_MAX: usize = 4;

/// A socket, and its watch, which lasts as long.
pub struct Connection {
    /// Dropped before the socket. `None`: no request has waited for it yet.
    pub watch: Option<Watch>,
    pub socket: Socket,
    /// How often it was taken from a pool.
    pub reused: u32,
    session: Option<Box<Session>>,
    /// A send has not come to its end: the peer shall not take that for the end of all.
    pub is_incomplete: bool,
    /// Its session has failed or is finished.
    is_over: bool,
}

/// What one read has brought.
pub enum Read {
    Bytes(usize),
    NotYet,
    End,
    /// An end that the peer has not announced, as TLS asks of it: others may have cut it.
    Truncated,
}

impl Connection {
    pub fn new(socket: Socket) -> Connection {
        Connection { watch: None, socket, reused: 0, session: None, is_incomplete: false, is_over: false }
    }

    /// The peer that its session is for; `None`: it is plain.
    pub fn peer(&self) -> Option<&Peer> {
        self.session.as_ref().map(|session| session.peer())
    }

    /// Its like cannot begin with a handshake.
    pub fn has_begun_in_cleartext(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_after_cleartext())
    }

    pub fn is_handshaking(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_handshaking())
    }

    pub fn has_unsent(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.has_unsent())
    }

    pub fn begin_tls(
        &mut self,
        config: Arc<ClientConfig>,
        peer: Peer,
        is_after_cleartext: bool,
    ) -> Result<(), Cow<'static, str>> {
        self.session = Some(Box::new(Session::new(config, peer, is_after_cleartext)?));
        Ok(())
    }

    /// `Some`: it waits for this; `None`: the handshake is over.
    pub fn shake_hands(
        &mut self,
        scratch: &mut [u8],
        input: &mut Input,
    ) -> Result<Option<Interest>, Cow<'static, str>> {
        loop {
            match self.flush() {
                Ok(()) if !self.is_handshaking() => return Ok(None),
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Some(Interest::Write)),
                Err(error) => return Err(why(&error)),
            }
            match self.read(scratch, input)? {
                Read::Bytes(_) => {}
                Read::NotYet => return Ok(Some(Interest::Read)),
                Read::End | Read::Truncated => return Err(super::table::CLOSED.into()),
            }
        }
    }

    /// One read of the socket; the plain bytes get into the input.
    pub fn read(&mut self, scratch: &mut [u8], input: &mut Input) -> Result<Read, Cow<'static, str>> {
        if self.session.as_ref().is_some_and(|session| session.has_ended()) {
            return Ok(Read::End);
        }
        let count = loop {
            match recv(self.socket.as_raw_fd(), scratch, MsgFlags::empty()) {
                Ok(0) if self.session.is_some() => return Ok(Read::Truncated),
                Ok(0) => return Ok(Read::End),
                Ok(count) => break count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return Ok(Read::NotYet),
                Err(errno) => return Err(why(&errno.into())),
            }
        };
        let Some(session) = &mut self.session else {
            input.push(&scratch[..count]);
            return Ok(Read::Bytes(count));
        };
        let opened = session.open(&scratch[..count], input);
        // An alert, or an answer to a change of keys: what does not leave now leaves with the next write.
        let _ = session.flush(&self.socket);
        self.is_over |= opened.is_err();
        opened.map(|()| Read::Bytes(count))
    }

    /// Sends some of the bytes, or seals them for the next call; returns how many.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.session {
            Some(session) => session.write(&self.socket, bytes),
            None => loop {
                match send(self.socket.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL) {
                    Err(Errno::EINTR) => {}
                    sent => break sent.map_err(io::Error::from),
                }
            },
        };
        self.is_over |= matches!(&written, Err(error) if error.kind() != io::ErrorKind::WouldBlock);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.as_mut().map_or(Ok(()), |session| session.flush(&self.socket))
    }

    /// Tells the peer of TLS that nothing follows, unless what should be there is missing.
    pub fn finish(&mut self) {
        if let Some(session) = &mut self.session
            && !self.is_incomplete
            && !std::mem::replace(&mut self.is_over, true)
        {
            session.finish(&self.socket);
        }
    }

    /// Whether its peer has neither closed it nor sent anything that is not read.
    pub fn is_quiet(&mut self) -> bool {
        let Some(session) = &mut self.session else {
            let peeked = recv(self.socket.as_raw_fd(), &mut [0], MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
            return peeked == Err(Errno::EAGAIN);
        };
        if session.is_handshaking() || session.has_unsent() || session.has_ended() {
            return false;
        }
        let (mut scratch, mut input) = ([0; POOLED_BYTES_MAX], Input::default());
        // Tickets may have come, and the end after them.
        for _ in 0..POOLED_READS_MAX {
            match self.read(&mut scratch, &mut input) {
                Ok(Read::NotYet) => return true,
                Ok(Read::Bytes(_)) if input.is_empty() => {}
                _ => break,
            }
        }
        false
    }

    /// Whether anything was reported of it since it was left in a pool; of what is not watched, nothing is.
    pub fn may_have_news(&self) -> bool {
        self.watch.as_ref().is_none_or(|watch| watch.ready().readable)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.finish();
    }
}

/// An error in luasocket's words, which apps compare with.
pub fn why(error: &io::Error) -> Cow<'static, str> {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        io::ErrorKind::TimedOut => "timeout".into(),
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected => super::table::CLOSED.into(),
        _ => {
            error.raw_os_error().map_or_else(|| error.to_string().into(), |errno| Errno::from_raw(errno).desc().into())
        }
    }
}
