//! The signals of a process that is told to abort: SIGABRT, then SIGALRM if that takes too long, and faults on the way.
//!
//! Only the calls are here. What the handlers do is registered once ([`handle`]); of a worker, that is `crash`. A handler
//! is installed for one SIGABRT only: if anything fails after it, the process ends as it would without a handler.

use nix::errno::Errno;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// Signals of a fault, which may occur when an inconsistent stack is read.
const FAULTS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

static HANDLERS: OnceLock<Handlers> = OnceLock::new();

/// What sent SIGABRT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// Another process.
    Other,
    /// This process: it called abort(3), which does not come back.
    This,
}

/// Functions that signal handlers call, at any time. They do only what a handler may do (signal-safety(7)): they
/// allocate nothing and wait for no lock.
pub struct Handlers {
    /// SIGABRT. If it returns, the process goes on.
    pub on_abort: fn(Sender),
    /// SIGALRM, which [`set_alarm`] arranges for.
    pub on_alarm: fn(),
}

/// Installs the handler of SIGABRT. It and SIGALRM are unblocked, whatever else is blocked.
pub fn handle(handlers: Handlers) -> io::Result<()> {
    let is_first = HANDLERS.set(handlers).is_ok();
    debug_assert!(is_first, "the handler is installed once");
    // SAFETY: the handler calls nothing but what is registered as safe.
    unsafe { install(libc::SIGABRT, on_abort as *const () as usize, libc::SA_SIGINFO | libc::SA_RESETHAND)? };
    unblock(libc::SIGABRT)?;
    unblock(libc::SIGALRM)
}

extern "C" fn on_abort(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid siginfo_t, and for SIGABRT all senders fill in si_pid.
    let is_own = unsafe { (*info).si_pid() } == std::process::id() as libc::pid_t;
    let Some(handlers) = HANDLERS.get() else { die() };
    (handlers.on_abort)(if is_own { Sender::This } else { Sender::Other });
    Errno::set_raw(errno);
}

extern "C" fn on_alarm(_: libc::c_int) {
    let errno = Errno::last_raw();
    if let Some(handlers) = HANDLERS.get() {
        (handlers.on_alarm)();
    }
    Errno::set_raw(errno);
}

extern "C" fn on_fault(_: libc::c_int) {
    die();
}

/// From now on a fault ends the process at once, by SIGABRT.
pub fn die_of_faults() {
    for fault in FAULTS {
        // If it cannot be installed, the fault ends the process by its own signal.
        // SAFETY: the handler only dies.
        let _ = unsafe { install(fault, on_fault as *const () as usize, libc::SA_ONSTACK) };
    }
}

/// Arranges for SIGALRM after `wait`, which is less than a second; false if that fails. alarm(2) counts in seconds.
pub fn set_alarm(wait: Duration) -> bool {
    // SAFETY: the handler calls nothing but what is registered as safe.
    let installed = unsafe { install(libc::SIGALRM, on_alarm as *const () as usize, 0) };
    // SAFETY: all zeros is a valid itimerval.
    let mut timer: libc::itimerval = unsafe { std::mem::zeroed() };
    timer.it_value.tv_usec = wait.subsec_micros().into();
    // SAFETY: `timer` is initialised and outlives the call; the old one is not requested.
    installed.is_ok() && unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) == 0 }
}

/// Ends the process by SIGABRT.
pub fn die() -> ! {
    // SAFETY: SIG_DFL runs no code of ours.
    let _ = unsafe { install(libc::SIGABRT, libc::SIG_DFL, 0) };
    let _ = unblock(libc::SIGABRT);
    // SAFETY: raise(3) takes any signal, and may be called in a handler.
    unsafe { libc::raise(libc::SIGABRT) };
    // SAFETY: _exit(2) takes any number and does not return. Only process 1 of a container may get here.
    unsafe { libc::_exit(128 + libc::SIGABRT) }
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
unsafe fn install(signal: libc::c_int, handler: usize, flags: libc::c_int) -> io::Result<()> {
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
