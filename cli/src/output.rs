//! What a command prints: its text to standard output, a mistake to standard error.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// The exit status if the system or the application failed.
pub const EXIT_SYSTEM: u8 = 1;
/// The exit status for a wrong option.
pub const EXIT_USAGE: u8 = 2;

/// Prints to standard output. A reader that has gone is not an error, a full disk is.
pub fn say(text: &str, status: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {e}"), EXIT_SYSTEM)
        }
        _ => ExitCode::from(status),
    }
}

/// Escapes control characters other than line ends and tabs: a terminal could act on them, and the text may come from a
/// server, an app or a path. Escaped as in JSON, so that JSON stays JSON.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() && c != '\n' && c != '\t' {
            true => format!("\\u{:04x}", u32::from(c)).chars().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Prints one line to standard error.
pub fn complain(line: &str, status: u8) -> ExitCode {
    // If nothing reads standard error, the exit status still reports the failure.
    tine_common::log::write_last(&format!("tine: {}\n", printable(line)));
    ExitCode::from(status)
}
