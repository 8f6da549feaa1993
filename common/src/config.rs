//! Every limit and choice of a server, named with its unit.
//!
//! [`MasterConfig`] is the whole, built from the command line before the first fork; each worker gets its part of it,
//! [`WorkerConfig`]. [`MasterConfig::check`] checks the values; their spelling belongs to the command line.

mod access_log;
mod limit_store;
mod listen;
mod proxies;
mod throttle;
mod tls;
mod worker;

pub use access_log::{AccessLogConfig, RequestLogConfig};
pub use limit_store::{LimitStore, StoreAt, StoreUrl};
pub use listen::{Address, Listen, ListenAddress};
pub use proxies::{ForwardedHeader, ProxyConfig, RootPath, TrustedProxy};
pub use throttle::{ClientKey, Exempt, Network, ThrottleConfig};
pub use tls::{ClientAuth, TlsConfig, TlsVersion};
pub use worker::{Limits, WorkerConfig};

use crate::log::LogFormat;
use crate::privileges::Privileges;
use crate::units::{show_duration, show_size};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The upper limit of `--workers`.
pub const WORKERS_MAX: usize = 1024;
/// The upper limit of `--header-count-max`: the parser's table is on the stack.
pub const HEADER_COUNT_CEILING: usize = 256;
/// Each sample walks the page tables of all processes.
const MEM_INTERVAL_MIN: Duration = Duration::from_millis(100);

/// What the master has, and its workers' part.
#[derive(Debug, Clone)]
pub struct MasterConfig {
    /// Worker processes.
    pub workers: usize,
    /// The addresses to listen on. Sockets that are handed down come in addition.
    pub listen: Vec<ListenAddress>,
    /// HTTPS.
    pub tls: TlsConfig,
    /// The length of the accept queue (listen(2)).
    pub backlog: u32,
    /// Accept data in the first packet of returning clients (TCP Fast Open).
    pub tcp_fastopen: bool,
    /// How long the kernel holds back a connection that has sent nothing (TCP_DEFER_ACCEPT); zero is off.
    pub defer_accept: Duration,
    /// The kernel's receive buffer of a TCP connection, its bookkeeping included; `None`: as much as the system's
    /// settings let it grow to.
    pub receive_buffer_bytes: Option<usize>,
    /// From the order to stop to the drain: requests are served as before, but health checks fail.
    pub drain_delay: Duration,
    /// The path at which the server itself answers health checks, before the application.
    pub health_path: Option<String>,
    /// The file for the master's process ID.
    pub pidfile: Option<PathBuf>,
    /// In place of standard error, from before the first fork.
    pub log_file: Option<PathBuf>,
    /// Where `tine ctl` and `tine top` find the server.
    pub control: ControlAt,
    /// Where the status page and the metrics are served, by a process of their own.
    pub admin: Option<Address>,
    /// Through which servers share the limits of concurrency and rate.
    pub limit_store: LimitStore,
    /// How much of the limits is admitted before the store has answered for the first time, in percent.
    pub limit_store_alone_percent: u64,
    /// The interval at which the master logs memory, connections and requests; zero is off.
    pub mem_interval: Duration,
    /// The memory that is reserved for what the workers share; none is used before it is written to. 0: nothing can be shared.
    pub shared_bytes_max: usize,
    /// No banner, and only warnings and errors in the log unless a level was given.
    pub quiet: bool,
    /// `None`: not given on the command line; `TINE_LOG` may give one.
    pub log_level: Option<log::LevelFilter>,
    /// How the lines of the log are written; the access log has a format of its own.
    pub log_format: LogFormat,
    /// What each worker is forked with.
    pub worker: WorkerConfig,
    /// How workers are watched and replaced.
    pub supervision: Supervision,
    /// The user, the directory and the CPUs of the server.
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
    /// When a healthy worker is replaced.
    pub recycling: Recycling,
}

/// When a healthy worker is replaced; `None`: never for that reason.
#[derive(Debug, Default, Clone, Copy)]
pub struct Recycling {
    /// After this many requests.
    pub requests_max: Option<u64>,
    /// Random extra requests per worker, up to this many.
    pub requests_jitter: u64,
    /// At this age.
    pub lifetime_max: Option<Duration>,
    /// Random extra age per worker, up to this much.
    pub lifetime_jitter: Duration,
    /// If its resident memory is above this in three checks in a row.
    pub rss_bytes_max: Option<u64>,
}

/// The default of `--receive-buffer`. Most systems clip it to 416K, without a warning.
pub const RECEIVE_BUFFER_BYTES: usize = 1 << 20;

/// Where the master's control socket is.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum ControlAt {
    /// In the runtime directory, where `tine ctl` looks for it by default.
    #[default]
    Auto,
    /// At this path.
    Path(PathBuf),
    /// There is none.
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
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum AcceptMode {
    /// One queue that every worker accepts from.
    #[default]
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

impl Default for MasterConfig {
    /// As `tine run` without an option, apart from the address: there is none.
    fn default() -> MasterConfig {
        MasterConfig {
            workers: available_cpus(),
            listen: Vec::new(),
            tls: TlsConfig::default(),
            backlog: 4096,
            tcp_fastopen: false,
            defer_accept: Duration::from_secs(1),
            receive_buffer_bytes: Some(RECEIVE_BUFFER_BYTES),
            drain_delay: Duration::ZERO,
            health_path: None,
            pidfile: None,
            log_file: None,
            control: ControlAt::Auto,
            admin: None,
            limit_store: LimitStore::Nowhere,
            limit_store_alone_percent: 0,
            mem_interval: Duration::from_secs(10),
            shared_bytes_max: 1 << 30,
            quiet: false,
            log_level: None,
            log_format: LogFormat::default(),
            worker: WorkerConfig::default(),
            supervision: Supervision::default(),
            privileges: Privileges::default(),
        }
    }
}

/// CPU affinity and cgroup quota (v1 and v2) together, at least 1.
pub fn available_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |count| count.get()).min(WORKERS_MAX)
}

