//! `tine ctl`: one request to a running server, and the wait for what becomes of it.
//!
//! The outcome is on standard output and in the exit status, progress on standard error. With `--json` standard output is
//! the last line of the server's answer as it came, and progress is left out.

mod args;
mod rates;
pub mod show;
pub mod tables;

pub use args::{COMMANDS, CtlArgs};
pub use rates::Rates;

use crate::control::{Found, Last, Line, NotFound, Request, Talk, TalkError, Wanted, find};
use crate::start::{complain, printable, say};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tine_common::status::Status;
use tine_common::units::show_duration;

/// The server says no, or it could not be done.
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_USAGE: u8 = 2;
/// There is no server.
const EXIT_NOBODY: u8 = 3;
/// No answer: what becomes of the request is not known.
const EXIT_UNKNOWN: u8 = 4;
/// Between the two looks of which rates are made.
const SAMPLE: Duration = Duration::from_secs(1);

/// How a call ended that did not end well: the exit status, and one line.
struct Failure {
    status: u8,
    line: String,
    /// What the server said last, if it is the server that says no.
    said: Option<String>,
}

pub fn run(args: CtlArgs) -> ExitCode {
    let is_json = args.json;
    show::look_at_locale();
    match call(args) {
        Ok(text) => say(&text, 0),
        Err(Failure { status, line, said }) => {
            if is_json {
                say(&said.unwrap_or_else(|| Line::end(Err(line.clone())).text()), 0);
            }
            complain(&line, status)
        }
    }
}

/// What is to be printed in the end.
fn call(args: CtlArgs) -> Result<String, Failure> {
    let found = find_server(args.place.wanted()).map_err(|(status, line)| Failure { status, line, said: None })?;
    let request = args.request();
    let timeout = args.timeout();
    let failed = |e: TalkError| failure(e, &found.path);
    let mut talk = Talk::open_found(&found, timeout).map_err(failed)?;
    let on_progress = |said: &str| {
        if !args.json {
            // Where standard error is closed, the outcome still tells.
            let _ = writeln!(std::io::stderr(), "{}", printable(said));
        }
    };
    let last = match talk.ask(request, on_progress) {
        // It was to go, and it is gone.
        Err(TalkError::Gone) if request == Request::Stop => return Ok(gone(args.json)),
        last => last.map_err(failed)?,
    };
    if last.line.ok != Some(true) {
        let line = last.line.error.unwrap_or_else(|| "the server says no, and not why".to_string());
        return Err(Failure { status: EXIT_FAILED, line, said: Some(last.text + "\n") });
    }
    if request == Request::Stop {
        talk.wait_end().map_err(failed)?;
    }
    if args.json {
        return Ok(last.text + "\n");
    }
    let status = |last: Last| {
        let none =
            || Failure { status: EXIT_FAILED, line: "the server said nothing of itself".to_string(), said: None };
        last.line.status.ok_or_else(none)
    };
    match request {
        Request::Status => Ok(tables::status(&status(last)?)),
        Request::Workers => {
            let before = status(last)?;
            std::thread::sleep(SAMPLE);
            let after = status(talk.ask(request, |_| {}).map_err(failed)?)?;
            Ok(tables::workers(&before, &after))
        }
        _ => Ok(last.line.said.unwrap_or_else(|| "done".to_string()) + "\n"),
    }
}

fn gone(is_json: bool) -> String {
    match is_json {
        true => Line { ok: Some(true), ..Line::default() }.text(),
        false => "the server has stopped\n".to_string(),
    }
}

/// The control socket that is meant, or the exit status and what to say.
pub fn find_server(wanted: &Wanted) -> Result<Found, (u8, String)> {
    find(wanted).map_err(|not_found| match not_found {
        NotFound::Nobody(line) => (EXIT_NOBODY, line),
        NotFound::Several(line) => (EXIT_USAGE, line),
    })
}

fn failure(error: TalkError, path: &Path) -> Failure {
    let (status, line) = (error.exit_status(), why(&error));
    let line = match error {
        TalkError::Late(_) => format!("{line}; what becomes of the request is not known"),
        _ => format!("{}: {line}", path.display()),
    };
    Failure { status, line, said: None }
}

impl TalkError {
    pub fn exit_status(&self) -> u8 {
        match self {
            TalkError::Nobody(_) => EXIT_NOBODY,
            TalkError::Gone | TalkError::Late(_) | TalkError::Strange(_) => EXIT_UNKNOWN,
        }
    }
}

/// What is wrong, and what would do.
pub fn why(error: &TalkError) -> String {
    match error {
        TalkError::Nobody(e) => match e.kind() {
            ErrorKind::PermissionDenied => {
                "permission denied; only the server's own user may control it, and root".to_string()
            }
            ErrorKind::ConnectionRefused => "no server listens there any more".to_string(),
            ErrorKind::NotFound => "there is no such socket; say where the server is by --control".to_string(),
            _ => e.to_string(),
        },
        TalkError::Gone => "the server went away before it had answered; its log may say why".to_string(),
        TalkError::Late(timeout) => format!("no answer within {}", show_duration(*timeout)),
        TalkError::Strange(e) => format!("what was answered is not from a control socket: {e}"),
    }
}

/// Whether two looks are at the same server, so that what grew between them can be told.
fn is_same_server(before: &Status, after: &Status) -> bool {
    before.pid == after.pid && after.uptime_s > before.uptime_s
}
