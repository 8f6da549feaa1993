//! A TLS session of which the app is the client: cipher bytes in, plain bytes out, and the reverse. It is made with a socket's
//! connection, which does the reads. No more is sealed than one call offers, and that only once all records before have left.

use super::input::Input;
use super::trust::{Trust, words_of};
use nix::sys::socket::{MsgFlags, send};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::borrow::Cow;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

/// Plain bytes that are sealed at a time: four records.
const SEALED_BYTES_MAX: usize = 64 << 10;
/// The first byte of a server that speaks TLS: an alert, or a handshake.
const FIRST_BYTES: [u8; 2] = [21, 22];

/// What the peer is asked to prove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// `None`: neither asked for nor checked.
    pub name: Option<ServerName<'static>>,
    pub trust: Trust,
}

pub struct Session {
    rustls: ClientConnection,
    peer: Peer,
    /// It began after bytes in cleartext, as its protocol asks.
    is_after_cleartext: bool,
    has_read: bool,
    /// Its close_notify was read.
    peer_has_finished: bool,
}

impl Peer {
    /// `verify` without a name is refused, as it would verify nothing.
    pub fn new(name: Option<&str>, trust: Trust) -> Result<Peer, Cow<'static, str>> {
        let name = match name {
            Some(name) => match ServerName::try_from(name.to_string()) {
                Ok(name) => Some(name),
                Err(_) => return Err(format!("{name:?} is not the name of a host").into()),
            },
            None if trust != Trust::Unverified => return Err("without a server name nothing can be verified".into()),
            None => None,
        };
        Ok(Peer { name, trust })
    }

    /// Whether a session with this peer is all that `other` asks for.
    pub fn is_as_good_as(&self, other: &Peer) -> bool {
        self.name == other.name && (self.trust == other.trust || other.trust == Trust::Unverified)
    }
}

impl Session {
    pub fn new(config: Arc<ClientConfig>, peer: Peer, is_after_cleartext: bool) -> Result<Session, Cow<'static, str>> {
        // Of an IP address no name is sent.
        let nameless = || ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]));
        let name = peer.name.clone().unwrap_or_else(nameless);
        let mut rustls = ClientConnection::new(config, name).map_err(|e| words_of(&e))?;
        rustls.set_buffer_limit(None);
        Ok(Session { rustls, peer, is_after_cleartext, has_read: false, peer_has_finished: false })
    }

    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    pub fn is_after_cleartext(&self) -> bool {
        self.is_after_cleartext
    }

    pub fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// The peer has said that it sends no more.
    pub fn has_ended(&self) -> bool {
        self.peer_has_finished
    }

    /// Records that the socket has not taken.
    pub fn has_unsent(&self) -> bool {
        self.rustls.wants_write()
    }

    /// Opens what the socket has received. After a failure there may be an alert to send.
    pub fn open(&mut self, bytes: &[u8], input: &mut Input) -> Result<(), Cow<'static, str>> {
        if !std::mem::replace(&mut self.has_read, true) && !FIRST_BYTES.contains(&bytes[0]) {
            return Err("the peer does not speak TLS".into());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.rustls.read_tls(&mut rest).map_err(|e| Cow::Owned(format!("TLS: {e}")))?;
            if taken == 0 {
                // After close_notify nothing counts.
                break;
            }
            let state = self.rustls.process_new_packets().map_err(|e| words_of(&e))?;
            self.peer_has_finished = state.peer_has_closed();
            let mut left = state.plaintext_bytes_to_read();
            let mut plain = self.rustls.reader();
            while left > 0 {
                let Ok(piece) = plain.fill_buf() else { break };
                let count = piece.len();
                input.push(piece);
                plain.consume(count);
                left -= count.clamp(1, left);
            }
        }
        Ok(())
    }

    /// Seals some of these bytes once all before have left; returns how many. The error is WouldBlock if they have not.
    pub fn write(&mut self, socket: &impl AsRawFd, bytes: &[u8]) -> io::Result<usize> {
        self.flush(socket)?;
        let bytes = &bytes[..bytes.len().min(SEALED_BYTES_MAX)];
        self.rustls.writer().write_all(bytes)?;
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(bytes.len()),
        }
    }

    /// Sends records; the error is WouldBlock if some are left.
    pub fn flush(&mut self, socket: &impl AsRawFd) -> io::Result<()> {
        while self.rustls.wants_write() {
            self.rustls.write_tls(&mut Records(socket.as_raw_fd()))?;
        }
        Ok(())
    }

    /// Tells the peer that this is the end, if the socket takes that at once.
    pub fn finish(&mut self, socket: &impl AsRawFd) {
        if !self.is_handshaking() && !self.has_unsent() {
            self.rustls.send_close_notify();
            // It is closed in either case.
            let _ = self.flush(socket);
        }
    }
}

/// The socket, as rustls writes to it.
struct Records(RawFd);

impl Write for Records {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // rustls tries an interrupted write again.
        Ok(send(self.0, bytes, MsgFlags::MSG_NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
