//! fork(2) and execve(2) of a program that takes over from this process: it gets listening sockets by the LISTEN_FDS
//! protocol (sd_listen_fds(3)), and its signals and its limit of open files are as this process found its own.
//!
//! A program that is to outlive this process is started by a *minder*: a process between the two, whose end gives the
//! program to whoever takes in orphans, so to the service manager, as if that had started it (credentials(7)).
//!
//! All that needs memory is made before the fork; the child calls only what is async-signal-safe (signal-safety(7)).

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

/// The first descriptor behind the standard streams (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;
/// The exit status that a shell gives to what cannot be executed. Nobody sees it: the error is told.
const CANNOT_EXECUTE: c_int = 127;
/// The variables of the protocol. What this process found in them is no other program's.
const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_FDNAMES: &str = "LISTEN_FDNAMES";

pub struct Program<'a> {
    pub path: &'a Path,
    /// With the name that the program is called by first.
    pub arguments: &'a [OsString],
    /// Where it works.
    pub folder: &'a Path,
    /// Variables that are set, or unset where there is no value; all others are this process's.
    pub environment: &'a [(&'a str, Option<OsString>)],
    /// They become 3, 4, 5, … of the program, under these names, which hold no `:`.
    pub descriptors: &'a [(BorrowedFd<'a>, String)],
}

/// A program that was started by [`start_minded`].
#[derive(Debug)]
pub struct Minded {
    pub pid: Pid,
    /// A child of this process, and the program's parent. It ends as the program ends, by the same status or signal; once
    /// it is killed, the program has another parent.
    pub minder: Pid,
    /// Leads to the program whatever becomes of the minder (pidfd_open(2)); `None` before Linux 5.3.
    handle: Option<OwnedFd>,
}

impl Minded {
    /// Kills the program, if it lives.
    pub fn kill(&self) {
        let Some(handle) = &self.handle else { return };
        let no_info: *const libc::siginfo_t = std::ptr::null();
        // SAFETY: an open descriptor and plain numbers; without information the kernel fills in that of kill(2).
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle.as_raw_fd(), libc::SIGKILL, no_info, 0) };
    }
}

/// A descriptor that leads to this process, close-on-exec.
fn handle_of(pid: Pid) -> Option<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    // SAFETY: the call has just opened it, and it belongs to nothing else.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Starts the program in a process of its own. The error: there is no process, or it could not execute the program.
///
/// Waits for the execve(2), which reads the head of the program's file, and not for the program.
pub fn start(program: &Program<'_>) -> io::Result<Pid> {
    let (pid, told) = fork_into(program, Child::become_program)?;
    await_execution(program, pid, told)?;
    Ok(pid)
}

/// As [`start`], with a minder between this process and the program. The minder does not outlive this process.
pub fn start_minded(program: &Program<'_>) -> io::Result<Minded> {
    let (minder, mut told) = fork_into(program, Child::mind)?;
    // The program's number, or why there is no process for it.
    let mut number = [0; size_of::<c_int>()];
    let read = told.read_exact(&mut number).map(|()| c_int::from_ne_bytes(number));
    match read {
        Ok(pid) if pid > 0 => {
            let pid = Pid::from_raw(pid);
            // Its number is its own for as long as the minder has not waited for it.
            let handle = handle_of(pid);
            await_execution(program, minder, told)?;
            Ok(Minded { pid, minder, handle })
        }
        read => {
            while waitpid(minder, None) == Err(Errno::EINTR) {}
            let e = io::Error::from_raw_os_error(-read?);
            Err(io::Error::new(e.kind(), format!("fork: {e}")))
        }
    }
}

