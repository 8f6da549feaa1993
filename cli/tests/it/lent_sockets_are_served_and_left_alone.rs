//! Sockets that another process lends (systemd's socket activation) are served and left open: clients that connect
//! after the stop wait for the next start.

use crate::support::{
    Client, Server, eventually, inherited, lua, one_line_of, patience, run_to_end, scratch_folder, was_killed_by,
};
use nix::sys::signal::Signal;
use socket2::SockRef;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// Holds the sockets as systemd would.
struct Lender {
    tcp: TcpListener,
    unix: UnixListener,
    folder: PathBuf,
}

impl Lender {
    fn new() -> Lender {
        let folder = scratch_folder();
        let unix = UnixListener::bind(folder.join("socket")).expect("a Unix socket");
        Lender { tcp: TcpListener::bind("127.0.0.1:0").expect("a TCP socket"), unix, folder }
    }

    fn sockets(&self) -> [(BorrowedFd<'_>, &'static str); 2] {
        [(self.tcp.as_fd(), "tine.socket"), (self.unix.as_fd(), "unknown")]
    }

    fn address(&self) -> SocketAddr {
        self.tcp.local_addr().expect("an address")
    }

    fn path(&self) -> PathBuf {
        self.folder.join("socket")
    }

    fn start(&self) -> Server {
        inherited::start(&self.sockets(), &["run", "--workers", "2"])
    }

    /// A client on each socket, with a request sent.
    fn clients(&self) -> [Client; 2] {
        let unix = Client::try_connect_unix(&self.path()).expect("its file is there");
        [Client::connect(self.address()), unix].map(|mut client| {
            client.send("GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
            client
        })
    }

    #[track_caller]
    fn expect_served(&self) {
        for mut client in self.clients() {
            assert_eq!(client.response().status, 200);
        }
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        // It holds nothing that explains a failure.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn they_are_listened_on_and_nothing_else() {
    let lender = Lender::new();
    let server = lender.start();
    lender.expect_served();
    let said = server.stdout();
    let urls: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    assert_eq!(urls, [format!("http://{}", lender.address()), format!("unix:{}", lender.path().display())]);
    // The test has the same socket, and so sees which options were set on it.
    let socket = SockRef::from(&lender.tcp);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap() && socket.nonblocking().unwrap());
}

#[test]
fn a_client_that_connects_after_a_stop_waits_for_the_next_start() {
    for signal in [Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGKILL] {
        let lender = Lender::new();
        let mut server = lender.start();
        lender.expect_served();
        let workers = server.workers();
        let status = server.stop(signal);
        assert!(status.code() == Some(0) || was_killed_by(status, Signal::SIGKILL), "{status}");
        server.wait_gone(&workers);
        // A filter on the socket would keep the TCP client out.
        let clients = lender.clients();
        let _next = lender.start();
        for mut client in clients {
            assert_eq!(client.response().status, 200, "after {signal}");
        }
    }
}

#[test]
fn a_drain_stops_accepting_from_them() {
    let lender = Lender::new();
    let mut server = inherited::spawn(&lender.sockets(), &["run", "--workers", "2"], &[("TINE_LOG", "debug")]);
    server.wait_ready();
    let mut delayed = Client::connect(lender.address());
    delayed.send("GET /delay/1500 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("a worker has the request", || {
        let held = crate::support::connections_on(lender.address().port());
        let sockets: Vec<String> = server.workers().into_iter().flat_map(crate::support::sockets_of).collect();
        held.iter().any(|(_, inode)| sockets.contains(inode)).then_some(())
    });
    server.signal(Signal::SIGTERM);
    eventually("both workers have the stop", || {
        let log = server.log();
        let told = log.lines().filter(|line| line.contains("DEBUG worker") && line.contains("draining"));
        (told.count() == 2).then_some(())
    });
    let waiting = lender.clients();
    assert_eq!(delayed.response().status, 200, "what was in flight is finished");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(server.log().contains("drained: 1 request answered in all"), "{}", server.log());
    let _next = lender.start();
    for mut client in waiting {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn addresses_of_the_command_line_are_bound_too() {
    let lender = Lender::new();
    let address = lender.address().to_string();
    // An address that is lent is not bound a second time.
    let server = inherited::start(&lender.sockets(), &["run", "0", "--listen", &address, "--workers", "2"]);
    lender.expect_served();
    let said = server.stdout();
    let urls: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  http://")).collect();
    assert_eq!(urls.len(), 2, "{said}");
    assert_eq!(urls[0], address);
    let own: SocketAddr = urls[1].parse().expect("an address");
    TcpStream::connect_timeout(&own, patience()).expect("the server listens on it");
}

#[test]
fn per_worker_queues_cannot_be_made_from_them() {
    let lender = Lender::new();
    let _server = inherited::start(&lender.sockets(), &["run", "--workers", "2", "--accept", "per-worker"]);
    for _ in 0..10 {
        lender.expect_served();
    }
}

#[test]
fn the_app_does_not_see_them() {
    let lender = Lender::new();
    let app = "return function(environ, start_response)
        start_response('200 OK', {})
        return { tostring(os.getenv('LISTEN_FDS')), tostring(os.getenv('LISTEN_PID')), tostring(os.getenv('LISTEN_FDNAMES')) }
    end";
    let folder = lua::folder_with(&[("app.lua", app)]);
    let path = folder.join("app.lua");
    let server = inherited::start(&lender.sockets(), &["run", path.to_str().unwrap(), "--workers", "1"]);
    assert_eq!(server.get("/").text(), "nilnilnil");
    fs::remove_dir_all(folder).expect("the app's folder");
}

#[test]
fn check_names_them_and_changes_nothing() {
    let lender = Lender::new();
    let mut server = inherited::spawn(&lender.sockets(), &["check", "--workers", "2"], &[]);
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    let said = server.stdout();
    assert!(said.contains(&format!("{} (inherited)", lender.address())), "{said}");
    assert!(said.contains(&format!("unix:{} (inherited)", lender.path().display())), "{said}");
    assert!(!said.contains("8080"), "{said}");
    assert!(lender.path().exists() && !SockRef::from(&lender.tcp).nonblocking().unwrap());
}

#[test]
fn what_cannot_be_listened_on_is_one_line() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let lender = Lender::new();
    let connection = TcpStream::connect(lender.address()).expect("a connection");
    let file = fs::File::open("/dev/null").expect("a file");
    for (fd, words) in [
        (datagrams.as_fd(), "descriptor 4 (x) cannot be listened on: it is not a TCP or Unix stream socket"),
        (connection.as_fd(), "descriptor 4 (x) cannot be listened on: it does not listen"),
        (file.as_fd(), "descriptor 4 (x) cannot be listened on: it is not a socket"),
    ] {
        for command in ["run", "check"] {
            let mut server = inherited::spawn(&[lender.sockets()[0], (fd, "x")], &[command], &[]);
            assert_eq!(server.wait_exit().code(), Some(1));
            let said = server.log();
            assert!(said.lines().count() == 1 && said.contains(words), "{said}");
        }
    }
    let output = run_to_end(&["check", "0"]);
    assert!(output.status.success(), "{}", one_line_of(&output));
}
