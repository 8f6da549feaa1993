//! fork(2) and execve(2) of a program that takes over from this process: it gets listening sockets by the LISTEN_FDS
//! protocol (sd_listen_fds(3)), and inherits the signals and the limit of open files that this process inherited.
//!
//! A program that should outlive this process is started by a *minder*: a process between the two. When the minder
//! exits, the program is reparented to the service manager, as if that had started it (credentials(7)).
//!
//! All allocations are made before the fork; the child calls only async-signal-safe functions (signal-safety(7)).

use super::started_with;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, getpid, pipe2};
use std::collections::BTreeMap;
use std::ffi::{CString, OsString, c_char, c_int};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The first descriptor after the standard streams (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// A shell's exit status for what cannot be executed. It is not used: the error itself is reported.
const CANNOT_EXECUTE: c_int = 127;
/// The variables of the protocol. The values that this process inherited are not passed on.
const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

pub struct Program<'a> {
    pub path: &'a Path,
    /// The first one is the name that the program is called by.
    pub arguments: &'a [OsString],
    /// Its working directory.
    pub directory: &'a Path,
    /// Variables that are set, or unset if they have no value; all others are inherited.
    pub environment: &'a [(&'a str, Option<OsString>)],
    /// They become the program's descriptors 3, 4, 5 and so on, with these names, which contain no `:`.
    pub descriptors: &'a [(BorrowedFd<'a>, String)],
}

/// A program that was started by [`start_minded`].
#[derive(Debug)]
pub struct Minded {
    pub pid: Pid,
    /// A child of this process and the program's parent. It ends as the program does, by the same status or signal; if
    /// it is killed, the program is reparented.
    pub minder: Pid,
    /// Refers to the program whatever happens to the minder (pidfd_open(2)); `None` before Linux 5.3.
    handle: Option<OwnedFd>,
}

impl Minded {
    /// Kills the program, if it is alive.
    pub fn kill(&self) {
        let Some(handle) = &self.handle else { return };
        let no_info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: an open descriptor and plain numbers; without information the kernel fills in that of kill(2).
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), libc::SIGKILL, no_info, 0) };
    }
}

