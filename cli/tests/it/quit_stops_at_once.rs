//! QUIT ends the server at once, whatever is in flight, with status 0, and removes its files.

use crate::support::{Client, Server, TINE, eventually, scratch_folder};
use nix::sys::signal::Signal;
use std::process::Command;

#[test]
fn quit_stops_at_once() {
    let folder = scratch_folder();
    let (socket, pidfile) = (folder.join("socket"), folder.join("pid"));
    let listen = format!("unix:{}", socket.display());
    let mut command = Command::new(TINE);
    command.args(["run", "0", "--workers", "2", "--graceful-timeout", "1h", "--listen", listen.as_str()]);
    let mut server = Server::start_command(command.arg("--pidfile").arg(&pidfile));
    let workers = server.workers();
    let mut client = server.connect();
    client.send("GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("a worker has the request", || server.worker_of(&client));
    assert_eq!(server.stop(Signal::SIGQUIT).code(), Some(0), "{}", server.log());
    server.wait_gone(&workers);
    assert!(client.try_response("GET").is_err(), "no answer");
    assert!(Client::try_connect(server.address()).is_err(), "the address is no longer listened on");
    assert!(!socket.exists() && !pidfile.exists(), "its files are removed");
    std::fs::remove_dir_all(&folder).expect("the folder is ours");
}

#[test]
fn quit_also_ends_a_drain() {
    let mut server = Server::start(&["--workers", "2", "--graceful-timeout", "1h"]);
    let mut client = server.connect();
    client.send("GET /delay/600000 HTTP/1.1\r\nHost: t\r\n\r\n");
    eventually("a worker has the request", || server.worker_of(&client));
    server.signal(Signal::SIGTERM);
    server.wait_log("draining");
    assert_eq!(server.stop(Signal::SIGQUIT).code(), Some(0), "{}", server.log());
}
