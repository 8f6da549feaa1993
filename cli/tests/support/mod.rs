//! The harness: the real binary, real processes, real sockets, on 127.0.0.1 and a port that the system chose.
//!
//! A [`Server`] is killed with its whole process group when it is dropped, also when the test fails; then its
//! directory, with its log, is kept and named. Waiting is polling for a state with a bound ([`eventually`]), never a
//! sleep.
#![allow(dead_code)] // each test file uses a part of it

pub mod access_log;
pub mod admin;
pub mod autobahn;
pub mod capture;
pub mod chaos;
mod client;
pub mod curl;
pub mod h2spec;
pub mod hey;
pub mod http2;
pub mod http2_load;
pub mod inherited;
pub mod keep_alive;
pub mod load;
pub mod lua;
pub mod markdown;
pub mod masters;
pub mod options;
pub mod pidfile;
mod process;
pub mod prometheus;
pub mod proxy;
pub mod pty;
pub mod python;
pub mod redis;
pub mod scripts;
mod sealed;
pub mod seen;
pub mod site;
pub mod store_proxy;
pub mod tls;
mod trace;
pub mod upgradable;
pub mod websocket;

#[allow(unused_imports)] // as above
pub use client::{Client, Ending, Response, lossy};
#[allow(unused_imports)]
pub use process::*;
#[allow(unused_imports)]
pub use trace::Trace;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that should happen soon, on an idle machine. Only a failing test waits this long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The current patience: longer if TEST_PATIENCE, a factor, asks for it, and on a machine with more to run than it has
/// CPUs.
pub fn patience() -> Duration {
    static FACTOR: LazyLock<f64> = LazyLock::new(|| {
        let text = std::env::var("TEST_PATIENCE").unwrap_or("1".to_string());
        text.parse()
            .ok()
            .filter(|factor| (1.0..=1000.0).contains(factor))
            .expect("TEST_PATIENCE is a factor from 1 to 1000")
    });
    PATIENCE.mul_f64(*FACTOR * crowding())
}

/// How many times more runnable tasks this machine has, now or in the last minute, than CPUs (proc_loadavg(5)); at
/// least 1.
fn crowding() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut fields = text.split_whitespace();
    let last_minute = fields.next().and_then(|field| field.parse().ok());
    let now = fields.nth(2).and_then(|field| field.split('/').next()?.parse().ok());
    let cpus = std::thread::available_parallelism().map_or(1.0, |count| count.get() as f64);
    last_minute.into_iter().chain(now).fold(1.0, |most, tasks: f64| most.max(tasks / cpus))
}

/// The binary `tine`.
pub const TINE: &str = env!("CARGO_BIN_EXE_tine");

/// Polls until `state` returns something; fails the test with `what` if it does not within [`patience`].
#[track_caller]
pub fn eventually<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let (began, patience) = (Instant::now(), patience());
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(began.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A directory of this test's own, under the build's.
pub fn scratch_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("tine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

/// How the servers of a test program listen, and its clients connect: `crate::TRANSPORT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Plain,
    Tls,
}

/// What a connection that does not read may hold beyond its write queue: the session, and records that are not sent.
pub const SESSION_BYTES: u64 = match crate::TRANSPORT {
    Transport::Plain => 0,
    Transport::Tls => 75_000,
};

pub fn scheme() -> &'static str {
    match crate::TRANSPORT {
        Transport::Plain => "http",
        Transport::Tls => "https",
    }
}

/// The arguments by which a server listens on a port that the system chooses.
pub fn listening() -> Vec<&'static str> {
    match crate::TRANSPORT {
        Transport::Plain => vec!["0"],
        Transport::Tls => [&["--tls-listen", "127.0.0.1:0"][..], &tls::pair_of_all().options()].concat(),
    }
}

pub struct Server {
    pid: i32,
    folder: PathBuf,
    /// Its first address, if that is TCP.
    pub address: Option<SocketAddr>,
    exited: Option<ExitStatus>,
}

