//! A burst of requests is read in as few calls as the worker's buffer allows, also where each request has to wait until
//! the previous answer is sent: the worker does not read more while unparsed bytes remain in the buffer.

use crate::support::{Client, Server, TINE, Trace, freeze, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::process::Command;

const REQUESTS: usize = 10;

#[test]
fn a_burst_is_read_in_few_calls() {
    // A Unix socket takes all of it at once, whatever windows there are.
    let folder = scratch_folder();
    let path = folder.join("s");
    let listen = format!("unix:{}", path.display());
    let server = Server::start_command(Command::new(TINE).args(["run", "--workers", "1", "--listen", &listen]));
    let mut client = Client::try_connect_unix(&path).expect("the server accepts");
    // Each head is a fifth of the buffer, each answer longer than the low watermark.
    let request = format!("GET /bin/20K HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n", "x".repeat(12_000));
    client.send(&request);
    assert_eq!(client.response().status, 200);
    let worker = server.workers()[0];
    freeze(worker);
    let trace = Trace::begin(worker);
    client.send(request.repeat(REQUESTS));
    send_signal(worker, Signal::SIGCONT);
    for _ in 0..REQUESTS {
        assert_eq!(client.response().body.len(), 20 << 10);
    }
    let Some(calls) = trace.map(Trace::end) else { return };
    let reads: Vec<&str> = calls.lines().filter(|line| line.starts_with("recvfrom(")).collect();
    // A full buffer, the rest, the call that finds nothing more, and one to spare. A read after each request would make
    // seven.
    assert!(reads.len() <= 4, "{} reads for {REQUESTS} requests:\n{calls:.4000}", reads.len());
    drop(server);
    let _ = std::fs::remove_dir_all(folder); // a kept folder does no harm
}
