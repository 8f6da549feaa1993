//! The control socket against clients that are slow, hostile, many, or gone; on a real poll, in one thread.

use super::client::STALL;
use super::protocol::ANSWER_BYTES_MAX;
use super::socket_file::identity;
use super::*;
use crate::unix_socket::is_live;
use mio::{Events, Poll};
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use tine_common::status::Status;

const BASE: usize = 1 << 20;
/// Only waited for when a test fails.
const SOON: Duration = Duration::from_secs(20);

/// A directory of its own, removed at the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("tine-control-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory");
        Directory(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("t.ctl")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the master's loop is to the control socket.
struct Server {
    control: Control,
    poll: Poll,
    now: Instant,
    directory: Directory,
}

impl Server {
    fn new() -> Self {
        let directory = Directory::new();
        let poll = Poll::new().unwrap();
        let mut control = Control::open(&directory.path(), Claim::Free).unwrap();
        control.register(poll.registry(), BASE).unwrap();
        Server { control, poll, now: Instant::now(), directory }
    }

    fn connect(&self) -> StdUnixStream {
        let stream = StdUnixStream::connect(self.directory.path()).unwrap();
        stream.set_nonblocking(true).unwrap();
        stream
    }

    fn turn(&mut self) -> Vec<(ClientId, Command)> {
        let mut events = Events::with_capacity(64);
        let sleep = self.control.deadline(self.now).map_or(Duration::from_millis(2), |_| Duration::ZERO);
        self.poll.poll(&mut events, Some(sleep)).unwrap();
        for event in &events {
            self.control.on_event(event, self.now);
        }
        self.control.turn(self.now)
    }

    /// The next requests.
    #[track_caller]
    fn requests(&mut self) -> Vec<(ClientId, Command)> {
        self.until("a request", |server| Some(server.turn()).filter(|requests| !requests.is_empty()))
    }

    #[track_caller]
    fn request(&mut self) -> (ClientId, Command) {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }

    #[track_caller]
    fn until<T>(&mut self, what: &str, mut state: impl FnMut(&mut Server) -> Option<T>) -> T {
        let end = Instant::now() + SOON;
        loop {
            if let Some(found) = state(self) {
                return found;
            }
            assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        }
    }

    /// What a client is sent next, up to the end of a line; `None`: that its connection is closed.
    #[track_caller]
    fn line_for(&mut self, stream: &mut StdUnixStream) -> Option<String> {
        let mut line = Vec::new();
        self.until("a line", |server| {
            assert_eq!(server.turn(), [], "no more requests");
            let mut byte = [0];
            loop {
                match stream.read(&mut byte) {
                    Ok(0) => return Some(None),
                    Ok(_) if byte[0] == b'\n' => return Some(Some(String::from_utf8(line.clone()).unwrap())),
                    Ok(_) => line.push(byte[0]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return None,
                    Err(_) => return Some(None), // reset: closed with something unread
                }
            }
        })
    }

    #[track_caller]
    fn wait_gone(&mut self, id: ClientId) {
        self.until("the client is gone", |server| {
            assert_eq!(server.turn(), []);
            (!server.control.is_there(id)).then_some(())
        });
    }
}

fn done(text: &str) -> Result<Answer, String> {
    Ok(Answer::said(text))
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let mut server = Server::new();
    let line = Command::Scale { workers: 4 }.line();
    for split in 1..line.len() {
        let mut stream = server.connect();
        stream.write_all(&line.as_bytes()[..split]).unwrap();
        assert_eq!(server.turn(), [], "split at {split}");
        stream.write_all(&line.as_bytes()[split..]).unwrap();
        let (id, request) = server.request();
        assert_eq!(request, Command::Scale { workers: 4 });
        server.control.report_progress(id, "worker 3 ready, 4 of 4");
        server.control.answer(id, done("4 workers"));
        assert_eq!(server.line_for(&mut stream).as_deref(), Some(r#"{"said":"worker 3 ready, 4 of 4"}"#));
        assert_eq!(server.line_for(&mut stream).as_deref(), Some(r#"{"ok":true,"said":"4 workers"}"#));
    }
    let mut stream = server.connect();
    for byte in line.as_bytes() {
        stream.write_all(&[*byte]).unwrap();
        if *byte != b'\n' {
            assert_eq!(server.turn(), []);
        }
    }
    server.request();
}

#[test]
fn requests_of_one_client_are_handed_out_one_after_another() {
    let mut server = Server::new();
    let mut stream = server.connect();
    let (reload, status) = (Command::Reload.line(), Command::Status.line());
    stream.write_all(format!("{reload}\n{status}\r\n{reload}").as_bytes()).unwrap();
    for expected in [Command::Reload, Command::Status, Command::Reload] {
        let (id, request) = server.request();
        assert_eq!(request, expected);
        assert_eq!(server.turn(), [], "the next waits for the answer");
        server.control.answer(id, done("yes")); // the answers may wait in the socket
    }
    for _ in 0..3 {
        assert_eq!(server.line_for(&mut stream).as_deref(), Some(r#"{"ok":true,"said":"yes"}"#));
    }
}

#[test]
fn garbage_is_answered_and_the_client_may_go_on() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(b"\xff\x00GET / HTTP/1.1\r\n").unwrap();
    let line = server.line_for(&mut stream).expect("an answer");
    assert!(line.starts_with(r#"{"ok":false,"error":"invalid request"#), "{line}");
    stream.write_all(Command::Stop.line().as_bytes()).unwrap();
    assert_eq!(server.request().1, Command::Stop);
}

#[test]
fn a_line_without_end_is_refused() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(&[b' '; 5000]).unwrap();
    let line = server.line_for(&mut stream).expect("an answer");
    assert_eq!(line, r#"{"ok":false,"error":"a request is one line of at most 4096 bytes"}"#);
    assert_eq!(server.line_for(&mut stream), None, "then the connection is closed");
}

#[test]
fn a_client_who_goes_away_is_forgotten_while_it_waits() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(Command::Reload.line().as_bytes()).unwrap();
    let (id, _) = server.request();
    assert!(server.control.is_there(id));
    drop(stream);
    server.wait_gone(id);
    // Both are dropped.
    server.control.report_progress(id, "worker 1 ready");
    server.control.answer(id, done("yes"));
}

#[test]
fn a_client_who_has_said_all_is_still_answered() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(Command::Status.line().as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let (id, _) = server.request();
    assert_eq!(server.turn(), []);
    server.control.answer(id, done("yes"));
    assert_eq!(server.line_for(&mut stream).as_deref(), Some(r#"{"ok":true,"said":"yes"}"#));
    assert_eq!(server.line_for(&mut stream), None, "nothing more can come of it");
    assert!(!server.control.is_there(id));
}

#[test]
fn of_too_many_clients_the_idlest_goes() {
    let mut server = Server::new();
    let mut streams: Vec<StdUnixStream> = Vec::new();
    for _ in 0..CLIENTS_MAX {
        streams.push(server.connect());
        server.until("it is accepted", |server| {
            server.turn();
            Some(()).filter(|()| server.control.clients.len() == server.control.last_id)
        });
    }
    // The first says something: now the second is the idlest.
    streams[0].write_all(Command::Status.line().as_bytes()).unwrap();
    let (id, _) = server.request();
    server.control.answer(id, done("yes"));
    let mut more = server.connect();
    assert_eq!(server.line_for(&mut streams[1]), None);
    assert_eq!(server.line_for(&mut streams[0]).as_deref(), Some(r#"{"ok":true,"said":"yes"}"#));
    more.write_all(Command::Status.line().as_bytes()).unwrap();
    server.request();
    assert_eq!(server.control.clients.len(), CLIENTS_MAX);
}

#[test]
fn a_client_that_waits_for_an_answer_is_not_displaced() {
    let mut server = Server::new();
    let mut streams: Vec<StdUnixStream> = Vec::new();
    let mut ids = Vec::new();
    for _ in 0..CLIENTS_MAX {
        let mut stream = server.connect();
        stream.write_all(Command::Reload.line().as_bytes()).unwrap();
        ids.push(server.request().0);
        streams.push(stream);
    }
    let mut more = server.connect();
    let line = server.line_for(&mut more).expect("an answer");
    assert_eq!(line, r#"{"ok":false,"error":"all 16 control connections are waiting for answers; try again"}"#);
    assert_eq!(server.line_for(&mut more), None);
    for (id, stream) in ids.into_iter().zip(&mut streams) {
        server.control.answer(id, done("yes"));
        assert!(server.line_for(stream).is_some());
    }
}

#[test]
fn a_client_that_does_not_read_is_dropped() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(Command::Status.line().as_bytes()).unwrap();
    let (id, _) = server.request();
    let name = "x".repeat(ANSWER_BYTES_MAX - 1000);
    server.control.answer(id, Ok(Answer::status(Status { name, ..Status::default() })));
    stream.write_all(Command::Status.line().as_bytes()).unwrap();
    assert_eq!(server.turn(), [], "no request of it is taken while it does not read");
    let deadline = server.control.deadline(server.now).expect("it is watched");
    assert_eq!(deadline, server.now + STALL);
    // It reads a little: it has another while.
    let mut bytes = vec![0; 1 << 20];
    server.now += STALL / 2;
    assert!(stream.read(&mut bytes).unwrap() > 0);
    server.until("the answer goes on", |server| {
        server.turn();
        server.control.deadline(server.now).filter(|&at| at == server.now + STALL)
    });
    server.now += STALL;
    assert_eq!(server.turn(), []);
    assert!(!server.control.is_there(id));
    assert_eq!(server.control.deadline(server.now), None);
}

#[test]
fn progress_that_is_not_read_is_left_out_and_the_outcome_is_not() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(Command::Reload.line().as_bytes()).unwrap();
    let (id, _) = server.request();
    for i in 0..100_000 {
        server.control.report_progress(id, &format!("worker {i} ready"));
    }
    assert!(server.control.is_there(id));
    server.control.answer(id, Err("the new generation did not start".into()));
    let mut heard = Vec::new();
    while heard.last().is_none_or(|line: &String| !line.contains("\"ok\"")) {
        heard.push(server.line_for(&mut stream).expect("a line"));
    }
    assert!(heard.len() < 50_000, "{} lines were kept", heard.len());
    assert!(heard.last().unwrap().contains("did not start"));
}

#[test]
fn an_answer_that_is_too_long_is_not_sent() {
    let mut server = Server::new();
    let mut stream = server.connect();
    stream.write_all(Command::Status.line().as_bytes()).unwrap();
    let (id, _) = server.request();
    server.control.answer(id, Ok(Answer::said("x".repeat(ANSWER_BYTES_MAX))));
    let line = server.line_for(&mut stream).expect("an answer");
    assert!(line.starts_with(r#"{"ok":false,"error":"the answer is longer"#), "{line}");
}

#[test]
fn only_the_owner_may_open_the_file() {
    let server = Server::new();
    let mode = fs::metadata(server.directory.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = fs::read_dir(&server.directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["t.ctl"], "nothing else is left there");
}

#[test]
fn a_stale_file_is_replaced_and_a_live_or_other_one_is_not() {
    let directory = Directory::new();
    let path = directory.path();
    let first = Control::open(&path, Claim::Free).unwrap();
    let line = Control::open(&path, Claim::Free).err().expect("a server listens there");
    assert!(line.contains("another server listens there") && line.contains("give another path"), "{line}");
    drop(first); // killed: the file stays
    assert!(identity(&path).is_some() && !is_live(&path).unwrap());
    let second = Control::open(&path, Claim::Free).unwrap();
    assert!(is_live(&path).unwrap());
    second.remove();
    assert!(!path.exists());
    fs::write(&path, "mine").unwrap();
    let line = Control::open(&path, Claim::Free).err().expect("a file is not a socket");
    assert!(line.contains("is not a socket"), "{line}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    for (path, words) in [
        (PathBuf::from("/no/such/directory/x.ctl"), "there is no such directory"),
        (directory.0.join("x".repeat(120)), "at most 107 bytes"),
        (PathBuf::from("/"), "does not name a file"),
    ] {
        let line = Control::open(&path, Claim::Free).err().expect("it cannot be made");
        assert!(line.contains(words) && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn a_successor_takes_the_path_over_and_may_lose_it_again() {
    let mut old = Server::new();
    let path = old.directory.path();
    let mut waiting = old.connect();
    waiting.write_all(Command::Upgrade.line().as_bytes()).unwrap();
    let (id, _) = old.request();
    let new = Control::open(&path, Claim::TakeOver).unwrap();
    assert!(!old.control.is_reachable() && new.is_reachable());
    old.control.remove();
    assert!(new.is_reachable(), "the old one's end leaves the new one's file");
    // The new one dies: the old one is found again, and its clients have never left.
    drop(new);
    old.control.reclaim().unwrap();
    assert!(old.control.is_reachable());
    old.control.answer(id, Err("the new master died".into()));
    assert!(old.line_for(&mut waiting).expect("an answer").contains("the new master died"));
    let mut stream = old.connect();
    stream.write_all(Command::Status.line().as_bytes()).unwrap();
    assert_eq!(old.request().1, Command::Status);
    old.control.remove();
    assert!(!path.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever comes in whatever pieces: each line is a request or an error, nothing panics, nothing grows.
    #[test]
    fn any_bytes_are_survived(pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), any::<u8>()], 1..300), 1..20)) {
        let mut server = Server::new();
        let mut stream = server.connect();
        for piece in &pieces {
            if stream.write_all(piece).is_err() {
                break;
            }
            for (id, _) in server.turn() {
                server.control.answer(id, Err("no".into()));
            }
        }
        drop(stream);
        server.until("all clients are gone", |server| {
            server.turn();
            server.control.clients.is_empty().then_some(())
        });
    }
}
