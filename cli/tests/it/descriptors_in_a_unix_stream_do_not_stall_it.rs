//! A Unix socket client that sends descriptors along with its bytes is read to the end: recvmsg(2) stops at such a
//! message although more bytes are queued.

use crate::support::{Client, Server, TINE, freeze, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::process::Command;

#[test]
fn descriptors_in_a_unix_stream_do_not_stall_it() {
    let folder = scratch_folder();
    let path = folder.join("s");
    let listen = format!("unix:{}", path.display());
    let server = Server::start_command(Command::new(TINE).args([
        "run",
        "--workers",
        "1",
        "--header-timeout",
        "1h",
        "--listen",
        &listen,
    ]));
    let mut client = Client::try_connect_unix(&path).expect("the server accepts");
    // Later reads follow events; the first one follows the accept.
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let worker = server.workers()[0];
    // Both parts have arrived before the worker polls.
    freeze(worker);
    let descriptors = [client.stream.as_raw_fd()];
    let first = [IoSlice::new(b"GET /health HTTP/1.1\r\n")];
    let rights = [ControlMessage::ScmRights(&descriptors)];
    sendmsg::<()>(client.stream.as_raw_fd(), &first, &rights, MsgFlags::empty(), None).expect("sendmsg");
    client.send("Host: t\r\n\r\n");
    send_signal(worker, Signal::SIGCONT);
    assert_eq!(client.response().status, 200);
    drop(server);
    let _ = std::fs::remove_dir_all(folder); // a kept folder does no harm
}
