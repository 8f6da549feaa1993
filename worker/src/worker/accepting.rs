//! The step of a turn that takes new connections: let in, or refused with an answer.

use super::Worker;
use crate::admission::{EXHAUSTED_PAUSE, REFUSED_OPEN_MAX, RETRY_AFTER_SECONDS};
use crate::connection::Connection;
use crate::http1;
use crate::net::{ReadBuffer, Socket};
use std::io;
use std::time::Instant;
use tine_common::scoreboard::Survey;
use tine_common::sys::socket::{Accepted, accept};

/// Connections accepted from one listener in one turn.
const ACCEPT_BUDGET: usize = 64;

impl Worker {
    pub(super) fn accept(&mut self, now: Instant) {
        if self.ready_listeners.is_empty() {
            return;
        }
        let mut survey = Survey { least: u64::MAX, total: 0, accepting: 0 };
        if self.listeners.is_balanced() || self.admission.has_server_max() {
            survey = self.scoreboard.survey(now);
        }
        let ready = std::mem::take(&mut self.ready_listeners);
        for &index in &ready {
            self.accept_from(index, &mut survey, now);
        }
        self.ready_listeners = ready;
        self.ready_listeners.clear();
    }

    fn accept_from(&mut self, index: usize, survey: &mut Survey, now: Instant) {
        let mut share_of_crowd = None;
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = self.listeners.get(index) else { return };
            match accept(listener) {
                Ok(Accepted::Connection(fd)) => {
                    self.admit(Socket::new(fd, self.listeners.is_tcp(index)), survey, now);
                }
                Ok(Accepted::Nobody) => return,
                Ok(Accepted::Exhausted(e)) => return self.on_exhausted(index, &e, now),
                Err(e) => {
                    log::error!("{e}");
                    return self.pause_accepting(now);
                }
            }
            let mine = self.admitted() as u64;
            if self.listeners.is_enough(index, mine, survey)
                && mine >= *share_of_crowd.get_or_insert_with(|| self.listeners.share_of_crowd(survey))
            {
                return;
            }
        }
    }

    fn admit(&mut self, socket: Socket, survey: &mut Survey, now: Instant) {
        self.counts.accepted += 1;
        if self.admission.admits(self.admitted(), survey.total) {
            survey.total += 1;
            self.counts.changed = true;
            self.insert(Connection::new(socket, now));
            self.seat.set_connections(self.admitted() as u64);
            return;
        }
        self.counts.refused += 1;
        let (mine, total) = (self.admitted(), survey.total);
        self.admission.on_refused(format_args!("at capacity with {mine} connections here and {total} in all"), now);
        let answer = http1::refusal(&self.date, RETRY_AFTER_SECONDS);
        if self.counts.refused_open < REFUSED_OPEN_MAX {
            self.counts.refused_open += 1;
            self.insert(Connection::refused(socket, &answer, now));
        } else {
            answer_and_close(&socket, &answer, &mut self.buffers.input);
        }
    }

    fn insert(&mut self, mut connection: Connection) {
        connection.schedule();
        let token = self.connections.insert(connection);
        self.run_queue.push(token);
    }

    /// EMFILE, ENFILE or no memory: those who wait get an answer by the spare descriptor, and accepting pauses.
    fn on_exhausted(&mut self, index: usize, error: &io::Error, now: Instant) {
        let answer = http1::refusal(&self.date, RETRY_AFTER_SECONDS);
        self.admission.on_refused(format_args!("accept: {error}"), now);
        for _ in 0..ACCEPT_BUDGET {
            let Some(listener) = self.listeners.get(index) else { return };
            let (is_tcp, input) = (self.listeners.is_tcp(index), &mut self.buffers.input);
            if !self.admission.use_spare(listener, |fd| answer_and_close(&Socket::new(fd, is_tcp), &answer, input)) {
                break;
            }
            self.counts.accepted += 1;
            self.counts.refused += 1;
        }
        self.pause_accepting(now);
    }

    fn pause_accepting(&mut self, now: Instant) {
        if let Err(e) = self.listeners.pause(now + EXHAUSTED_PAUSE) {
            log::error!("{e}");
        }
    }
}

/// For a client that there is not even room to be careful with: what it sent so far is read, so that closing does not
/// reset the answer, as far as that can be known.
fn answer_and_close(socket: &Socket, answer: &[u8], scratch: &mut ReadBuffer) {
    // Errors mean that the client is gone.
    let _ = scratch.receive(socket, usize::MAX);
    scratch.clear();
    let _ = socket.send(answer);
    let _ = socket.finish_sending();
}
