//! The options of the log: its file and its level.

use std::path::PathBuf;
use tine_common::log::LogFormat;

#[derive(clap::Args, Debug)]
pub struct LogArgs {
    /// Append to this file what goes to standard error once the server is bound: log lines, panics and output of apps. USR1 reopens it after a rename [default: standard error]
    #[arg(long, value_name = "PATH", env = "TINE_LOG_FILE", hide_env = true, help_heading = "Logs")]
    pub log_file: Option<PathBuf>,
    /// Log level: error, warn, info, debug or off [default: info, or warn with --quiet]
    #[arg(long, value_name = "LEVEL", env = "TINE_LOG_LEVEL", hide_env = true, value_parser = tine_common::log::parse_level,
          help_heading = "Logs")]
    pub log_level: Option<log::LevelFilter>,
    /// Format of the server's own log lines: text or json
    #[arg(long, value_name = "FORMAT", default_value = "text", env = "TINE_LOG_FORMAT", hide_env = true,
          value_parser = log_format, help_heading = "Logs")]
    pub log_format: LogFormat,
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    text.parse()
}
