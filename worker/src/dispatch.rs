//! The beginning and the end of a request of any protocol. At its beginning it is admitted ([`admit`]), or it has to
//! wait or is refused; then it is entered in the in-flight table and passed to the app; at its end its [`Record`] is
//! passed to the [`Recorder`]. A failure of the server or the app is logged here.

mod in_flight;
mod record;
mod recorder;

pub use in_flight::InFlightEntry;
pub use record::{Cut, Outcome, Part, Record};
pub use recorder::Recorder;

use crate::app::{Answer, App, AppError, Cx};
use crate::http::Request;
use crate::throttle::{Admission, Permit};
use std::fmt::Display;
use std::time::Instant;
use tine_common::log::indented;
use tine_common::request_name::RequestName;
use tine_common::telemetry::Count;

/// Whether a request may begin now, by the limits of the whole server and of its client.
pub fn admit(request: &Request<'_>, cx: &Cx<'_>) -> Admission {
    match cx.turn.throttle {
        Some(throttle) => throttle.admit(request, cx),
        None => Admission::Admitted(Permit::none()),
    }
}

/// Passes a request to the app; it may have `began` in an earlier turn. Its record is the recorder's last. `starts_at`: the
/// position in the connection's output where its response will start.
#[inline]
pub fn begin(
    request: &Request<'_>,
    began: Instant,
    starts_at: u64,
    recorder: &mut Recorder,
    app: &mut dyn App,
    cx: &Cx<'_>,
) -> Answer {
    if let Some(table) = cx.in_flight_table() {
        table.begin(request.text(), request.method().len() + 1 + request.target().len());
    }
    match recorder.begin(request, began, starts_at, cx).request_id() {
        None => app.call(request, cx),
        id => app.call(&request.with_id(id), cx),
    }
}

/// The app failed while it answered. If a client's violation of the protocol is the cause, no operator has to know: the
/// level is debug.
pub fn on_app_error(request: &RequestName, error: &AppError, cx: &Cx<'_>) {
    let level = if error.is_clients() {
        log::Level::Debug
    } else {
        cx.count(Count::AppErrors);
        log::Level::Error
    };
    log::log!(level, "{request}: {}", indented(&error.to_string()));
}

/// The app's response cannot be sent as it is.
pub fn on_refused(request: &RequestName, error: impl Display, cx: &Cx<'_>) {
    cx.count(Count::AppErrors);
    log::error!("{request}: the app's response cannot be sent: {}", indented(&error.to_string()));
}

/// A response that is already in the output cannot be completed.
pub fn log_cut(request: &RequestName, why: impl Display) {
    log::error!("{request}: the response is cut: {why}");
}