impl Default for Supervision {
    fn default() -> Supervision {
        Supervision {
            worker_timeout: Some(Duration::from_secs(30)),
            boot_timeout: Some(Duration::from_secs(60)),
            unavailable_max: 0,
            surge_max: 1,
            generations_max: 4,
            recycling: Recycling::default(),
        }
    }
}

impl MasterConfig {
    /// All addresses, those of plain HTTP first.
    pub fn addresses(&self) -> impl Iterator<Item = Listen<'_>> + Clone {
        let tls = self.tls.listen.iter().map(|one| one.listen(true));
        self.listen.iter().map(|one| one.listen(false)).chain(tls)
    }

    /// Whether the values fit together; the error is one line that names them, the reason and what would be right.
    pub fn check(&self) -> Result<(), String> {
        for (i, Listen { address, is_tls, .. }) in self.addresses().enumerate() {
            // PORT and --host, if given, come first; so the later one is always a --listen or a --tls-listen.
            for Listen { address: earlier, .. } in self.addresses().take(i) {
                let why = match (address.includes(earlier), earlier.includes(address)) {
                    (true, true) => {
                        "is given twice, by --listen, --grpc, --tls-listen or as PORT and --host".to_string()
                    }
                    (true, false) => format!("includes {earlier}"),
                    (false, true) => format!("is included in {earlier}"),
                    (false, false) => continue,
                };
                let option = if is_tls { "--tls-listen" } else { "--listen" };
                return Err(format!("{option} {address} {why}; give each address once"));
            }
        }
        if let Some(admin) = &self.admin
            && let Some(address) =
                self.addresses().map(|one| one.address).find(|one| one.includes(admin) || admin.includes(one))
        {
            return Err(format!("--admin {admin} and the address {address} of the server overlap; give another port"));
        }
        if !self.mem_interval.is_zero() && self.mem_interval < MEM_INTERVAL_MIN {
            let (given, least) = (show_duration(self.mem_interval), show_duration(MEM_INTERVAL_MIN));
            return Err(format!("--mem-interval {given} is too short; give at least {least}, or 0 to turn it off"));
        }
        self.tls.check()?;
        self.worker.limits.check()?;
        self.worker.proxies.check()?;
        self.worker.throttle.check(self.worker.graceful_timeout)?;
        self.limit_store.check()?;
        self.supervision.check()?;
        self.privileges.check()
    }

    /// This configuration with what a reload can change of it, which is `new`: all that workers are forked with, their number
    /// and their supervision. The rest belongs to sockets, files and the process, which stay.
    pub fn reloaded(&self, new: MasterConfig) -> MasterConfig {
        MasterConfig {
            workers: if new.worker.is_alone { self.workers } else { new.workers },
            drain_delay: new.drain_delay,
            health_path: new.health_path,
            mem_interval: new.mem_interval,
            tls: self.tls.reloaded(new.tls),
            worker: WorkerConfig {
                is_alone: self.worker.is_alone,
                accept: self.worker.accept,
                request_log: self.worker.request_log.reloaded(new.worker.request_log),
                ..new.worker
            },
            supervision: new.supervision,
            privileges: Privileges { affinity: new.privileges.affinity, ..self.privileges.clone() },
            ..self.clone()
        }
    }

    /// One `name value` pair per line, for `tine check`.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let path = |path: &Option<PathBuf>| path.as_ref().map_or("none".to_string(), |path| path.display().to_string());
        vec![
            ("workers", if self.worker.is_alone { "0".to_string() } else { self.workers.to_string() }),
            ("backlog", self.backlog.to_string()),
            ("defer-accept", show_duration(self.defer_accept)),
            ("receive-buffer", self.receive_buffer_bytes.map_or("auto".to_string(), |bytes| show_size(bytes as u64))),
            ("tcp-fastopen", on_or_off(self.tcp_fastopen)),
            ("drain-delay", show_duration(self.drain_delay)),
            ("health-path", self.health_path.clone().unwrap_or_else(|| "none".to_string())),
            ("pidfile", path(&self.pidfile)),
            ("log-file", path(&self.log_file)),
            ("control", self.control.to_string()),
            ("admin", self.admin.as_ref().map_or("none".to_string(), Address::to_string)),
            ("limit-store", self.limit_store.to_string()),
            ("limit-store-alone", format!("{}%", self.limit_store_alone_percent)),
            ("mem-interval", show_duration(self.mem_interval)),
            ("shared-max", show_size(self.shared_bytes_max as u64)),
            ("quiet", on_or_off(self.quiet)),
            ("log-format", self.log_format.name().to_string()),
            ("log-level", self.log_level.map_or("auto".to_string(), |level| level.to_string().to_ascii_lowercase())),
        ]
        .into_iter()
        .chain(self.tls.describe())
        .chain(self.worker.describe())
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
