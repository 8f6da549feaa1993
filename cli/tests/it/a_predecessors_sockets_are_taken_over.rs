//! The sockets of the previous master, under the names that it gives them, take the place of the same addresses on the
//! command line, queue by queue; missing ones are bound, and the new master owns them all.

use crate::support::{Client, eventually, inherited, scratch_folder};
use nix::sys::signal::Signal;
use socket2::{Domain, Socket, Type};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

fn urls(said: &str) -> Vec<String> {
    said.lines().filter_map(|line| line.strip_prefix("  ")).map(str::to_string).collect()
}

#[test]
fn their_addresses_are_those_of_the_command_line() {
    let folder = scratch_folder();
    let path = folder.join("socket");
    let chosen = TcpListener::bind("127.0.0.1:0").expect("a TCP socket");
    let unix = UnixListener::bind(&path).expect("a Unix socket");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a TCP socket");
    let listen = format!("unix:{}", path.display());
    let sockets = [(chosen.as_fd(), "tine-0-0"), (gone.as_fd(), "tine-1-0"), (unix.as_fd(), "tine-2-0")];
    let arguments = ["run", "0", "--listen", "127.0.0.2:0", "--listen", &listen, "--workers", "2"];
    let mut server = inherited::start(&sockets, &arguments);
    let urls = urls(&server.stdout());
    assert_eq!(urls[0], format!("http://{}", chosen.local_addr().unwrap()), "the port that was chosen before");
    assert!(urls[1].starts_with("http://127.0.0.2:"), "bound again: {}", urls[1]);
    assert_eq!(urls[2], listen);
    server.wait_log(&format!("no longer listening on {}, as before the upgrade", gone.local_addr().unwrap()));
    let mut client = Client::try_connect_unix(&path).expect("the Unix socket");
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0), "{}", server.log());
    assert!(!path.exists(), "the new master removes the file");
    std::fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn each_queue_has_its_worker() {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let queue = |address: SocketAddr| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_reuse_port(true).expect("with SO_REUSEPORT");
        socket.bind(&address.into()).and_then(|()| socket.listen(100)).expect("a listener");
        socket
    };
    let first = queue(any);
    let address = first.local_addr().unwrap().as_socket().unwrap();
    let second = queue(address);
    // A queue is made for the third worker.
    let arguments = ["run", "0", "--accept", "per-worker", "--workers", "3"];
    let server = inherited::start(&[(second.as_fd(), "tine-0-1"), (first.as_fd(), "tine-0-0")], &arguments);
    drop((first, second));
    assert_eq!(server.address(), address);
    let mut clients: Vec<Client> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_eq!(client.response().status, 200);
    }
    let held = eventually("every client is held", || {
        let held = server.connections_of(&server.workers());
        (held.iter().sum::<usize>() == 60).then_some(held)
    });
    assert!(held.iter().all(|&count| count > 0), "by chance nearly impossible: {held:?}");
}
