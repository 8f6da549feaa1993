//! The option that says where the log goes.

use std::path::PathBuf;

#[derive(clap::Args, Debug)]
pub struct LogArgs {
    /// File to append to in place of standard error, from when the server is bound: log lines, panics, and what apps print there. USR1 opens it again, after a rename [default: standard error]
    #[arg(long, value_name = "PATH", env = "TINE_LOG_FILE", hide_env = true, help_heading = "Processes")]
    pub log_file: Option<PathBuf>,
}
