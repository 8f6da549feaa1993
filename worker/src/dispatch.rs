//! The beginning and the end of a request of any protocol. At its beginning it is entered in the in-flight table and
//! passed to the app; its end is counted and, if it is a failure of the server or the app, logged.

use crate::app::{Answer, App, AppError, Cx};
use crate::http::Request;
use std::fmt::Display;
use tine_common::log::indented;
use tine_common::request_name::RequestName;

/// Passes a request to the app.
pub fn begin(request: &Request<'_>, app: &mut dyn App, cx: &Cx<'_>) -> Answer {
    if let Some(table) = cx.in_flight_table() {
        table.begin(request.text(), request.method().len() + 1 + request.target().len());
    }
    app.call(request, cx)
}

/// How a request ended.
pub enum Outcome {
    /// Its response is complete: the app's, or the server's own. It is answered once all of it is sent.
    Complete,
    /// Its response has begun and cannot be completed.
    Cut,
    /// The client left before the response.
    ClientLeft,
}

/// Requests that have ended since the last [`Ended::take`].
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    pub complete: u16,
    pub cut: u16,
}

impl Ended {
    pub fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Complete => self.complete += 1,
            Outcome::Cut => self.cut += 1,
            Outcome::ClientLeft => {}
        }
    }

    pub fn take(&mut self) -> Ended {
        std::mem::take(self)
    }
}

/// The app failed while it answered. If a client's violation of the protocol is the cause, no operator has to know: the
/// level is debug.
pub fn log_failure(request: &RequestName, error: &AppError) {
    let level = if error.is_clients() { log::Level::Debug } else { log::Level::Error };
    log::log!(level, "{request}: {}", indented(&error.to_string()));
}

/// The app's response cannot be sent as it is.
pub fn log_refused(request: &RequestName, error: impl Display) {
    log::error!("{request}: the app's response cannot be sent: {}", indented(&error.to_string()));
}

/// A response that is already in the output cannot be completed.
pub fn log_cut(request: &RequestName, why: impl Display) {
    log::error!("{request}: the response is cut: {why}");
}
