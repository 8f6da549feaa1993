//! The options of the server, apart from the groups that have a `*_args.rs` of their own.

use crate::admin_args::AdminArgs;
use crate::control_args::ControlArgs;
use crate::drain_args::DrainArgs;
use crate::limit_args::LimitArgs;
use crate::log_args::LogArgs;
use crate::privileges_args::PrivilegesArgs;
use crate::proxy_args::ProxyArgs;
use crate::request_log_args::RequestLogArgs;
use crate::supervision_args::SupervisionArgs;
use crate::tls_args::TlsArgs;
use clap::Args;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tine_common::config::{
    AcceptMode, Address, HEADER_COUNT_CEILING, Limits, ListenAddress, MasterConfig, WORKERS_MAX, WorkerConfig,
    available_cpus,
};
use tine_common::units::{parse_duration, parse_size, parse_yes_or_no};

#[derive(Args, Debug)]
pub struct ServerArgs {
    /// Read options from this file: idle-timeout = "10s". The command line and the environment take precedence; a reload reads it again
    #[arg(long, value_name = "PATH", env = "TINE_CONFIG", hide_env = true, help_heading = "Processes")]
    config: Option<PathBuf>,
    /// IP address to listen on, or localhost [default: 127.0.0.1]
    #[arg(long, value_name = "IP", env = "TINE_HOST", hide_env = true, value_parser = host, help_heading = "Listening")]
    host: Option<IpAddr>,
    // No doc comment, in which rustdoc would take [::1] for a link.
    #[arg(
        long,
        help = "Further address to listen on, or the only one if no PORT is given: 127.0.0.1:8080, [::1]:8080, *:8080 (IPv4) or unix:/path; with proxy: before it, connections begin with a header of the PROXY protocol; repeatable",
        short = 'b',
        value_name = "ADDR",
        env = "TINE_LISTEN",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Listening"
    )]
    listen: Vec<ListenAddress>,
    /// Further address, for clients of gRPC, which are served on the others, too: 127.0.0.1:50051
    #[arg(long, value_name = "ADDR", env = "TINE_GRPC", hide_env = true, help_heading = "Listening")]
    grpc: Option<ListenAddress>,
    /// Length of the accept queue
    #[arg(long, value_name = "N", default_value_t = 4096, env = "TINE_BACKLOG", hide_env = true,
          value_parser = backlog, help_heading = "Listening")]
    backlog: u32,
    /// How workers share a TCP port: shared (one accept queue), per-worker (an accept queue for each) or plain (one queue without load balancing between workers, for comparison)
    #[arg(long, value_name = "MODE", default_value = "shared", env = "TINE_ACCEPT", hide_env = true,
          value_parser = accept_mode, help_heading = "Listening")]
    accept: AcceptMode,
    /// How long the kernel holds back a connection that has not sent data (TCP_DEFER_ACCEPT); 0 is off. When the server stops, such a client has half a second to send and may then be reset
    #[arg(long, value_name = "TIME", default_value = "1s", env = "TINE_DEFER_ACCEPT", hide_env = true,
          value_parser = parse_duration, help_heading = "Listening")]
    defer_accept: Duration,
    /// Maximum unread data that the kernel buffers for a TCP connection, including its overhead; auto: the system's default
    #[arg(long, value_name = "SIZE|auto", default_value = "1M", env = "TINE_RECEIVE_BUFFER", hide_env = true,
          value_parser = receive_buffer, help_heading = "Listening")]
    receive_buffer: Most,
    /// Accept data in the first packet of returning clients (TCP Fast Open)
    #[arg(long, env = "TINE_TCP_FASTOPEN", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Listening")]
    tcp_fastopen: bool,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    proxy: ProxyArgs,

    /// Number of worker processes, up to 1024; auto: one for each available CPU; 0: this process serves, without a master
    #[arg(long, short, value_name = "N|auto", default_value = "auto", env = "TINE_WORKERS", hide_env = true,
          value_parser = workers, help_heading = "Processes")]
    workers: usize,
    /// Maximum time that a drain waits for requests in flight before it closes their connections
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_GRACEFUL_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    graceful_timeout: Duration,
    #[command(flatten)]
    drain: DrainArgs,
    /// File to write the master's process ID to
    #[arg(long, value_name = "PATH", env = "TINE_PIDFILE", hide_env = true, help_heading = "Processes")]
    pidfile: Option<PathBuf>,
    #[command(flatten)]
    control: ControlArgs,
    #[command(flatten)]
    admin: AdminArgs,
    /// How often to log memory, connections and request counts; skipped while nothing changes; 0 is off
    #[arg(long, value_name = "TIME", default_value = "10s", env = "TINE_MEM_INTERVAL", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    mem_interval: Duration,
    /// Maximum memory of all dictionaries that the app shares between its workers (tine.shared); it is reserved, and used only as they fill
    #[arg(long, value_name = "SIZE", default_value = "1G", env = "TINE_SHARED_MAX", hide_env = true,
          value_parser = parse_size, help_heading = "Processes")]
    shared_max: u64,
    /// Log only warnings and errors, and print nothing to standard output; --log-level and TINE_LOG override the level
    #[arg(long, env = "TINE_QUIET", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Processes")]
    quiet: bool,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    request_log: RequestLogArgs,

    #[command(flatten)]
    supervision: SupervisionArgs,
    #[command(flatten)]
    privileges: PrivilegesArgs,
    #[command(flatten)]
    limit: LimitArgs,

    /// Maximum connections of the whole server; auto: as many as the limit of open files allows
    #[arg(long, value_name = "N|auto", default_value = "auto", env = "TINE_MAX_CONNECTIONS", hide_env = true,
          value_parser = connections, help_heading = "Limits")]
    max_connections: Most,
    /// Maximum connections from one client address to the whole server, counted per /64 for IPv6 (503 above it); Unix sockets and --trusted-proxies are exempt
    #[arg(long, value_name = "N|off", default_value = "off", env = "TINE_MAX_CONNECTIONS_PER_ADDRESS", hide_env = true,
          value_parser = connections_per_address, help_heading = "Limits")]
    max_connections_per_address: Most,
    /// Read buffer of a worker, 64K to 4M: the most that it reads from a client at once. Also the length of the pattern that /bin repeats
    #[arg(long, value_name = "SIZE", default_value = "256K", env = "TINE_BUFFER_SIZE", hide_env = true,
          value_parser = buffer_bytes, help_heading = "Limits")]
    buffer_size: usize,
    /// Maximum length of the request line (414 above it)
    #[arg(long, value_name = "SIZE", default_value = "8K", env = "TINE_REQUEST_LINE_MAX", hide_env = true,
          value_parser = head_bytes, help_heading = "Limits")]
    request_line_max: usize,
    /// Maximum size of all header lines (431 above it)
    #[arg(long, value_name = "SIZE", default_value = "16K", env = "TINE_HEADER_MAX", hide_env = true,
          value_parser = head_bytes, help_heading = "Limits")]
    header_max: usize,
    /// Maximum number of header lines, 1 to 256 (431 above it)
    #[arg(long, value_name = "N", default_value_t = 100, env = "TINE_HEADER_COUNT_MAX", hide_env = true,
          value_parser = header_count, help_heading = "Limits")]
    header_count_max: usize,
    /// HTTP/2 in cleartext, to clients that begin with it
    #[arg(long, value_name = "on|off", default_value = "on", env = "TINE_HTTP2", hide_env = true,
          action = clap::ArgAction::Set, value_parser = on_or_off, help_heading = "Limits")]
    http2: bool,
    /// Maximum unsent output an app may queue on a connection
    #[arg(long, value_name = "SIZE", default_value = "64K", env = "TINE_WRITE_HIGH_WATERMARK", hide_env = true,
          value_parser = watermark, help_heading = "Limits")]
    write_high_watermark: usize,
    /// Ask the app for more output below this much unsent
    #[arg(long, value_name = "SIZE", default_value = "16K", env = "TINE_WRITE_LOW_WATERMARK", hide_env = true,
          value_parser = watermark, help_heading = "Limits")]
    write_low_watermark: usize,

    /// Maximum time to receive a request head, from its first byte
    #[arg(long, value_name = "TIME", default_value = "10s", env = "TINE_HEADER_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    header_timeout: Duration,
    /// Maximum idle time before the first request and between requests
    #[arg(long, value_name = "TIME", default_value = "75s", env = "TINE_IDLE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    idle_timeout: Duration,
    /// Maximum gap between bytes of a request body while the app waits for them
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_BODY_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    body_timeout: Duration,
    /// After a response, maximum gap between bytes of a request body that the app did not read; six times this in total
    #[arg(long, value_name = "TIME", default_value = "5s", env = "TINE_LINGER_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    linger_timeout: Duration,
    /// Minimum rate of a request body in bytes per second while the app waits for it; a client may lag by 30s; 0 is off
    #[arg(long, value_name = "SIZE", default_value = "240", env = "TINE_BODY_RATE_MIN", hide_env = true,
          value_parser = body_rate, help_heading = "Timeouts")]
    body_rate_min: u64,
    /// Maximum time that a client may read nothing of a response
    #[arg(long, value_name = "TIME", default_value = "60s", env = "TINE_WRITE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    write_timeout: Duration,

    /// Maximum length of a client's message (close code 1009 above it)
    #[arg(long, value_name = "SIZE", default_value = "16M", env = "TINE_WS_MESSAGE_MAX", hide_env = true,
          value_parser = message_bytes, help_heading = "WebSocket")]
    ws_message_max: usize,
    /// Ping a client after this long without data from it; 0 is never
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_WS_PING_INTERVAL", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_ping_interval: Duration,
    /// Close a connection that receives nothing for this long, not even a pong
    #[arg(long, value_name = "TIME", default_value = "90s", env = "TINE_WS_IDLE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_idle_timeout: Duration,
    /// Maximum time to receive a message, from its first byte (close code 1008 above it); 0 is unlimited
    #[arg(long, value_name = "TIME", default_value = "5m", env = "TINE_WS_MESSAGE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_message_timeout: Duration,
}

