//! A system call that fails costs what it was made for and no more: strace makes them fail, one after another, in a
//! worker and in the master, and the server serves on, with few log lines and few calls.

use crate::support::site::Site;
use crate::support::{Client, Response, Server, Trace, busy, eventually, send_signal};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};

const GET: &str = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";

/// The request on a connection that arrives while the call fails, and its outcome.
#[derive(Clone, Copy, PartialEq)]
enum Comes {
    /// A small request: it is answered meanwhile.
    IsServed,
    /// It is answered once the call succeeds again.
    Waits,
    /// A request that is not answered at once: it gets a 503.
    IsRefused,
    /// It is answered, and its connection ends.
    IsServedOnce,
    /// Its connection ends without an answer.
    IsCut,
}

struct Case {
    failures: &'static [&'static str],
    client: Comes,
    /// The line in the log, once or twice; beside it only the lines of any server.
    says: Option<&'static str>,
}

const fn case(failures: &'static [&'static str], client: Comes, says: Option<&'static str>) -> Case {
    Case { failures, client, says }
}

const PAUSE: Option<&str> = Some("cannot accept connections");
const SHORTAGE: Option<&str> = Some("cannot add a listener to epoll");
const LOST: Option<&str> = Some("this worker cannot go on");
const REFUSED: Option<&str> = Some("refusing connections with 503");
use Comes::{IsCut, IsRefused, IsServed, IsServedOnce, Waits};

/// Failures that a worker survives.
const WORKER: &[Case] = &[
    case(&["accept4:error=EPERM"], Waits, PAUSE),
    case(&["accept4:error=ENETDOWN"], Waits, PAUSE),
    case(&["accept4:error=ENOSYS"], Waits, PAUSE),
    case(&["accept4:error=ENOMEM"], Waits, REFUSED),
    case(&["accept4:error=ECONNABORTED:when=1..3"], IsServed, None),
    case(&["accept4:error=EINTR:when=1..3"], IsServed, None),
    // The pause takes the listener out of the poll, which is the first call; adding it again fails three times.
    case(&["accept4:error=EMFILE:when=1", "epoll_ctl:error=ENOSPC:when=2..4"], IsServed, SHORTAGE),
    case(&["accept4:error=EMFILE:when=1", "epoll_ctl:error=ENOMEM:when=2..4"], IsServed, SHORTAGE),
    case(&["accept4:error=EMFILE:when=1", "epoll_ctl:error=ENOMEM:when=1..3"], IsServed, SHORTAGE),
    // The call for the client's connection.
    case(&["epoll_ctl:error=ENOSPC:when=1"], IsServedOnce, REFUSED),
    case(&["epoll_ctl:error=ENOMEM:when=1"], IsRefused, REFUSED),
    case(&["/^epoll_p?wait$:error=ENOMEM:when=1..4"], IsServed, Some("epoll_wait: ")),
    case(&["/^epoll_p?wait$:error=EINTR:when=1..4"], IsServed, None),
    case(&["recvfrom:error=ECONNRESET:when=1"], IsCut, None),
    case(&["recvfrom:error=EBADF:when=1"], IsCut, None),
    case(&["recvfrom:error=EINTR:when=1"], IsServed, None),
    case(&["sendto:error=EPIPE:when=1"], IsCut, None),
    case(&["sendto:error=ENOBUFS:when=1"], IsCut, None),
];

/// Failures that end the worker, so that another takes its place.
const LOSSES: &[&[&str]] = &[
    &["accept4:error=EBADF:when=1"],
    &["accept4:error=ENOTSOCK:when=1"],
    &["accept4:error=EINVAL:when=1"],
    &["accept4:error=EOPNOTSUPP:when=1"],
    &["accept4:error=EMFILE:when=1", "epoll_ctl:error=EBADF:when=1"],
    &["accept4:error=EMFILE:when=1", "epoll_ctl:error=EINVAL:when=2"],
    &["/^epoll_p?wait$:error=EBADF:when=1"],
    &["/^epoll_p?wait$:error=EINVAL:when=1"],
    &["/^epoll_p?wait$:error=ENOMEM"],
];

