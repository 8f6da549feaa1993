//! One client's TLS session: cipher bytes in, plain bytes out, and the reverse. The only file that uses rustls' connection,
//! so that its next version (0.24, with the caller's buffers) can be exchanged here.
//!
//! Plain bytes stay in the connection's [`WriteQueue`](super::WriteQueue) until the socket has taken the records that they are
//! sealed in: at most [`SEALED_BYTES_MAX`] of them are sealed at a time. So the watermarks, the positions of responses and the
//! write timeout are those of plain HTTP, and a slow reader costs that much more.

use super::Socket;
use crate::app::{ClientCertificate, Tls};
use rustls::server::ServerConnection;
use rustls::{AlertDescription, Error, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig};
use std::cell::OnceCell;
use std::io::{self, IoSlice, Read, Write};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use tine_common::telemetry::Count;

/// The most plain bytes that are sealed at a time: four records.
pub const SEALED_BYTES_MAX: usize = 64 << 10;

pub struct Session {
    rustls: ServerConnection,
    /// Plain bytes that are opened and not yet taken.
    opened_bytes: usize,
    /// Plain bytes at the front of the write queue that are sealed in records that the socket has not taken.
    pub sealed_bytes: usize,
    /// When the socket last took a byte, or when there was none for it.
    progressed: Instant,
    has_read: bool,
    /// Its close_notify was read.
    client_has_finished: bool,
    is_finished: bool,
    facts: OnceCell<Rc<Tls>>,
}

/// What a read of the socket has brought.
pub enum Opened {
    /// `read`: bytes of the socket; `None`: none yet, `Some(0)`: the end of the stream.
    Bytes { read: Option<usize>, plain: usize },
    /// Nothing was read: plain bytes were there already, this number of them.
    Kept(usize),
    /// The client speaks HTTP without TLS; these bytes of it are in the buffer.
    PlainHttp(usize),
}

impl Session {
    pub fn new(config: &Arc<ServerConfig>, now: Instant) -> Result<Session, Error> {
        let mut rustls = ServerConnection::new(config.clone())?;
        // No more is sealed than the caller asks for.
        rustls.set_buffer_limit(None);
        Ok(Session {
            rustls,
            opened_bytes: 0,
            sealed_bytes: 0,
            progressed: now,
            has_read: false,
            client_has_finished: false,
            is_finished: false,
            facts: OnceCell::new(),
        })
    }

    pub fn is_handshaking(&self) -> bool {
        self.rustls.is_handshaking()
    }

    /// Plain bytes can be taken without the socket being readable.
    pub fn has_plain(&self) -> bool {
        self.opened_bytes > 0
    }

    /// The client has said that it sends no more (close_notify), and all of it was taken.
    pub fn has_ended(&self) -> bool {
        self.client_has_finished && self.opened_bytes == 0
    }

    /// One read of the socket, or of what is opened already, into `room`, which is not empty.
    ///
    /// The cipher bytes are read into the room, too. rustls takes them before their plain bytes, of which there are never
    /// more, are put over them; what a record that was incomplete has brought in addition stays there.
    pub fn receive(&mut self, socket: &Socket, room: &mut [u8]) -> io::Result<Opened> {
        if self.has_plain() {
            return self.take(room).map(Opened::Kept);
        }
        let count = match socket.receive(room)? {
            Some(count) if count > 0 => count,
            read => return Ok(Opened::Bytes { read, plain: 0 }),
        };
        if !self.has_read && room[0].is_ascii_uppercase() {
            return Ok(Opened::PlainHttp(count));
        }
        self.has_read = true;
        let (mut fed, mut plain) = (0, 0);
        while fed < count {
            let taken = self.rustls.read_tls(&mut &room[fed..count])?;
            if taken == 0 {
                // After close_notify nothing counts.
                break;
            }
            fed += taken;
            let state = self.rustls.process_new_packets().map_err(io::Error::other)?;
            self.opened_bytes = state.plaintext_bytes_to_read();
            self.client_has_finished = state.peer_has_closed();
            plain += self.take(&mut room[plain..fed])?;
        }
        Ok(Opened::Bytes { read: Some(count), plain })
    }

