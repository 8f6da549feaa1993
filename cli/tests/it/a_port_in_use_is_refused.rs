//! SO_REUSEPORT would let a second server silently take half of the connections; it is refused like any port in use.

use crate::support::{Server, TINE, one_line_of, run_to_end};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

#[track_caller]
fn expect_refused(port: u16, options: &[&str]) {
    let port_text = port.to_string();
    for command in ["run", "check"] {
        let output = run_to_end(&[&[command, port_text.as_str()], options].concat());
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(output.stdout.is_empty(), "it does not report that it serves");
        let named = format!(":{port}: another program listens there (process ");
        assert!(line.contains(&named) && line.contains("; stop it or choose another port"), "{line}");
    }
}

fn expect_second_server_is_refused(first: &[&str]) {
    let server = Server::start(&[&["--workers", "2"], first].concat());
    let port = server.address().port();
    for accept in ["shared", "per-worker"] {
        expect_refused(port, &["--accept", accept]);
        expect_refused(port, &["--accept", accept, "--host", "0.0.0.0"]);
    }
    for _ in 0..20 {
        assert_eq!(server.get("/health").status, 200, "the first server goes on");
    }
}

#[test]
fn beside_a_shared_queue() {
    expect_second_server_is_refused(&["--accept", "shared"]);
}

#[test]
fn beside_queues_per_worker() {
    expect_second_server_is_refused(&["--accept", "per-worker"]);
}

#[test]
fn beside_another_program() {
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("its address").port();
    expect_refused(port, &[]);
    expect_refused(port, &["--host", "0.0.0.0"]);
}

/// A client's connection has the port: what has to be stopped is not a server.
#[test]
fn as_an_end_of_a_clients_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("a connection");
    let (accepted, _) = listener.accept().expect("a connection");
    let port = client.local_addr().expect("its address").port();
    let expect = |words: &str, advice: &str| {
        let output = run_to_end(&["run", &port.to_string()]);
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        let words = format!(":{port}: no program listens there, but it {words}");
        assert!(line.contains(&words) && line.contains(advice) && line.contains("to clients)"), "{line}");
    };
    let which = format!("is an end of a connection (process {}, ", std::process::id());
    expect(&which, "; wait for its end or choose another port");
    // The side that closes first keeps the connection in TIME_WAIT.
    drop(client);
    drop(accepted);
    expect("was an end of a connection, which the kernel keeps", "; wait for a minute or choose another port");
}

#[test]
fn the_port_is_free_again_once_the_first_server_has_exited() {
    let mut server = Server::start(&["--workers", "2"]);
    let port = server.address().port().to_string();
    // Connections that the server closes stay in TIME_WAIT, which must not keep the port.
    for _ in 0..5 {
        assert_eq!(server.get("/health").status, 200);
    }
    server.stop(nix::sys::signal::Signal::SIGTERM);
    let second = Server::start_command(Command::new(TINE).args(["run", &port, "--workers", "2"]));
    assert_eq!(second.get("/health").status, 200);
}
