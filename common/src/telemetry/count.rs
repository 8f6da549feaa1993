//! What is counted when it happens, in one table: each count's place in a seat, the metric that it is a part of, its label.

/// Only grows. A worker counts in its own seat, the master in its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    ReceivedBytes,
    SentBytes,
    Accepted,
    RefusedCapacity,
    RefusedAddress,
    RefusedDescriptors,
    Evicted,
    HeaderMalformed,
    HeaderChecksum,
    HeaderTimeout,
    HeaderLeft,
    HeaderUntrusted,
    HandshakesFull,
    HandshakesResumed,
    HandshakeIncompatible,
    HandshakeProtocol,
    HandshakeClientCertificate,
    HandshakeRejected,
    HandshakePlainHttp,
    HandshakeMalformed,
    HandshakeTimeout,
    HandshakeLeft,
    TimeoutHead,
    TimeoutIdle,
    TimeoutBody,
    TimeoutWrite,
    TimeoutLinger,
    TimeoutWebSocketIdle,
    TimeoutWebSocketMessage,
    TimeoutWebSocketClose,
    CutApp,
    CutRequest,
    CutWriteTimeout,
    CutFile,
    CutShutdown,
    CutDescriptors,
    CutWorkerDied,
    ClientsLeft,
    AppErrors,
    BackgroundErrors,
    MessagesReceived,
    MessagesSent,
    LogLinesDropped,
    AccessLogLinesDropped,
    AppMetricsDropped,
    // The master's.
    ExitStatus,
    ExitSignal,
    ExitOom,
    ExitHung,
    ExitBoot,
    ExitRetired,
    ForksFailed,
    Reloads,
    ReloadsFailed,
    Upgrades,
    UpgradesFailed,
}

/// A metric that consists of counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountFamily {
    /// Without the suffix `_total`.
    pub name: &'static str,
    pub help: &'static str,
    /// What the counts differ in; `""` if there is one.
    pub label: &'static str,
}

const fn family(name: &'static str, help: &'static str, label: &'static str) -> CountFamily {
    CountFamily { name, help, label }
}

const RECEIVED: CountFamily = family("tine_received_bytes", "Bytes read from clients.", "");
const SENT: CountFamily = family("tine_sent_bytes", "Bytes of responses and messages passed to the kernel.", "");
const ACCEPTED: CountFamily =
    family("tine_connections_accepted", "Connections accepted, those included that were refused.", "");
const REFUSED: CountFamily = family(
    "tine_connections_refused",
    "Connections answered with 503 before a request was read, or closed for lack of descriptors.",
    "reason",
);
const EVICTED: CountFamily =
    family("tine_connections_evicted", "Idle or slow connections closed to admit new ones.", "");
const PROXY_HEADERS_FAILED: CountFamily = family(
    "tine_proxy_headers_failed",
    "Connections closed because they did not begin with a header of the PROXY protocol, by cause.",
    "cause",
);
const HANDSHAKES: CountFamily =
    family("tine_tls_handshakes", "TLS handshakes completed, in full or by a session that was resumed.", "kind");
const HANDSHAKES_FAILED: CountFamily =
    family("tine_tls_handshakes_failed", "TLS handshakes that were not completed, by cause.", "cause");
const TIMEOUTS: CountFamily = family("tine_timeouts", "Waits that were ended by a deadline.", "wait");
const CUT: CountFamily = family("tine_responses_cut", "Responses that the server did not complete.", "reason");
const LEFT: CountFamily = family("tine_clients_left", "Requests whose clients left before all of the response.", "");
const APP_ERRORS: CountFamily = family("tine_app_errors", "Requests that the application failed to answer.", "");
const BACKGROUND_ERRORS: CountFamily =
    family("tine_app_background_errors", "Failures of the application outside of requests.", "");
const MESSAGES: CountFamily = family("tine_websocket_messages", "Messages of WebSockets.", "direction");
const LOG_DROPPED: CountFamily =
    family("tine_log_lines_dropped", "Lines of logs that could not be written without waiting.", "log");
