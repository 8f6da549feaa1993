//! A process's title, limits, and end after its parent's death.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::collections::HashSet;
use std::ffi::CString;
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::time::Duration;

/// The soft limit of open files before, and now.
pub struct Nofile {
    pub before: u64,
    pub now: u64,
}

/// Raises the soft limit of open files to the hard one.
pub fn raise_nofile() -> io::Result<Nofile> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(Nofile { before: soft, now: hard })
}

/// The soft limit of open files.
pub fn nofile() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}

/// Names the process in `ps`: its short name (15 bytes, prctl(2)), and in place of its command line the title and then
/// the arguments that it was started with, so that two servers can be told apart.
///
/// The text overwrites the argument strings, and those of the environment if they follow immediately, as in nginx: a
/// later `std::env::args` returns a piece of it or nothing for each, since glibc keeps pointers and no copies, and
/// /proc/PID/environ is empty; the environment itself is moved before. The arguments have to be read before, as tine
/// does with its command line; and no other thread may read them or the environment during the call.
pub fn set_title(title: &str) {
    let short: String = title.chars().take(15).collect();
    if let Ok(name) = CString::new(short) {
        // SAFETY: `name` is a NUL-terminated string that outlives the call; the kernel copies it.
        unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
    }
    let Some(place) = PLACE.get_or_init(title_place) else { return };
    let text = [title.as_bytes(), &place.arguments].concat();
    let (start, room) = (place.start as *mut u8, place.end - place.start);
    let text = &text[..text.len().min(room - 1)];
    // SAFETY: /proc/self/stat gives the area of the strings, which is writable memory of this process. Rust has no reference
    // into it: `std::env::args` copies at each call, no other thread is in one (see above), and if the area includes
    // the strings of the environment, `environ` points elsewhere by now. Its last byte stays NUL, so that a later read
    // of an argument finds the end of a string inside the area.
    unsafe { std::ptr::write_bytes(start, 0, room) };
    // SAFETY: as above, and `text` is shorter than the area.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), start, text.len()) };
}

/// The area that a title is written to.
struct TitlePlace {
    start: usize,
    end: usize,
    /// The arguments that the process was started with, each after a space.
    arguments: Vec<u8>,
}

static PLACE: OnceLock<Option<TitlePlace>> = OnceLock::new();

/// Fields 48 to 51 of /proc/self/stat (proc_pid_stat(5)): the areas of the argument and environment strings. If the
/// kernel finds no NUL at the end of the former, it takes the latter for a part of the command line.
fn title_place() -> Option<TitlePlace> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ').skip(45).map(|field| field.parse::<usize>().ok());
    let mut next = || fields.next().flatten();
    let (start, end) = (next()?, next()?);
    let environment = next().zip(next());
    let end = match environment {
        Some((from, to)) if from == end && to > from && move_environment() => to,
        _ => end,
    };
    let arguments: Vec<u8> = std::env::args_os()
        .skip(1)
        .flat_map(|argument| [b" ", argument.as_encoded_bytes()].concat())
        .map(|b| if b.is_ascii_control() { b'?' } else { b })
        .collect();
    (start != 0 && end > start).then_some(TitlePlace { start, end, arguments })
}

/// Moves each variable to memory of its own. `false`: not all can be moved.
fn move_environment() -> bool {
    let strings = fs::read("/proc/self/environ").unwrap_or_default();
    let count = strings.split(|&b| b == 0).filter(|string| !string.is_empty()).count();
    let variables: Vec<_> = std::env::vars_os().collect();
    let names: HashSet<_> = variables.iter().map(|(name, _)| name).collect();
    // Of two with the same name only the first would move, and a string that is not a variable would not.
    if names.len() != count || names.iter().any(|name| name.as_encoded_bytes().contains(&b'=')) {
        return false;
    }
    for (name, value) in &variables {
        // SAFETY: no other thread reads or writes the environment (see `set_title`).
        unsafe { std::env::set_var(name, value) };
    }
    true
}

/// Ends this process by SIGALRM at the latest `limit` after its parent died, even if it hangs by then. `Ok(false)`: the
/// parent is dead already.
///
/// A healthy worker sees the end of its channel and drains by itself; this is for one that hangs.
pub fn end_after_parent(parent: u32, limit: Duration) -> io::Result<bool> {
    use std::sync::atomic::{AtomicU32, Ordering};
    static SECONDS: AtomicU32 = AtomicU32::new(0);
    extern "C" fn parent_died(_: libc::c_int) {
        // SAFETY: alarm(2) is async-signal-safe; SIGALRM's default action ends the process.
        unsafe { libc::alarm(SECONDS.load(Ordering::Relaxed)) };
    }
    SECONDS.store(limit.as_secs() as u32 + 1, Ordering::Relaxed);
    // A real-time signal: the named ones have a meaning for operators who send them.
    let signal = libc::SIGRTMIN() + 1;
    // SAFETY: all zeros is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = parent_died as extern "C" fn(libc::c_int) as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: `action` is initialised and outlives the call; the handler only calls alarm(2).
    if unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: plain integers; PR_SET_PDEATHSIG takes a signal number (prctl(2)).
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // The others stay blocked until their handlers are installed.
    // SAFETY: all zeros is an empty sigset_t, which outlives the calls.
    let mut both: libc::sigset_t = unsafe { std::mem::zeroed() };
    for signal in [signal, libc::SIGALRM] {
        // SAFETY: a valid set and a valid signal number.
        unsafe { libc::sigaddset(&mut both, signal) };
    }
    // SAFETY: a valid set; the old mask is not requested.
    if unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &both, std::ptr::null_mut()) } != 0 {
        return Err(io::Error::other("pthread_sigmask"));
    }
    Ok(std::os::unix::process::parent_id() == parent)
}

/// Ends this process at once, so that nothing of its parent's is cleaned up a second time. Flushes the C library's
/// streams, as exit(3) would.
pub fn leave(status: i32) -> ! {
    // SAFETY: NULL stands for all streams; the process has one thread, so that none of them is in use.
    unsafe { libc::fflush(std::ptr::null_mut()) };
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(status) }
}

/// Whether a signal that ends a server is pending, though blocked.
pub fn is_told_to_end() -> bool {
    // SAFETY: all zeros is an empty sigset_t.
    let mut pending: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `pending` outlives the call.
    let has_asked = unsafe { libc::sigpending(&mut pending) } == 0;
    // SAFETY: a valid set and valid signals.
    let is_pending = |signal| unsafe { libc::sigismember(&pending, signal) } == 1;
    has_asked && [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT].into_iter().any(is_pending)
}

/// The number of threads of this process; `None`: /proc cannot be read.
pub fn threads() -> Option<usize> {
    Some(fs::read_dir("/proc/self/task").ok()?.count())
}

/// Whether this process was started with SIGHUP ignored, as nohup(1) does.
pub fn ignores_hangup() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 << (libc::SIGHUP - 1) != 0)
}
