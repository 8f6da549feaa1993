//! SIGABRT of a worker: log a crash report, then die.
//!
//! The handler logs the first line itself, from shared memory alone ([`CrashReport`]). If code of an interpreter runs,
//! its traceback follows: the handler asks the interpreter to stop at its next instruction ([`Interpreter::interrupt`]),
//! where its stack is consistent. If it has not stopped after `PATIENCE`, because it is in a C function or in compiled
//! code, the handler of SIGALRM takes the traceback where it is. Then the process ends by SIGABRT, as it would without a
//! handler. It also does so if anything of this fails: the handler is installed for one signal only, and a fault on the
//! way ends the process at once.
//!
//! Whatever runs in a handler allocates nothing and waits neither for a lock nor for the reader of the log. The signals
//! are installed in `sys::abort`.

mod report;

pub use report::CrashReport;

use crate::fixed_text::FixedText;
use crate::sys::abort::{self, Handlers, Sender};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an interpreter may take to its next instruction. The sender of the signal will not wait for long.
const PATIENCE: Duration = Duration::from_millis(300);

static REPORT: OnceLock<CrashReport> = OnceLock::new();
static INTERPRETER: OnceLock<Interpreter> = OnceLock::new();
static IS_TRACED: AtomicBool = AtomicBool::new(false);

/// An interpreter that can report where its code is. Both functions may be called from a signal handler at any time.
pub struct Interpreter {
    /// Arranges for [`trace_and_die`] to be called at its next instruction; false if it runs nothing.
    pub interrupt: fn() -> bool,
    /// Writes where its code is, innermost first: a newline and a line for each call, or nothing.
    pub trace: fn(&mut FixedText),
}

/// Installs the handler: from now on this process logs a crash report.
pub fn report_on_abort(report: CrashReport) -> io::Result<()> {
    let is_first = REPORT.set(report).is_ok();
    debug_assert!(is_first, "a process has one report");
    abort::handle(Handlers { on_abort, on_alarm: trace_and_die_once })
}

/// Sets the interpreter of the application's code, before it runs any.
pub fn set_interpreter(interpreter: Interpreter) {
    // A second one would be the same.
    let _ = INTERPRETER.set(interpreter);
}

/// In the handler of SIGABRT.
fn on_abort(sender: Sender) {
    if let Some(report) = REPORT.get().filter(|_| is_logged()) {
        let mut text = FixedText::default();
        report.begin_line(&mut text);
        report.push_place(sender, Instant::now(), &mut text);
        crate::log::in_handler(text.end_line());
    }
    let Some(interpreter) = INTERPRETER.get() else { abort::die() };
    abort::die_of_faults();
    match sender {
        Sender::This => trace_and_die(),
        Sender::Other if (interpreter.interrupt)() => {
            if !abort::set_alarm(PATIENCE) {
                trace_and_die();
            }
        }
        Sender::Other => abort::die(),
    }
}

/// Called by the interpreter between two instructions.
pub fn trace_and_die() -> ! {
    trace_and_die_once();
    abort::die()
}

/// If the alarm interrupts a trace, the trace goes on.
fn trace_and_die_once() {
    if IS_TRACED.swap(true, Ordering::Relaxed) {
        return;
    }
    if let (Some(report), Some(interpreter)) = (REPORT.get().filter(|_| is_logged()), INTERPRETER.get()) {
        let mut text = FixedText::default();
        report.begin_line(&mut text);
        text.push("is running this Lua code:\n  stack traceback:");
        let before = text.as_bytes().len();
        (interpreter.trace)(&mut text);
        if text.as_bytes().len() > before {
            crate::log::in_handler(text.end_line());
        }
    }
    abort::die()
}

fn is_logged() -> bool {
    log::max_level() >= log::LevelFilter::Error
}
