//! Every limit and choice of a server, named with its unit. Built once, from the command line, before the first fork.
//!
//! [`Config::check`] checks the values; their spelling belongs to the command line.

use crate::privileges::Privileges;
use crate::units::{show_duration, show_size};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

pub const WORKERS_MAX: usize = 1024;
/// The upper limit of `--header-count-max`: the parser's table is on the stack.
pub const HEADER_COUNT_CEILING: usize = 256;
/// Each sample walks the page tables of all processes.
const MEM_INTERVAL_MIN: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub struct Config {
    pub workers: usize,
    /// There is no master: the process itself serves, as the only worker.
    pub is_alone: bool,
    pub listen: Vec<Address>,
    pub accept: AcceptMode,
    pub backlog: u32,
    pub tcp_fastopen: bool,
    /// How long the kernel holds back a connection that has sent nothing (TCP_DEFER_ACCEPT); zero is off.
    pub defer_accept: Duration,
    /// The kernel's receive buffer of a TCP connection, its bookkeeping included; `None`: as much as the system's
    /// settings let it grow to.
    pub receive_buffer_bytes: Option<usize>,
    /// Connections of the whole server; `None`: as many as the descriptors allow.
    pub connections_max: Option<usize>,
    /// Connections of each client's address; `None`: any number.
    pub connections_per_address_max: Option<usize>,
    pub graceful_timeout: Duration,
    /// From the order to stop to the drain: requests are served as before, but health checks fail.
    pub drain_delay: Duration,
    /// The path at which the server itself answers health checks, before the application.
    pub health_path: Option<String>,
    pub pidfile: Option<PathBuf>,
    /// In place of standard error, from before the first fork.
    pub log_file: Option<PathBuf>,
    pub control: ControlAt,
    /// The interval at which the master logs memory, connections and requests; zero is off.
    pub mem_interval: Duration,
    /// No banner, and only warnings and errors in the log unless a level was given.
    pub quiet: bool,
    /// `None`: not given on the command line; `TINE_LOG` may give one.
    pub log_level: Option<log::LevelFilter>,
    /// The most that a worker reads from a client at once; also for the app, see `WorkerInfo`.
    pub buffer_bytes: usize,
    pub limits: Limits,
    pub supervision: Supervision,
    pub privileges: Privileges,
}

/// How workers are watched and replaced.
#[derive(Debug, Clone)]
pub struct Supervision {
    /// A worker whose heartbeat and progress stand still for this long hangs; `None`: never.
    pub worker_timeout: Option<Duration>,
    /// From the fork to the report that it is ready; `None`: no limit.
    pub boot_timeout: Option<Duration>,
    /// Worker indices that may be without a ready worker during a replacement.
    pub unavailable_max: usize,
    /// Successors that may boot beside the workers that they replace.
    pub surge_max: usize,
    /// Processes of one worker index, including those that leave.
    pub generations_max: usize,
    pub recycling: Recycling,
}

/// When a healthy worker is replaced; `None`: never for that reason.
#[derive(Debug, Clone, Copy)]
pub struct Recycling {
    pub requests_max: Option<u64>,
    /// Random extra requests per worker, up to this many.
    pub requests_jitter: u64,
    pub lifetime_max: Option<Duration>,
    pub lifetime_jitter: Duration,
    pub rss_bytes_max: Option<u64>,
}

/// What one connection may use and how long it may wait.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A producer has room for output up to this many queued bytes; it may exceed it by one chunk.
    pub write_high_watermark_bytes: usize,
    /// A producer is asked for output only while at most this many bytes are queued.
    pub write_low_watermark_bytes: usize,
    pub request_line_bytes_max: usize,
    /// All header lines of one request together; also all of its trailer lines.
    pub header_bytes_max: usize,
    pub header_count_max: usize,
    /// From the first byte of a request's head to its last.
    pub header_timeout: Duration,
    /// Between two requests, and before the first.
    pub idle_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_timeout: Duration,
    /// Between two pieces of a request body that the app did not read, after the response.
    pub linger_timeout: Duration,
    /// The minimum rate of a request body, over any longer time in which the server waits for it; 0: any.
    pub body_rate_min_bytes: u64,
    /// Without progress in sending a response.
    pub write_timeout: Duration,
    /// The longest message from a WebSocket's client.
    pub ws_message_bytes_max: usize,
    /// A WebSocket's client that is silent for this long is pinged; zero: never.
    pub ws_ping_interval: Duration,
    /// From the first byte of a message to its last; zero: no limit.
    pub ws_message_timeout: Duration,
    /// A WebSocket whose client sends nothing for this long, not even a pong, is closed.
    pub ws_idle_timeout: Duration,
}

