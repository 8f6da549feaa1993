//! The options of what is logged of requests: the access log, the slow log, and request IDs.

use crate::args::number_between;
use std::time::Duration;
use tine_common::access_log::{Format, Target};
use tine_common::config::{AccessLogConfig, RequestLogConfig};
use tine_common::units::{parse_duration, parse_yes_or_no};

#[derive(clap::Args, Debug)]
pub struct RequestLogArgs {
    /// Write a line for each request to this file; -: standard output; syslog:[PATH][,facility=NAME]; journald:; none. USR1 reopens a file
    #[arg(long, value_name = "FILE|-|none", default_value = "none", env = "TINE_ACCESS_LOG", hide_env = true,
          value_parser = target, help_heading = "Logs")]
    access_log: Target,
    /// Lines of the access log: common, combined, json, or directives as in Apache and gunicorn, such as '%h "%r" %s %D'
    #[arg(long, value_name = "FORMAT", default_value = "combined", env = "TINE_ACCESS_LOG_FORMAT", hide_env = true,
          value_parser = format, help_heading = "Logs")]
    access_log_format: Format,
    /// Only requests with at least this status, and failures; 0: all
    #[arg(long, value_name = "STATUS", default_value_t = 0, env = "TINE_ACCESS_LOG_MIN_STATUS", hide_env = true,
          value_parser = status, help_heading = "Logs")]
    access_log_min_status: u16,
    /// Only one in N requests; those that fail (5xx) or are slow (--slow-log) always
    #[arg(long, value_name = "N", default_value_t = 1, env = "TINE_ACCESS_LOG_SAMPLE", hide_env = true,
          value_parser = sample, help_heading = "Logs")]
    access_log_sample: u32,
    /// Log a warning for each request that takes this long, with what it waited for; off: none
    #[arg(long, value_name = "TIME|off", default_value = "off", env = "TINE_SLOW_LOG", hide_env = true,
          value_parser = slow, help_heading = "Logs")]
    slow_log: Slow,
    /// Give each request an ID: the client's X-Request-ID if it is sane, or a new one; for the app, the access log and the response
    #[arg(long, env = "TINE_REQUEST_ID", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Logs")]
    request_id: bool,
}

/// `None`: off.
type Slow = Option<Duration>;

impl RequestLogArgs {
    pub fn config(self) -> RequestLogConfig {
        RequestLogConfig {
            access: AccessLogConfig {
                target: self.access_log,
                format: self.access_log_format,
                status_min: self.access_log_min_status,
                sample: self.access_log_sample,
            },
            slow: self.slow_log,
            has_ids: self.request_id,
        }
    }
}

fn target(text: &str) -> Result<Target, String> {
    text.parse()
}

fn format(text: &str) -> Result<Format, String> {
    text.parse()
}

fn status(text: &str) -> Result<u16, String> {
    match text {
        "0" => Ok(0),
        _ => number_between(text, 100, 599).map(|status| status as u16).map_err(|e| format!("{e}, or 0 for all")),
    }
}

fn sample(text: &str) -> Result<u32, String> {
    number_between(text, 1, 1_000_000_000).map(|number| number as u32)
}

fn slow(text: &str) -> Result<Slow, String> {
    match text {
        "off" => Ok(None),
        _ => parse_duration(text).map(Some).map_err(|e| format!("{e}, or off")),
    }
}
