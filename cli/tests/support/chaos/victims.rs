//! Workers that were killed, or are about to be: what is lost with them is not the server's failure.

use crate::support::is_alive;
use std::sync::Mutex;
use std::time::Instant;

#[derive(Default)]
pub struct Victims(Mutex<Vec<Victim>>);

struct Victim {
    pid: i32,
    gone: Option<Instant>,
}

impl Victims {
    /// To be called before it is harmed.
    pub fn mark(&self, pid: i32) {
        let mut victims = self.0.lock().expect("no thread panics while it holds the lock");
        if !victims.iter().any(|victim| victim.pid == pid && victim.gone.is_none()) {
            victims.push(Victim { pid, gone: None });
        }
    }

    /// Records the victims that have exited.
    pub fn look(&self) {
        let mut victims = self.0.lock().expect("no thread panics while it holds the lock");
        for victim in victims.iter_mut().filter(|victim| victim.gone.is_none() && !is_alive(victim.pid)) {
            victim.gone = Some(Instant::now());
        }
    }

    /// Whether the loss of a connection that was opened `since` is explained: its worker is a victim; or, if no worker
    /// has answered on it yet, there was a victim that may have held it.
    pub fn explain_loss(&self, worker: Option<i32>, since: Instant) -> bool {
        let victims = self.0.lock().expect("no thread panics while it holds the lock");
        victims.iter().any(|victim| match worker {
            Some(pid) => victim.pid == pid,
            None => victim.gone.is_none_or(|gone| gone >= since),
        })
    }

    pub fn count(&self) -> u64 {
        self.0.lock().expect("no thread panics while it holds the lock").len() as u64
    }
}