    fn take(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        while taken < room.len() && self.opened_bytes > 0 {
            let count = self.rustls.reader().read(&mut room[taken..])?;
            taken += count;
            self.opened_bytes -= count;
        }
        Ok(taken)
    }

    /// Seals the bytes of all slices; returns their number.
    pub fn seal(&mut self, slices: &[IoSlice<'_>], now: Instant) -> io::Result<usize> {
        if !self.has_unsent() {
            self.progressed = now;
        }
        self.rustls.writer().write_vectored(slices)
    }

    /// Records, of whatever kind, that the socket has not taken.
    pub fn has_unsent(&self) -> bool {
        self.rustls.wants_write()
    }

    /// Since when the socket has taken none of them, if there are any.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.has_unsent().then_some(self.progressed)
    }

    /// Sends records as far as the socket takes them; returns how many bytes it took.
    pub fn send(&mut self, socket: &Socket, now: Instant) -> io::Result<usize> {
        let mut sent = 0;
        while self.has_unsent() {
            match self.rustls.write_tls(&mut Records(socket)) {
                Ok(count) => sent += count,
                // After some were taken an error can wait: what is sent next meets it again.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || sent > 0 => break,
                Err(e) => return Err(e),
            }
            self.progressed = now;
        }
        Ok(sent)
    }

    /// Of the plain bytes that are sealed, how many have left with `taken` bytes of records: as many, as the little that a
    /// record has in addition is not known to us; all of them once nothing is unsent, and never before.
    pub fn sent_of_sealed(&mut self, taken: usize) -> usize {
        let count = match self.has_unsent() {
            true => taken.min(self.sealed_bytes.saturating_sub(1)),
            false => self.sealed_bytes,
        };
        self.sealed_bytes -= count;
        count
    }

    /// Our side ends here: without this the client takes what it has for truncated. Once.
    pub fn finish(&mut self) {
        if !std::mem::replace(&mut self.is_finished, true) {
            self.rustls.send_close_notify();
        }
    }

    /// The client has chosen HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.rustls.alpn_protocol() == Some(b"h2")
    }

    pub fn is_resumed(&self) -> bool {
        self.rustls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// What was agreed on in the handshake, which has ended. Made when it is first asked for.
    pub fn facts(&self) -> &Rc<Tls> {
        self.facts.get_or_init(|| Rc::new(self.make_facts()))
    }

    fn make_facts(&self) -> Tls {
        let suite = self.rustls.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
        Tls {
            version: match self.rustls.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "unknown",
            }
            .into(),
            // rustls' names of TLS 1.3's differ from the registry's in the number.
            cipher: match suite.unwrap_or("unknown") {
                "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
                "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
                "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
                name => name,
            }
            .into(),
            server_name: self.rustls.server_name().map(str::to_string),
            is_resumed: self.is_resumed(),
            client: self.client_certificate().and_then(ClientCertificate::of),
        }
    }

    /// The certificate that the client has shown, in DER.
    fn client_certificate(&self) -> Option<&[u8]> {
        self.rustls.peer_certificates()?.first().map(|certificate| certificate.as_ref())
    }
}

/// The socket, as rustls writes to it.
struct Records<'a>(&'a Socket);

impl Write for Records<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.send_vectored(slices)?.ok_or_else(|| io::ErrorKind::WouldBlock.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Why a handshake has failed, as it is counted.
pub fn cause_of(error: &io::Error) -> Count {
    let Some(error) = error.get_ref().and_then(|error| error.downcast_ref::<Error>()) else {
        return Count::HandshakeLeft;
    };
    match error {
        Error::PeerIncompatible(
            PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
            | PeerIncompatible::UnsolicitedCertificateTypeExtension,
        )
        | Error::NoCertificatesPresented
        | Error::InvalidCertificate(_) => Count::HandshakeClientCertificate,
        Error::NoApplicationProtocol => Count::HandshakeProtocol,
        Error::PeerIncompatible(_) => Count::HandshakeIncompatible,
        Error::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => Count::HandshakeLeft,
        Error::AlertReceived(_) => Count::HandshakeRejected,
        _ => Count::HandshakeMalformed,
    }
}
