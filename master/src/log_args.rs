//! The options that say where the log goes and how much of it there is.

use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct LogArgs {
    /// File to append to in place of standard error, from when the server is bound: log lines, panics, and what apps print there. USR1 opens it again, after a rename [default: standard error]
    #[arg(long, value_name = "PATH", env = "TINE_LOG_FILE", hide_env = true, help_heading = "Processes")]
    pub log_file: Option<PathBuf>,
    /// How much is logged: error, warn, info, debug or off [default: info, with --quiet warn]
    #[arg(long, value_name = "LEVEL", env = "TINE_LOG_LEVEL", hide_env = true, value_parser = tine_common::log::parse_level,
          help_heading = "Processes")]
    pub log_level: Option<log::LevelFilter>,
}
