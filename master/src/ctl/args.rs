//! The command line of `tine ctl`.

use crate::args::number_between;
use crate::control::{Request, WhereArgs};
use clap::{Args, Subcommand};
use std::time::Duration;
use tine_common::config::WORKERS_MAX;
use tine_common::units::parse_duration;

/// The commands that a running server takes.
pub const COMMANDS: [&str; 11] =
    ["status", "workers", "reload", "upgrade", "scale", "add", "remove", "drain", "recycle", "reopen-logs", "stop"];

/// Timeout of commands that the master answers at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Args, Debug)]
#[command(arg_required_else_help = true, subcommand_required = true, after_help = AFTER_HELP)]
pub struct CtlArgs {
    #[command(flatten)]
    pub place: WhereArgs,
    /// Print the server's answer as one line of JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// How long to wait for the result; 0 is unlimited [default: 10s for status, workers and reopen-logs, otherwise 0: the server's own limits apply]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, global = true)]
    timeout: Option<Duration>,
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Exit status: 0 done; 1 refused or failed; 2 usage error, or several servers are
running and none was named; 3 no server is running; 4 no answer, so the result
is unknown. docs/control.md describes the JSON.";

#[derive(Subcommand, Debug, Clone, Copy)]
enum Command {
    /// Show the state of the server
    Status,
    /// Show each worker: rates over a second, requests in flight
    Workers,
    /// Reload the app: new workers are ready before old ones drain
    Reload,
    /// Upgrade to the binary on disk, which takes over the sockets
    Upgrade,
    /// Set the number of workers
    Scale {
        /// 1 to 1024
        #[arg(value_name = "N", value_parser = workers, allow_negative_numbers = true)]
        workers: u64,
    },
    /// Add one worker
    Add,
    /// Remove one worker, that of the last slot
    Remove,
    /// Drain the worker of a slot, then replace it
    Drain {
        #[arg(value_name = "SLOT", value_parser = slot, allow_negative_numbers = true)]
        slot: u64,
    },
    /// Replace the worker of a slot: a new one is ready before it drains
    Recycle {
        #[arg(value_name = "SLOT", value_parser = slot, allow_negative_numbers = true)]
        slot: u64,
    },
    /// Reopen the log file after it was renamed
    ReopenLogs,
    /// Finish requests in flight and stop; waits for the server to exit
    Stop,
}

fn workers(text: &str) -> Result<u64, String> {
    number_between(text, 1, WORKERS_MAX as u64).map(|number| number as u64)
}

fn slot(text: &str) -> Result<u64, String> {
    number_between(text, 0, WORKERS_MAX as u64 - 1).map(|number| number as u64)
}

impl CtlArgs {
    pub fn request(&self) -> Request {
        match self.command {
            Command::Status => Request::Status,
            Command::Workers => Request::Workers,
            Command::Reload => Request::Reload,
            Command::Upgrade => Request::Upgrade,
            Command::Scale { workers } => Request::Scale { workers: workers as usize },
            Command::Add => Request::Add,
            Command::Remove => Request::Remove,
            Command::Drain { slot } => Request::Drain { slot: slot as usize },
            Command::Recycle { slot } => Request::Recycle { slot: slot as usize },
            Command::ReopenLogs => Request::ReopenLogs,
            Command::Stop => Request::Stop,
        }
    }

    /// `None`: no limit.
    pub fn timeout(&self) -> Option<Duration> {
        let is_quick = matches!(self.command, Command::Status | Command::Workers | Command::ReopenLogs);
        match self.timeout {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => is_quick.then_some(ANSWER_TIMEOUT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_command_line() {
        let command = CtlArgs::augment_args(clap::Command::new("ctl"));
        let words: Vec<&str> = command.get_subcommands().map(|command| command.get_name()).collect();
        assert_eq!(words, COMMANDS);
    }
}