const METRICS_DROPPED: CountFamily =
    family("tine_app_metrics_dropped", "Changes of the application's metrics that found no room.", "");
const EXITS: CountFamily = family("tine_worker_exits", "Workers that ended without an order of the master.", "reason");
const FORKS_FAILED: CountFamily =
    family("tine_worker_starts_failed", "Workers that could not be started, for lack of processes or memory.", "");
const RELOADS: CountFamily = family("tine_reloads", "Reloads that have ended.", "outcome");
const UPGRADES: CountFamily = family("tine_upgrades", "Upgrades that have ended.", "outcome");

impl Count {
    /// In the order of the variants, those of one family together.
    pub const ALL: [Count; 56] = [
        Count::ReceivedBytes,
        Count::SentBytes,
        Count::Accepted,
        Count::RefusedCapacity,
        Count::RefusedAddress,
        Count::RefusedDescriptors,
        Count::Evicted,
        Count::HeaderMalformed,
        Count::HeaderChecksum,
        Count::HeaderTimeout,
        Count::HeaderLeft,
        Count::HeaderUntrusted,
        Count::HandshakesFull,
        Count::HandshakesResumed,
        Count::HandshakeIncompatible,
        Count::HandshakeProtocol,
        Count::HandshakeClientCertificate,
        Count::HandshakeRejected,
        Count::HandshakePlainHttp,
        Count::HandshakeMalformed,
        Count::HandshakeTimeout,
        Count::HandshakeLeft,
        Count::TimeoutHead,
        Count::TimeoutIdle,
        Count::TimeoutBody,
        Count::TimeoutWrite,
        Count::TimeoutLinger,
        Count::TimeoutWebSocketIdle,
        Count::TimeoutWebSocketMessage,
        Count::TimeoutWebSocketClose,
        Count::CutApp,
        Count::CutRequest,
        Count::CutWriteTimeout,
        Count::CutFile,
        Count::CutShutdown,
        Count::CutDescriptors,
        Count::CutWorkerDied,
        Count::ClientsLeft,
        Count::AppErrors,
        Count::BackgroundErrors,
        Count::MessagesReceived,
        Count::MessagesSent,
        Count::LogLinesDropped,
        Count::AccessLogLinesDropped,
        Count::AppMetricsDropped,
        Count::ExitStatus,
        Count::ExitSignal,
        Count::ExitOom,
        Count::ExitHung,
        Count::ExitBoot,
        Count::ExitRetired,
        Count::ForksFailed,
        Count::Reloads,
        Count::ReloadsFailed,
        Count::Upgrades,
        Count::UpgradesFailed,
    ];

