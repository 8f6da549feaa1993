use super::*;
use crate::app::Wakeups;
use mio::{Events, Poll, Token};
use nix::unistd::dup2;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

struct Worker {
    poll: Poll,
    watches: Watches,
    wakeups: Wakeups,
}

impl Worker {
    fn new() -> Worker {
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a descriptor");
        let wakeups = Wakeups::new(registry);
        Worker { poll, watches: wakeups.watches.clone(), wakeups }
    }

    fn waker(&self, token: usize) -> Waker {
        Waker::new(id(token), Some(&self.wakeups.woken))
    }

    /// Watches it for the connection of this token.
    fn watch(&self, fd: &impl AsRawFd, interest: Interest, token: usize) -> Watch {
        self.watches.add(fd.as_raw_fd(), interest, Wakes::One(self.waker(token))).expect("room in the poll")
    }

    /// What is reported by now: the tokens of connections that are woken, and the tokens of events of no watch.
    fn turn(&mut self) -> (Vec<usize>, Vec<usize>) {
        let mut events = Events::with_capacity(16);
        self.poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll_wait");
        let (watched, others): (Vec<_>, Vec<_>) = events.iter().partition(|event| event.token().0 >= FIRST_TOKEN);
        watched.iter().for_each(|event| self.watches.on_event(event));
        let mut woken: Vec<_> = std::iter::from_fn(|| self.wakeups.woken.pop()).map(|id| id.token).collect();
        woken.sort_unstable();
        (woken, others.iter().map(|event| event.token().0).collect())
    }

    fn woken(&mut self) -> Vec<usize> {
        let (woken, others) = self.turn();
        assert_eq!(others, []);
        woken
    }
}

fn id(token: usize) -> ConnectionId {
    ConnectionId::new(token, 1)
}

/// Two connected sockets that do not block.
fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().expect("two sockets");
    [&a, &b].into_iter().for_each(|one| one.set_nonblocking(true).expect("a socket"));
    (a, b)
}

const WRITTEN: Ready = Ready { readable: true, writable: false };

#[test]
fn each_report_wakes_the_connection_that_waits_for_its_direction() {
    let mut worker = Worker::new();
    let ((a, mut far_a), (b, _far_b)) = (pair(), pair());
    let reads = worker.watch(&a, Interest::Read, 1);
    let writes = worker.watch(&b, Interest::ReadWrite, 2);
    assert_eq!(worker.woken(), [2], "it can be written from the start");
    assert_eq!(writes.ready(), Ready { readable: false, writable: true });
    assert_eq!(worker.woken(), [], "each report comes once");
    far_a.write_all(b"x").expect("room");
    assert_eq!((worker.woken(), reads.ready()), (vec![1], WRITTEN));
    // The close is reported in both directions.
    drop(far_a);
    assert_eq!((worker.woken(), reads.ready()), (vec![1], Ready { readable: true, writable: true }));
    drop((reads, writes));
    assert!(worker.watches.0.borrow().by_fd.is_empty() && worker.watches.0.borrow().entries.is_empty());
}

/// A descriptor that is closed fails each system call: so none is made.
#[test]
fn waiting_again_costs_no_system_call() {
    let mut worker = Worker::new();
    let (near, mut far) = pair();
    let watch = worker.watch(&near, Interest::Read, 1);
    far.write_all(b"xy").expect("room");
    assert_eq!((worker.woken(), watch.ready()), (vec![1], WRITTEN));
    watch.wait_for(Interest::Read).expect("no system call");
    assert_eq!((worker.woken(), watch.ready()), (vec![], Ready::default()), "unread bytes are not reported again");
    watch.rearm(Interest::Read).expect("it is open");
    assert_eq!((worker.woken(), watch.ready()), (vec![1], WRITTEN), "but on request");
    // The first time that it is waited for in this direction, and from then on both are in the poll.
    watch.wait_for(Interest::Write).expect("it is open");
    assert_eq!(worker.woken(), [1]);
    far.write_all(b"z").expect("room");
    watch.wait_for(Interest::Write).expect("no system call");
    drop(near);
    watch.wait_for(Interest::Read).expect("no system call");
    watch.wait_for(Interest::Write).expect("no system call");
    let error = watch.rearm(Interest::Write).expect_err("it is closed").to_string();
    assert!(error.starts_with("epoll_ctl MOD of descriptor "), "{error}");
}