impl Server {
    /// `tine run 0` with these options, once all its workers are ready.
    pub fn start(options: &[&str]) -> Server {
        Server::start_with(options, &[])
    }

    /// A command that runs a server under tine's command line, once all its workers are ready.
    pub fn start_command(command: &mut Command) -> Server {
        let mut server = Server::spawn(command);
        server.wait_ready();
        server
    }

    /// Starts it and does not wait.
    pub fn spawn(command: &mut Command) -> Server {
        Server::spawn_to(None, None, command)
    }

    /// As [`Server::spawn`], with these in place of the files `stdout` and `log`.
    #[expect(clippy::zombie_processes)] // it is waited for by its process id
    pub fn spawn_to(stdout: Option<Stdio>, stderr: Option<Stdio>, command: &mut Command) -> Server {
        let folder = scratch_folder();
        let file = |name: &str| File::create(folder.join(name)).expect("a file in the scratch folder");
        let child = command
            // Its control socket is made there.
            .env("XDG_RUNTIME_DIR", &folder)
            .env_remove("RUNTIME_DIRECTORY")
            .stdin(Stdio::null())
            .stdout(stdout.unwrap_or_else(|| file("stdout").into()))
            .stderr(stderr.unwrap_or_else(|| file("log").into()))
            .process_group(0)
            .spawn()
            .expect("the server starts");
        Server::of(child.id() as i32, folder)
    }

    /// A process that leads its group and writes to the files `stdout` and `log` of the directory.
    fn of(pid: i32, folder: PathBuf) -> Server {
        Server { pid, folder, address: None, exited: None }
    }

