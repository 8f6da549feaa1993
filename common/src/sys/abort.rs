//! SIGABRT of a worker: log a crash report, then die.
//!
//! The handler logs the first line itself, from shared memory alone. If code of an interpreter runs, its traceback
//! follows: the handler asks the interpreter to stop at its next instruction ([`Interpreter::interrupt`]), where its
//! stack is consistent. If it has not stopped after `PATIENCE`, because it is in a C function or in compiled code, the
//! handler of SIGALRM takes the traceback where it is. Then the process ends by SIGABRT, as it would without a handler.
//! It also does so if anything of this fails: the handler is installed for one signal only, and a fault on the way ends
//! the process at once.
//!
//! The handlers allocate nothing and wait neither for a lock nor for the reader of the log.

use crate::crash_report::{CrashReport, End};
use crate::fixed_text::FixedText;
use nix::errno::Errno;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long an interpreter may take to its next instruction. The sender of the signal will not wait for long.
const PATIENCE: Duration = Duration::from_millis(300);
/// Signals of a fault, which may occur when an inconsistent stack is read.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

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

/// Installs the handler: from now on this process logs a crash report. SIGABRT is unblocked, whatever else is blocked.
pub fn report_on_abort(report: CrashReport) -> io::Result<()> {
    let is_first = REPORT.set(report).is_ok();
    debug_assert!(is_first, "the handler is installed once");
    // SAFETY: the handler does what a handler may do (see above).
    unsafe { handle(libc::SIGABRT, on_abort as *const () as usize, libc::SA_SIGINFO | libc::SA_RESETHAND)? };
    unblock(libc::SIGABRT)?;
    unblock(libc::SIGALRM)
}

/// Sets the interpreter of the application's code, before it runs any.
pub fn set_interpreter(interpreter: Interpreter) {
    // A second one would be the same.
    let _ = INTERPRETER.set(interpreter);
}

extern "C" fn on_abort(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid siginfo_t, and for SIGABRT all senders fill in si_pid.
    let is_own = unsafe { (*info).si_pid() } == std::process::id() as libc::pid_t;
    let end = if is_own { End::Own } else { End::Signalled };
    if let Some(report) = REPORT.get().filter(|_| is_logged()) {
        let mut text = FixedText::default();
        report.begin_line(&mut text);
        report.push_place(end, Instant::now(), &mut text);
        crate::log::in_handler(text.end_line());
    }
    let Some(interpreter) = INTERPRETER.get() else { die() };
    for fault in FAULTS {
        // SAFETY: the handler only dies.
        let _ = unsafe { handle(fault, on_fault as *const () as usize, libc::SA_ONSTACK) };
    }
    match end {
        // The call of abort(3) does not come back.
        End::Own => trace_and_die(),
        End::Signalled if (interpreter.interrupt)() => {
            // SAFETY: the handler does what a handler may do.
            let handled = unsafe { handle(libc::SIGALRM, on_alarm as *const () as usize, 0) };
            if handled.is_err() || !set_alarm(PATIENCE) {
                trace_and_die();
            }
            Errno::set_raw(errno);
        }
        End::Signalled => die(),
    }
}

extern "C" fn on_alarm(_: libc::c_int) {
    trace_and_die_once();
}

extern "C" fn on_fault(_: libc::c_int) {
    die();
}

/// Called by the interpreter between two instructions.
pub fn trace_and_die() -> ! {
    trace_and_die_once();
    die()
}

/// If the alarm interrupts a trace, the trace goes on.
fn trace_and_die_once() {
    if IS_TRACED.swap(true, Ordering::Relaxed) {
        return;
    }
    if let (Some(report), Some(interpreter)) = (REPORT.get().filter(|_| is_logged()), INTERPRETER.get()) {
        let mut text = FixedText::default();
        report.begin_line(&mut text);
        text.push("its code is here:\n  stack traceback:");
        let before = text.as_bytes().len();
        (interpreter.trace)(&mut text);
        if text.as_bytes().len() > before {
            crate::log::in_handler(text.end_line());
        }
    }
    die()
}

fn die() -> ! {
    // SAFETY: SIG_DFL runs no code of ours.
    let _ = unsafe { handle(libc::SIGABRT, libc::SIG_DFL, 0) };
    let _ = unblock(libc::SIGABRT);
    // SAFETY: raise(3) takes any signal, and may be called in a handler.
    unsafe { libc::raise(libc::SIGABRT) };
    // SAFETY: _exit(2) takes any number and does not return. Only process 1 of a container may get here.
    unsafe { libc::_exit(128 + libc::SIGABRT) }
}

fn is_logged() -> bool {
    log::max_level() >= log::LevelFilter::Error
}

/// Arranges for SIGALRM after `wait`. alarm(2) counts in seconds.
fn set_alarm(wait: Duration) -> bool {
    // SAFETY: all zeros is a valid itimerval.
    let mut timer: libc::itimerval = unsafe { std::mem::zeroed() };
    timer.it_value.tv_usec = wait.subsec_micros().into();
    // SAFETY: `timer` is initialised and outlives the call; the old one is not requested.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) == 0 }
}

fn unblock(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is an empty sigset_t.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: a valid set and a valid signal number.
    unsafe { libc::sigaddset(&mut set, signal) };
    // SAFETY: a valid set; the old mask is not requested.
    match unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// # Safety
/// `handler` is SIG_DFL or a function of the kind that `flags` require, which does only what a handler may do
/// (signal-safety(7)).
unsafe fn handle(signal: libc::c_int, handler: usize, flags: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags | libc::SA_RESTART;
    // SAFETY: `action` is initialised and outlives the call; for the handler the caller answers.
    match unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
