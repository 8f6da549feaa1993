//! What is logged of requests, and where.

use crate::access_log::{Format, Target};
use crate::units::show_duration;
use std::time::Duration;

/// The access log: where, what, and of which requests.
#[derive(Debug, Clone)]
pub struct AccessLogConfig {
    /// Where its lines go.
    pub target: Target,
    /// What is in a line.
    pub format: Format,
    /// Requests with a lower status have no line; 0: all have one.
    pub status_min: u16,
    /// One of this many requests has a line, and each one that failed or was slow.
    pub sample: u32,
}

/// The lines about requests, and what finds them.
#[derive(Debug, Clone)]
pub struct RequestLogConfig {
    /// A line for each request, or for some.
    pub access: AccessLogConfig,
    /// A request that takes this long is logged with what it waited for; `None`: none is.
    pub slow: Option<Duration>,
    /// Each request has an ID.
    pub has_ids: bool,
}

impl Default for RequestLogConfig {
    fn default() -> Self {
        let format = "combined".parse().expect("it is a preset");
        let access = AccessLogConfig { target: Target::Nowhere, format, status_min: 0, sample: 1 };
        RequestLogConfig { access, slow: None, has_ids: false }
    }
}

impl RequestLogConfig {
    /// As [`super::MasterConfig::reloaded`]: the file stays.
    pub(super) fn reloaded(&self, new: RequestLogConfig) -> RequestLogConfig {
        let access = AccessLogConfig { target: self.access.target.clone(), ..new.access };
        RequestLogConfig { access, ..new }
    }

    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let AccessLogConfig { target, format, status_min, sample } = &self.access;
        vec![
            ("access-log", target.to_string()),
            ("access-log-format", format.to_string()),
            ("access-log-min-status", status_min.to_string()),
            ("access-log-sample", sample.to_string()),
            ("slow-log", self.slow.map_or("off".to_string(), show_duration)),
            ("request-id", super::on_or_off(self.has_ids)),
        ]
    }
}
