//! Whether a case passes.
//!
//! [`verdict`] is Autobahn's judgement. [`shortfall`] is what is required beyond it: a server that fails the connection
//! gives the reason in a Close (Autobahn also accepts a bare end), and the connection ends cleanly, not by a reset,
//! also in the cases that Autobahn calls informational.

use super::case::{Case, End, Event};
use super::talk::{Ended, Seen};
use crate::support::websocket::{BINARY, PING, PONG, TEXT};
use std::fmt;

pub(super) enum Verdict {
    Ok,
    NonStrict,
    Informational,
    Failed(String),
}

pub(super) fn judge(case: &Case, seen: &Seen) -> Verdict {
    match (shortfall(case, seen), verdict(case, seen)) {
        (_, Verdict::Failed(why)) | (Some(why), _) => Verdict::Failed(format!("{why}; {seen}")),
        (None, verdict) => verdict,
    }
}

/// Autobahn's own judgement (its `case.py`, `onConnectionLost`).
fn verdict(case: &Case, seen: &Seen) -> Verdict {
    let failed = |why: &str| Verdict::Failed(why.to_string());
    let (is_ours, codes, must_be_clean) = match &case.end {
        End::ByUs { codes, is_clean } => (true, codes, *is_clean),
        End::ByServer { codes } => (false, codes, false),
        End::Informational => return Verdict::Informational,
    };
    if matches!(seen.ended, Ended::ByUs(_)) {
        return failed("the server did not end the connection");
    }
    if seen.closed_first_by_us != is_ours {
        return failed(if is_ours { "the server began to close" } else { "the server did not fail the connection" });
    }
    if must_be_clean && seen.close.is_none() {
        return failed("the server did not say Close");
    }
    if let Some(code) = seen.close_code()
        && !codes.contains(&code)
    {
        return failed(&format!("the close code is not one of {codes:?}"));
    }
    if seen.events == case.expected {
        Verdict::Ok
    } else if case.tolerated.as_ref() == Some(&seen.events) {
        Verdict::NonStrict
    } else {
        failed(&format!("{} was expected", list(&case.expected)))
    }
}

/// The requirement beyond Autobahn's that is not met.
fn shortfall(case: &Case, seen: &Seen) -> Option<String> {
    let must_say_why = match &case.end {
        End::ByUs { is_clean, .. } => !is_clean,
        End::ByServer { .. } => true,
        End::Informational => false,
    };
    if !matches!(seen.ended, Ended::InOrder) {
        return Some("the connection did not end in order".to_string());
    }
    (must_say_why && seen.close_code().is_none()).then(|| "the server did not say why it ended".to_string())
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} came, ", list(&self.events))?;
        match (&self.close, self.close_code()) {
            (None, _) => write!(f, "no Close, ")?,
            (Some(_), None) => write!(f, "a Close without a code, ")?,
            (Some(_), Some(code)) => write!(f, "Close {code}, ")?,
        }
        match &self.ended {
            Ended::InOrder => write!(f, "then the end in order"),
            Ended::Reset(e) => write!(f, "then a reset ({e})"),
            Ended::ByUs(e) => write!(f, "then we gave up ({e})"),
        }
    }
}

/// Events in readable form, with long payloads and long lists shortened.
fn list(events: &[Event]) -> String {
    let one = |event: &Event| match event {
        Event::Came(opcode, payload) => {
            let name = match *opcode {
                TEXT => "text",
                BINARY => "binary",
                PING => "ping",
                PONG => "pong",
                _ => "?",
            };
            format!("{name} of {} bytes \"{}\"", payload.len(), payload[..payload.len().min(32)].escape_ascii())
        }
        Event::Quiet(name) => format!("quiet {name}"),
    };
    let shown = events.iter().take(12).map(one).collect::<Vec<_>>().join(", ");
    let more = events.len().saturating_sub(12);
    if more > 0 { format!("[{shown}, and {more} more]") } else { format!("[{shown}]") }
}
