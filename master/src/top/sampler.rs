//! Looks at the server every interval, in a thread of its own, so that keys are heard while it does not answer.
//!
//! It keeps one connection, and begins anew when the server has gone away or its path leads to another one, as after an
//! upgrade. It ends with the program, or when nobody listens to it any more.

use crate::control::{Found, Request, Talk, TalkError, identity};
use crate::ctl;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};
use tine_common::status::Status;

/// For one look: the master answers at once, unless it stands still.
const LOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach a server that is gone.
const RETRY: Duration = Duration::from_millis(500);

/// A look at the server; the error says in a few words why there is none.
pub type Look = Result<Status, String>;

pub struct Sampler {
    server: Found,
    talk: Option<Talk>,
    /// What the path led to when it connected.
    socket: Option<(u64, u64)>,
}

impl Sampler {
    pub fn new(server: Found) -> Self {
        Sampler { server, talk: None, socket: None }
    }

    pub fn look(&mut self) -> Result<Status, TalkError> {
        let socket = identity(&self.server.path);
        if self.socket != socket {
            self.talk = None;
        }
        // A connection that fails is not used again; the next look begins a new one.
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => Talk::open_found(&self.server, Some(LOOK_TIMEOUT))?,
        };
        let last = talk.ask(Request::Workers, |_| {})?;
        (self.talk, self.socket) = (Some(talk), socket);
        let no_status = || last.line.error.unwrap_or_else(|| "it said nothing of itself".to_string());
        last.line.status.ok_or_else(|| TalkError::Strange(no_status()))
    }

    /// Looks until the receiver is gone.
    pub fn run(mut self, interval: Duration, looks: Sender<Look>) {
        thread::spawn(move || {
            loop {
                let began = Instant::now();
                let look = self.look().map_err(|e| ctl::why(&e));
                let next = if look.is_ok() { interval } else { interval.min(RETRY) };
                if looks.send(look).is_err() {
                    return;
                }
                thread::sleep(next.saturating_sub(began.elapsed()));
            }
        });
    }
}
