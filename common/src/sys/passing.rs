//! Descriptors that one process passes to another over a Unix socket (SCM_RIGHTS, unix(7)).
//!
//! One comes with one byte of the stream. A reader that expects none reads the byte, and the kernel closes the descriptor.

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub fn send(channel: BorrowedFd<'_>, byte: u8, descriptor: BorrowedFd<'_>) -> nix::Result<()> {
    let (bytes, descriptors) = ([byte], [descriptor.as_raw_fd()]);
    let rights = [ControlMessage::ScmRights(&descriptors)];
    loop {
        match sendmsg::<()>(channel.as_raw_fd(), &[IoSlice::new(&bytes)], &rights, MsgFlags::MSG_NOSIGNAL, None) {
            Err(Errno::EINTR) => {}
            sent => return sent.map(drop),
        }
    }
}

/// The descriptor that has come with the next byte, if that is `byte`; otherwise nothing is read. Never waits.
pub fn receive(channel: BorrowedFd<'_>, byte: u8) -> nix::Result<Option<OwnedFd>> {
    let (fd, mut bytes) = (channel.as_raw_fd(), [0]);
    let peeked = loop {
        match recv(fd, &mut bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT) {
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => break 0,
            peeked => break peeked?,
        }
    };
    if (peeked, bytes) != (1, [byte]) {
        return Ok(None);
    }
    let mut space = cmsg_space!(RawFd);
    let mut slices = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg::<()>(fd, &mut slices, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
    let mut descriptors = received.cmsgs()?.filter_map(|message| match message {
        ControlMessageOwned::ScmRights(descriptors) => descriptors.first().copied(),
        _ => None,
    });
    // SAFETY: the kernel has just made it for this process, and nothing else has it. There is room for one.
    Ok(descriptors.next().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_comes_with_its_byte() {
        let (mut one, mut other) = UnixStream::pair().expect("a pair");
        assert!(receive(other.as_fd(), b'M').expect("nothing is there").is_none());
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        send(one.as_fd(), b'M', writer.as_fd()).expect("room");
        one.write_all(b"text").expect("room");
        drop(writer);
        assert!(receive(other.as_fd(), b'x').expect("another byte").is_none());
        let mut received = std::fs::File::from(receive(other.as_fd(), b'M').expect("it is there").expect("one"));
        assert!(receive(other.as_fd(), b'M').expect("text").is_none());
        received.write_all(b"through").expect("the pipe");
        drop(received);
        let mut said = String::new();
        reader.read_to_string(&mut said).expect("the end");
        let mut rest = [0; 4];
        other.read_exact(&mut rest).expect("the text");
        assert_eq!((said.as_str(), &rest), ("through", b"text"));
    }

    #[test]
    fn who_expects_none_gets_the_byte_alone() {
        let (one, mut other) = UnixStream::pair().expect("a pair");
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        send(one.as_fd(), b'M', writer.as_fd()).expect("room");
        drop(writer);
        let mut byte = [0];
        other.read_exact(&mut byte).expect("it");
        assert_eq!(byte, *b"M");
        assert_eq!(reader.read(&mut byte).expect("the end: no process has the other"), 0);
    }
}
