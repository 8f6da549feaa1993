//! fork(2) and execve(2) of a program that takes over from this process: it gets listening sockets by the LISTEN_FDS
//! protocol (sd_listen_fds(3)), and its signals are as this process found its own.
//!
//! All that needs memory is made before the fork; the child calls only what is async-signal-safe (signal-safety(7)).

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, pipe2};
use std::collections::BTreeMap;
use std::ffi::{CString, OsString, c_char, c_int};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
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

/// Starts the program in a process of its own. The error: there is no process, or it could not execute the program.
///
/// Waits for the execve(2), which reads the head of the program's file, and not for the program.
pub fn start(program: &Program<'_>) -> io::Result<Pid> {
    let child = Child::new(program)?;
    let (told, tell) = pipe2(OFlag::O_CLOEXEC)?;
    let mut mask = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), Some(&mut mask))?;
    // SAFETY: the child only calls async-signal-safe functions before it becomes the program or ends.
    let forked = unsafe { nix::unistd::fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        child.become_program(tell, &mask);
    }
    pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&mask), None)?;
    let pid = match forked {
        Ok(ForkResult::Parent { child }) => child,
        Ok(ForkResult::Child) => unreachable!("handled above"),
        Err(e) => return Err(io::Error::new(io::Error::from(e).kind(), format!("fork: {e}"))),
    };
    drop(tell);
    // The other end closes when the program is executed; an error is written before.
    let mut number = [0; size_of::<c_int>()];
    match File::from(told).read_exact(&mut number) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(pid),
        read => {
            while waitpid(pid, None) == Err(Errno::EINTR) {}
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
        })
    }

    /// In the child. An error is written to `tell`, and ends it.
    fn become_program(mut self, tell: OwnedFd, mask: &SigSet) -> ! {
        let mut tell = tell.as_raw_fd();
        self.say_own_pid();
        let error = match self.place_descriptors(&mut tell).and_then(|()| self.enter_folder()) {
            Ok(()) => {
                reset_signals(mask);
                self.execute()
            }
            Err(error) => error,
        };
        let number = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
        // SAFETY: `number` outlives the call, and its length is given. Who waits for it cannot be gone.
        unsafe { libc::write(tell, number.as_ptr().cast(), number.len()) };
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

/// What is ignored stays ignored across execve(2), as SIGHUP is under nohup(1) and should be. SIGPIPE is ignored by Rust's
/// own doing. Who has a handler has the default afterwards, and needs it before: until then the handler would write to what
/// the parent reads.
fn reset_signals(mask: &SigSet) {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: `action` outlives the call, which fails for the two signals that are the C library's own.
        let done = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
        let is_ignored = action.sa_sigaction == libc::SIG_IGN && signal != libc::SIGPIPE;
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
        assert_eq!(field(&said, "SigIgn:"), field(&own, "SigIgn:") & !pipe);
        assert_eq!(field(&said, "SigBlk:"), field(&own, "SigBlk:"));
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
            let error = start(&program).expect_err("there is none");
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(path), "{error}");
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
