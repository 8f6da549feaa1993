//! A reader of standard error, or of a FIFO that is the log file, that stops reading stops neither master nor workers:
//! lines are dropped and counted, and the count is logged when it reads again.

use crate::apps;
use crate::support::{Server, eventually, scratch_folder};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::Mode;
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::{mkfifo, pipe};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;

/// The command that runs the server.
fn command(options: &[&str]) -> Command {
    let mut command = apps::app("faults");
    command.args(["run", "0", "--workers", "2", "--graceful-timeout", "10s"]).args(options);
    command
}

/// The same pipe, FIFO or terminal, opened once more and nonblocking.
fn again(fd: i32, flags: OFlag) -> File {
    let name = format!("/proc/self/fd/{fd}");
    File::from(open(name.as_str(), flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY, Mode::empty()).expect("it opens"))
}

/// Writes until the file accepts nothing more.
fn fill(mut file: impl Write) {
    for size in [4096, 1] {
        let piece = vec![b'x'; size];
        let end = std::iter::repeat_with(|| file.write(&piece)).find_map(Result::err);
        assert_eq!(end.map(|e| e.kind()), Some(ErrorKind::WouldBlock));
    }
}

/// The server goes on working whatever the state of its log, and each step logs lines, of the master and of a worker.
fn exercise(server: &Server) {
    let before = server.workers();
    server.signal(Signal::SIGHUP);
    eventually("a reload", || before.iter().all(|pid| !server.workers().contains(pid)).then_some(()));
    let before = server.workers();
    let mut client = server.connect();
    client.send("GET /panic HTTP/1.1\r\nHost: t\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "no answer");
    server.wait_replaced(&before);
    assert_eq!(server.get("/").status, 200);
}

/// `stall` stops the log's reader; `read` returns what can be read by now.
fn run(mut server: Server, stall: impl Fn(), mut read: impl FnMut() -> Vec<u8>) {
    server.wait_ready();
    stall();
    exercise(&server);
    let mut said = Vec::new();
    let line = eventually("it is said that lines were dropped", || {
        said.extend(read());
        let text = String::from_utf8_lossy(&said).into_owned();
        let of_master = |line: &&str| line.contains(" WARN master[") && line.contains("were dropped");
        text.lines().find(of_master).map(str::to_string)
    });
    assert!(line.ends_with(" log lines were dropped: nothing read the log"), "{line}");
    for line in String::from_utf8_lossy(&said).lines() {
        let line = line.trim_start_matches('x');
        assert!(line.is_empty() || line.starts_with("20") || line.starts_with("  "), "whole lines: {line:?}");
    }
    stall();
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    let ended = from.read_to_end(&mut all);
    assert!(ended.is_ok() || ended.is_err_and(|e| e.kind() == ErrorKind::WouldBlock));
    all
}

#[test]
fn of_a_pipe() {
    let (reader, writer) = pipe().expect("a pipe");
    let filler = again(writer.as_raw_fd(), OFlag::O_WRONLY);
    let server = Server::spawn_to(None, Some(writer.into()), &mut command(&[]));
    let reader = again(reader.as_raw_fd(), OFlag::O_RDONLY);
    run(server, || fill(&filler), || read_all(&reader));
}

#[test]
fn of_a_socket() {
    let (reader, writer) = UnixStream::pair().expect("a pair");
    let stderr = OwnedFd::from(writer.try_clone().expect("a descriptor"));
    let server = Server::spawn_to(None, Some(stderr.into()), &mut command(&[]));
    let stall = || loop {
        // Setting O_NONBLOCK would set it for the server, too.
        match send(writer.as_raw_fd(), b"x", MsgFlags::MSG_DONTWAIT) {
            Ok(_) => {}
            Err(e) => break assert_eq!(e, Errno::EAGAIN),
        }
    };
    reader.set_nonblocking(true).expect("nonblocking");
    run(server, stall, || read_all(&reader));
}

#[test]
fn of_a_stopped_terminal() {
    let pty = openpty(None, None).expect("a pseudo-terminal");
    let theirs = pty.slave.try_clone().expect("a descriptor");
    let server = Server::spawn_to(None, Some(theirs.into()), &mut command(&[]));
    let ours = File::from(pty.master);
    let flags = OFlag::from_bits_truncate(fcntl(&ours, FcntlArg::F_GETFL).expect("flags"));
    fcntl(&ours, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).expect("nonblocking");
    let stall = || tcflow(&pty.slave, FlowArg::TCOOFF).expect("stopped");
    let read = || {
        tcflow(&pty.slave, FlowArg::TCOON).expect("it goes on");
        String::from_utf8_lossy(&read_all(&ours)).replace('\r', "").into_bytes()
    };
    run(server, stall, read);
}

#[test]
fn of_a_fifo_that_is_the_log_file() {
    let folder = scratch_folder();
    let path = folder.join("log");
    mkfifo(&path, Mode::S_IRWXU).expect("a FIFO");
    let reader = open(&path, OFlag::O_RDONLY | OFlag::O_NONBLOCK, Mode::empty()).map(File::from).expect("it opens");
    let filler = again(reader.as_raw_fd(), OFlag::O_WRONLY);
    let server = Server::spawn(&mut command(&["--log-file", path.to_str().expect("UTF-8")]));
    run(server, || fill(&filler), || read_all(&reader));
    let _ = fs::remove_dir_all(&folder);
}

#[test]
fn a_pipe_without_a_reader_stops_nothing() {
    let (reader, writer) = pipe().expect("a pipe");
    let mut server = Server::spawn_to(None, Some(writer.into()), &mut command(&[]));
    server.wait_ready();
    drop(reader);
    exercise(&server);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn the_banner_is_not_waited_for() {
    let (reader, writer) = pipe().expect("a pipe");
    fill(again(writer.as_raw_fd(), OFlag::O_WRONLY));
    let mut server = Server::spawn_to(Some(writer.into()), None, &mut command(&[]));
    server.wait_log("serving ");
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    drop(reader);
}
