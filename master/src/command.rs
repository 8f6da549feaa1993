//! The commands that the master takes, by a signal or over the control socket.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Finish what is in flight and exit. A second one closes what is left.
    Stop,
    StopNow,
    /// Replace all workers by a new generation, which loads the app again.
    Reload,
    /// Hand over to a new process of the binary on disk.
    Upgrade,
    ReopenLogs,
    /// Set the number of workers.
    Scale(usize),
    /// Add one worker.
    Add,
    /// Remove one worker: that of the last slot.
    Remove,
    /// The worker of this slot accepts no more connections, finishes and is replaced.
    Drain(usize),
    /// The worker of this slot drains once its successor is ready.
    Recycle(usize),
    /// All workers drain; the master stays and keeps the sockets.
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