/// An upper bound; `None` is unlimited.
type Most = Option<usize>;

impl ServerArgs {
    /// `is_listening`: this process has inherited sockets, so no address is required.
    pub fn config(self, port: Option<u16>, is_listening: bool) -> MasterConfig {
        let mut listen = self.listen;
        if listen.is_empty() && self.tls.tls_listen.is_empty() && !is_listening || port.is_some() || self.host.is_some()
        {
            let host = self.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            listen.insert(0, Address::Tcp(SocketAddr::new(host, port.unwrap_or(8080))).into());
        }
        listen.extend(self.grpc);
        let (limit_store, limit_store_alone_percent) = self.limit.store();
        MasterConfig {
            workers: self.workers.max(1),
            listen,
            tls: self.tls.config(),
            backlog: self.backlog,
            tcp_fastopen: self.tcp_fastopen,
            defer_accept: self.defer_accept,
            receive_buffer_bytes: self.receive_buffer,
            drain_delay: self.drain.drain_delay,
            health_path: self.drain.health_path,
            pidfile: self.pidfile,
            log_file: self.log.log_file,
            control: self.control.at(),
            admin: self.admin.at(),
            limit_store,
            limit_store_alone_percent,
            mem_interval: self.mem_interval,
            shared_bytes_max: self.shared_max as usize,
            quiet: self.quiet,
            log_level: self.log.log_level,
            log_format: self.log.log_format,
            supervision: self.supervision.config(),
            privileges: self.privileges.config(),
            worker: WorkerConfig {
                is_alone: self.workers == 0,
                is_helper: false,
                is_outdated_on_leave: false,
                accept: self.accept,
                connections_max: self.max_connections,
                connections_per_address_max: self.max_connections_per_address,
                graceful_timeout: self.graceful_timeout,
                throttle: self.limit.config(),
                buffer_bytes: self.buffer_size,
                request_log: self.request_log.config(),
                root_path: self.proxy.root_path,
                proxies: self.proxy.config(),
                limits: Limits {
                    write_high_watermark_bytes: self.write_high_watermark,
                    write_low_watermark_bytes: self.write_low_watermark,
                    request_line_bytes_max: self.request_line_max,
                    header_bytes_max: self.header_max,
                    header_count_max: self.header_count_max,
                    has_http2: self.http2,
                    header_timeout: self.header_timeout,
                    idle_timeout: self.idle_timeout,
                    body_timeout: self.body_timeout,
                    linger_timeout: self.linger_timeout,
                    body_rate_min_bytes: self.body_rate_min,
                    write_timeout: self.write_timeout,
                    ws_message_bytes_max: self.ws_message_max,
                    ws_ping_interval: self.ws_ping_interval,
                    ws_message_timeout: self.ws_message_timeout,
                    ws_idle_timeout: self.ws_idle_timeout,
                },
            },
        }
    }
}

