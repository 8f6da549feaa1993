//! `tine ctl`: sends one request to a running server and waits for its outcome.
//!
//! The outcome goes to standard output and the exit status, progress to standard error. With `--json`, standard output is
//! the last line of the server's answer as it came, and progress is left out.

mod args;
pub mod limits;
mod rates;
pub mod show;
pub mod tables;

pub use args::{CtlArgs, Word};
pub use rates::Rates;

use crate::output::{complain, printable, say};
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tine::for_cli::Command;
use tine::for_cli::control::{Found, Last, Line, NotFound, Talk, TalkError, Wanted, find};
use tine_common::status::Status;
use tine_common::units::show_duration;

/// The server refused the request, or it failed.
pub const EXIT_FAILED: u8 = 1;
pub const EXIT_USAGE: u8 = 2;
/// No server is running.
const EXIT_NO_SERVER: u8 = 3;
/// No answer: the outcome is not known.
const EXIT_UNKNOWN: u8 = 4;
/// Time between the two samples from which rates are computed.
const SAMPLE: Duration = Duration::from_secs(1);

/// Why a call failed: the exit status and one line.
struct Failure {
    status: u8,
    line: String,
    /// The last line of the server's answer, if the server refused.
    answer: Option<String>,
}

pub fn run(args: CtlArgs) -> ExitCode {
    let is_json = args.json;
    show::detect_utf8();
    match call(args) {
        Ok(text) => say(&text, 0),
        Err(Failure { status, line, answer }) => {
            if is_json {
                say(&answer.unwrap_or_else(|| Line::end(Err(line.clone())).text()), 0);
            }
            complain(&line, status)
        }
    }
}

/// Makes the request; returns the text to print.
fn call(args: CtlArgs) -> Result<String, Failure> {
    let found = find_server(args.place.wanted()).map_err(|(status, line)| Failure { status, line, answer: None })?;
    let command = args.command();
    let timeout = args.timeout();
    let failed = |e: TalkError| failure(e, &found.path);
    let mut talk = Talk::open_found(&found, timeout).map_err(failed)?;
    let on_progress = |said: &str| {
        if !args.json {
            // If standard error is closed, the outcome is still reported.
            let _ = writeln!(std::io::stderr(), "{}", printable(said));
        }
    };
    let last = match talk.ask(command.clone(), on_progress) {
        // It was told to stop, and it has.
        Err(TalkError::Gone) if command == Command::Stop => return Ok(gone(args.json)),
        last => last.map_err(failed)?,
    };
    if last.line.ok != Some(true) {
        let line = last.line.error.unwrap_or_else(|| "the server refused without a reason".to_string());
        return Err(Failure { status: EXIT_FAILED, line, answer: Some(last.text + "\n") });
    }
    if command == Command::Stop {
        talk.wait_end().map_err(failed)?;
    }
    if args.json {
        return Ok(last.text + "\n");
    }
    let status = |last: Last| {
        let none = || Failure { status: EXIT_FAILED, line: "the answer has no status".to_string(), answer: None };
        last.line.status.ok_or_else(none)
    };
    match command {
        Command::Limit { set } if set.is_empty() => match status(last)?.limits {
            Some(limits) => Ok(limits::table(&limits)),
            None => Err(Failure { status: EXIT_FAILED, line: "this server has no limits".to_string(), answer: None }),
        },
        Command::Status => Ok(tables::status(&status(last)?)),
        Command::Workers => {
            let before = status(last)?;
            std::thread::sleep(SAMPLE);
            let after = status(talk.ask(command, |_| {}).map_err(failed)?)?;
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

/// Finds the control socket. The error is the exit status and one line.
pub fn find_server(wanted: &Wanted) -> Result<Found, (u8, String)> {
    find(wanted).map_err(|not_found| match not_found {
        NotFound::NoServer(line) => (EXIT_NO_SERVER, line),
        NotFound::Several(line) => (EXIT_USAGE, line),
    })
}

fn failure(error: TalkError, path: &Path) -> Failure {
    let (status, line) = (exit_status(&error), why(&error));
    let line = match error {
        TalkError::Late(_) => format!("{line}; the outcome is not known"),
        _ => format!("{}: {line}", path.display()),
    };
    Failure { status, line, answer: None }
}

pub fn exit_status(error: &TalkError) -> u8 {
    match error {
        TalkError::NotListening(_) => EXIT_NO_SERVER,
        TalkError::Gone | TalkError::Late(_) | TalkError::Strange(_) => EXIT_UNKNOWN,
    }
}

/// What is wrong, with a hint.
pub fn why(error: &TalkError) -> String {
    match error {
        TalkError::NotListening(e) => match e.kind() {
            ErrorKind::PermissionDenied => {
                "permission denied; only the server's own user and root may control it".to_string()
            }
            ErrorKind::ConnectionRefused => "no server listens there any more".to_string(),
            ErrorKind::NotFound => "there is no such socket; give the server's socket with --control".to_string(),
            _ => e.to_string(),
        },
        TalkError::Gone => "the server closed the connection before it answered; its log may say why".to_string(),
        TalkError::Late(timeout) => format!("no answer within {}", show_duration(*timeout)),
        TalkError::Strange(e) => format!("the answer is not from a control socket: {e}"),
    }
}

/// Whether two samples are of the same server, so that their counters can be compared.
fn is_same_server(before: &Status, after: &Status) -> bool {
    before.pid == after.pid && after.uptime_s > before.uptime_s
}