    /// The metric that it is a part of, and the value of its label.
    pub fn describe(self) -> (CountFamily, &'static str) {
        match self {
            Count::ReceivedBytes => (RECEIVED, ""),
            Count::SentBytes => (SENT, ""),
            Count::Accepted => (ACCEPTED, ""),
            Count::RefusedCapacity => (REFUSED, "capacity"),
            Count::RefusedAddress => (REFUSED, "address"),
            Count::RefusedDescriptors => (REFUSED, "descriptors"),
            Count::Evicted => (EVICTED, ""),
            Count::HeaderMalformed => (PROXY_HEADERS_FAILED, "malformed"),
            Count::HeaderChecksum => (PROXY_HEADERS_FAILED, "checksum"),
            Count::HeaderTimeout => (PROXY_HEADERS_FAILED, "timeout"),
            Count::HeaderLeft => (PROXY_HEADERS_FAILED, "left"),
            Count::HeaderUntrusted => (PROXY_HEADERS_FAILED, "untrusted"),
            Count::HandshakesFull => (HANDSHAKES, "full"),
            Count::HandshakesResumed => (HANDSHAKES, "resumed"),
            Count::HandshakeIncompatible => (HANDSHAKES_FAILED, "incompatible"),
            Count::HandshakeProtocol => (HANDSHAKES_FAILED, "protocol"),
            Count::HandshakeClientCertificate => (HANDSHAKES_FAILED, "client_certificate"),
            Count::HandshakeRejected => (HANDSHAKES_FAILED, "rejected"),
            Count::HandshakePlainHttp => (HANDSHAKES_FAILED, "plain_http"),
            Count::HandshakeMalformed => (HANDSHAKES_FAILED, "malformed"),
            Count::HandshakeTimeout => (HANDSHAKES_FAILED, "timeout"),
            Count::HandshakeLeft => (HANDSHAKES_FAILED, "left"),
            Count::TimeoutHead => (TIMEOUTS, "head"),
            Count::TimeoutIdle => (TIMEOUTS, "idle"),
            Count::TimeoutBody => (TIMEOUTS, "body"),
            Count::TimeoutWrite => (TIMEOUTS, "write"),
            Count::TimeoutLinger => (TIMEOUTS, "linger"),
            Count::TimeoutWebSocketIdle => (TIMEOUTS, "websocket_idle"),
            Count::TimeoutWebSocketMessage => (TIMEOUTS, "websocket_message"),
            Count::TimeoutWebSocketClose => (TIMEOUTS, "websocket_close"),
            Count::CutApp => (CUT, "app"),
            Count::CutRequest => (CUT, "request"),
            Count::CutWriteTimeout => (CUT, "write_timeout"),
            Count::CutFile => (CUT, "file"),
            Count::CutShutdown => (CUT, "shutdown"),
            Count::CutDescriptors => (CUT, "descriptors"),
            Count::CutWorkerDied => (CUT, "worker_died"),
            Count::ClientsLeft => (LEFT, ""),
            Count::AppErrors => (APP_ERRORS, ""),
            Count::BackgroundErrors => (BACKGROUND_ERRORS, ""),
            Count::MessagesReceived => (MESSAGES, "received"),
            Count::MessagesSent => (MESSAGES, "sent"),
            Count::LogLinesDropped => (LOG_DROPPED, "server"),
            Count::AccessLogLinesDropped => (LOG_DROPPED, "access"),
            Count::AppMetricsDropped => (METRICS_DROPPED, ""),
            Count::ExitStatus => (EXITS, "status"),
            Count::ExitSignal => (EXITS, "signal"),
            Count::ExitOom => (EXITS, "oom"),
            Count::ExitHung => (EXITS, "hung"),
            Count::ExitBoot => (EXITS, "boot"),
            Count::ExitRetired => (EXITS, "retired"),
            Count::ForksFailed => (FORKS_FAILED, ""),
            Count::Reloads => (RELOADS, "success"),
            Count::ReloadsFailed => (RELOADS, "failure"),
            Count::Upgrades => (UPGRADES, "success"),
            Count::UpgradesFailed => (UPGRADES, "failure"),
        }
    }
}

/// Goes up and down; gone with its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    WebSockets,
    BufferedBytes,
    PartsOfHeads,
    AppMemoryBytes,
}

impl Level {
    /// In the order of the variants.
    pub const ALL: [Level; 4] = [Level::WebSockets, Level::BufferedBytes, Level::PartsOfHeads, Level::AppMemoryBytes];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_is_at_its_place_and_families_lie_together() {
        let mut families: Vec<CountFamily> = Vec::new();
        for (place, count) in Count::ALL.into_iter().enumerate() {
            assert_eq!(count as usize, place);
            let (family, value) = count.describe();
            assert_eq!(family.label.is_empty(), value.is_empty(), "{}", family.name);
            if families.last() != Some(&family) {
                assert!(families.iter().all(|other| other.name != family.name), "{} lies apart", family.name);
                families.push(family);
            }
        }
        assert!(Level::ALL.into_iter().enumerate().all(|(place, level)| level as usize == place));
    }
}
