//! The options of reload, upgrade, hung workers and recycling.

use crate::args::number_between;
use std::time::Duration;
use tine_common::config::{Recycling, Supervision, WORKERS_MAX};
use tine_common::units::{parse_duration, parse_size};

#[derive(clap::Args, Debug)]
pub struct SupervisionArgs {
    /// Kill and replace a worker whose event loop is blocked this long, after it has logged where it hangs; 0 is never
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_WORKER_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Supervision")]
    worker_timeout: Duration,
    /// Kill and replace a worker that takes longer than this to load its app; 0 is never
    #[arg(long, value_name = "TIME", default_value = "60s", env = "TINE_BOOT_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Supervision")]
    boot_timeout: Duration,
    /// Workers that may be missing during a replacement
    #[arg(long, value_name = "N", default_value_t = 0, env = "TINE_MAX_UNAVAILABLE", hide_env = true,
          value_parser = some_workers, help_heading = "Supervision")]
    max_unavailable: u16,
    /// New workers that may boot at the same time beside those that they replace
    #[arg(long, value_name = "N", default_value_t = 1, env = "TINE_MAX_SURGE", hide_env = true,
          value_parser = some_workers, help_heading = "Supervision")]
    max_surge: u16,
    /// Maximum processes of a slot, including those still draining; above it, the oldest drain is cut short
    #[arg(long, value_name = "N", default_value_t = 4, env = "TINE_GENERATIONS_MAX", hide_env = true,
          value_parser = generations, help_heading = "Supervision")]
    generations_max: u16,
    /// Replace a worker after this many requests; 0 is never
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        env = "TINE_MAX_REQUESTS",
        hide_env = true,
        help_heading = "Supervision"
    )]
    max_requests: u64,
    /// Random extra requests before --max-requests replaces a worker, up to N
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        env = "TINE_MAX_REQUESTS_JITTER",
        hide_env = true,
        help_heading = "Supervision"
    )]
    max_requests_jitter: u64,
    /// Replace a worker at this age; 0 is never
    #[arg(long, value_name = "TIME", default_value = "0", env = "TINE_MAX_LIFETIME", hide_env = true,
          value_parser = parse_duration, help_heading = "Supervision")]
    max_lifetime: Duration,
    /// Random extra time before --max-lifetime replaces a worker, up to this much
    #[arg(long, value_name = "TIME", default_value = "0", env = "TINE_MAX_LIFETIME_JITTER", hide_env = true,
          value_parser = parse_duration, help_heading = "Supervision")]
    max_lifetime_jitter: Duration,
    /// Replace a worker whose resident memory is above this in three checks in a row, 2 s apart; 0 is never
    #[arg(long, value_name = "SIZE", default_value = "0", env = "TINE_MAX_RSS", hide_env = true,
          value_parser = parse_size, help_heading = "Supervision")]
    max_rss: u64,
}

impl SupervisionArgs {
    pub fn config(&self) -> Supervision {
        let some = |time: Duration| (!time.is_zero()).then_some(time);
        Supervision {
            worker_timeout: some(self.worker_timeout),
            boot_timeout: some(self.boot_timeout),
            unavailable_max: self.max_unavailable.into(),
            surge_max: self.max_surge.into(),
            generations_max: self.generations_max.into(),
            recycling: Recycling {
                requests_max: (self.max_requests > 0).then_some(self.max_requests),
                requests_jitter: self.max_requests_jitter,
                lifetime_max: some(self.max_lifetime),
                lifetime_jitter: self.max_lifetime_jitter,
                rss_bytes_max: (self.max_rss > 0).then_some(self.max_rss),
            },
        }
    }
}
fn some_workers(text: &str) -> Result<u16, String> {
    number_between(text, 0, WORKERS_MAX as u64).map(|number| number as u16)
}

fn generations(text: &str) -> Result<u16, String> {
    number_between(text, 2, 64).map(|number| number as u16)
}
