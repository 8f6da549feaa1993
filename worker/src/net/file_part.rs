//! A part of a file that waits to be sent: the kernel reads it as it sends it (sendfile(2)), so that a client who reads
//! slowly holds a descriptor and no memory. Where the kernel cannot do that, for a kind of file or at all, it is read
//! here, a block at a time, and not kept either.
//!
//! What was announced to the client is the file as it was. One that has become shorter by the time it is sent cannot be
//! made up for: the part is broken ([`BrokenPart`]), and its connection ends.

use super::Socket;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use tine_common::request_name::RequestName;
use tine_common::sys::file::{SentFile, shown_path};

/// The most of a file that is queued at a time: what a connection may send in a turn before others have theirs.
pub const FILE_PIECE_BYTES_MAX: u64 = 1 << 20;

/// What is read at once where sendfile(2) does not do.
const READ_BYTES: usize = 64 << 10;

pub struct FilePart {
    file: Rc<File>,
    /// Whose response it is of: by the time that it is sent, the connection may be in a later request.
    request: RequestName,
    /// At most 2^63 - 1, together with what is left.
    offset: u64,
    left: u32,
    /// Nothing but the connection's end says where the body ends.
    ends_with_connection: bool,
    /// sendfile(2) does not do for it.
    is_read_here: bool,
}

/// Why no more of a part can be sent.
#[derive(Debug)]
pub struct BrokenPart {
    /// As of the part: then the connection's end would pass for the body's.
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

    /// Bytes that are left of it.
    pub fn len(&self) -> usize {
        self.left as usize
    }

    /// Sends from its front; how many bytes the socket took, `None` if it takes none now.
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

    /// As [`FilePart::send`]. What the socket does not take is read again.
    fn read_and_send(&self, socket: &Socket) -> io::Result<Result<Option<usize>, BrokenPart>> {
        let mut block = vec![0; self.len().min(READ_BYTES)];
        let count = loop {
            match self.file.read_at(&mut block, self.offset) {
                Ok(count) => break count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Ok(Err(self.broken(Some(e)))),
            }
        };
        if count == 0 {
            return Ok(Err(self.broken(None)));
        }
        Ok(Ok(socket.send(&block[..count])?))
    }

    /// So many bytes of it were sent.
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

    #[cfg(test)]
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