/// The default of `--receive-buffer`. Most systems clip it to 416K, without a warning.
pub const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            write_high_watermark_bytes: 64 << 10,
            write_low_watermark_bytes: 16 << 10,
            request_line_bytes_max: 8 << 10,
            header_bytes_max: 16 << 10,
            header_count_max: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            linger_timeout: Duration::from_secs(5),
            body_rate_min_bytes: 240,
            write_timeout: Duration::from_secs(60),
            ws_message_bytes_max: 16 << 20,
            ws_ping_interval: Duration::from_secs(30),
            ws_message_timeout: Duration::from_secs(300),
            ws_idle_timeout: Duration::from_secs(90),
        }
    }
}

/// Where the master's control socket is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum ControlAt {
    /// In the runtime directory, where `tine ctl` looks for it by default.
    #[default]
    Auto,
    Path(PathBuf),
    Nowhere,
}

impl fmt::Display for ControlAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlAt::Auto => f.write_str("auto"),
            ControlAt::Path(path) => write!(f, "{}", path.display()),
            ControlAt::Nowhere => f.write_str("none"),
        }
    }
}

/// How the workers share a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptMode {
    /// One queue that every worker accepts from.
    Shared,
    /// One SO_REUSEPORT socket and queue a worker.
    PerWorker,
    /// One queue, without balancing: any worker that the kernel wakes accepts. For comparison.
    Plain,
}

impl fmt::Display for AcceptMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AcceptMode::Shared => "shared",
            AcceptMode::PerWorker => "per-worker",
            AcceptMode::Plain => "plain",
        })
    }
}

/// Where to listen: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            // sun_path holds 108 bytes with its final NUL (unix(7)).
            return match path.len() {
                0 => Err("\"unix:\" names no path; write unix:/run/tine.sock".to_string()),
                1..108 => Ok(Address::Unix(PathBuf::from(path))),
                n => Err(format!("the path of a Unix socket has at most 107 bytes; this one has {n}")),
            };
        }
        // A path, as other servers accept it.
        if text.starts_with(['/', '.']) {
            return format!("unix:{text}").parse();
        }
        let wrong =
            || format!("{text:?} is not an address; write it as 8080, 127.0.0.1:8080, [::1]:8080, *:80 or unix:/path");
        let address = match text.rsplit_once(':') {
            // A bare PORT.
            None => is_number(text).then_some((Ipv4Addr::LOCALHOST, text)),
            Some(("localhost", port)) => Some((Ipv4Addr::LOCALHOST, port)),
            Some(("" | "*", port)) => Some((Ipv4Addr::UNSPECIFIED, port)),
            Some(_) => return text.parse().map(Address::Tcp).map_err(|_| wrong()),
        };
        let (address, port) = address.filter(|(_, port)| is_number(port)).ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        Ok(Address::Tcp(SocketAddr::new(address.into(), port)))
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => write!(f, "{address}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether listening here includes the other's connections: the same address, or the wildcard of its family.
    fn includes(&self, other: &Address) -> bool {
        match (self, other) {
            // The system chooses a port of its own for each.
            (Address::Tcp(a), Address::Tcp(b)) if a.port() == 0 || b.port() == 0 => false,
            (Address::Tcp(a), Address::Tcp(b)) => {
                let is_wildcard = a.ip().is_unspecified() && a.is_ipv4() == b.is_ipv4();
                a == b || a.port() == b.port() && is_wildcard
            }
            (Address::Unix(a), Address::Unix(b)) => a == b,
            _ => false,
        }
    }
}

