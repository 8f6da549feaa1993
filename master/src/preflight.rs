//! The preflight: the app is built once in a separate process, before anything is bound and any worker started.
//!
//! That process reports what is wrong, in the app's own words. Whatever the app does while it is built (takes memory, hangs,
//! crashes, exits) affects that process only.

use crate::identity::{self, Identity};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;
use tine_common::config::{MasterConfig, RootPath};
use tine_common::sys::fork::{Fork, fork};
use tine_common::sys::{process, started_with};
use tine_worker::app::election::Election;
use tine_worker::app::metrics::AppMetrics;
use tine_worker::app::shared::Dictionaries;
use tine_worker::app::used_files::FileReports;
use tine_worker::app::{AppFactory, WorkerInfo};

/// The first byte that the process sends before it exits; none if the app ended it. After [`FAILED`] comes the error.
const BUILT: u8 = b'R';
const FAILED: u8 = b'F';
/// The exit status that Rust gives a panic.
const EXIT_PANIC: i32 = 101;
/// Length limit of the error; the channel has room for this much.
const REASON_BYTES_MAX: usize = 4096;

/// The result of a preflight.
pub enum Preflight {
    Passed,
    /// The app could not be built; the error is on standard error already.
    Failed(String),
    /// A signal asks the server to stop.
    Stopped(Signal),
}

/// Builds the app as the user that the server will run as, and drops it. The error: the process could not be started, or the
/// app ended it.
pub fn run(
    name: &str,
    config: &MasterConfig,
    identity: Option<&Identity>,
    factory: &AppFactory,
) -> Result<Preflight, String> {
    let system = |e: io::Error| format!("{name} cannot be checked: {e}");
    let (ours, theirs) = UnixStream::pair().map_err(system)?;
    ours.set_nonblocking(true).map_err(system)?;
    // Blocked before the fork, so that none is lost. Process 1 gets signals without a handler only if they are blocked.
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
    let mut message = Vec::new();
    // The whole message is there. The stream may be kept open by a process that the app has started, but does not block.
    let _ = ours.take(1 + REASON_BYTES_MAX as u64).read_to_end(&mut message);
    match (message.split_first(), ended) {
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

/// Runs in the separate process; returns its exit status.
fn build(
    parent: u32,
    mask: &SigSet,
    mut channel: UnixStream,
    config: &MasterConfig,
    identity: Option<&Identity>,
    factory: &AppFactory,
) -> i32 {
    process::set_title("tine: preflight");
    tine_common::log::set_process_name("preflight");
    let assumed = identity.map_or(Ok(()), Identity::assume).and_then(|()| identity::renounce_privileges());
    // As in a worker: processes that the app starts inherit them.
    started_with::OF_THE_MASTER.into_iter().for_each(|signal| _ = started_with::ignore_again(signal));
    // This process does not outlive its parent, even if the app hangs. Set after the change of user, which would clear it.
    let begun = assumed
        .map_err(io::Error::other)
        .and_then(|()| process::end_after_parent(parent, Duration::ZERO))
        .and_then(|is_wanted| mask.thread_set_mask().map(|()| is_wanted).map_err(io::Error::from));
    let info = WorkerInfo {
        index: 0,
        workers: config.workers,
        generation: 1,
        buffer_bytes: config.worker.buffer_bytes,
        // They are checked, and nothing is counted.
        metrics: AppMetrics::none(),
        // Of this process alone.
        dictionaries: Dictionaries::reserve(config.shared_bytes_max).unwrap_or_default(),
        // This process serves nothing.
        election: Election::NONE,
        root_path: config.worker.root_path.map_or("", RootPath::as_str),
        file_reports: FileReports::NONE,
    };
    let built = match begun {
        Ok(true) => catch_unwind(AssertUnwindSafe(|| factory(&info))),
        Ok(false) => return 1,
        Err(e) => Ok(Err(tine_worker::app::AppError::new(e))),
    };
    let message = match &built {
        Ok(Ok(_)) => vec![BUILT],
        Ok(Err(error)) => {
            let text = error.to_string();
            // Files in a directory that the user may not enter are not found, either.
            let is_shut_out = identity.is_some() && !Path::new("./.").exists();
            let hint =
                if is_shut_out { "\ntine: this user may not enter the working directory, unlike root" } else { "" };
            // If standard error is closed, the exit status still reports it.
            tine_common::log::write_last(&format!("tine: {}{hint}\n", text.trim_end()));
            let bytes = text.bytes().take(REASON_BYTES_MAX);
            [FAILED].into_iter().chain(bytes).collect()
        }
        Err(_) => return EXIT_PANIC, // the panic's message is on standard error
    };
    // The parent cannot have exited: this process would have ended with it.
    let _ = channel.write_all(&message);
    // The app cleans up, as in a worker.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(built)));
    0
}

enum Ended {
    Exited(WaitStatus),
    Stopped(Signal),
}

/// Waits for the process to exit, or for a signal to stop, at which the process is killed.
fn wait(child: Pid, watched: &SigSet) -> io::Result<Ended> {
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::StillAlive => {}
            ended @ (WaitStatus::Exited(..) | WaitStatus::Signaled(..)) => {
                // A signal to the whole group may have ended what the app waited for, so that it was loaded after all. With
                // a SIGCHLD of our own pending this wait cannot block, and of pending signals the lowest number comes first.
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
