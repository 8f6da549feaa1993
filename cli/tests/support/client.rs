//! A client's end of one connection, and responses read by their framing.

use super::sealed::Session;
use super::{Transport, patience};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A client's end of one connection. Everything has a deadline.
pub struct Client {
    pub stream: TcpStream,
    /// What is sent and received is sealed by it.
    session: Option<Session>,
    /// Read and not yet returned.
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Status line and header lines, with their line ends.
    pub head: String,
    pub body: Vec<u8>,
    /// The lines after the last chunk, with their line ends.
    pub trailers: String,
}

/// How a server ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Over TLS, after a close_notify.
    Fin,
    /// A FIN in the middle of a TLS session: whatever came before it is incomplete.
    Truncated,
    Reset,
}

impl Ending {
    /// How the end of a response looks that could not be completed.
    pub const OF_A_CUT: Ending = match crate::TRANSPORT {
        Transport::Plain => Ending::Fin,
        Transport::Tls => Ending::Truncated,
    };
}

impl Response {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).next()
    }

    /// The values of all headers of this name, in order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.head.lines().skip(1).filter_map(move |line| field(line, name))
    }

    /// The value of the first trailer of this name.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.trailers.lines().find_map(|line| field(line, name))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// The value of a line, if it is a field of this name.
fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (field, value) = line.split_once(':')?;
    field.eq_ignore_ascii_case(name).then(|| value.trim())
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the server accepts")
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the server takes the bytes");
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write_all(bytes.as_ref())?;
        self.flush()
    }

    /// A second handle, for a thread that sends.
    pub fn sender(&self) -> Client {
        let stream = self.stream.try_clone().expect("a second handle");
        Client { stream, session: self.session.clone(), buffer: Vec::new() }
    }

    /// Shuts down our side; the other stays open.
    pub fn finish_sending(&mut self) {
        if let Some(session) = &self.session {
            session.finish_sending(&self.stream).expect("half-close");
        }
        self.stream.shutdown(Shutdown::Write).expect("half-close");
    }

    /// The next response, read by its framing. 1xx responses are returned like any other.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// As [`Client::response`], for a request with this method: HEAD has no body.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|e| panic!("no whole response: {e}; had {:?}", lossy(&self.buffer)))
    }

    /// The head of the next response; its body is left to [`Client::take`].
    #[track_caller]
    pub fn head(&mut self) -> String {
        self.try_head().unwrap_or_else(|e| panic!("no head: {e}; had {:?}", lossy(&self.buffer)))
    }

    fn try_head(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        Ok(head)
    }

    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let head = self.try_head()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {head:?}")))?;
        let mut response = Response { status, head, body: Vec::new(), trailers: String::new() };
        let bodyless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodyless {
            return Ok(response);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            (response.body, response.trailers) = self.chunked_body()?;
        } else if let Some(length) = response.header("content-length").and_then(|length| length.parse().ok()) {
            response.body = self.take(length)?;
        } else {
            response.body = self.rest()?;
        }
        Ok(response)
    }

    /// The bytes of all chunks, and the trailer lines.
    fn chunked_body(&mut self) -> io::Result<(Vec<u8>, String)> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk_bytes()?;
            if chunk.is_empty() {
                return Ok((body, self.trailer_lines()?));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The next chunk of a response whose head was read; empty for the last one, together with any trailers.
    pub fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let chunk = self.chunk_bytes()?;
        if chunk.is_empty() {
            self.trailer_lines()?;
        }
        Ok(chunk)
    }

    /// The next chunk; for the last one, its size line.
    fn chunk_bytes(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line()?;
        let size = usize::from_str_radix(&line, 16).map_err(|_| io::Error::other(format!("not a size: {line:?}")))?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut chunk = self.take(size + 2)?;
        if !chunk.ends_with(b"\r\n") {
            return Err(io::Error::other("a chunk does not end with CRLF"));
        }
        chunk.truncate(size);
        Ok(chunk)
    }

    fn trailer_lines(&mut self) -> io::Result<String> {
        let mut lines = String::new();
        loop {
            match self.line()? {
                line if line.is_empty() => return Ok(lines),
                line => lines += &format!("{line}\r\n"),
            }
        }
    }

    /// Up to the next CRLF, without it.
    fn line(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            self.fill()?;
        };
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 2);
        Ok(line)
    }

    /// Exactly this many bytes.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        let rest = self.buffer.split_off(count);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// Whether there is something to read, or the end, within this time.
    pub fn is_readable_within(&self, time: Duration) -> io::Result<bool> {
        if !self.buffer.is_empty() {
            return Ok(true);
        }
        self.stream.set_read_timeout(Some(time))?;
        let found = self.peek();
        self.stream.set_read_timeout(Some(patience()))?;
        match found {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// All bytes until the server closes the connection; a reset is an error.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(std::mem::take(&mut self.buffer)),
                Err(e) => return Err(e),
            }
        }
    }

    /// All bytes until the connection is over, and how it ended.
    #[track_caller]
    pub fn read_to_end(&mut self) -> (Vec<u8>, Ending) {
        let ending = loop {
            match self.fill() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break Ending::Fin,
                Err(e) if e.kind() == io::ErrorKind::ConnectionAborted => break Ending::Truncated,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break Ending::Reset,
                Err(e) => panic!("the connection neither goes on nor ends: {e}; had {:?}", lossy(&self.buffer)),
            }
        };
        (std::mem::take(&mut self.buffer), ending)
    }

    /// The server closed the connection cleanly, and sent nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest().expect("the server closes cleanly");
        assert!(rest.is_empty(), "nothing follows, but {:?} did", lossy(&rest));
    }

    /// Waits for bytes or the end; returns whether it is the end.
    pub fn at_end(&mut self) -> io::Result<bool> {
        match self.buffer.is_empty().then(|| self.fill()) {
            Some(Err(e)) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
            Some(Err(e)) => Err(e),
            Some(Ok(())) | None => Ok(false),
        }
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65536];
        let read = match &self.session {
            None => self.stream.read(&mut bytes),
            Some(session) => session.read(&self.stream, &mut bytes),
        };
        match read? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    pub fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.buffer.is_empty() {
            return match &self.session {
                None => self.stream.read(bytes),
                Some(session) => session.read(&self.stream, bytes),
            };
        }
        let count = bytes.len().min(self.buffer.len());
        bytes[..count].copy_from_slice(&self.buffer[..count]);
        self.buffer.drain(..count);
        Ok(count)
    }

    pub fn read_exact(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let taken = self.take(bytes.len())?;
        bytes.copy_from_slice(&taken);
        Ok(())
    }

    /// Waits until something can be read, and leaves it; 0 if that is the end.
    pub fn peek(&self) -> io::Result<usize> {
        match &self.session {
            None => self.stream.peek(&mut [0]),
            Some(session) => session.peek(&self.stream),
        }
    }

    /// Small segments and a small window: the kernel's buffers between the server and a client that does not read hold
    /// some tens of kilobytes instead of megabytes.
    #[track_caller]
    pub fn connect_narrow(address: SocketAddr) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_tcp_mss(1000).expect("a segment size");
        socket.set_recv_buffer_size(4096).expect("a receive buffer");
        socket.connect(&address.into()).expect("the server accepts");
        Client::over(socket.into()).expect("timeouts can be set").sealed(address)
    }

    /// As [`Client::connect`], from this address of the loopback network.
    #[track_caller]
    pub fn connect_from(own: [u8; 4], address: SocketAddr) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((own, 0)).into()).expect("all of 127.0.0.0/8 is ours");
        socket.connect(&address.into()).expect("the server accepts");
        Client::over(socket.into()).expect("timeouts can be set")
    }

    /// Whether the server has reset the connection or both sides have closed, without reading.
    pub fn is_hung_up(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).expect("poll") > 0
    }

    /// Sends `bytes` over and over until the kernel has accepted none for half a second or `most` in all; returns how
    /// many it accepted.
    pub fn send_until_blocked(&mut self, bytes: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let mut sent = 0;
        while sent < most {
            match self.write(&bytes[sent % bytes.len()..]) {
                Ok(count) => sent += count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => panic!("the server takes bytes or lets them wait: {e}"),
            }
        }
        self.stream.set_write_timeout(Some(patience())).expect("a timeout");
        sent
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client::over(TcpStream::connect_timeout(&address, patience())?)?.sealed(address))
    }

    /// Over the transport of this test program.
    fn sealed(self, address: SocketAddr) -> Client {
        let session = (crate::TRANSPORT == Transport::Tls).then(|| Session::with(address));
        Client { session, ..self }
    }

    /// A Unix socket as a `TcpStream`: both read, write and time out by the same system calls.
    pub fn try_connect_unix(path: &Path) -> io::Result<Client> {
        Client::over(TcpStream::from(OwnedFd::from(UnixStream::connect(path)?)))
    }

    pub fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(patience()))?;
        stream.set_write_timeout(Some(patience()))?;
        // Not for Unix sockets, which have no Nagle delay.
        let _ = stream.set_nodelay(true);
        Ok(Client { stream, session: None, buffer: Vec::new() })
    }

    /// The server has closed the connection cleanly, and nothing is left to read.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.peek();
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(count) => Ok(count == 0),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.session {
            None => self.stream.write(bytes),
            Some(session) => session.write(&self.stream, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.session.as_ref().map_or(Ok(()), |session| session.flush(&self.stream))
    }
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
