//! `--max-connections-per-address`: a connection above it gets a 503 with a Retry-After, whichever workers hold the
//! others, while other addresses are served. However a connection ends, it is counted off, exactly once.

use crate::support::{BUSY, Client, Response, Server, eventually, send_signal};
use nix::sys::signal::Signal;
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

const GET: &str = "GET /health HTTP/1.1\r\nHost: t\r\n\r\n";
const HOG: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const OPTIONS: [&str; 4] = ["--workers", "2", "--max-connections-per-address", "3"];

fn connect_from(server: &Server, address: Ipv4Addr) -> Client {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::new(IpAddr::V4(address), 0).into()).expect("all of 127.0.0.0/8 is ours");
    socket.connect(&server.address().into()).expect("the server accepts");
    Client::over(socket.into()).expect("timeouts")
}

fn ask_from(server: &Server, address: Ipv4Addr, request: &str) -> (Client, Response) {
    let mut client = connect_from(server, address);
    client.send(request);
    let response = client.response();
    (client, response)
}

#[track_caller]
fn admitted(server: &Server, address: Ipv4Addr, request: &str, status: u16) -> Client {
    eventually("it is let in", || {
        let (client, response) = ask_from(server, address, request);
        (response.status == status).then_some(client)
    })
}

/// A connection that was answered and is kept open, once it is admitted.
#[track_caller]
fn kept(server: &Server, address: Ipv4Addr) -> Client {
    admitted(server, address, GET, 200)
}

#[track_caller]
fn expect_refusal(server: &Server, address: Ipv4Addr) {
    let (mut client, response) = ask_from(server, address, GET);
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")), "{}", server.log());
    client.expect_end();
}

/// Exactly its share: no more, and no less.
#[track_caller]
fn expect_share(server: &Server) -> Vec<Client> {
    let clients = (0..3).map(|_| admitted(server, HOG, BUSY, 100)).collect();
    // Each of the two workers would admit some if it counted by itself.
    (0..10).for_each(|_| expect_refusal(server, HOG));
    clients
}

#[test]
fn in_both_accept_modes() {
    for mode in ["shared", "per-worker"] {
        let server = Server::start(&[&OPTIONS[..], &["--accept", mode]].concat());
        let mut hogs = expect_share(&server);
        let others: Vec<Client> = (0..3).map(|_| kept(&server, OTHER)).collect();
        expect_refusal(&server, OTHER);
        hogs.iter_mut().for_each(|client| {
            client.send(["x", GET].concat());
            let answers = (client.response().status, client.response().status);
            assert_eq!(answers, (200, 200), "admitted connections are not affected");
        });
        hogs.pop();
        hogs.push(kept(&server, HOG));
        expect_refusal(&server, HOG);
        // One line for each worker and burst.
        let said = server.wait_log("127.0.0.1 has 3 connections, the limit of --max-connections-per-address");
        assert!(said.matches("127.0.0.1 has 3 connections").count() <= 4, "{said}");
        server.wait_log("by --max-connections-per-address with 503 within");
        drop(others);
    }
}

#[test]
fn a_killed_worker_leaves_nothing() {
    let server = Server::start(&OPTIONS);
    let hogs = expect_share(&server);
    let workers = server.workers();
    let killed = server.worker_of(&hogs[0]).expect("a worker has it");
    // All stay open until it is dead: it counts none of them off.
    let (_lost, mut hogs): (Vec<Client>, Vec<Client>) =
        hogs.into_iter().partition(|client| server.worker_of(client) == Some(killed));
    send_signal(killed, Signal::SIGKILL);
    server.wait_replaced(&workers);
    hogs.extend((hogs.len()..3).map(|_| kept(&server, HOG)));
    expect_refusal(&server, HOG);
}

/// Each ends in a different way; then there is room for exactly its share.
#[test]
fn however_a_connection_ends() {
    let short = ["--idle-timeout", "300ms", "--header-timeout", "300ms", "--defer-accept", "0"];
    let server = Server::start(&[&OPTIONS[..], &short].concat());
    for _ in 0..5 {
        // The client closes.
        drop(kept(&server, HOG));
        // The client resets, also without having sent anything.
        let client = kept(&server, HOG);
        SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(client);
        let client = connect_from(&server, HOG);
        SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("linger");
        drop(client);
        // The server closes, on request and because of an error.
        for request in ["GET /health HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n", "no HTTP\r\n\r\n"] {
            let mut client = kept(&server, HOG);
            client.send(request);
            client.response();
            client.expect_end();
        }
        // The server refuses the request, whether it has read it or not.
        let _hogs: Vec<Client> = (0..3).map(|_| kept(&server, HOG)).collect();
        drop(connect_from(&server, HOG));
    }
    // The connection is idle for too long; a head does not arrive.
    let mut idle = kept(&server, HOG);
    idle.expect_end();
    let mut slow = kept(&server, HOG);
    slow.send("GET / HT");
    assert_eq!(slow.response().status, 408);
    slow.expect_end();
    drop((idle, slow));
    let _share = expect_share(&server);
}

/// Connections that were closed to make room, and those that were refused for lack of room, are counted off.
#[test]
fn with_connections_that_make_room() {
    let options = ["--max-connections", "4", "--defer-accept", "0"];
    let server = Server::start(&[&OPTIONS[..], &options].concat());
    for _ in 0..5 {
        let hogs: Vec<Client> = (0..3).map(|_| kept(&server, HOG)).collect();
        let others: Vec<Client> = (0..3).map(|_| kept(&server, OTHER)).collect();
        drop((hogs, others));
    }
    let _share = expect_share(&server);
}

#[test]
fn after_a_reload() {
    let mut server = Server::start(&OPTIONS);
    for _ in 0..3 {
        let before = server.workers();
        let hogs: Vec<Client> = (0..3).map(|_| kept(&server, HOG)).collect();
        server.signal(Signal::SIGHUP);
        server.wait_gone(&before);
        drop(hogs);
    }
    drop(expect_share(&server));
    assert!(server.stop(Signal::SIGTERM).success());
}

#[test]
fn not_without_the_option() {
    let server = Server::start(&["--workers", "2"]);
    let _all: Vec<Client> = (0..50)
        .map(|_| {
            let (client, response) = ask_from(&server, HOG, GET);
            assert_eq!(response.status, 200);
            client
        })
        .collect();
}

/// Its clients are a proxy, or on the same machine.
#[test]
fn not_over_a_unix_socket() {
    let folder = crate::support::scratch_folder();
    let path = folder.join("s");
    let listen = format!("unix:{}", path.display());
    let server = Server::start(&["--listen", &listen, "--workers", "2", "--max-connections-per-address", "1"]);
    let _all: Vec<Client> = (0..10)
        .map(|_| {
            let mut client = Client::try_connect_unix(&path).expect("the server listens");
            client.send(GET);
            assert_eq!(client.response().status, 200, "{}", server.log());
            client
        })
        .collect();
    std::fs::remove_dir_all(folder).ok();
}
