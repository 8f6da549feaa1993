//! A Unix socket is made at the start and removed at the end; a stale one is replaced, anything else is left alone.

use crate::support::{Client, Server, TINE, eventually, one_line_of, run_to_end, scratch_folder};
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How many files are made to get an inode that was just freed.
const INODES_TRIED: usize = 5000;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        Folder(scratch_folder())
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It holds nothing that explains a failure.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn listen(path: &Path) -> String {
    format!("unix:{}", path.display())
}

fn start_on(path: &Path) -> Server {
    Server::start_command(Command::new(TINE).args(["run", "--workers", "2", "--listen", &listen(path)]))
}

#[track_caller]
fn expect_served(path: &Path) {
    let mut client = Client::try_connect_unix(path).expect("the server listens");
    client.send("GET /health HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_eq!(client.response().status, 200);
}

#[track_caller]
fn expect_refused(path: &Path, why: &str) {
    for command in ["run", "check"] {
        let output = run_to_end(&[command, "--listen", &listen(path)]);
        let line = one_line_of(&output);
        assert_eq!(output.status.code(), Some(1), "{line}");
        assert!(line.contains(&listen(path)) && line.contains(why) && line.contains("give another path"), "{line}");
    }
}

#[test]
fn made_and_removed() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let folder = Folder::new();
        let path = folder.socket();
        let mut server = start_on(&path);
        assert!(server.stdout().contains(&listen(&path)) && server.stdout().contains("--unix-socket"));
        expect_served(&path);
        assert_eq!(server.stop(signal).code(), Some(0));
        assert!(!path.exists(), "removed after {signal}");
    }
}

#[test]
fn a_stale_one_is_replaced() {
    let folder = Folder::new();
    let path = folder.socket();
    drop(UnixListener::bind(&path).expect("a socket of the test"));
    assert!(path.exists());
    expect_served_by_new(&path);
    // Also the socket of a master that was killed with -9.
    let mut server = start_on(&path);
    let workers = server.workers();
    server.stop(Signal::SIGKILL);
    server.wait_gone(&workers);
    assert!(path.exists());
    expect_served_by_new(&path);
}

fn expect_served_by_new(path: &Path) {
    let mut server = start_on(path);
    expect_served(path);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn a_live_one_is_refused_and_goes_on() {
    let folder = Folder::new();
    let path = folder.socket();
    let _server = start_on(&path);
    expect_refused(&path, "another program listens there");
    expect_served(&path);
}

#[test]
fn another_kind_of_file_is_refused_and_kept() {
    let folder = Folder::new();
    let path = folder.socket();
    fs::write(&path, "precious").expect("a file of the test");
    expect_refused(&path, "is not a socket");
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
    expect_refused(&folder.0.join("no/such/folder/socket"), "no such directory");
}

#[test]
fn a_successors_socket_is_not_removed() {
    let folder = Folder::new();
    let path = folder.socket();
    let mut first = start_on(&path);
    fs::remove_file(&path).expect("it can be removed");
    let _second = start_on(&path);
    assert_eq!(first.stop(Signal::SIGTERM).code(), Some(0));
    expect_served(&path);
}

/// The file system may give the new file the inode of the one that was just removed, as ext4 does.
#[test]
fn a_socket_that_is_made_while_an_old_server_drains_stays() {
    let folder = Folder::new();
    let path = folder.socket();
    // The request that keeps it busy comes over TCP: a connection over the Unix socket would hold the inode.
    let arguments = ["run", "0", "--workers", "1", "--listen", &format!("127.0.0.1:0,{}", listen(&path))];
    let mut first = Server::start_command(Command::new(TINE).args(arguments));
    let inode = |path: &Path| fs::symlink_metadata(path).expect("a file").ino();
    let before = inode(&path);
    let mut client = first.connect();
    client.send("GET /chunked/1000?delay=100 HTTP/1.1\r\nHost: t\r\n\r\n");
    client.head();
    first.signal(Signal::SIGTERM);
    let name = path.to_str().expect("UTF-8");
    let is_open = || fs::read_to_string("/proc/net/unix").expect("a table").contains(name);
    eventually("the first has closed its socket", || (!path.exists() && !is_open()).then_some(()));
    // Other processes allocate inodes as well: the test tries until it gets the same one.
    let _second = (0..INODES_TRIED).find_map(|nth| {
        let listener = UnixListener::bind(&path).expect("a second server");
        if inode(&path) == before {
            return Some(listener);
        }
        fs::rename(&path, folder.0.join(nth.to_string())).expect("out of the way, its inode taken");
        None
    });
    if !path.exists() {
        println!("not tested: this file system does not reuse an inode");
        fs::write(&path, "").expect("another file");
    }
    drop(client);
    first.wait_exit();
    assert!(path.exists(), "the first server has removed the second one's file");
}

#[test]
fn a_check_leaves_nothing() {
    let folder = Folder::new();
    let path = folder.socket();
    assert!(run_to_end(&["check", "--listen", &listen(&path)]).status.success());
    assert!(!path.exists());
}