/// In the master, while it has a worker to replace.
const MASTER: &[(&[&str], Option<&str>)] = &[
    (&["/^epoll_p?wait$:error=ENOMEM:when=1..5"], Some("epoll_wait: ")),
    (&["/^epoll_p?wait$:error=EBADF"], Some("epoll_wait: ")),
    (&["/^epoll_p?wait$:error=EINTR:when=1..5"], None),
    (&["/^(clone|clone3|fork)$:error=EAGAIN:when=1..2"], Some("cannot be started")),
    (&["socketpair:error=EMFILE:when=1..2"], Some("cannot be started")),
    (&["epoll_ctl:error=ENOSPC:when=1..2"], Some("cannot be started")),
    (&["wait4:error=EINTR:when=1..2"], None),
];

fn ask(client: &mut Client) -> Response {
    client.send(GET);
    client.response()
}

/// The lines that a server does not log anyway. strace makes a call fail by making it one that does not exist, and gives it
/// its error when it returns: one from which strace is detached in between, as it waits, has no other than ENOSYS.
fn complaints(server: &Server) -> Vec<String> {
    let log = server.log();
    let is_complaint = |line: &&str| line.contains(" WARN ") || line.contains(" ERROR ");
    let is_of_strace = |line: &&str| line.contains("epoll_wait: Function not implemented");
    log.lines().filter(is_complaint).filter(|line| !is_of_strace(line)).map(str::to_string).collect()
}

#[track_caller]
fn expect_few_lines(server: &Server, says: Option<&str>) {
    let lines = complaints(server);
    let what = says.unwrap_or("no line at all");
    match says {
        Some(text) => assert!(lines.iter().any(|line| line.contains(text)), "it logs {what}: {lines:#?}"),
        None => assert!(lines.is_empty(), "{what}: {lines:#?}"),
    }
    assert!(lines.len() <= 8, "{what}: {lines:#?}");
}

#[test]
fn a_worker_serves_on() {
    for Case { failures, client, says } in WORKER {
        // A connection that is answered before it would be polled has to arrive with its request.
        let defer_accept = if *client == IsServedOnce { "10s" } else { "0" };
        let server = Server::start(&["--workers", "1", "--defer-accept", defer_accept]);
        // In use: an idle connection would make room.
        let (worker, mut inside) = (server.workers()[0], busy(&server).expect("there is room"));
        let began = Instant::now();
        let Some(trace) = Trace::inject(worker, failures) else { return };
        let mut fresh = server.connect();
        fresh.send(if *client == IsRefused { "GET /delay/60 HTTP/1.1\r\nHost: t\r\n\r\n" } else { GET });
        match client {
            // Clients that arrive while accept4 fails get a 503, by the spare descriptor.
            IsServed if failures.len() > 1 => {
                assert_eq!(fresh.response().status, 503, "{failures:?}");
                eventually("others are served", || (ask(&mut server.connect()).status == 200).then_some(()));
            }
            IsServed => assert_eq!(fresh.response().status, 200, "{failures:?}"),
            IsServedOnce => {
                assert_eq!(fresh.response().status, 200, "{failures:?}");
                fresh.expect_end();
            }
            IsRefused => {
                let response = fresh.response();
                assert_eq!((response.status, response.header("retry-after")), (503, Some("5")), "{failures:?}");
                fresh.expect_end();
            }
            IsCut => assert!(fresh.try_response("GET").is_err(), "{failures:?}"),
            Waits => {}
        }
        if let Some(text) = says {
            server.wait_log(text);
        }
        if *client == Waits {
            // Time for many calls, if they were not bounded.
            eventually("a second is over", || (began.elapsed() > Duration::from_secs(1)).then_some(()));
        }
        let calls = trace.end().lines().filter(|line| line.contains("INJECTED")).count();
        let bound = 40.0 + 20.0 * began.elapsed().as_secs_f64();
        assert!((calls as f64) < bound, "{calls} calls failed, {failures:?}");
        if *client == Waits {
            assert_eq!(fresh.response().status, 200, "{failures:?}");
        }
        inside.send("x");
        assert_eq!(inside.response().status, 200, "a connected client is served, {failures:?}");
        assert_eq!(ask(&mut server.connect()).status, 200, "{failures:?}");
        assert_eq!(server.workers(), [worker], "the worker is the same, {failures:?}");
        expect_few_lines(&server, *says);
    }
}

