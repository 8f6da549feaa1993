//! The options that delay a drain and report it to load balancers.

use std::time::Duration;
use tine_apps::health;
use tine_common::units::parse_duration;

#[derive(clap::Args, Debug)]
pub struct DrainArgs {
    /// Keep serving this long before a stop drains, with health checks answering 503, so that load balancers stop routing here;
    /// 0 is off
    #[arg(long, value_name = "TIME", default_value = "0s", env = "TINE_DRAIN_DELAY", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    pub drain_delay: Duration,
    /// Answer health checks at this path instead of the app: 200, or 503 during --drain-delay [default: none; the
    /// built-in origin has /health]
    #[arg(long, value_name = "PATH", env = "TINE_HEALTH_PATH", hide_env = true, value_parser = health::parse_path,
          help_heading = "Processes")]
    pub health_path: Option<String>,
}
