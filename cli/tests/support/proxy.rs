//! nginx and HAProxy in front of a server, each on a Unix socket of its own: no other process can take its port.

use super::{Client, Server, eventually, scheme, scratch_folder};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    Nginx,
    HaProxy,
}

/// A running proxy; it ends with the test, as the servers do.
pub struct Proxy {
    pub kind: ProxyKind,
    /// Its processes and its log.
    process: Server,
    folder: PathBuf,
}

impl ProxyKind {
    pub const ALL: [ProxyKind; 2] = [ProxyKind::Nginx, ProxyKind::HaProxy];

    fn program(self) -> PathBuf {
        let name = if self == ProxyKind::Nginx { "nginx" } else { "haproxy" };
        // Debian installs them outside of a user's PATH.
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.exists());
        found.unwrap_or_else(|| panic!("{name} is not installed; scripts/test does that"))
    }

    /// Its version as it prints it, `1.22.1` or `2.6.12-1+deb12u4`.
    pub fn version(self) -> String {
        let output = Command::new(self.program()).arg("-v").output().expect("it says its version");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        // "nginx version: nginx/1.22.1", "HAProxy version 2.6.12-1+deb12u4 2023/12/16 - https://haproxy.org/".
        let mut words = said.lines().next().unwrap_or_default().split([' ', '/']);
        let number = words.find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
        number.unwrap_or_else(|| panic!("no version in {said:?}")).to_string()
    }
}

impl Proxy {
    /// Starts it in front of `origin`, and waits until it accepts connections.
    #[track_caller]
    pub fn start(kind: ProxyKind, origin: &Server) -> Proxy {
        let configuration = match kind {
            ProxyKind::Nginx => include_str!("../clients/nginx.conf"),
            ProxyKind::HaProxy => include_str!("../clients/haproxy.cfg"),
        };
        Proxy::start_with(kind, configuration, &origin.address().to_string())
    }

    /// The same with a configuration, in which FOLDER and ORIGIN are replaced.
    #[track_caller]
    pub fn start_with(kind: ProxyKind, configuration: &str, origin: &str) -> Proxy {
        let folder = scratch_folder();
        let configuration = configuration.replace("FOLDER", folder.to_str().expect("a path in UTF-8"));
        let file = folder.join("configuration");
        fs::write(&file, configuration.replace("ORIGIN", origin)).expect("a file");
        let mut command = Command::new(kind.program());
        match kind {
            ProxyKind::Nginx => command.args(["-e", "stderr", "-c"]).arg(&file),
            ProxyKind::HaProxy => command.args(["-db", "-f"]).arg(&file),
        };
        let mut process = Server::spawn(command.stdin(Stdio::null()));
        let socket = folder.join("socket");
        eventually("the proxy accepts connections", || {
            if let Some(status) = process.try_exit() {
                panic!("{kind:?} ended with {status}:\n{}", process.log());
            }
            Client::try_connect_unix(&socket).ok()
        });
        Proxy { kind, process, folder }
    }

    /// Whether it accepts a configuration; its complaint if not.
    pub fn check(kind: ProxyKind, configuration: &str) -> Result<(), String> {
        let folder = scratch_folder();
        let file = folder.join("configuration");
        fs::write(&file, configuration.replace("FOLDER", folder.to_str().expect("a path in UTF-8"))).expect("a file");
        let mut command = Command::new(kind.program());
        match kind {
            ProxyKind::Nginx => command.args(["-t", "-e", "stderr", "-c"]).arg(&file),
            ProxyKind::HaProxy => command.args(["-c", "-f"]).arg(&file),
        };
        let output = command.output().expect("it can be run");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        let _ = fs::remove_dir_all(&folder); // only a scratch folder
        if output.status.success() { Ok(()) } else { Err(said) }
    }

    /// The path that it listens on.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    #[track_caller]
    pub fn connect(&self) -> Client {
        Client::try_connect_unix(&self.socket()).expect("the proxy accepts")
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Server {
    /// Its first address marked `proxy:`.
    #[track_caller]
    pub fn proxied(&self) -> SocketAddr {
        let said = self.stdout();
        let line = said.lines().find_map(|line| line.trim().strip_prefix("proxy:")).expect("an address marked proxy:");
        line.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// nginx on a TCP port of its own, for a load generator.
pub struct LoadProxy {
    process: Server,
    address: SocketAddr,
    folder: PathBuf,
    /// Keeps the port for nginx: bound, and never listening.
    _port: socket2::Socket,
}

impl LoadProxy {
    /// Starts it in front of `origin`: an address, or `unix:/path`.
    #[track_caller]
    pub fn start(origin: &str) -> LoadProxy {
        let port = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        port.set_reuse_port(true).expect("a shared port");
        port.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a port");
        let address = port.local_addr().expect("an address").as_socket().expect("an IP address");
        let folder = scratch_folder();
        let configuration = include_str!("../clients/nginx_load.conf")
            .replace("FOLDER", folder.to_str().expect("a path in UTF-8"))
            .replace("PORT", &address.port().to_string())
            .replace("SCHEME", scheme())
            .replace("ORIGIN", origin);
        let file = folder.join("configuration");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new(ProxyKind::Nginx.program());
        let mut process = Server::spawn(command.args(["-e", "stderr", "-c"]).arg(&file).stdin(Stdio::null()));
        eventually("nginx accepts connections", || {
            if let Some(status) = process.try_exit() {
                panic!("nginx ended with {status}:\n{}", process.log());
            }
            Client::try_connect(address).ok()
        });
        LoadProxy { process, address, folder, _port: port }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Its complaints: none if its origin does nothing wrong.
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for LoadProxy {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
