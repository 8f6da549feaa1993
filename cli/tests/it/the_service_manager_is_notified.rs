//! systemd, or any process that has set NOTIFY_SOCKET, is notified of the server's state: ready, reloading, stopping, a
//! status line, and keep-alives. The app that a worker runs cannot notify it.

use crate::support::{Server, lua, patience, scratch_folder, send_signal};
use nix::sys::signal::Signal;
use std::fs;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The manager's end of a socket with an abstract name.
struct Manager {
    socket: UnixDatagram,
    name: String,
}

impl Manager {
    fn new(name: &str) -> Manager {
        let name = format!("tine-test-{}-{name}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an abstract name");
        Manager::on(UnixDatagram::bind_addr(&address).expect("a socket"), format!("@{name}"))
    }

    fn on(socket: UnixDatagram, name: String) -> Manager {
        socket.set_read_timeout(Some(patience())).expect("a timeout");
        Manager { socket, name }
    }

    /// The next message with a line that begins like this.
    #[track_caller]
    fn wait(&self, line: &str) -> String {
        let mut heard = Vec::new();
        loop {
            let message = self.next().unwrap_or_else(|| panic!("no {line:?} arrives, but {heard:?}"));
            if message.lines().any(|said| said.starts_with(line)) {
                return message;
            }
            heard.push(message);
        }
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..count].to_vec()).expect("UTF-8"))
    }

    /// All other messages that have arrived.
    fn rest(&self) -> Vec<String> {
        self.socket.set_nonblocking(true).expect("nonblocking");
        std::iter::from_fn(|| self.next()).collect()
    }
}

#[test]
fn ready_reloading_and_stopping() {
    let manager = Manager::new("states");
    let mut server = Server::start_with(&["--workers", "2"], &[("NOTIFY_SOCKET", &manager.name)]);
    let said = manager.wait("READY=1");
    assert!(said.contains("\nSTATUS=2 workers, 0 connections, 0 requests in flight"), "{said}");

    server.signal(Signal::SIGHUP);
    let said = manager.wait("RELOADING=1");
    let time = said.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC=")).expect("the time of the reload");
    let uptime = fs::read_to_string("/proc/uptime").expect("how long the machine is up");
    let uptime: f64 = uptime.split(' ').next().and_then(|seconds| seconds.parse().ok()).expect("a number of seconds");
    let ago = uptime - time.parse::<f64>().expect("a number") / 1e6;
    assert!(ago.abs() < 60.0, "it is from the same clock, and recent: {ago} s ago");
    manager.wait("READY=1");

    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let said = manager.wait("STOPPING=1");
    assert!(said.contains("\nSTATUS=stopping: "), "{said}");
    let rest = manager.rest();
    assert!(!rest.iter().any(|said| said.contains("READY") || said.contains("WATCHDOG")), "{rest:?}");
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

#[test]
fn a_binary_that_takes_over_is_the_main_process() {
    let manager = Manager::new("upgrade");
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "200000")];
    let mut server = Server::start_with(&["--workers", "1"], &environment);
    manager.wait("READY=1");
    server.signal(Signal::SIGUSR2);
    let mut said = Vec::new();
    let pid: i32 = loop {
        let message = manager.next().expect("MAINPID= is sent");
        match message.trim().strip_prefix("MAINPID=") {
            Some(pid) => break pid.parse().expect("a number"),
            None => said.push(message),
        }
    };
    assert_ne!(pid, server.pid());
    // The manager accepts messages only from the main process: the new master sends none until it is the main process.
    assert!(!said.iter().any(|message| message.starts_with("READY=1")), "{said:?}");
    manager.wait("READY=1");
    assert_eq!(server.wait_exit().code(), Some(0), "{}", server.log());
    assert!(!said.iter().any(|message| message.contains("STOPPING")), "{said:?}");
    // Only the new master is left.
    for _ in 0..3 {
        manager.wait("WATCHDOG=1");
    }
    send_signal(pid, Signal::SIGTERM);
    manager.wait("STOPPING=1");
    server.wait_gone(&[pid]);
}

#[test]
fn a_path_works_as_well() {
    let folder = scratch_folder();
    let path = folder.join("notify");
    let name = path.to_str().expect("UTF-8").to_string();
    let manager = Manager::on(UnixDatagram::bind(&path).expect("a socket"), name);
    let mut server = Server::start_with(&["--workers", "1"], &[("NOTIFY_SOCKET", &manager.name)]);
    manager.wait("READY=1");
    assert_eq!(server.stop(Signal::SIGQUIT).code(), Some(0));
    manager.wait("STOPPING=1");
    fs::remove_dir_all(folder).expect("the folder");
}

#[test]
fn it_is_sent_keep_alives() {
    let manager = Manager::new("watchdog");
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "100000")];
    let _server = Server::start_with(&["--workers", "1"], &environment);
    for _ in 0..5 {
        manager.wait("WATCHDOG=1");
    }
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let manager = Manager::new("other");
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "10000"), ("WATCHDOG_PID", "1")];
    let mut server = Server::start_with(&["--workers", "1"], &environment);
    server.stop(Signal::SIGTERM);
    let said = manager.rest();
    assert!(said.iter().any(|said| said.contains("STOPPING=1")), "{said:?}");
    assert!(!said.iter().any(|said| said.contains("WATCHDOG")), "{said:?}");
}

#[test]
fn an_app_does_not_see_the_manager() {
    let manager = Manager::new("app");
    let app = "local seen = {}
    for _, name in ipairs { 'NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID' } do
      seen[#seen + 1] = tostring(os.getenv(name)) .. ' '
    end
    local child = io.popen('echo ${NOTIFY_SOCKET-unset}')
    seen[#seen + 1] = child:read('a')
    child:close()
    return function(environ, start_response)
        start_response('200 OK', {})
        return seen
    end";
    let folder = lua::folder_with(&[("app.lua", app)]);
    let environment = [("NOTIFY_SOCKET", manager.name.as_str()), ("WATCHDOG_USEC", "60000000")];
    let server = lua::serve_from(&folder, "app.lua", &[], &environment);
    assert_eq!(server.get("/").text(), "nil nil nil unset\n");
    fs::remove_dir_all(folder).expect("the app's folder");
}

#[test]
fn a_missing_manager_is_logged_once() {
    let name = format!("@tine-absent-{}", std::process::id());
    let mut server = Server::start_with(&["--workers", "1"], &[("NOTIFY_SOCKET", &name)]);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.stop(Signal::SIGTERM).code(), Some(0));
    let log = server.log();
    assert_eq!(log.matches("cannot notify the service manager").count(), 1, "{log}");
}
