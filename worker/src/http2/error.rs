//! Error codes, and what ends because of an error: a stream or the connection (RFC 9113, 5.4 and 7).

/// A code of RST_STREAM and GOAWAY (RFC 9113, 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code)] // the whole table of the RFC
#[repr(u32)]
pub enum Code {
    NoError = 0,
    Protocol = 1,
    Internal = 2,
    FlowControl = 3,
    SettingsTimeout = 4,
    StreamClosed = 5,
    FrameSize = 6,
    RefusedStream = 7,
    Cancel = 8,
    Compression = 9,
    Connect = 10,
    EnhanceYourCalm = 11,
    InadequateSecurity = 12,
    Http11Required = 13,
}

/// A client's violation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    pub code: Code,
    pub scope: Scope,
    /// For GOAWAY's debug data, and for the log.
    pub why: &'static str,
}

/// What a violation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The frame's stream, by RST_STREAM. If that is idle, the connection (RFC 9113, 5.1).
    Stream,
    /// The connection, by GOAWAY.
    Connection,
}

impl Violation {
    pub const fn of_stream(code: Code, why: &'static str) -> Self {
        Violation { code, scope: Scope::Stream, why }
    }

    pub const fn of_connection(code: Code, why: &'static str) -> Self {
        Violation { code, scope: Scope::Connection, why }
    }
}