/// The child, which goes on in `enter`, and what it tells.
fn fork_into(program: &Program<'_>, enter: fn(Child, OwnedFd, &SigSet) -> !) -> io::Result<(Pid, File)> {
    let child = Child::new(program)?;
    let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    // SAFETY: the child only calls async-signal-safe functions before it becomes the program or ends.
    let forked = unsafe { nix::unistd::fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        enter(child, tell, &mask);
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    match forked {
        Ok(ForkResult::Parent { child }) => Ok((child, File::from(told))),
        Ok(ForkResult::Child) => unreachable!("handled above"),
        Err(e) => Err(io::Error::new(io::Error::from(e).kind(), format!("fork: {e}"))),
    }
}

/// The other end of `told` closes when the program is executed; an error is written before, and the child ends.
fn await_execution(program: &Program<'_>, child: Pid, mut told: File) -> io::Result<()> {
    let mut number = [0; size_of::<c_int>()];
    match told.read_exact(&mut number) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        read => {
            while waitpid(child, None) == Err(Errno::EINTR) {}
            read?;
            let e = io::Error::from_raw_os_error(c_int::from_ne_bytes(number));
            Err(io::Error::new(e.kind(), format!("{} cannot be executed: {e}", program.path.display())))
        }
    }
}

/// All that the child needs, in the form that the system calls want.
struct Child {
    path: CString,
    folder: CString,
    arguments: Vec<CString>,
    /// `NAME=value`, each with its final NUL.
    environment: Vec<Vec<u8>>,
    /// Which variable is LISTEN_PID, whose value only the child knows. It has room for a number.
    listen_pid: Option<usize>,
    /// As this process has them; replaced by copies.
    descriptors: Vec<RawFd>,
    /// The process that starts it.
    starter: Pid,
    /// Room for the pointers to the strings above.
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
            folder: CString::new(program.folder.as_os_str().as_bytes())?,
            argv: Vec::with_capacity(arguments.len() + 1),
            envp: Vec::with_capacity(environment.len() + 1),
            arguments,
            environment,
            listen_pid,
            descriptors,
            starter: getpid(),
        })
    }

    /// In the minder: forks once more for the program, waits for its end and ends in the same way.
    fn mind(self, tell: OwnedFd, mask: &SigSet) -> ! {
        // SAFETY: plain integers. What the minder waits for is nothing to anybody else.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) };
        // SAFETY: getppid(2) always succeeds.
        if unsafe { libc::getppid() } != self.starter.as_raw() {
            // SAFETY: _exit(2) takes any number and does not return.
            unsafe { libc::_exit(CANNOT_EXECUTE) };
        }
        // SAFETY: the child only calls async-signal-safe functions before it becomes the program or ends.
        match unsafe { libc::fork() } {
            -1 => {
                write_number(&tell, -Errno::last_raw());
                // SAFETY: as above.
                unsafe { libc::_exit(CANNOT_EXECUTE) }
            }
            0 => {
                // SAFETY: getpid(2) always succeeds.
                write_number(&tell, unsafe { libc::getpid() });
                self.become_program(tell, mask)
            }
            program => wait_and_end_likewise(program),
        }
    }

    /// In the child. An error is written to `tell`, and ends it.
    fn become_program(mut self, tell: OwnedFd, mask: &SigSet) -> ! {
        let mut tell = tell.as_raw_fd();
        self.say_own_pid();
        let error = match self.place_descriptors(&mut tell).and_then(|()| self.enter_folder()) {
            Ok(()) => {
                reset_signals(mask);
                started_with::put_back_open_files();
                self.execute()
            }
            Err(error) => error,
        };
        // SAFETY: `tell` is this process's copy, open until it ends.
        let tell = unsafe { BorrowedFd::borrow_raw(tell) };
        write_number(&tell, error.raw_os_error().unwrap_or(libc::EINVAL));
        // SAFETY: _exit(2) takes any number and does not return.
        unsafe { libc::_exit(CANNOT_EXECUTE) }
    }

    /// LISTEN_PID is the number of this process. Where there was room for the largest number, there is room for it.
    fn say_own_pid(&mut self) {
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

    /// Each descriptor to its number. Any of them, and `tell`, may stand where another is to be: all go out of the way first.
    fn place_descriptors(&mut self, tell: &mut RawFd) -> io::Result<()> {
        let end = FIRST + self.descriptors.len() as RawFd;
        for fd in self.descriptors.iter_mut().chain([tell]) {
            // SAFETY: a plain call on numbers; the copy is closed by execve(2).
            let copy = unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, end) };
            if copy < 0 {
                return Err(io::Error::last_os_error());
            }
            *fd = copy;
        }
        for (&fd, place) in self.descriptors.iter().zip(FIRST..) {
            // SAFETY: a plain call on numbers. What stood at `place` is this process's copy and has gone out of the way, or
            // is nobody's any more.
            if unsafe { libc::dup2(fd, place) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    fn enter_folder(&self) -> io::Result<()> {
        // SAFETY: the path ends with NUL and outlives the call.
        match unsafe { libc::chdir(self.folder.as_ptr()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns only why not.
    fn execute(&mut self) -> io::Error {
        // There is room for all of them.
        self.argv.extend(self.arguments.iter().map(|argument| argument.as_ptr()));
        self.argv.push(std::ptr::null());
        self.envp.extend(self.environment.iter().map(|variable| variable.as_ptr().cast()));
        self.envp.push(std::ptr::null());
        // SAFETY: all strings end with NUL, both lists with a null pointer, and all live until the call does not return.
        unsafe { libc::execve(self.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// To the process that waits for it, which may have been killed.
fn write_number(tell: &impl AsRawFd, number: c_int) {
    let bytes = number.to_ne_bytes();
    // SAFETY: `bytes` outlives the call, and its length is given.
    unsafe { libc::write(tell.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
}

/// The rest of the minder's life. It holds no descriptor, so that nothing stays open for its sake, and hears no signal but
/// KILL.
fn wait_and_end_likewise(program: libc::pid_t) -> ! {
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
        // SAFETY: a valid signal, and the default action. KILL refuses, which has no other.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // SAFETY: all zeros is an empty sigset_t.
        let mut one: libc::sigset_t = unsafe { std::mem::zeroed() };
        // SAFETY: a valid set and a valid signal.
        unsafe { libc::sigaddset(&mut one, signal) };
        // SAFETY: a valid set; the old mask is not asked for.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &one, std::ptr::null_mut()) };
        // SAFETY: to this process itself.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    // SAFETY: _exit(2) takes any number and does not return.
    unsafe { libc::_exit(libc::WEXITSTATUS(status)) }
}

fn close_all() {
    // SAFETY: plain integers; whoever held these descriptors does not run in this process.
    if unsafe { libc::syscall(libc::SYS_close_range, 0, libc::c_uint::MAX, 0) } == 0 {
        return;
    }
    // Before Linux 5.9. That many may be open and no more.
    // SAFETY: sysconf(3) takes any number; glibc's asks getrlimit(2) for this one.
    for fd in 0..unsafe { libc::sysconf(libc::_SC_OPEN_MAX) } {
        // SAFETY: as above.
        unsafe { libc::close(fd as c_int) };
    }
}

/// What is ignored stays ignored across execve(2), as SIGHUP is under nohup(1) and should be. SIGPIPE may be ignored by
/// Rust's own doing. Who has a handler has the default afterwards, and needs it before: until then the handler would write to what
/// the parent reads.
fn reset_signals(mask: &SigSet) {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` outlives the call, which fails for the two signals that are the C library's own.
        let done = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
        let is_ours = signal == libc::SIGPIPE && !started_with::ignored(libc::SIGPIPE);
        let is_ignored = action.sa_sigaction == libc::SIG_IGN && !is_ours;
        if done == 0 && !is_ignored {
            // SAFETY: a valid signal, and the default action. KILL and STOP refuse, which have no other.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
    // SAFETY: a valid set; the old mask is not asked for.
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
            folder: Path::new("/"),
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
                fs::remove_file(&path).expect("nobody needs its name");
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
    fn without_descriptors_nothing_is_said_of_them() {
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
                folder: Path::new("/"),
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
        // Killed, it leaves the program to others.
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
    fn what_cannot_be_executed_is_told() {
        for (path, kind) in [("/no/such/program", io::ErrorKind::NotFound), ("/etc", io::ErrorKind::PermissionDenied)] {
            let program = Program {
                path: Path::new(path),
                arguments: &["x".into()],
                folder: Path::new("/"),
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
            folder: Path::new("/"),
            environment: &[],
            descriptors: &[],
        };
        assert_eq!(start(&program).expect_err("no such argument").kind(), io::ErrorKind::InvalidInput);
    }
}
