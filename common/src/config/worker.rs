//! What a worker is forked with: the limits of its connections, and its part in accepting and stopping.

use super::{AcceptMode, ProxyConfig, RequestLogConfig, RootPath, ThrottleConfig};
use crate::units::{show_duration, show_size};
use std::time::Duration;

/// What a worker has of the server's configuration.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// There is no master: the process itself serves, as the only worker.
    pub is_alone: bool,
    /// It is beside the workers, and ends after them, when the master says so: not by a TERM, which a service manager or
    /// timeout(1) sends to all processes.
    pub is_helper: bool,
    /// With `--reload`: a worker that leaves is outdated. It ends idle connections at once, so that no request gets the old
    /// app, and what is in flight at the graceful timeout.
    pub is_outdated_on_leave: bool,
    /// How the workers share a port.
    pub accept: AcceptMode,
    /// Connections of the whole server; `None`: as many as the descriptors allow.
    pub connections_max: Option<usize>,
    /// Connections of each client's address; `None`: any number.
    pub connections_per_address_max: Option<usize>,
    /// How long a drain waits for requests in flight before it closes their connections.
    pub graceful_timeout: Duration,
    /// The most that a worker reads from a client at once; also for the app, see `WorkerInfo`.
    pub buffer_bytes: usize,
    /// What one connection may use.
    pub limits: Limits,
    /// What is shared by all workers.
    pub throttle: ThrottleConfig,
    /// What is logged of requests.
    pub request_log: RequestLogConfig,
    /// What is believed of proxies.
    pub proxies: ProxyConfig,
    /// The path below which the application is mounted.
    pub root_path: Option<RootPath>,
}

/// What one connection may use and how long it may wait.
#[derive(Debug, Clone)]
pub struct Limits {
    /// A producer has room for output up to this many queued bytes; it may exceed it by one chunk.
    pub write_high_watermark_bytes: usize,
    /// A producer is asked for output only while at most this many bytes are queued.
    pub write_low_watermark_bytes: usize,
    /// The longest request line; 414 above it.
    pub request_line_bytes_max: usize,
    /// All header lines of one request together; also all of its trailer lines.
    pub header_bytes_max: usize,
    /// The most header lines of a request; 431 above it.
    pub header_count_max: usize,
    /// Clients may speak HTTP/2, with prior knowledge.
    pub has_http2: bool,
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

impl Default for Limits {
    fn default() -> Self {
        Limits {
            write_high_watermark_bytes: 64 << 10,
            write_low_watermark_bytes: 16 << 10,
            request_line_bytes_max: 8 << 10,
            header_bytes_max: 16 << 10,
            header_count_max: 100,
            has_http2: true,
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

impl Default for WorkerConfig {
    fn default() -> WorkerConfig {
        WorkerConfig {
            is_alone: false,
            is_helper: false,
            is_outdated_on_leave: false,
            accept: AcceptMode::default(),
            connections_max: None,
            connections_per_address_max: None,
            graceful_timeout: Duration::from_secs(30),
            buffer_bytes: 256 << 10,
            limits: Limits::default(),
            throttle: ThrottleConfig::default(),
            request_log: RequestLogConfig::default(),
            proxies: ProxyConfig::default(),
            root_path: None,
        }
    }
}

impl WorkerConfig {
    /// The bytes of a worker's read buffer: a whole head always fits, however small a buffer was asked for.
    pub fn read_buffer_bytes(&self) -> usize {
        self.buffer_bytes.max(self.limits.request_line_bytes_max + self.limits.header_bytes_max + 4096)
    }

    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let root_path = self.root_path.map_or("none".to_string(), |path| path.to_string());
        let own = self.describe_own().into_iter().chain(self.proxies.describe());
        own.chain([("root-path", root_path)]).chain(self.throttle.describe()).collect()
    }

    fn describe_own(&self) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let size = |bytes: usize| show_size(bytes as u64);
        let or = |most: Option<usize>, otherwise: &str| most.map_or(otherwise.to_string(), |most| most.to_string());
        vec![
            ("accept", self.accept.to_string()),
            ("graceful-timeout", show_duration(self.graceful_timeout)),
            ("max-connections", or(self.connections_max, "auto")),
            ("max-connections-per-address", or(self.connections_per_address_max, "off")),
            ("buffer-size", size(self.buffer_bytes)),
            ("write-high-watermark", size(limits.write_high_watermark_bytes)),
            ("write-low-watermark", size(limits.write_low_watermark_bytes)),
            ("request-line-max", size(limits.request_line_bytes_max)),
            ("header-max", size(limits.header_bytes_max)),
            ("header-count-max", limits.header_count_max.to_string()),
            ("http2", if limits.has_http2 { "on" } else { "off" }.to_string()),
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
        ]
        .into_iter()
        .chain(self.request_log.describe())
        .collect()
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), String> {
        let (low, high) = (self.write_low_watermark_bytes, self.write_high_watermark_bytes);
        if low > high {
            return Err(format!(
                "--write-low-watermark {} is above --write-high-watermark {}; give a low mark of at most {}",
                show_size(low as u64),
                show_size(high as u64),
                show_size(high as u64)
            ));
        }
        for (name, value) in [
            ("--header-timeout", self.header_timeout),
            ("--idle-timeout", self.idle_timeout),
            ("--body-timeout", self.body_timeout),
            ("--linger-timeout", self.linger_timeout),
            ("--write-timeout", self.write_timeout),
            ("--ws-idle-timeout", self.ws_idle_timeout),
        ] {
            if value.is_zero() {
                return Err(format!("{name} 0s would end every connection at once; give at least 1ms"));
            }
        }
        let (ping, idle) = (self.ws_ping_interval, self.ws_idle_timeout);
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
}
