//! The option that puts a delay before a drain.

use std::time::Duration;
use tine_common::units::parse_duration;

#[derive(clap::Args, Debug)]
pub struct DrainArgs {
    /// How long a stop goes on serving before it begins, /health answering 503, so that a balancer sends nobody any more; 0 is off
    #[arg(long, value_name = "TIME", default_value = "0s", env = "TINE_DRAIN_DELAY", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    pub drain_delay: Duration,
}
