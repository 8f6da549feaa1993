//! The harness: the real binary, real processes, real sockets, on 127.0.0.1 and a port that the system chose.
//!
//! A [`Server`] ends with its whole process group when it is dropped, also when the test fails; then its folder, with
//! its log, is kept and named. Waiting is polling for a state with a bound ([`eventually`]), never sleeping for it.
#![allow(dead_code)] // each test file uses a part of it

pub mod load;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that should happen soon. Generous: it is only waited for when a test fails.
pub const SOON: Duration = Duration::from_secs(20);

/// The binary `tine`.
pub const TINE: &str = env!("CARGO_BIN_EXE_tine");

/// Polls until `state` holds something; fails the test, saying `what`, when it does not within [`SOON`].
#[track_caller]
pub fn eventually<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = state() {
            return found;
        }
        assert!(Instant::now() < end, "not within {SOON:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A folder of this test's own, under the build's.
pub fn scratch_folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("tine-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).expect("a scratch folder");
    folder
}

pub struct Server {
    child: Child,
    folder: PathBuf,
    /// Where it listens first, if that is TCP.
    pub address: Option<SocketAddr>,
    exited: Option<ExitStatus>,
}

impl Server {
    /// `tine run 0` with these options, once all its workers are ready.
    pub fn start(options: &[&str]) -> Server {
        Server::start_command(Command::new(TINE).args(["run", "0"]).args(options))
    }

    /// A command that runs a server under tine's command line, once all its workers are ready.
    pub fn start_command(command: &mut Command) -> Server {
        let mut server = Server::spawn(command);
        server.wait_ready();
        server
    }

    /// Starts it and does not wait.
    pub fn spawn(command: &mut Command) -> Server {
        let folder = scratch_folder();
        let file = |name: &str| File::create(folder.join(name)).expect("a file in the scratch folder");
        let child = command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("log"))
            .process_group(0)
            .spawn()
            .expect("the server starts");
        Server { child, folder, address: None, exited: None }
    }

    /// Waits until it says where it listens.
    #[track_caller]
    pub fn wait_ready(&mut self) {
        let line = eventually("the server says where it listens", || {
            if let Some(status) = self.try_exit() {
                panic!("the server ended with {status}:\n{}", self.log());
            }
            let said = self.stdout();
            said.contains("Stop:").then(|| said.lines().nth(1).unwrap_or_default().trim().to_string())
        });
        self.address = line.strip_prefix("http://").and_then(|address| address.parse().ok());
    }

    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        self.address.expect("the server listens on TCP")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
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
        self.child.id() as i32
    }

    /// The workers' process ids, in the order of the master's children list.
    pub fn workers(&self) -> Vec<i32> {
        let pid = self.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
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
            self.exited = self.child.try_wait().expect("the server can be waited for");
        }
        self.exited
    }

    /// Waits until the master has ended.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually("the server ends", || self.try_exit())
    }

    /// Signals and waits for the end.
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
        Server::start_command(command.args(["run", "0"]).args(options).envs(environment.iter().copied()))
    }

    /// An example of this package, which cargo builds beside the binary, under tine's command line.
    pub fn start_example(name: &str, options: &[&str]) -> Server {
        Server::start_command(Command::new(example(name)).args(["run", "0"]).args(options))
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

    /// The server's own folder, for sockets and files of the test; removed at its end.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many client connections each of these processes holds.
    pub fn connections_of(&self, workers: &[i32]) -> Vec<usize> {
        let open: Vec<String> = connections_on(self.address().port()).into_iter().map(|(_, inode)| inode).collect();
        workers.iter().map(|&pid| sockets_of(pid).iter().filter(|inode| open.contains(inode)).count()).collect()
    }

    /// The worker that holds the other end of this connection; `None` while it is in a queue.
    pub fn worker_of(&self, client: &Client) -> Option<i32> {
        let port = client.stream.local_addr().expect("an address").port();
        let (_, inode) = connections_on(self.address().port()).into_iter().find(|(peer, _)| *peer == port)?;
        self.workers().into_iter().find(|&pid| sockets_of(pid).contains(&inode))
    }

    /// Waits for a worker that was not there `before`.
    #[track_caller]
    pub fn wait_replaced(&self, before: &[i32]) -> i32 {
        eventually("a new worker is there", || self.workers().into_iter().find(|pid| !before.contains(pid)))
    }

    /// Waits until these processes are gone, or zombies of nobody.
    #[track_caller]
    pub fn wait_gone(&self, pids: &[i32]) {
        eventually(&format!("processes {pids:?} end; the log says:\n{}", self.log()), || {
            pids.iter().all(|&pid| !is_alive(pid)).then_some(())
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whoever is left of the group; nobody, after a clean end.
        let _ = killpg(Pid::from_raw(self.pid()), Signal::SIGKILL);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("the server's files are kept in {}; its log:\n{}", self.folder.display(), self.log());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub fn send_signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).unwrap_or_else(|e| panic!("{signal} cannot be sent to {pid}: {e}"));
}

pub fn is_alive(pid: i32) -> bool {
    // A zombie still answers to signal 0.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// Stops a process and waits until it stands still.
#[track_caller]
pub fn freeze(pid: i32) {
    send_signal(pid, Signal::SIGSTOP);
    eventually("the process stands still", || {
        fs::read_to_string(format!("/proc/{pid}/stat")).ok().filter(|stat| stat.contains(") T "))
    });
}

/// Established IPv4 connections of this local port: the peer's port and the socket's inode (proc_net_tcp).
fn connections_on(port: u16) -> Vec<(u16, String)> {
    let table = fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let port_of = |field: &str| u16::from_str_radix(field.rsplit(':').next()?, 16).ok();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_ours = port_of(fields.get(1)?) == Some(port) && *fields.get(3)? == "01";
        is_ours.then_some((port_of(fields[2])?, fields.get(9)?.to_string()))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The inodes of a process's sockets.
pub fn sockets_of(pid: i32) -> Vec<String> {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let target = |entry: io::Result<fs::DirEntry>| fs::read_link(entry.ok()?.path()).ok();
    let inode = |path: PathBuf| Some(path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_string());
    descriptors.filter_map(target).filter_map(inode).collect()
}

/// The path of an example of this crate, which `cargo test` builds beside the binary.
pub fn example(name: &str) -> PathBuf {
    let path = Path::new(TINE).with_file_name("examples").join(name);
    assert!(path.exists(), "{} is not built; `cargo test` without --test builds it", path.display());
    path
}

/// The one line that a command left on standard error.
#[track_caller]
pub fn one_line_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(text.lines().count(), 1, "one line on standard error, not {text:?}");
    text.trim_end().to_string()
}

/// Pss of /proc/PID/smaps_rollup.
/// Pss of /proc/PID/smaps_rollup without Pss_File: the program's own pages are shared with other tests' servers, so that
/// this server's share of them grows when another one ends.
pub fn proportional_bytes(pid: i32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kib = |name: &str| {
        let value = |line: &str| line.strip_prefix(name)?.trim().strip_suffix(" kB")?.parse::<u64>().ok();
        rollup.lines().find_map(value).unwrap_or(0)
    };
    kib("Pss:").saturating_sub(kib("Pss_File:")) * 1024
}

pub fn was_killed_by(status: ExitStatus, signal: Signal) -> bool {
    status.signal() == Some(signal as i32)
}

/// Runs `tine` to its end; for what is not meant to keep running.
pub fn run_to_end(arguments: &[&str]) -> Output {
    run_to_end_with(arguments, &[])
}

pub fn run_to_end_with(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["30", TINE]).args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().expect("tine runs")
}

/// A client's end of one connection. Everything has a deadline.
pub struct Client {
    pub stream: TcpStream,
    /// Read and not yet returned.
    buffer: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// Status line and header lines, with their line ends.
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the server accepts")
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the server takes the bytes");
    }

    /// Ends our side; the other stays open.
    pub fn finish_sending(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("half-close");
    }

    /// The next response, read as its framing says. 1xx responses are returned like any other.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// As [`Client::response`], to a request of this method: HEAD has no body.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method).unwrap_or_else(|e| panic!("no whole response: {e}; had {:?}", lossy(&self.buffer)))
    }

    pub fn try_response(&mut self, method: &str) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            self.fill()?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {head:?}")))?;
        let mut response = Response { status, head, body: Vec::new() };
        let bodyless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodyless {
            return Ok(response);
        }
        if response.header("transfer-encoding") == Some("chunked") {
            response.body = self.chunked_body()?;
        } else if let Some(length) = response.header("content-length").and_then(|length| length.parse().ok()) {
            response.body = self.take(length)?;
        } else {
            response.body = self.rest()?;
        }
        Ok(response)
    }

    fn chunked_body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = find(&self.buffer, b"\r\n") {
                    break at;
                }
                self.fill()?;
            };
            let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
            self.buffer.drain(..end + 2);
            let size =
                usize::from_str_radix(&line, 16).map_err(|_| io::Error::other(format!("not a size: {line:?}")))?;
            let chunk = self.take(size + 2)?;
            if &chunk[size..] != b"\r\n" {
                return Err(io::Error::other("a chunk does not end with CRLF"));
            }
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }

    /// Exactly so many bytes.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            self.fill()?;
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// All bytes until the server ends the connection; a reset is an error.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.fill() {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(std::mem::take(&mut self.buffer)),
                Err(e) => return Err(e),
            }
        }
    }

    /// The server ended the connection, in order, and said nothing more.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let rest = self.rest().expect("the server ends the connection in order");
        assert!(rest.is_empty(), "nothing follows, but {:?} did", lossy(&rest));
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&bytes[..count]);
                Ok(())
            }
        }
    }

    /// Small segments and a small window: the kernel's buffers between the server and a client that does not read hold
    /// some tens of kilobytes instead of megabytes.
    #[track_caller]
    pub fn connect_narrow(address: SocketAddr) -> Client {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        socket.set_tcp_mss(1000).expect("a segment size");
        socket.set_recv_buffer_size(4096).expect("a receive buffer");
        socket.connect(&address.into()).expect("the server accepts");
        Client::over(socket.into()).expect("timeouts can be set")
    }

    /// Whether the server has reset the connection or both sides have ended, seen without reading.
    pub fn is_hung_up(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd;
        let mut fds = [PollFd::new(self.stream.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).expect("poll") > 0
    }

    /// Sends `bytes` over and over for as long as the kernel takes them, and until it has taken none for half a second or
    /// has taken `most`; returns how many it took.
    pub fn send_until_blocked(&mut self, bytes: &[u8], most: usize) -> usize {
        self.stream.set_write_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        let mut sent = 0;
        while sent < most {
            match self.stream.write(&bytes[sent % bytes.len()..]) {
                Ok(count) => sent += count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => panic!("the server takes bytes or lets them wait: {e}"),
            }
        }
        self.stream.set_write_timeout(Some(SOON)).expect("a timeout");
        sent
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Client::over(TcpStream::connect_timeout(&address, SOON)?)
    }

    /// A Unix socket in a `TcpStream`'s clothes: both read, write and time out by the same system calls.
    pub fn try_connect_unix(path: &Path) -> io::Result<Client> {
        Client::over(TcpStream::from(OwnedFd::from(UnixStream::connect(path)?)))
    }

    fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_read_timeout(Some(SOON))?;
        stream.set_write_timeout(Some(SOON))?;
        // Not for Unix sockets, which have no delay.
        let _ = stream.set_nodelay(true);
        Ok(Client { stream, buffer: Vec::new() })
    }

    /// The server has ended the connection, in order, and nothing is left to read.
    pub fn has_ended(&self) -> io::Result<bool> {
        self.stream.set_nonblocking(true)?;
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_nonblocking(false)?;
        match peeked {
            Ok(count) => Ok(count == 0),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(e) => Err(e),
        }
    }
}

pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// CPU time that a process has used, user and system, in clock ticks (a hundredth of a second each).
pub fn cpu_ticks(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name, which ends with the last parenthesis: utime and stime are fields 14 and 15 (proc(5)).
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().expect("a number of ticks")).sum()
}
