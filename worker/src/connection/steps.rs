//! The steps of a connection's turn: read, advance the protocol, flush, and settle what follows.

use super::lingering::{Linger, may_close};
use super::resetting::Unacknowledged;
use super::{Connection, Phase, Turn};
use crate::app::{App, ConnectionCx, ConnectionId, Cx, TurnCx};
use crate::dispatch::{self, Cut, Record, Recorder};
use crate::http1::REQUESTS_PER_TURN;
use crate::net::{ReadBuffer, Transport, WriteQueue};
use crate::protocol::{Closing, IdleEnd, Io, Next, Passed, Scratch};
use crate::request_log::Wait;
use tine_common::telemetry::Count;

/// Reads and writes of one connection in one turn.
pub const STEPS_PER_TURN: usize = 16;
/// Bytes sent on one connection in one turn.
const SENT_BYTES_PER_TURN: usize = 1 << 20;

/// What all steps of one turn have in common.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub turn: &'a TurnCx<'a>,
    pub idle_end: Option<IdleEnd>,
    pub id: ConnectionId,
}

impl<'a> Step<'a> {
    pub fn cx(self, transport: &'a Transport) -> Cx<'a> {
        Cx {
            turn: self.turn,
            connection: ConnectionCx {
                socket: Some(&transport.socket),
                session: transport.session(),
                caller: transport.caller.as_ref(),
                idle_end: self.idle_end,
                id: self.id,
            },
        }
    }
}

/// What the worker's connections share, for one turn.
pub struct Shared<'a> {
    pub input: &'a mut ReadBuffer,
    /// Or the connection's own.
    pub output: &'a mut WriteQueue,
    pub recorder: &'a mut Recorder,
    pub scratch: &'a mut Scratch,
}

/// What the steps of one turn have done so far.
#[derive(Default)]
struct Done {
    sent_bytes: usize,
    /// Requests whose response is complete.
    completed: usize,
    /// The last step left input and can go on: that is enough for the next, and reading more would only cost a copy.
    is_enough: bool,
}

impl Connection {
    /// Up to [`STEPS_PER_TURN`] steps, until one ends the turn.
    pub fn steps(&mut self, shared: &mut Shared<'_>, app: &mut dyn App, step: Step<'_>) -> Turn {
        let mut done = Done::default();
        for count in 0..STEPS_PER_TURN {
            if count > 0 && step.turn.is_time_up() {
                break;
            }
            let proceed = self
                .read_and_advance(shared, app, step, &mut done)
                .and_then(|next| self.flush(shared.output, shared.recorder, step, &mut done).map(|()| next))
                .and_then(|next| self.settle(next, shared.input, shared.output, step, &done));
            if let Err(turn) = proceed {
                return turn;
            }
        }
        Turn::Again
    }

    /// Reads, if the protocol wants input, and lets the protocol or the phase advance.
    fn read_and_advance(
        &mut self,
        shared: &mut Shared<'_>,
        app: &mut dyn App,
        step: Step<'_>,
        done: &mut Done,
    ) -> Result<Next, Turn> {
        let Shared { input, output, recorder, scratch } = shared;
        let protocol = match &mut self.phase {
            Phase::Open(protocol) => protocol,
            Phase::Handshake(_) => return self.shake_hands(shared, step),
            Phase::Header(_) => return Err(self.read_header(shared, step)),
            Phase::Finishing(closing) => return Ok(Next::Close(*closing)),
            Phase::Lingering(linger) => {
                return Err(linger.go_on(&self.transport.socket, input, &step.cx(&self.transport)));
            }
            Phase::Resetting(unacknowledged) => {
                return match unacknowledged.check(&self.transport.socket, &step.cx(&self.transport)) {
                    true => Err(Turn::Waits),
                    false => Ok(Next::Close(Closing::Reset)),
                };
            }
        };
        let bytes_max = protocol.input_bytes_max();
        if self.transport.can_receive(input, bytes_max)
            && !done.is_enough
            && protocol.wants_input(output.len(), &step.cx(&self.transport))
        {
            // After a reset there is no client left to answer.
            let before = self.transport.received_bytes();
            self.transport.receive(input, bytes_max).map_err(|_| Turn::Closed)?;
            step.turn.seat.count(Count::ReceivedBytes, self.transport.received_bytes() - before);
        }
        let (input_ended, hung_up) = (self.transport.input_ended(), self.transport.hung_up());
        let passed = Passed { received: self.transport.received_bytes(), sent: self.transport.sent_bytes() };
        let mut io = Io { input, output, recorder, scratch, passed, input_ended, hung_up };
        let next = protocol.advance(&mut io, app, &step.cx(&self.transport));
        done.completed += recorder.completed_count();
        done.is_enough = matches!(next, Next::Again | Next::Sent) && !input.is_empty();
        Ok(next)
    }