/// A descriptor that refers to this process, close-on-exec.
fn handle_of(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    // SAFETY: the call has just opened it, and it belongs to nothing else.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Starts the program in a process of its own. The error: no process could be created, or it could not execute the
/// program.
///
/// Waits for the execve(2), which reads the head of the program's file, but not for the program.
pub fn start(program: &Program<'_>) -> io::Result<Pid> {
    let (pid, report) = fork_into(program, Child::become_program)?;
    await_execution(program, pid, report)?;
    Ok(pid)
}

/// As [`start`], with a minder between this process and the program. The minder does not outlive this process.
pub fn start_minded(program: &Program<'_>) -> io::Result<Minded> {
    let (minder, mut report) = fork_into(program, Child::mind)?;
    // The program's process id, or the negated errno of the fork.
    let mut number = [0; size_of::<c_int>()];
    let read = report.read_exact(&mut number).map(|()| c_int::from_ne_bytes(number));
    match read {
        Ok(pid) if pid > 0 => {
            let pid = Pid::from_raw(pid);
            // Its id is not reused as long as the minder has not waited for it.
            let handle = handle_of(pid);
            await_execution(program, minder, report)?;
            Ok(Minded { pid, minder, handle })
        }
        read => {
            while waitpid(minder, None) == Err(Errno::EINTR) {}
            let e = io::Error::from_raw_os_error(-read?);
            Err(io::Error::new(e.kind(), format!("fork: {e}")))
        }
    }
}

/// Forks a child that runs `enter`; returns its process id and the pipe that it reports to.
fn fork_into(program: &Program<'_>, enter: fn(Child, OwnedFd, &SigSet) -> !) -> io::Result<(Pid, File)> {
    let child = Child::new(program)?;
    let (report, report_to) = pipe2(OFlag::O_CLOEXEC)?;
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    // SAFETY: the child only calls async-signal-safe functions before it becomes the program or ends.
    let forked = unsafe { nix::unistd::fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        enter(child, report_to, &mask);
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    match forked {
        Ok(ForkResult::Parent { child }) => Ok((child, File::from(report))),
        Ok(ForkResult::Child) => unreachable!("handled above"),
        Err(e) => Err(io::Error::new(io::Error::from(e).kind(), format!("fork: {e}"))),
    }
}

/// The other end of `report` is closed when the program is executed; an error is written to it before the child ends.
fn await_execution(program: &Program<'_>, child: Pid, mut report: File) -> io::Result<()> {
    let mut number = [0; size_of::<c_int>()];
    match report.read_exact(&mut number) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => {
            while waitpid(child, None) == Err(Errno::EINTR) {}
            read?;
            let e = io::Error::from_raw_os_error(c_int::from_ne_bytes(number));
            Err(io::Error::new(e.kind(), format!("{} cannot be executed: {e}", program.path.display())))
        }
    }
}

/// All that the child needs, in the form of the system calls.
struct Child {
    path: CString,
    directory: CString,
    arguments: Vec<CString>,
    /// `NAME=value`, each with its final NUL.
    environment: Vec<Vec<u8>>,
    /// The index of LISTEN_PID, whose value only the child knows. It has room for any number.
    listen_pid: Option<usize>,
    /// As in this process; the child replaces them by copies.
    descriptors: Vec<RawFd>,
    /// The process that starts it.
    starter: Pid,
    /// Space for the pointers to the strings above.
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
}

impl Child {
    fn new(program: &Program<'_>) -> io::Result<Child> {
        let mut variables: BTreeMap<OsString, OsString> = std::env::vars_os().collect();
        for name in [LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES] {
            variables.remove(std::ffi::OsStr::new(name));
        }
        for (name, value) in program.environment {
            match value {
                Some(value) => variables.insert(name.into(), value.clone()),
                None => variables.remove(std::ffi::OsStr::new(name)),
            };
        }
        let descriptors: Vec<RawFd> = program.descriptors.iter().map(|(fd, _)| fd.as_raw_fd()).collect();
        if !descriptors.is_empty() {
            let names: Vec<&str> = program.descriptors.iter().map(|(_, name)| name.as_str()).collect();
            debug_assert!(names.iter().all(|name| !name.contains(':')));
            variables.insert(LISTEN_FDS.into(), descriptors.len().to_string().into());
            variables.insert(LISTEN_FDNAMES.into(), names.join(":").into());
            variables.insert(LISTEN_PID.into(), i32::MAX.to_string().into());
        }
        let listen_pid = variables.keys().position(|name| name == LISTEN_PID);
        let mut environment = Vec::with_capacity(variables.len());
        for (name, value) in variables {
            let text = [name.as_bytes(), b"=", value.as_bytes()].concat();
            environment.push(CString::new(text)?.into_bytes_with_nul());
        }
        let arguments = program
            .arguments
            .iter()
            .map(|argument| CString::new(argument.clone().into_vec()))
            .collect::<Result<_, _>>();
        let arguments: Vec<CString> = arguments?;
        Ok(Child {
            path: CString::new(program.path.as_os_str().as_bytes())?,
            directory: CString::new(program.directory.as_os_str().as_bytes())?,
            argv: Vec::with_capacity(arguments.len() + 1),
            envp: Vec::with_capacity(environment.len() + 1),
            arguments,
            environment,
            listen_pid,
            descriptors,
            starter: getpid(),
        })
    }

    /// In the minder: forks again for the program, waits for its end and ends in the same way.
    fn mind(self, report_to: OwnedFd, mask: &SigSet) -> ! {
        // SAFETY: plain integers. The minder has no purpose without this process.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        // SAFETY: getppid(2) always succeeds.
        if unsafe { libc::getppid() } != self.starter.as_raw() {
            // SAFETY: _exit(2) takes any number and does not return.
            unsafe { libc::_exit(CANNOT_EXECUTE) };
        }
        // SAFETY: the child only calls async-signal-safe functions before it becomes the program or ends.
        match unsafe { libc::fork() } {
            -1 => {
                write_number(&report_to, -Errno::last_raw());
                // SAFETY: as above.
                unsafe { libc::_exit(CANNOT_EXECUTE) }
            }
            0 => {
                // SAFETY: getpid(2) always succeeds.
                write_number(&report_to, unsafe { libc::getpid() });
                self.become_program(report_to, mask)
            }
            program => wait_and_end_in_the_same_way(program),
        }
    }

    /// In the child. An error is written to `report_to` and ends the child.
    fn become_program(mut self, report_to: OwnedFd, mask: &SigSet) -> ! {
        let mut report_to = report_to.as_raw_fd();
        self.set_listen_pid();
        let error = match self.place_descriptors(&mut report_to).and_then(|()| self.enter_directory()) {
            Ok(()) => {
                reset_signals(mask);
                started_with::restore_open_files();
                self.execute()
            }
            Err(error) => error,
        };
        // SAFETY: `report_to` is this process's copy, open until it ends.
        let report_to = unsafe { BorrowedFd::borrow_raw(report_to) };
        write_number(&report_to, error.raw_os_error().unwrap_or(libc::EINVAL));
        // SAFETY: _exit(2) takes any number and does not return.
        unsafe { libc::_exit(CANNOT_EXECUTE) }
    }

    /// Sets LISTEN_PID to this process's id. The value has room for the largest one.
    fn set_listen_pid(&mut self) {
        let Some(index) = self.listen_pid else { return };
        // SAFETY: getpid(2) always succeeds.
        let mut rest = unsafe { libc::getpid() }.unsigned_abs();
        let (mut digits, mut at) = ([0; 10], 10);
        while rest > 0 && at > 0 {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let value = &mut self.environment[index][LISTEN_PID.len() + 1..];
        value.fill(0);
        value[..10 - at].copy_from_slice(&digits[at..]);
    }

    /// Moves each descriptor to its number. Any of them, and `report_to`, may occupy the number of another: all are
    /// moved away first.
    fn place_descriptors(&mut self, report_to: &mut RawFd) -> io::Result<()> {
        let end = FIRST + self.descriptors.len() as RawFd;
        for fd in self.descriptors.iter_mut().chain([report_to]) {
            // SAFETY: a plain call on numbers; the copy is closed by execve(2).
            let copy = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, end) };
            if copy < 0 {
                return Err(io::Error::last_os_error());
            }
            *fd = copy;
        }
        for (&fd, place) in self.descriptors.iter().zip(FIRST..) {
            // SAFETY: a plain call on numbers. What was at `place` is this process's copy and has been moved away, or
            // is not used any more.
            if unsafe { libc::dup2(fd, place) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    fn enter_directory(&self) -> io::Result<()> {
        // SAFETY: the path ends with NUL and outlives the call.
        match unsafe { libc::chdir(self.directory.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns only on an error.
    fn execute(&mut self) -> io::Error {
        // Both have the capacity for all of them.
        self.argv.extend(self.arguments.iter().map(|argument| argument.as_ptr()));
        self.argv.push(std::ptr::null());
        self.envp.extend(self.environment.iter().map(|variable| variable.as_ptr().cast()));
        self.envp.push(std::ptr::null());
        // SAFETY: all strings end with NUL, both lists end with a null pointer, and all outlive the call.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Reports a number to the process that waits for it, which may have been killed.
fn write_number(report_to: &impl AsRawFd, number: c_int) {
    let bytes = number.to_ne_bytes();
    // SAFETY: `bytes` outlives the call, and its length is given.
    unsafe { libc::write(report_to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
}

/// The rest of the minder's life. It holds no descriptor, so that it keeps nothing open, and all signals but KILL are
/// blocked.
fn wait_and_end_in_the_same_way(program: libc::pid_t) -> ! {
    close_all();
    // SAFETY: a NUL-terminated string, which the kernel copies.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"tine: minder".as_ptr(), 0, 0, 0) };
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    while unsafe { libc::waitpid(program, &mut status, 0) } < 0 && Errno::last() == Errno::EINTR {}
    if libc::WIFSIGNALED(status) {
        let signal = libc::WTERMSIG(status);
        // One core is enough.
        // SAFETY: plain integers.
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) };
        // SAFETY: a valid signal, and the default action. For KILL the call fails, which has no other.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: all zeros is an empty sigset_t.
        let mut one: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: a valid set and a valid signal.
        unsafe { libc::sigaddset(&mut one, signal) };
        // SAFETY: a valid set; the old mask is not requested.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &one, std::ptr::null_mut()) };
        // SAFETY: to this process itself.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(libc::WEXITSTATUS(status)) }
}

fn close_all() {
    // SAFETY: plain integers; the owners of these descriptors do not run in this process.
    if unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    // Before Linux 5.9: no more descriptors than this can be open.
    // SAFETY: sysconf(3) takes any number; glibc's asks getrlimit(2) for this one.
    for fd in 0..unsafe { libc::sysconf(libc::_SC_OPEN_MAX) } {
        // SAFETY: as above.
        unsafe { libc::close(fd as c_int) };
    }
}

/// An ignored signal stays ignored across execve(2), as SIGHUP should under nohup(1); but SIGPIPE may only be ignored
/// by Rust's runtime. A signal with a handler has its default action after execve(2), and must have it before: until
/// then the handler would write to what the parent reads.
fn reset_signals(mask: &SigSet) {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` outlives the call, which fails for the two signals that are the C library's own.
        let done = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
        let is_ours = signal == libc::SIGPIPE && !started_with::ignored(libc::SIGPIPE);
        let is_ignored = action.sa_sigaction == libc::SIG_IGN && !is_ours;
        if done == 0 && !is_ignored {
            // SAFETY: a valid signal, and the default action. For KILL and STOP the call fails, which have no other.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // SAFETY: a valid set; the old mask is not requested.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask.as_ref(), std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::kill;
    use nix::sys::wait::WaitStatus;
    use std::fs;
    use std::io::{Seek, Write};
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    /// Runs a shell script that writes to the file $OUT, and returns what it wrote.
    fn run(name: &str, script: &str, descriptors: &[(BorrowedFd<'_>, String)]) -> String {
        let out = scratch(name);
        let arguments = ["sh", "-c", script].map(OsString::from);
        let environment = [("OUT", Some(out.clone().into_os_string())), ("CARGO", None)];
        let program = Program {
            path: Path::new("/bin/sh"),
            arguments: &arguments,
            directory: Path::new("/"),
            environment: &environment,
            descriptors,
        };
        let pid = start(&program).expect("a shell");
        let status = waitpid(pid, None).expect("its end");
        assert!(matches!(status, nix::sys::wait::WaitStatus::Exited(_, 0)), "{status:?}");
        let said = fs::read_to_string(&out).expect("what it wrote");
        fs::remove_file(&out).expect("its file");
        said.replace(&pid.to_string(), "PID")
    }

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("tine-exec-{}-{name}", std::process::id()))
    }

    #[test]
    fn descriptors_come_in_their_order_whatever_their_numbers() {
        let files: Vec<File> = (0..8)
            .map(|i| {
                let path = scratch(&format!("file{i}"));
                let mut file = File::options().create_new(true).read(true).write(true).open(&path).expect("a file");
                fs::remove_file(&path).expect("its name is not needed");
                write!(file, "{i}").and_then(|()| file.rewind()).expect("a word in it");
                file
            })
            .collect();
        // Backwards: the numbers of some are the places of others.
        let descriptors: Vec<_> =
            files.iter().enumerate().rev().map(|(i, file)| (file.as_fd(), format!("n{i}"))).collect();
        let script = "{ for i in 3 4 5 6 7 8 9 10; do cat /proc/self/fd/$i; done
            echo \" $LISTEN_FDS $LISTEN_FDNAMES $LISTEN_PID ${CARGO-unset}\"; } > $OUT";
        assert_eq!(run("fds", script, &descriptors), "76543210 8 n7:n6:n5:n4:n3:n2:n1:n0 PID unset\n");
    }

    #[test]
    fn without_descriptors_their_variables_are_unset() {
        assert_eq!(run("none", "echo \"${LISTEN_FDS-unset} ${LISTEN_PID-unset}\" > $OUT", &[]), "unset unset\n");
    }

    #[test]
    fn signals_are_as_at_the_start() {
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("the field");
            u64::from_str_radix(line.trim(), 16).expect("a mask")
        };
        let own = fs::read_to_string("/proc/thread-self/status").expect("this thread's");
        let said = run("signals", "exec grep '^Sig' /proc/self/status > $OUT", &[]);
        let pipe = 1 << (libc::SIGPIPE - 1);
        assert_ne!(field(&own, "SigIgn:") & pipe, 0, "Rust ignores it");
        let kept = if started_with::ignored(libc::SIGPIPE) { pipe } else { 0 };
        assert_eq!(field(&said, "SigIgn:"), field(&own, "SigIgn:") & !pipe | kept);
        assert_eq!(field(&said, "SigBlk:"), field(&own, "SigBlk:"));
    }

    #[test]
    fn a_minder_is_the_parent_and_ends_as_the_program_does() {
        let shell = |script: &str| {
            let arguments = ["sh", "-c", script].map(OsString::from);
            let program = Program {
                path: Path::new("/bin/sh"),
                arguments: &arguments,
                directory: Path::new("/"),
                environment: &[],
                descriptors: &[],
            };
            start_minded(&program).expect("a shell")
        };
        for (script, expected) in [("exit 7", Ok(7)), ("kill -SEGV $$", Err(nix::sys::signal::SIGSEGV))] {
            let Minded { pid, minder, .. } = shell(script);
            let status = match waitpid(minder, None).expect("its end") {
                WaitStatus::Exited(_, code) => Ok(code),
                WaitStatus::Signaled(_, signal, _) => Err(signal),
                other => panic!("{other:?}"),
            };
            assert_eq!(status, expected, "{script}");
            assert_ne!(pid, minder);
        }
        // When it is killed, the program is reparented.
        let program = shell("exec sleep 1000");
        let (pid, minder) = (program.pid, program.minder);
        let parent = || fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
        assert!(parent().contains(&format!("\nPPid:\t{minder}\n")), "{}", parent());
        let open = || fs::read_dir(format!("/proc/{minder}/fd")).expect("its descriptors").count();
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while open() > 0 && std::time::Instant::now() < end {}
        assert_eq!(open(), 0);
        kill(minder, nix::sys::signal::SIGKILL).and_then(|()| waitpid(minder, None)).expect("the minder's end");
        assert!(!parent().contains(&format!("\nPPid:\t{minder}\n")), "{}", parent());
        program.kill();
        let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        while !state().is_empty() && !state().contains(") Z ") {
            assert!(std::time::Instant::now() < end, "{}", state());
        }
    }

    #[test]
    fn a_failed_execution_is_reported() {
        for (path, kind) in [("/no/such/program", io::ErrorKind::NotFound), ("/etc", io::ErrorKind::PermissionDenied)] {
            let program = Program {
                path: Path::new(path),
                arguments: &["x".into()],
                directory: Path::new("/"),
                environment: &[],
                descriptors: &[],
            };
            for error in [start(&program).err(), start_minded(&program).err()] {
                let error = error.expect("there is none");
                assert_eq!(error.kind(), kind, "{error}");
                assert!(error.to_string().contains(path), "{error}");
            }
        }
        let program = Program {
            path: Path::new("/bin/true"),
            arguments: &["a\0b".into()],
            directory: Path::new("/"),
            environment: &[],
            descriptors: &[],
        };
        assert_eq!(start(&program).expect_err("no such argument").kind(), io::ErrorKind::InvalidInput);
    }
}
