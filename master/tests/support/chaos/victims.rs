//! Workers that were killed, or are about to be: what is lost with them is no failure of the server's.

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
        let mut victims = self.0.lock().expect("nobody panics with it");
        if !victims.iter().any(|victim| victim.pid == pid && victim.gone.is_none()) {
            victims.push(Victim { pid, gone: None });
        }
    }

    /// Notes who is gone by now.
    pub fn look(&self) {
        let mut victims = self.0.lock().expect("nobody panics with it");
        for victim in victims.iter_mut().filter(|victim| victim.gone.is_none() && !is_alive(victim.pid)) {
            victim.gone = Some(Instant::now());
        }
    }

    /// Whether the loss of a connection that was opened `since` is explained: its worker is a victim; or, where none has
    /// answered on it yet, there was one that it may have been with.
    pub fn explain_loss(&self, worker: Option<i32>, since: Instant) -> bool {
        let victims = self.0.lock().expect("nobody panics with it");
        victims.iter().any(|victim| match worker {
            Some(pid) => victim.pid == pid,
            None => victim.gone.is_none_or(|gone| gone >= since),
        })
    }

    pub fn count(&self) -> u64 {
        self.0.lock().expect("nobody panics with it").len() as u64
    }
}