pub fn number_between(text: &str, low: u64, high: u64) -> Result<usize, String> {
    match text.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number as usize),
        _ => Err(format!("give a number from {low} to {high}")),
    }
}

fn size_between(text: &str, low: u64, high: u64) -> Result<usize, String> {
    let show = tine_common::units::show_size;
    match parse_size(text)? {
        bytes if (low..=high).contains(&bytes) => Ok(bytes as usize),
        _ => Err(format!("give a size from {} to {}", show(low), show(high))),
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| "give an IP address such as 127.0.0.1, 0.0.0.0 or ::1".to_string()),
    }
}

fn accept_mode(text: &str) -> Result<AcceptMode, String> {
    match text {
        "shared" => Ok(AcceptMode::Shared),
        "per-worker" => Ok(AcceptMode::PerWorker),
        "plain" => Ok(AcceptMode::Plain),
        _ => Err("give shared, per-worker or plain".to_string()),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text {
        "auto" => Ok(available_cpus()),
        _ => number_between(text, 0, WORKERS_MAX as u64).map_err(|e| format!("{e}, or auto")),
    }
}

fn connections(text: &str) -> Result<Most, String> {
    match text {
        "auto" => Ok(None),
        _ => number_between(text, 1, 1 << 31).map(Some).map_err(|e| format!("{e}, or auto")),
    }
}

fn on_or_off(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err("give on or off".to_string()),
    }
}

