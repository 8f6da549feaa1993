//! The command line of `tine ctl`.

use crate::args::number_between;
use crate::control_args::WhereArgs;
use clap::{Args, Subcommand};
use std::time::Duration;
use tine::for_cli::Command;
use tine_common::config::WORKERS_MAX;
use tine_common::throttle::Change;
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
    /// How long to wait for the result; 0 is unlimited [default: 10s for status, workers, limit and reopen-logs, otherwise 0: the server's own limits apply]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, global = true)]
    timeout: Option<Duration>,
    #[command(subcommand)]
    command: Word,
}

/// The commands as they are typed; the doc comments are the help.
#[derive(Subcommand, Debug, Clone)]
pub enum Word {
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
        workers: usize,
    },
    /// Add one worker
    Add,
    /// Remove one worker, that of the last slot
    Remove,
    /// Drain the worker of a slot, then replace it
    Drain {
        #[arg(value_name = "SLOT", value_parser = slot, allow_negative_numbers = true)]
        slot: usize,
    },
    /// Replace the worker of a slot: a new one is ready before it drains
    Recycle {
        #[arg(value_name = "SLOT", value_parser = slot, allow_negative_numbers = true)]
        slot: usize,
    },
    /// Reopen the log file after it was renamed
    ReopenLogs,
    /// Show the limits of the server, their use and state, or change them
    Limit {
        /// concurrency=200, rate=4000/min, memory=1G, cpu=200%, client-rate=100/min, wait=2s, ... or NAME=off
        #[arg(value_name = "NAME=VALUE")]
        set: Vec<Change>,
    },
    /// Finish requests in flight and stop; waits for the server to exit
    Stop,
}

const AFTER_HELP: &str = "\
Exit status: 0 done; 1 refused or failed; 2 usage error, or several servers are
running and none was named; 3 no server is running; 4 no answer, so the result
is unknown. docs/control.md describes the JSON.";

impl CtlArgs {
    /// `None`: no limit.
    pub fn timeout(&self) -> Option<Duration> {
        let is_quick = matches!(self.command, Word::Status | Word::Workers | Word::ReopenLogs | Word::Limit { .. });
        match self.timeout {
            Some(timeout) => Some(timeout).filter(|timeout| !timeout.is_zero()),
            None => is_quick.then_some(ANSWER_TIMEOUT),
        }
    }
    pub fn command(&self) -> Command {
        match &self.command {
            Word::Status => Command::Status,
            Word::Workers => Command::Workers,
            Word::Reload => Command::Reload,
            Word::Upgrade => Command::Upgrade,
            &Word::Scale { workers } => Command::Scale { workers },
            Word::Add => Command::Add,
            Word::Remove => Command::Remove,
            &Word::Drain { slot } => Command::Drain { slot },
            &Word::Recycle { slot } => Command::Recycle { slot },
            Word::ReopenLogs => Command::ReopenLogs,
            Word::Limit { set } => Command::Limit { set: set.clone() },
            Word::Stop => Command::Stop,
        }
    }
}

fn workers(text: &str) -> Result<usize, String> {
    number_between(text, 1, WORKERS_MAX as u64)
}

fn slot(text: &str) -> Result<usize, String> {
    number_between(text, 0, WORKERS_MAX as u64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::FromArgMatches;
    use serde::Deserialize;

    #[test]
    fn the_words_of_the_command_line_are_those_of_the_socket() {
        let ctl = CtlArgs::augment_args(clap::Command::new("ctl"));
        let words: Vec<&str> = ctl.get_subcommands().map(|command| command.get_name()).collect();
        for word in &words {
            let line = serde_json::json!({"command": word, "workers": 1, "slot": 1});
            let meant = Command::deserialize(&line).unwrap_or_else(|e| panic!("{word}: {e}"));
            let matches = CtlArgs::augment_args(clap::Command::new("ctl"));
            let takes_number = matches!(meant, Command::Scale { .. } | Command::Drain { .. } | Command::Recycle { .. });
            let typed = ["ctl", word].into_iter().chain(takes_number.then_some("1"));
            let matches = matches.try_get_matches_from(typed).unwrap_or_else(|e| panic!("{word}: {e}"));
            assert_eq!(CtlArgs::from_arg_matches(&matches).expect("arguments").command(), meant);
        }
        // An unknown command is answered with the list of those that there are.
        let error = Command::deserialize(&serde_json::json!({"command": "?"})).expect_err("unknown").to_string();
        let known = error.split_once("expected one of ").expect("a list").1;
        assert_eq!(known, words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "));
    }
}
