//! The options that put a delay before a drain, and tell of it.

use std::time::Duration;
use tine_apps::files::UrlPrefix;
use tine_common::units::parse_duration;

#[derive(clap::Args, Debug)]
pub struct DrainArgs {
    /// How long a stop goes on serving before it begins, health checks answering 503, so that a balancer sends nobody any more; 0
    /// is off
    #[arg(long, value_name = "TIME", default_value = "0s", env = "TINE_DRAIN_DELAY", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    pub drain_delay: Duration,
    /// Answer health checks at this path, before the application: 200, and 503 while --drain-delay runs [default: none; the
    /// built-in origin has /health]
    #[arg(long, value_name = "PATH", env = "TINE_HEALTH_PATH", hide_env = true, value_parser = health_path,
          help_heading = "Processes")]
    pub health_path: Option<String>,
}

/// The path as it is compared; the error says what would do.
fn health_path(text: &str) -> Result<String, String> {
    match text.parse::<UrlPrefix>() {
        Ok(path) if text.starts_with('/') && !path.is_root() => Ok(path.to_string()),
        _ => Err("give a path such as /health".to_string()),
    }
}