fn connections_per_address(text: &str) -> Result<Most, String> {
    match text {
        "off" => Ok(None),
        _ => number_between(text, 1, 65535).map(Some).map_err(|e| format!("{e}, or off")),
    }
}

fn receive_buffer(text: &str) -> Result<Most, String> {
    match text {
        "auto" => Ok(None),
        _ => size_between(text, 16 << 10, 1 << 30).map(Some).map_err(|e| format!("{e}, or auto")),
    }
}

fn backlog(text: &str) -> Result<u32, String> {
    number_between(text, 1, i32::MAX as u64).map(|number| number as u32)
}

fn head_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 64, 4 << 20)
}

fn buffer_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 64 << 10, 4 << 20)
}

fn body_rate(text: &str) -> Result<u64, String> {
    size_between(text, 0, 1 << 30).map(|bytes| bytes as u64)
}

fn header_count(text: &str) -> Result<usize, String> {
    number_between(text, 1, HEADER_COUNT_CEILING as u64)
}

fn message_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 1, 1 << 30)
}

fn watermark(text: &str) -> Result<usize, String> {
    size_between(text, 1, 1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;

    #[test]
    fn the_defaults_of_the_options_are_those_of_the_configuration() {
        let matches = ServerArgs::augment_args(clap::Command::new("run")).try_get_matches_from(["run"]);
        let args =
            ServerArgs::from_arg_matches(&matches.expect("no option is required")).expect("the defaults are valid");
        let config = args.config(None, true);
        assert_eq!((config.listen.is_empty(), config.describe()), (true, MasterConfig::default().describe()));
    }
}
