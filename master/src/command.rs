//! The commands that the master takes: one list for the control socket, where each is a line of JSON, for the signals, and
//! for the master, which obeys.

use serde::{Deserialize, Serialize};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};
use tine_common::throttle::Change;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// The state of the server.
    Status,
    /// The state of each worker.
    Workers,
    /// New workers are ready before old ones drain.
    Reload,
    /// To the binary on disk, which takes over the sockets.
    Upgrade,
    /// From 1 to [`WORKERS_MAX`](tine_common::config::WORKERS_MAX).
    Scale { workers: usize },
    /// One worker more.
    Add,
    /// One worker fewer, that of the last slot.
    Remove,
    /// The worker of a slot drains and is then replaced.
    Drain { slot: usize },
    /// The worker of a slot is replaced by one that is ready before it drains.
    Recycle { slot: usize },
    /// The log file was renamed.
    ReopenLogs,
    /// Limits of the whole server are changed; without changes, the state of the server is the answer, which has them.
    Limit {
        #[serde(default)]
        set: Vec<Change>,
    },
    /// Requests in flight are finished; a client waits for the server to exit.
    Stop,
    /// Close all connections and exit. By a signal only.
    #[serde(skip)]
    StopNow,
    /// All workers drain; the master stays and keeps the sockets. By a signal only.
    #[serde(skip)]
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