#[test]
fn a_watch_can_wake_another_connection() {
    let mut worker = Worker::new();
    let (mut near, mut far) = pair();
    let watch = worker.watch(&near, Interest::Read, 1);
    assert!(worker.watches.may_wake(id(1)) && !worker.watches.may_wake(id(2)));
    // In a pool.
    watch.set_waker(Waker::none());
    far.write_all(b"x").expect("room");
    assert_eq!((worker.woken(), watch.ready()), (vec![], WRITTEN), "the pool sees that something came unasked");
    watch.set_waker(worker.waker(2));
    near.read_exact(&mut [0]).expect("a byte");
    watch.wait_for(Interest::Read).expect("no system call");
    far.write_all(b"x").expect("room");
    assert_eq!(worker.woken(), [2]);
}

#[test]
fn an_event_of_a_watch_that_is_gone_wakes_nothing() {
    let mut worker = Worker::new();
    let ((a, mut far), (b, _far_b)) = (pair(), pair());
    // As a child of the app would have it: the poll keeps the descriptor for as long as this is open.
    let copy = a.try_clone().expect("a descriptor");
    let (first, last) = (worker.watch(&a, Interest::Read, 1), token(0, worker.watches.0.borrow().serial));
    drop(a);
    drop(first);
    let second = worker.watch(&b, Interest::Read, 2);
    assert!(worker.watches.0.borrow().entries.contains(0), "the place in the table is used again");
    far.write_all(b"x").expect("room");
    let mut events = Events::with_capacity(16);
    worker.poll.poll(&mut events, Some(Duration::ZERO)).expect("epoll_wait");
    let reported: Vec<_> = events.iter().map(|event| event.token().0).collect();
    assert_eq!(reported, [last], "the kernel still reports it");
    events.iter().for_each(|event| worker.watches.on_event(event));
    assert_eq!((worker.woken(), second.ready()), (vec![], Ready::default()));
    drop(copy);
}

/// The app closes the descriptor of a watch, and its number becomes a client's socket or that of another watch.
#[test]
fn a_descriptor_that_is_closed_first_does_no_harm_to_the_next_of_its_number() {
    let mut worker = Worker::new();
    for is_clients in [true, false] {
        let ((near, _far), (next, mut far)) = (pair(), pair());
        let mut near = OwnedFd::from(near);
        let number = near.as_raw_fd();
        let watch = worker.watch(&near, Interest::Read, 1);
        // Closes it, and gives its number to the other.
        dup2(next, &mut near).expect("a descriptor");
        let other = (!is_clients).then(|| worker.watch(&near, Interest::Read, 2));
        if is_clients {
            let interest = mio::Interest::READABLE;
            worker.poll.registry().register(&mut SourceFd(&number), Token(7), interest).expect("room in the poll");
            worker.watches.on_registered(number);
        }
        for interest in [Interest::Read, Interest::ReadWrite] {
            let error = watch.wait_for(interest).expect_err("its descriptor is closed");
            assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
        }
        assert!(watch.rearm(Interest::Read).is_err());
        drop(watch);
        far.write_all(b"x").expect("room");
        assert_eq!(worker.turn(), if is_clients { (vec![], vec![7]) } else { (vec![2], vec![]) });
        drop(other);
        assert!(worker.watches.0.borrow().by_fd.is_empty());
    }
}

#[test]
fn what_cannot_be_watched_is_named() {
    let worker = Worker::new();
    let (near, _far) = pair();
    let _watch = worker.watch(&near, Interest::Read, 1);
    let file = File::open("/proc/self/exe").expect("this program");
    let refused = |fd: RawFd| worker.watches.add(fd, Interest::Read, Wakes::One(Waker::none())).expect_err("an error");
    let twice = refused(near.as_raw_fd());
    assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
    let text = format!("epoll_ctl ADD of descriptor {}: it is watched already", near.as_raw_fd());
    assert_eq!(twice.to_string(), text);
    assert_eq!(refused(file.as_raw_fd()).kind(), io::ErrorKind::PermissionDenied);
    assert!(refused(900_000).to_string().contains("descriptor 900000"));
    assert_eq!(worker.watches.0.borrow().entries.len(), 1);
}

#[test]
fn tokens_are_apart_from_those_of_connections_and_listeners() {
    for (place, serial) in [(0, 0), (0, SERIAL_MASK), (1_000_000_000, 0), (1_000_000_000, SERIAL_MASK), (5, 77)] {
        let token = token(place, serial);
        assert!((FIRST_TOKEN..usize::MAX / 2).contains(&token));
        assert_eq!(watch_of(token), (place, serial));
    }
    // Serial numbers wrap around.
    let worker = Worker::new();
    worker.watches.0.borrow_mut().serial = SERIAL_MASK;
    let (near, _far) = pair();
    let _watch = worker.watch(&near, Interest::Read, 1);
    assert_eq!(worker.watches.0.borrow().serial, 0);
}