    /// Waits until it prints its addresses.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let line = eventually("the server prints its addresses", || {
            if let Some(status) = self.try_exit() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            let said = self.stdout();
            said.contains("Stop:").then(|| said.lines().nth(1).unwrap_or_default().trim().to_string())
        });
        self.address = line.split_once("://").and_then(|(_, address)| address.parse().ok());
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the server listens on TCP")
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", scheme(), self.address())
    }

    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"));
        client.response()
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The process ids of the workers that live, in the order of the master's children list.
    pub fn workers(&self) -> Vec<i32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).filter(|&pid| is_alive(pid)).collect()
    }

    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.join("stdout")).unwrap_or_default()
    }

    /// Waits for a line of the log that contains `text`, and returns it.
    #[track_caller]
    pub fn wait_log(&self, text: &str) -> String {
        eventually(&format!("the log says {text:?}; it says:\n{}", self.log()), || {
            self.log().lines().find(|line| line.contains(text)).map(str::to_string)
        })
    }

    pub fn try_exit(&mut self) -> Option<ExitStatus> {
        if self.exited.is_none() {
            self.exited = match waitpid(Pid::from_raw(self.pid), Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(_, status)) => Some(ExitStatus::from_raw(status << 8)),
                Ok(WaitStatus::Signaled(_, signal, _)) => Some(ExitStatus::from_raw(signal as i32)),
                Ok(_) => None,
                Err(e) => panic!("the server cannot be waited for: {e}"),
            };
        }
        self.exited
    }

    /// Waits until the master has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the server ends", || self.try_exit())
    }

    /// Sends the signal and waits for the end.
    #[track_caller]
    pub fn stop(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.wait_exit()
    }

    /// Resident memory of master and workers together, in bytes: what they allocated and mapped, proportional shares of
    /// what they share, without the program file.
    pub fn memory_bytes(&self) -> u64 {
        let processes = self.workers().into_iter().chain([self.pid()]);
        processes.map(proportional_bytes).sum()
    }

    /// As [`Server::start`], with these environment variables.
    pub fn start_with(options: &[&str], environment: &[(&str, &str)]) -> Server {
        let mut command = Command::new(TINE);
        command.arg("run").args(listening()).args(options).envs(environment.iter().copied());
        Server::start_command(&mut command)
    }

    /// A connection with little room for what the server sends: see [`Client::connect_narrow`].
    #[track_caller]
    pub fn connect_narrow(&self) -> Client {
        Client::connect_narrow(self.address())
    }

    /// Sockets that the workers hold, listeners and channels included.
    pub fn sockets(&self) -> usize {
        self.workers().into_iter().map(|pid| sockets_of(pid).len()).sum()
    }

    /// The server's own directory, for sockets and files of the test; removed at its end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many client connections each of these processes holds.
    pub fn connections_of(&self, workers: &[i32]) -> Vec<usize> {
        let open: Vec<String> = connections_on(self.address().port()).into_iter().map(|(_, inode)| inode).collect();
        workers.iter().map(|&pid| sockets_of(pid).iter().filter(|inode| open.contains(inode)).count()).collect()
    }

    /// `tine ctl` for this server, and for no other that may be running.
    pub fn ctl(&self, arguments: &[&str]) -> Output {
        let (port, folder) = (self.address().port().to_string(), self.folder.to_str().expect("a path in UTF-8"));
        run_to_end_with(&[&["ctl", "--control", &port], arguments].concat(), &[("XDG_RUNTIME_DIR", folder)])
    }

    /// Requests in flight, from `tine ctl status`.
    pub fn in_flight(&self) -> u64 {
        let output = self.ctl(&["status", "--json"]);
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
        said["status"]["in_flight"].as_u64().expect("a count")
    }

    /// The worker that holds the other end of this connection; `None` while it is in a queue.
    pub fn worker_of(&self, client: &Client) -> Option<i32> {
        let port = client.stream.local_addr().expect("an address").port();
        let (_, inode) = connections_on(self.address().port()).into_iter().find(|(peer, _)| *peer == port)?;
        self.workers().into_iter().find(|&pid| sockets_of(pid).contains(&inode))
    }

    /// Waits for a worker that did not exist `before`.
    #[track_caller]
    pub fn wait_replaced(&self, before: &[i32]) -> i32 {
        eventually("a new worker is there", || self.workers().into_iter().find(|pid| !before.contains(pid)))
    }

    /// Waits until these processes are gone, or zombies that were not reaped.
    #[track_caller]
    pub fn wait_gone(&self, pids: &[i32]) {
        let end = Instant::now() + patience();
        while pids.iter().any(|&pid| is_alive(pid)) {
            if Instant::now() > end {
                let stat = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let left: Vec<String> = pids.iter().map(stat).collect();
                panic!("processes {pids:?} do not end: {left:#?}; the log says:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The rest of the group; empty after a clean end.
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        if self.exited.is_none() {
            let _ = waitpid(Pid::from_raw(self.pid), None);
        }
        if std::thread::panicking() {
            eprintln!("the server's files are kept in {}; its log:\n{}", self.folder.display(), self.log());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn was_killed_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal as i32)
}

/// A request with a body of one byte, which the server waits for after its 100: its connection is in use until then.
pub const BUSY: &str = "POST /upload HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";

/// A connection that is in use by [`BUSY`]; `None` if the server refuses it.
#[track_caller]
pub fn busy(server: &Server) -> Option<Client> {
    let mut client = server.connect();
    client.send(BUSY);
    (client.response().status == 100).then_some(client)
}

/// A command that is killed when it takes longer than anything should.
pub fn within_patience(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", &(3 * patience()).as_secs().to_string()]).arg(program);
    command
}

/// Runs `tine` to its end; for commands that do not keep running.
pub fn run_to_end(arguments: &[&str]) -> Output {
    run_to_end_with(arguments, &[])
}

pub fn run_to_end_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = within_patience(TINE);
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().expect("tine runs")
}

/// The one line that a command left on standard error.
#[track_caller]
pub fn one_line_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "one line on standard error, not {text:?}");
    text.trim_end().to_string()
}
