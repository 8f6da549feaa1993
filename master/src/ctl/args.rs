//! The command line of `tine ctl`.

use crate::command::Command;
use crate::control::WhereArgs;
use clap::Args;
use std::time::Duration;
use tine_common::units::parse_duration;

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
    pub command: Command,
}

const AFTER_HELP: &str = "\
Exit status: 0 done; 1 refused or failed; 2 usage error, or several servers are
running and none was named; 3 no server is running; 4 no answer, so the result
is unknown. docs/control.md describes the JSON.";

impl CtlArgs {
    /// `None`: no limit.
    pub fn timeout(&self) -> Option<Duration> {
        let is_quick = matches!(self.command, Command::Status | Command::Workers | Command::ReopenLogs);
        match self.timeout {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => is_quick.then_some(ANSWER_TIMEOUT),
        }
    }
}
