//! The steps of a turn that belong to the logs.

use super::{ACCESS_LOG, Worker};
use crate::dispatch::Cut;
use std::time::Instant;
use tine_common::telemetry::Count;

impl Worker {
    /// Writes the lines of this turn.
    pub(super) fn write_logs(&mut self, now: Instant) {
        if let Some(log) = &self.request_log {
            log.flush(now);
            self.seat.count(Count::AccessLogLinesDropped, log.take_dropped());
        }
    }

    /// The files were renamed: all that was gathered goes to the old ones. False: not all could be opened, which is logged.
    pub(super) fn reopen_logs(&mut self, now: Instant) -> bool {
        self.own.forget(ACCESS_LOG);
        let reopened = [tine_common::log::reopen(), self.request_log.as_ref().map_or(Ok(()), |log| log.reopen(now))];
        self.own.push_all(ACCESS_LOG, self.request_log.as_ref().and_then(|log| log.descriptor()));
        reopened.into_iter().filter_map(Result::err).inspect(|line| log::error!("{line}")).count() == 0
    }

    /// Before the worker exits: requests that have not ended by now are cut.
    pub(super) fn finish_logs(&mut self) {
        if let Some(log) = &self.request_log {
            let now = Instant::now();
            for (_, connection) in &mut self.connections {
                connection.end_by(Cut::Shutdown, &mut self.buffers.recorder, now);
            }
            log.finish(now);
            self.seat.count(Count::AccessLogLinesDropped, log.take_dropped());
            self.publish();
        }
    }
}