    /// Sends what the kernel takes.
    fn flush(
        &mut self,
        output: &mut WriteQueue,
        recorder: &mut Recorder,
        step: Step<'_>,
        done: &mut Done,
    ) -> Result<(), Turn> {
        // After a reset there is no client left to send to.
        let (bytes, broken) = self.transport.flush(output, step.turn.now).map_err(|_| Turn::Closed)?;
        done.sent_bytes += bytes;
        step.turn.seat.count(Count::SentBytes, bytes as u64);
        if let Some(part) = broken {
            dispatch::log_cut(&part.request, &part);
            if part.ends_with_connection {
                // As for Closing::Reset.
                self.transport.socket.reset_on_close();
            }
            return Err(self.cut(Cut::File));
        }
        if bytes > 0 || recorder.completed_count() > 0 {
            self.record_sent(recorder, step);
        }
        Ok(())
    }

    /// Ends the records of the responses that are sent; those that are complete and not sent wait for it.
    fn record_sent(&mut self, recorder: &mut Recorder, step: Step<'_>) {
        let sent_bytes = self.transport.sent_bytes();
        let is_first_byte_due = self.awaiting_first_byte(sent_bytes).is_some();
        if !is_first_byte_due && self.unsent.is_empty() && recorder.completed_count() == 0 {
            return;
        }
        let now = step.turn.read_clock();
        if is_first_byte_due {
            while let Some(record) = self.awaiting_first_byte(sent_bytes) {
                record.on_sent(sent_bytes, now);
            }
        }
        self.unsent.end_sent(sent_bytes, now, recorder);
        let mut completed = recorder.take_completed();
        // In the order of their ends.
        let sent = completed.iter().take_while(|record| record.is_sent(sent_bytes)).count();
        for record in &mut completed[..sent] {
            record.end(sent_bytes, now);
        }
        recorder.end(&mut completed[..sent]);
        for mut record in completed.drain(sent..) {
            record.on_sent(sent_bytes, now);
            record.waits_for(Some(Wait::Reader), now);
            self.unsent.push(record);
        }
        completed.clear();
        recorder.put_back(completed);
    }

    fn awaiting_first_byte(&mut self, sent_bytes: u64) -> Option<&mut Record> {
        match &mut self.phase {
            Phase::Open(protocol) => protocol.awaiting_first_byte(sent_bytes),
            _ => None,
        }
    }

    /// Acts on what the protocol waits for. An error ends the turn.
    fn settle(
        &mut self,
        next: Next,
        input: &mut ReadBuffer,
        output: &WriteQueue,
        step: Step<'_>,
        done: &Done,
    ) -> Result<(), Turn> {
        let is_over = done.sent_bytes >= SENT_BYTES_PER_TURN || done.completed >= REQUESTS_PER_TURN;
        match next {
            Next::Close(closing) => self.close(closing, input, output, step),
            Next::Wait => match &self.phase {
                Phase::Open(protocol)
                    if self.transport.can_receive(input, protocol.input_bytes_max())
                        && protocol.wants_input(output.len(), &step.cx(&self.transport)) =>
                {
                    Ok(())
                }
                Phase::Handshake(_) if self.transport.can_receive(input, usize::MAX) => Ok(()),
                _ => Err(Turn::Waits),
            },
            Next::Switch => {
                let phase = std::mem::replace(&mut self.phase, Phase::Finishing(Closing::Flushed));
                let Phase::Open(protocol) = phase else { return Err(Turn::Closed) };
                self.phase = Phase::Open(protocol.switched().ok_or(Turn::Closed)?);
                Ok(())
            }
            Next::Again if output.len() > step.turn.limits.write_low_watermark_bytes => Err(Turn::Waits),
            Next::Sent if !output.is_empty() => Err(Turn::Waits),
            Next::Again | Next::Sent if is_over => Err(Turn::Again),
            Next::Again | Next::Sent => Ok(()),
        }
    }

    /// Closes the connection as soon as `closing` allows.
    fn close(
        &mut self,
        closing: Closing,
        input: &mut ReadBuffer,
        output: &WriteQueue,
        step: Step<'_>,
    ) -> Result<(), Turn> {
        match closing {
            Closing::Cut => return Err(self.cut(Cut::App)),
            Closing::Reset => {
                self.transport.socket.reset_on_close();
                return Err(self.cut(Cut::App));
            }
            Closing::Flushed | Closing::Lingering | Closing::ResetTaken => {}
        }
        if !output.is_empty() {
            self.phase = Phase::Finishing(closing);
            return Err(Turn::Waits);
        }
        if closing == Closing::ResetTaken {
            self.phase = Phase::Resetting(Unacknowledged::new(step.turn.now));
            return Ok(());
        }
        if !self.transport.finish_session(step.turn.now).map_err(|_| Turn::Closed)? {
            self.phase = Phase::Finishing(closing);
            return Err(Turn::Waits);
        }
        if self.transport.input_ended() || self.is_cut_short {
            return Err(Turn::Closed);
        }
        let socket = &self.transport.socket;
        if closing == Closing::Flushed && may_close(socket, input, self.transport.sent_bytes()) {
            return Err(Turn::Closed);
        }
        // An error of shutdown means that the client is gone.
        socket.finish_sending().map_err(|_| Turn::Closed)?;
        self.phase = Phase::Lingering(Linger::new(step.turn.now));
        Ok(())
    }
}
