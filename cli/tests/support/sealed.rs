//! A client's TLS session over a socket: one thread may send while another reads, and a socket that takes only a part, or
//! nothing in time, breaks nothing.

use super::tls::{TlsClients, pair_of_all};
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// The handshake is made with the first bytes that are sent or waited for.
#[derive(Clone)]
pub struct Session(Arc<Sides>);

struct Sides {
    both: Mutex<Both>,
    /// Records that the socket has not taken yet.
    unsent: Mutex<Vec<u8>>,
}

struct Both {
    connection: ClientConnection,
    /// Received and not yet opened.
    arrived: Vec<u8>,
}

impl Session {
    /// With a server that has the certificate of all servers of this test program.
    pub fn with(address: SocketAddr) -> Session {
        static CLIENTS: LazyLock<TlsClients> = LazyLock::new(|| TlsClients::trusting(pair_of_all()));
        let both = Both { connection: CLIENTS.session(address.ip().into()), arrived: Vec::new() };
        Session(Arc::new(Sides { both: Mutex::new(both), unsent: Mutex::default() }))
    }

    fn both(&self) -> MutexGuard<'_, Both> {
        self.0.both.lock().expect("no panic")
    }

    /// Seals some of the bytes, and sends what the socket takes.
    pub fn write(&self, socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        self.shake_hands(socket)?;
        let mut unsent = self.0.unsent.lock().expect("no panic");
        send(&mut unsent, socket)?;
        let count = {
            let mut both = self.both();
            let count = both.connection.writer().write(&bytes[..bytes.len().min(16 << 10)])?;
            both.seal(&mut unsent)?;
            count
        };
        match send(&mut unsent, socket) {
            Err(e) if e.kind() != ErrorKind::WouldBlock => Err(e),
            _ => Ok(count),
        }
    }

    /// Waits until the socket has taken everything.
    pub fn flush(&self, socket: &TcpStream) -> io::Result<()> {
        send(&mut self.0.unsent.lock().expect("no panic"), socket)
    }

    /// No more is sent; the end is announced by a close_notify.
    pub fn finish_sending(&self, socket: &TcpStream) -> io::Result<()> {
        self.shake_hands(socket)?;
        let mut unsent = self.0.unsent.lock().expect("no panic");
        let mut both = self.both();
        both.connection.send_close_notify();
        both.seal(&mut unsent)?;
        drop(both);
        send(&mut unsent, socket)
    }

    /// 0: the server has ended the session. [`ErrorKind::ConnectionAborted`]: it has ended the connection without that.
    pub fn read(&self, socket: &TcpStream, bytes: &mut [u8]) -> io::Result<usize> {
        self.shake_hands(socket)?;
        loop {
            let read = self.both().connection.reader().read(bytes);
            match read {
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.receive(socket)?,
                // The connection has ended, and the session has not.
                Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                    return Err(io::Error::new(ErrorKind::ConnectionAborted, e));
                }
                read => return read,
            }
        }
    }

    /// Waits until something can be read; 0 if that is the end.
    pub fn peek(&self, socket: &TcpStream) -> io::Result<usize> {
        self.shake_hands(socket)?;
        loop {
            let mut both = self.both();
            let state = both.connection.process_new_packets().map_err(io::Error::other)?;
            let count = state.plaintext_bytes_to_read();
            if count > 0 || state.peer_has_closed() {
                return Ok(count);
            }
            drop(both);
            self.receive(socket)?;
            if self.both().connection.reader().read(&mut []).is_err_and(|e| e.kind() == ErrorKind::UnexpectedEof) {
                return Ok(0);
            }
        }
    }

    /// Reads from the socket, while the other thread may send, and opens what has come.
    fn receive(&self, mut socket: &TcpStream) -> io::Result<()> {
        if self.both().arrived.is_empty() {
            let mut bytes = [0; 16 << 10];
            let count = socket.read(&mut bytes)?;
            return self.both().open(&bytes[..count]);
        }
        self.both().open(&[])
    }

    fn shake_hands(&self, mut socket: &TcpStream) -> io::Result<()> {
        let mut both = self.both();
        while both.connection.is_handshaking() {
            let mut unsent = Vec::new();
            both.seal(&mut unsent)?;
            socket.write_all(&unsent)?;
            unsent.clear();
            let mut bytes = [0; 16 << 10];
            let count = socket.read(&mut bytes)?;
            if count == 0 {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            both.open(&bytes[..count])?;
            if !both.connection.is_handshaking() {
                // Its last message. Nothing else is sent yet.
                both.seal(&mut unsent)?;
                socket.write_all(&unsent)?;
            }
        }
        Ok(())
    }
}

impl Both {
    /// What the session has to say becomes records.
    fn seal(&mut self, records: &mut Vec<u8>) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(records)?;
        }
        Ok(())
    }

    /// Opens what has come, up to what can be read at once; nothing: the server has ended its side.
    fn open(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.arrived.extend_from_slice(bytes);
        loop {
            let mut rest = &self.arrived[..];
            let count = self.connection.read_tls(&mut rest)?;
            self.arrived.drain(..count);
            let state = self.connection.process_new_packets().map_err(io::Error::other)?;
            if self.arrived.is_empty() || state.plaintext_bytes_to_read() > 0 {
                return Ok(());
            }
        }
    }
}

/// Sends the records; what the socket does not take is left.
fn send(unsent: &mut Vec<u8>, mut socket: &TcpStream) -> io::Result<()> {
    while !unsent.is_empty() {
        let count = socket.write(unsent)?;
        unsent.drain(..count);
    }
    Ok(())
}