impl Config {
    /// Whether the values fit together; the error is one line that names them, the reason and what would be right.
    pub fn check(&self) -> Result<(), String> {
        let limits = &self.limits;
        let (low, high) = (limits.write_low_watermark_bytes, limits.write_high_watermark_bytes);
        if low > high {
            return Err(format!(
                "--write-low-watermark {} is above --write-high-watermark {}; give a low mark of at most {}",
                show_size(low as u64),
                show_size(high as u64),
                show_size(high as u64)
            ));
        }
        for (i, address) in self.listen.iter().enumerate() {
            // PORT and --host, if given, come first; so the later one is always a --listen.
            for earlier in &self.listen[..i] {
                let why = match (address.includes(earlier), earlier.includes(address)) {
                    (true, true) => "is given twice, by --listen or as PORT and --host".to_string(),
                    (true, false) => format!("includes {earlier}"),
                    (false, true) => format!("is included in {earlier}"),
                    (false, false) => continue,
                };
                return Err(format!("--listen {address} {why}; give each address once"));
            }
        }
        for (name, value) in [
            ("--header-timeout", limits.header_timeout),
            ("--idle-timeout", limits.idle_timeout),
            ("--body-timeout", limits.body_timeout),
            ("--linger-timeout", limits.linger_timeout),
            ("--write-timeout", limits.write_timeout),
            ("--ws-idle-timeout", limits.ws_idle_timeout),
        ] {
            if value.is_zero() {
                return Err(format!("{name} 0s would end every connection at once; give at least 1ms"));
            }
        }
        if !self.mem_interval.is_zero() && self.mem_interval < MEM_INTERVAL_MIN {
            let (given, least) = (show_duration(self.mem_interval), show_duration(MEM_INTERVAL_MIN));
            return Err(format!("--mem-interval {given} is too short; give at least {least}, or 0 to turn it off"));
        }
        self.supervision.check()?;
        self.privileges.check()?;
        let (ping, idle) = (limits.ws_ping_interval, limits.ws_idle_timeout);
        if ping >= idle {
            return Err(format!(
                "--ws-ping-interval {} is not below --ws-idle-timeout {}: clients would be closed before they are \
                 pinged; give a shorter interval, or 0 for no pings",
                show_duration(ping),
                show_duration(idle)
            ));
        }
        Ok(())
    }

    /// The bytes of a worker's read buffer: a whole head always fits, however small a buffer was asked for.
    pub fn read_buffer_bytes(&self) -> usize {
        self.buffer_bytes.max(self.limits.request_line_bytes_max + self.limits.header_bytes_max + 4096)
    }

    /// One `name value` pair per line, for `tine check`.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let size = |bytes: usize| show_size(bytes as u64);
        vec![
            ("workers", if self.is_alone { "0".to_string() } else { self.workers.to_string() }),
            ("accept", self.accept.to_string()),
            ("backlog", self.backlog.to_string()),
            ("defer-accept", show_duration(self.defer_accept)),
            ("receive-buffer", self.receive_buffer_bytes.map_or("auto".to_string(), size)),
            ("tcp-fastopen", on_or_off(self.tcp_fastopen)),
            ("max-connections", self.connections_max.map_or("auto".to_string(), |n| n.to_string())),
            (
                "max-connections-per-address",
                self.connections_per_address_max.map_or("off".to_string(), |n| n.to_string()),
            ),
            ("buffer-size", size(self.buffer_bytes)),
            ("write-high-watermark", size(limits.write_high_watermark_bytes)),
            ("write-low-watermark", size(limits.write_low_watermark_bytes)),
            ("request-line-max", size(limits.request_line_bytes_max)),
            ("header-max", size(limits.header_bytes_max)),
            ("header-count-max", limits.header_count_max.to_string()),
            ("header-timeout", show_duration(limits.header_timeout)),
            ("idle-timeout", show_duration(limits.idle_timeout)),
            ("body-timeout", show_duration(limits.body_timeout)),
            ("linger-timeout", show_duration(limits.linger_timeout)),
            ("body-rate-min", size(limits.body_rate_min_bytes as usize)),
            ("write-timeout", show_duration(limits.write_timeout)),
            ("ws-message-max", size(limits.ws_message_bytes_max)),
            ("ws-ping-interval", show_duration(limits.ws_ping_interval)),
            ("ws-idle-timeout", show_duration(limits.ws_idle_timeout)),
            ("ws-message-timeout", show_duration(limits.ws_message_timeout)),
            ("graceful-timeout", show_duration(self.graceful_timeout)),
            ("drain-delay", show_duration(self.drain_delay)),
            ("health-path", self.health_path.clone().unwrap_or_else(|| "none".to_string())),
            ("pidfile", self.pidfile.as_ref().map_or("none".to_string(), |p| p.display().to_string())),
            ("log-file", self.log_file.as_ref().map_or("none".to_string(), |p| p.display().to_string())),
            ("control", self.control.to_string()),
            ("mem-interval", show_duration(self.mem_interval)),
            ("quiet", on_or_off(self.quiet)),
            ("log-level", self.log_level.map_or("auto".to_string(), |level| level.to_string().to_ascii_lowercase())),
        ]
        .into_iter()
        .chain(self.supervision.describe())
        .chain(self.privileges.describe())
        .collect()
    }
}