/// More requests than a worker answers in a turn, so that the connection has another turn to come when it cannot be
/// polled.
#[test]
fn a_connection_with_a_turn_to_come_is_forgotten() {
    let server = Server::start(&["--workers", "1", "--defer-accept", "0"]);
    let (worker, mut inside) = (server.workers()[0], server.connect());
    assert_eq!(ask(&mut inside).status, 200);
    for _ in 0..5 {
        let Some(trace) = Trace::inject(worker, &["epoll_ctl:error=ENOSPC:when=1"]) else { return };
        let mut fresh = server.connect();
        let mut reader = fresh.sender();
        let reading = std::thread::spawn(move || reader.rest().map_or(0, |bytes| bytes.len()));
        // An error means that it is closed by now.
        let _ = fresh.try_send(GET.repeat(20_000));
        assert!(reading.join().expect("it reads") < 20_000 * 100, "its connection ended");
        trace.end();
    }
    assert_eq!(ask(&mut inside).status, 200);
    assert_eq!(server.workers(), [worker]);
    server.wait_log("refusing connections with 503");
}

#[test]
fn a_worker_that_lost_a_descriptor_is_replaced() {
    for failures in LOSSES {
        let mut server = Server::start(&["--workers", "1", "--defer-accept", "0"]);
        let before = server.workers();
        let Some(trace) = Trace::inject(before[0], failures) else { return };
        let mut fresh = server.connect();
        // It may still be in a queue, or be accepted and lost with the worker.
        let _ = fresh.try_send(GET);
        let _ = fresh.try_response("GET");
        server.wait_log("this worker cannot go on");
        server.wait_gone(&before);
        trace.end();
        server.wait_replaced(&before);
        eventually("the server serves", || {
            Client::try_connect(server.address()).ok().filter(|_| server.get("/health").status == 200)
        });
        expect_few_lines(&server, LOST);
        assert!(server.stop(Signal::SIGTERM).success(), "{failures:?}");
    }
}

#[test]
fn the_master_keeps_its_workers() {
    for (failures, says) in MASTER {
        let mut server = Server::start(&["--workers", "2"]);
        let before = server.workers();
        let mut inside = server.connect();
        assert_eq!(ask(&mut inside).status, 200, "{failures:?}");
        let other = server.worker_of(&inside).expect("a worker answered");
        let victim = before.iter().copied().find(|&pid| pid != other).expect("another");
        let Some(trace) = Trace::inject(server.pid(), failures) else { return };
        send_signal(victim, Signal::SIGKILL);
        server.wait_gone(&[victim]);
        server.wait_replaced(&before);
        assert_eq!(ask(&mut inside).status, 200, "its worker lives, {failures:?}");
        if let Some(text) = says {
            server.wait_log(text);
        }
        let lines = complaints(&server).len();
        assert!(lines <= 6, "{failures:?}: {:#?}", complaints(&server));
        // It also handles a signal while its calls fail.
        server.signal(Signal::SIGTERM);
        assert!(server.wait_exit().success(), "{failures:?}");
        trace.end();
    }
}

/// Where sendfile(2) is not available, files are read and sent.
#[test]
fn files_are_sent_without_sendfile() {
    let site = Site::of(&[]);
    site.write_sparse("x", 5);
    let server = site.serve(&["--defer-accept", "0"]);
    let worker = server.workers()[0];
    let get = |server: &Server| {
        let mut client = server.connect();
        client.send("GET /x HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        client.try_response("GET")
    };
    let whole = get(&server).expect("the file").body;
    assert_eq!(whole.len(), 5 << 20);
    for failure in ["ENOSYS", "EINVAL", "EPERM", "EOPNOTSUPP", "ENOMEM"] {
        let Some(trace) = Trace::inject(worker, &[&format!("sendfile:error={failure}")]) else { return };
        let response = get(&server).unwrap_or_else(|e| panic!("{failure}: {e}"));
        assert!(response.status == 200 && response.body == whole, "{failure}: {} bytes", response.body.len());
        assert!(trace.end().contains("INJECTED"));
    }
    assert!(complaints(&server).is_empty(), "{:?}", complaints(&server));
    // A file that cannot be read either is cut, with a line in the log.
    for failures in [&["sendfile:error=EIO"][..], &["sendfile:error=ENOSYS", "pread64:error=EIO"]] {
        let Some(trace) = Trace::inject(worker, failures) else { return };
        assert!(get(&server).is_err());
        trace.end();
        server.wait_log("cannot be read at byte");
    }
    assert_eq!(server.workers(), [worker]);
}
