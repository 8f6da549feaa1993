//! What an operator may ask of the master, by a signal or over the control socket.

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Finish what is in flight and exit; said again: cut it.
    Stop,
    StopNow,
    /// A fresh generation of workers, each of which loads the app anew.
    Reload,
    /// A new binary takes over.
    Upgrade,
    ReopenLogs,
    /// So many workers.
    Scale(usize),
    /// One worker more.
    Add,
    /// One worker less: the youngest slot goes.
    Remove,
    /// The worker of this slot takes nobody in any more, finishes and is replaced.
    Drain(usize),
    /// The worker of this slot leaves once a successor is ready.
    Recycle(usize),
    /// All workers leave, the master stays and holds the sockets.
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