impl Supervision {
    fn check(&self) -> Result<(), String> {
        const BOOT_MIN: Duration = Duration::from_secs(1);
        /// A sleeping worker has a heartbeat every second.
        const TIMEOUT_MIN: Duration = Duration::from_secs(3);
        if self.unavailable_max == 0 && self.surge_max == 0 {
            return Err(
                "with --max-unavailable 0 and --max-surge 0 no worker could ever be replaced; give one of them as 1"
                    .to_string(),
            );
        }
        for (name, value, least) in
            [("--worker-timeout", self.worker_timeout, TIMEOUT_MIN), ("--boot-timeout", self.boot_timeout, BOOT_MIN)]
        {
            if let Some(value) = value.filter(|&value| value < least) {
                let (value, least) = (show_duration(value), show_duration(least));
                return Err(format!("{name} {value} is too short; give at least {least}, or 0 for never"));
            }
        }
        Ok(())
    }

    fn describe(&self) -> Vec<(&'static str, String)> {
        let never = || "never".to_string();
        let time = |time: Option<Duration>| time.map_or_else(never, show_duration);
        let recycling = &self.recycling;
        vec![
            ("worker-timeout", time(self.worker_timeout)),
            ("boot-timeout", time(self.boot_timeout)),
            ("max-unavailable", self.unavailable_max.to_string()),
            ("max-surge", self.surge_max.to_string()),
            ("generations-max", self.generations_max.to_string()),
            ("max-requests", recycling.requests_max.map_or_else(never, |most| most.to_string())),
            ("max-requests-jitter", recycling.requests_jitter.to_string()),
            ("max-lifetime", time(recycling.lifetime_max)),
            ("max-lifetime-jitter", show_duration(recycling.lifetime_jitter)),
            ("max-rss", recycling.rss_bytes_max.map_or_else(never, show_size)),
        ]
    }
}

fn on_or_off(is_on: bool) -> String {
    if is_on { "on" } else { "off" }.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0", "unix:/run/tine.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for (text, meant) in [
            ("8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            (":8080", "0.0.0.0:8080"),
            ("*:8080", "0.0.0.0:8080"),
            ("/run/tine.sock", "unix:/run/tine.sock"),
            ("./tine.sock", "unix:./tine.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), meant);
        }
        for text in [
            "",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:99999",
            "::1:80",
            "unix:",
            "http://127.0.0.1:80",
            "99999",
            "-1",
            "+80",
            ":",
            ":x",
            "*:",
            "*",
            "localhost:",
            "localhost:+1",
            "example.org:80",
            "a b",
            ":99999",
            "::",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
        let long = format!("unix:/{}", "x".repeat(107));
        assert!(long.parse::<Address>().unwrap_err().contains("107"));
    }

    #[test]
    fn an_address_includes_itself_and_a_wildcard_its_family() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "127.0.0.1:81", false),
            ("0.0.0.0:0", "127.0.0.1:0", false),
            ("[::]:80", "[::1]:80", true),
            ("[::]:80", "0.0.0.0:80", false), // IPV6_V6ONLY
            ("[::]:80", "127.0.0.1:80", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "unix:/b", false),
            ("0.0.0.0:80", "unix:/a", false),
        ] {
            let [a, b] = [one, other].map(|text| text.parse::<Address>().unwrap());
            assert_eq!(a.includes(&b), expected, "{one} {other}");
        }
    }
}
