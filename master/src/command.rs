//! The commands that the master takes: one list for `tine ctl`, whose subcommands they are (the doc comments are its help),
//! for the control socket, where each is a line of JSON, for the signals, and for the master, which obeys.

use crate::args::number_between;
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use tine_common::config::WORKERS_MAX;

#[derive(Subcommand, Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
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
    /// Finish requests in flight and stop; waits for the server to exit
    Stop,
    /// Close all connections and exit. By a signal only.
    #[serde(skip)]
    #[command(skip)]
    StopNow,
    /// All workers drain; the master stays and keeps the sockets. By a signal only.
    #[serde(skip)]
    #[command(skip)]
    Rest,
}

impl Command {
    pub const SIGNALS: [i32; 9] = [SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGTTIN, SIGTTOU, SIGWINCH];

    pub fn of_signal(signal: i32) -> Option<Command> {
        Some(match signal {
            SIGTERM | SIGINT => Command::Stop,
            SIGQUIT => Command::StopNow,
            SIGHUP => Command::Reload,
            SIGUSR1 => Command::ReopenLogs,
            SIGUSR2 => Command::Upgrade,
            SIGTTIN => Command::Add,
            SIGTTOU => Command::Remove,
            SIGWINCH => Command::Rest,
            _ => return None,
        })
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

    #[test]
    fn the_words_of_the_command_line_are_those_of_the_socket() {
        let ctl = Command::augment_subcommands(clap::Command::new("ctl"));
        let words: Vec<&str> = ctl.get_subcommands().map(|command| command.get_name()).collect();
        assert_eq!(words.len(), 11, "{words:?}");
        for word in words {
            let number = serde_json::json!({"command": word, "workers": 1, "slot": 1});
            Command::deserialize(&number).unwrap_or_else(|e| panic!("{word}: {e}"));
        }
        for signals_only in ["stop-now", "rest"] {
            assert!(!Command::has_subcommand(signals_only));
            Command::deserialize(&serde_json::json!({"command": signals_only})).expect_err(signals_only);
        }
    }
}
