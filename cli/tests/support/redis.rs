//! A Redis server of the test's own, without persistence, on a port that the system chose and on a Unix socket. It is killed when
//! it is dropped.

use super::tls::{Pair, text};
use super::{Server, eventually, scratch_folder};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Its Unix socket, in its folder.
const SOCKET: &str = "redis";

pub struct Redis {
    port: u16,
    folder: PathBuf,
    password: Option<&'static str>,
    /// The port of TLS.
    tls_port: u16,
    /// The options of TLS.
    tls: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    pub fn start() -> Redis {
        Redis::start_with(None)
    }

    pub fn start_with(password: Option<&'static str>) -> Redis {
        let mut redis = Redis {
            port: free_port(),
            folder: scratch_folder(),
            password,
            tls_port: 0,
            tls: Vec::new(),
            process: None,
        };
        redis.restart();
        redis
    }

    /// It also listens on a port of TLS, with this pair.
    pub fn start_tls(pair: &Pair) -> Redis {
        let mut redis = Redis::start();
        redis.tls_port = free_port();
        let port = redis.tls_port.to_string();
        let options = ["--tls-port", &port, "--tls-cert-file", text(&pair.cert), "--tls-key-file", text(&pair.key)];
        redis.tls = options.iter().chain(&["--tls-auth-clients", "no"]).map(|option| option.to_string()).collect();
        redis.restart();
        redis
    }

    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    /// `redis://127.0.0.1:PORT/limits`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/limits", self.port)
    }

    /// `redis+unix:///PATH?key=limits`.
    pub fn unix_url(&self) -> String {
        format!("redis+unix://{}?key=limits", self.folder.join(SOCKET).display())
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, on the same port as before, with nothing in it.
    #[track_caller]
    pub fn restart(&mut self) {
        self.kill();
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port, "--save", "", "--appendonly", "no"]);
        command.args(["--unixsocket", SOCKET]);
        command.args(&self.tls);
        if let Some(password) = self.password {
            command.args(["--requirepass", password]);
        }
        let child = command.current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        self.process = Some(child.expect("redis-server; scripts/test installs it"));
        eventually("Redis answers", || self.answers().then_some(()));
    }

    /// Tells it an inline command that is answered by `OK` or a number.
    #[track_caller]
    pub fn tell(&self, command: &str) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis listens");
        let mut answer = [0; 64];
        let count = stream.write_all(format!("{command}\r\n").as_bytes()).and_then(|()| stream.read(&mut answer));
        let answer = &answer[..count.expect("it answers")];
        assert!(matches!(answer[0], b'+' | b':'), "{}", String::from_utf8_lossy(answer));
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = [0; 4];
        stream.write_all(b"PING\r\n").and_then(|()| stream.read_exact(&mut answer)).is_ok()
    }

    /// By SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder); // else it is left for a look
        }
    }
}

/// The process of `--limit-store` of this server.
pub fn try_limit_store_process(server: &Server) -> Option<i32> {
    let is_it = |pid: &i32| {
        std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|title| title.starts_with("tine: limit store"))
    };
    server.workers().into_iter().find(is_it)
}
