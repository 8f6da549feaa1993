//! A part of a file that is queued to be sent. The kernel reads it as it sends it (sendfile(2)), so that a client that
//! reads slowly costs a descriptor and no memory. Where the kernel cannot do that, for a kind of file or at all, it is
//! read here, a block at a time, and not kept either.
//!
//! The length announced to the client is that of the file at the time. If the file is shorter by the time it is sent,
//! nothing can repair that: the part is broken ([`BrokenPart`]), and its connection ends.

use super::Socket;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tine_common::log::shown_path;
use tine_common::request_name::RequestName;
use tine_common::sys::file::SentFile;

/// The most of a file that is queued at a time: what a connection may send in one turn.
pub const FILE_PIECE_BYTES_MAX: u64 = 1 << 20;

/// The bytes read at once if sendfile(2) cannot be used.
const READ_BYTES: usize = 64 << 10;

pub struct FilePart {
    file: Rc<File>,
    /// The request that it belongs to: by the time it is sent, the connection may be in a later request.
    request: RequestName,
    /// At most 2^63 - 1, together with what is left.
    offset: u64,
    left: u32,
    /// The body ends with the connection.
    ends_with_connection: bool,
    /// sendfile(2) cannot be used for it.
    is_read_here: bool,
}

/// Why no more of a part can be sent.
#[derive(Debug)]
pub struct BrokenPart {
    /// The body ends with the connection, so that a plain close would look like the body's end.
    pub ends_with_connection: bool,
    pub request: RequestName,
    path: String,
    offset: u64,
    /// `None`: the file ends there.
    error: Option<io::Error>,
}

impl FilePart {
    pub fn new(
        file: &Rc<File>,
        request: &RequestName,
        offset: u64,
        length: u32,
        ends_with_connection: bool,
    ) -> FilePart {
        FilePart {
            file: file.clone(),
            request: request.clone(),
            offset,
            left: length,
            ends_with_connection,
            is_read_here: false,
        }
    }

    /// The bytes that are left.
    pub fn len(&self) -> usize {
        self.left as usize
    }

    /// Sends from its front; returns how many bytes the socket took, `None` if it is not writable.
    pub fn send(&mut self, socket: &Socket) -> io::Result<Result<Option<usize>, BrokenPart>> {
        if self.is_read_here {
            return self.read_and_send(socket);
        }
        Ok(match socket.send_file(&self.file, self.offset, self.len())? {
            SentFile::Bytes(count) => Ok(Some(count)),
            SentFile::NotYet => Ok(None),
            SentFile::Ended => Err(self.broken(None)),
            SentFile::Unreadable(error) => Err(self.broken(Some(error))),
            SentFile::NotThisWay => {
                self.is_read_here = true;
                return self.read_and_send(socket);
            }
        })
    }

    /// As [`FilePart::send`], by reading. What the socket does not take is read again.
    fn read_and_send(&self, socket: &Socket) -> io::Result<Result<Option<usize>, BrokenPart>> {
        let mut block = vec![0; self.len().min(READ_BYTES)];
        Ok(match self.read_front(&mut block) {
            Ok(count) => Ok(socket.send(&block[..count])?),
            Err(broken) => Err(broken),
        })
    }

    /// Its first bytes, as many as one read brings, which is at least one.
    pub fn read_front(&self, into: &mut [u8]) -> Result<usize, BrokenPart> {
        match self.read_at(0, into) {
            Ok(0) => Err(self.broken(None)),
            Ok(count) => Ok(count),
            Err(e) => Err(self.broken(Some(e))),
        }
    }

    /// Whether it is what follows the first `bytes` from the start of `other`.
    pub fn follows(&self, other: &FilePart, bytes: usize) -> bool {
        Rc::ptr_eq(&self.file, &other.file) && self.offset == other.offset + bytes as u64
    }

    /// Reads from its start on, as many bytes as there are; also what follows it.
    pub fn read(&self, into: &mut [u8]) -> usize {
        let mut read = 0;
        while read < into.len() {
            match self.read_at(read, &mut into[read..]) {
                Ok(0) | Err(_) => break,
                Ok(count) => read += count,
            }
        }
        read
    }

    /// One read, which begins this many bytes after its start.
    fn read_at(&self, after: usize, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read_at(into, self.offset + after as u64) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }

    /// A part of its first bytes.
    pub fn front(&self, bytes: usize) -> FilePart {
        debug_assert!(bytes <= self.len());
        FilePart { file: self.file.clone(), request: self.request.clone(), left: bytes as u32, ..*self }
    }

    /// `count` bytes of it were sent.
    pub fn advance(&mut self, count: usize) {
        self.offset += count as u64;
        self.left -= count as u32;
    }

    fn broken(&self, error: Option<io::Error>) -> BrokenPart {
        BrokenPart {
            ends_with_connection: self.ends_with_connection,
            request: self.request.clone(),
            path: shown_path(&self.file),
            offset: self.offset,
            error,
        }
    }

    /// The bytes of the file.
    pub fn contents(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len()];
        self.file.read_exact_at(&mut bytes, self.offset).expect("the file has the part");
        bytes
    }
}

impl fmt::Display for BrokenPart {
    /// `/srv/a.txt ended at byte 4096 while it was sent, before the length that it had`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BrokenPart { path, offset, .. } = self;
        match &self.error {
            Some(error) => write!(f, "{path} cannot be read at byte {offset}: {error}"),
            None => write!(f, "{path} ended at byte {offset} while it was sent, before the length that it had"),
        }
    }
}

#[cfg(test)]
/// A file without a name, of these bytes.
pub fn file_of(bytes: &[u8]) -> Rc<File> {
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let file = File::from(nix::sys::memfd::memfd_create("file", flags).expect("a file in memory"));
    std::os::unix::fs::FileExt::write_all_at(&file, bytes, 0).expect("room for it");
    Rc::new(file)
}
