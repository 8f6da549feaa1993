//! The preflight: the app is built once in a process of its own, before anything is bound and any worker started.
//!
//! What is wrong with it is said by that process, in the app's own words; what it does while it is built (takes memory,
//! hangs, crashes, exits) happens to that process alone.

use crate::identity::{self, Identity};
use crate::start::LAST_WORD_PATIENCE;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use tine_common::config::Config;
use tine_common::sys::fork::{Fork, fork};
use tine_common::sys::{process, started_with};
use tine_worker::app::{AppFactory, WorkerInfo};

/// What the process says before it ends; nothing, if the app ended it. What is wrong follows.
const BUILT: u8 = b'R';
const FAILED: u8 = b'F';
/// The exit status that Rust gives a panic.
const EXIT_PANIC: i32 = 101;
/// What it says of what is wrong, at the most; the channel holds that.
const REASON_BYTES_MAX: usize = 4096;

/// How a preflight ends.
pub enum Preflight {
    Passed,
    /// This is wrong, which has been said on standard error.
    Failed(String),
    /// Somebody wants the server to stop.
    Stopped(Signal),
}

/// Builds the app, as the user that the server is to become, and lets it go. The error: it could not be tried, or it ended the process that tried.
pub fn fly(
    name: &str,
    config: &Config,
    identity: Option<&Identity>,
    factory: &AppFactory,
) -> Result<Preflight, String> {
    let system = |e: io::Error| format!("{name} cannot be tried: {e}");
    let (ours, theirs) = UnixStream::pair().map_err(system)?;
    ours.set_nonblocking(true).map_err(system)?;
    // Blocked from before the fork, so that none is lost. Process 1 hears a signal without a handler only so.
    let mut watched = SigSet::from_iter([Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT]);
    if !process::ignores_hangup() {
        watched.add(Signal::SIGHUP);
    }
    let before = watched.thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(|e| system(e.into()))?;
    let parent = std::process::id();
    let child = match fork().map_err(system)? {
        Fork::Child(_) => process::leave(build(parent, &SigSet::empty(), theirs, config, identity, factory)),
        Fork::Parent(pid) => pid,
    };
    drop(theirs);
    let ended = wait(child, &watched);
    before.thread_set_mask().map_err(|e| system(e.into()))?;
    let ended = match ended.map_err(system)? {
        Ended::Exited(status) => status,
        Ended::Stopped(signal) => return Ok(Preflight::Stopped(signal)),
    };
    let mut said = Vec::new();
    // All that it has said is there, and what the app has started may keep the stream open.
    let _ = ours.take(1 + REASON_BYTES_MAX as u64).read_to_end(&mut said);
    match (said.split_first(), ended) {
        (Some((&BUILT, _)), _) => Ok(Preflight::Passed),
        (Some((&FAILED, text)), _) => Ok(Preflight::Failed(String::from_utf8_lossy(text).into_owned())),
        (.., WaitStatus::Signaled(_, signal, _)) => {
            Err(format!("{name} crashed while it was loaded: killed by {} ({})", signal.as_str(), signal as i32))
        }
        (.., WaitStatus::Exited(_, EXIT_PANIC)) => Err(format!("{name} panicked while it was loaded")),
        (.., WaitStatus::Exited(_, status)) => {
            Err(format!("{name} ended its process while it was loaded, with exit status {status}"))
        }
        (.., other) => Err(format!("{name} could not be loaded: {other:?}")),
    }
}

/// In the process of its own: returns its exit status.
fn build(
    parent: u32,
    mask: &SigSet,
    mut channel: UnixStream,
    config: &Config,
    identity: Option<&Identity>,
    factory: &AppFactory,
) -> i32 {
    process::set_title("tine: preflight");
    tine_common::log::set_process_name("preflight");
    let assumed = identity.map_or(Ok(()), Identity::assume).and_then(|()| identity::renounce_privileges());
    // As in a worker: what the app starts finds them so.
    started_with::OF_THE_MASTER.into_iter().for_each(|signal| _ = started_with::ignore_again(signal));
    // It does not outlive who waits for it, even if the app hangs. A change of user would take that back.
    let begun = assumed
        .map_err(io::Error::other)
        .and_then(|()| process::end_after_parent(parent, Duration::ZERO))
        .and_then(|is_wanted| mask.thread_set_mask().map(|()| is_wanted).map_err(io::Error::from));
    let info = WorkerInfo { index: 0, workers: config.workers, generation: 1, buffer_bytes: config.buffer_bytes };
    let built = match begun {
        Ok(true) => catch_unwind(AssertUnwindSafe(|| factory(&info))),
        Ok(false) => return 1,
        Err(e) => Ok(Err(tine_worker::app::AppError::new(e))),
    };
    let said = match &built {
        Ok(Ok(_)) => vec![BUILT],
        Ok(Err(error)) => {
            let text = error.to_string();
            // What is there is not found, either, where the user may not look.
            let is_shut_out = identity.is_some() && !Path::new("./.").exists();
            let hint =
                if is_shut_out { "\ntine: this user may not enter the directory, which root was in" } else { "" };
            // Where nothing reads standard error, the exit status still tells.
            tine_common::log::write_last(&format!("tine: {}{hint}\n", text.trim_end()), LAST_WORD_PATIENCE);
            let bytes = text.bytes().take(REASON_BYTES_MAX);
            [FAILED].into_iter().chain(bytes).collect()
        }
        Err(_) => return EXIT_PANIC, // which has said why
    };
    // Who waits for this cannot be gone: this process would end with it.
    let _ = channel.write_all(&said);
    // The app cleans up behind itself, as in a worker.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(built)));
    0
}

enum Ended {
    Exited(WaitStatus),
    Stopped(Signal),
}

/// Waits for the process, or for a signal to stop, which ends it.
fn wait(child: Pid, watched: &SigSet) -> io::Result<Ended> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive => {}
            ended @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                // A signal to the whole group may have ended what the app waited for, so that it was loaded after all. With
                // one of ours pending this wait cannot block, and of the process's the lowest number comes first.
                kill(Pid::this(), Signal::SIGCHLD)?;
                return Ok(match watched.wait()? {
                    Signal::SIGCHLD => Ended::Exited(ended),
                    signal => Ended::Stopped(signal),
                });
            }
            _ => continue,
        }
        match watched.wait()? {
            Signal::SIGCHLD => {}
            signal => {
                kill(child, Signal::SIGKILL)?;
                waitpid(child, None)?;
                return Ok(Ended::Stopped(signal));
            }
        }
    }
}
