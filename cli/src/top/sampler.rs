//! Samples the server at an interval, in a thread of its own, so that keys are handled while the server does not respond.
//!
//! It keeps one connection, and opens a new one when the server has gone or its path leads to another one, as after an
//! upgrade. The thread ends with the program, or when the receiver is dropped.

use crate::ctl;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};
use tine::for_cli::Command;
use tine::for_cli::control::{Found, Talk, TalkError, identity};
use tine_common::status::Status;

/// For one sample: the master answers at once, unless it is stopped.
const SAMPLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to reach a server that has gone.
const RETRY: Duration = Duration::from_millis(500);

/// The server's status; the error says in a few words why there is none.
pub type Sample = Result<Status, String>;

pub struct Sampler {
    server: Found,
    talk: Option<Talk>,
    /// Device and inode of the socket when it connected.
    socket: Option<(u64, u64)>,
}

impl Sampler {
    pub fn new(server: Found) -> Self {
        Sampler { server, talk: None, socket: None }
    }

    pub fn sample(&mut self) -> Result<Status, TalkError> {
        let socket = identity(&self.server.path);
        if self.socket != socket {
            self.talk = None;
        }
        // A connection that fails is not used again; the next sample opens a new one.
        let mut talk = match self.talk.take() {
            Some(talk) => talk,
            None => Talk::open_found(&self.server, Some(SAMPLE_TIMEOUT))?,
        };
        let last = talk.ask(Command::Workers, |_| {})?;
        (self.talk, self.socket) = (Some(talk), socket);
        let no_status = || last.line.error.unwrap_or_else(|| "the answer has no status".to_string());
        last.line.status.ok_or_else(|| TalkError::Strange(no_status()))
    }

    /// Samples until the receiver is dropped.
    pub fn run(mut self, interval: Duration, samples: Sender<Sample>) {
        thread::spawn(move || {
            loop {
                let began = Instant::now();
                let sample = self.sample().map_err(|e| ctl::why(&e));
                let next = if sample.is_ok() { interval } else { interval.min(RETRY) };
                if samples.send(sample).is_err() {
                    return;
                }
                thread::sleep(next.saturating_sub(began.elapsed()));
            }
        });
    }
}
