//! Which worker of the whole server is the *elected* one: the one that does what is to be done once, such as cron-like work.
//!
//! It is the one that holds a robust mutex in the server memory, from its election until it resigns or dies: the kernel lets go of it
//! in the moment of the death, however that comes. So there are never two, and it is known without a message, a clock or a
//! third process that watches. Over a reload and an upgrade it is one mutex. A worker that is stopped or hangs stays elected until it
//! goes on or is killed: it could go on in the middle of its work.

use crate::sys::mmap::Line;
use crate::sys::robust_mutex::RobustMutex;
use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::atomic::Ordering;

/// Where workers stand for election.
#[derive(Debug, Clone, Copy, Default)]
pub struct Election(Option<RobustMutex>);

impl Election {
    /// None is ever elected.
    pub const NONE: Election = Election(None);

    /// Before another process knows the line.
    pub(crate) fn make(line: &'static Line) -> io::Result<Election> {
        RobustMutex::make(line).map(|mutex| Election(Some(mutex)))
    }

    /// The one that was made there.
    pub(crate) fn at(line: &'static Line) -> Election {
        Election(Some(RobustMutex::at(line)))
    }

    /// The process that is elected, for those who only look. One that has died is named until another is elected.
    pub fn elected(self) -> Option<u32> {
        let pid = self.0?.word().load(Ordering::Relaxed);
        u32::try_from(pid).ok().filter(|pid| *pid != 0)
    }

    /// What stands for election in this process; one at a time. It stays in the thread that it is made in.
    pub fn candidate(self) -> Candidate {
        Candidate { election: self, is_elected: Cell::new(false), _of_this_thread: PhantomData }
    }
}

/// A process that may be the elected one, until this is dropped.
#[derive(Debug)]
pub struct Candidate {
    election: Election,
    is_elected: Cell<bool>,
    /// The kernel knows the owner of a mutex as a thread.
    _of_this_thread: PhantomData<Rc<()>>,
}

impl Candidate {
    /// Whether this process is the elected one, which it becomes if there is none. To be called about once a second: then another is
    /// elected within a second of the death of the last. It takes no system call.
    pub fn stand(&self) -> bool {
        if !self.is_elected.get()
            && let Some(mutex) = self.election.0
            && mutex.try_lock().is_some()
        {
            mutex.word().store(u64::from(std::process::id()), Ordering::Relaxed);
            self.is_elected.set(true);
        }
        self.is_elected.get()
    }

    /// Whether it is, without standing for election.
    pub fn is_elected(&self) -> bool {
        self.is_elected.get()
    }

    /// Lets another be elected. To be called once nothing that only the elected one may do is going on.
    pub fn resign(&self) {
        if self.is_elected.take()
            && let Some(mutex) = self.election.0
        {
            mutex.word().store(0, Ordering::Relaxed);
            mutex.unlock();
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        self.resign();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fork::{Fork, fork};
    use crate::sys::mmap::shared_lines;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn one_is_elected_until_it_resigns() {
        let election = Election::make(&shared_lines(1).expect("memory")[0]).expect("a mutex");
        let other_stands = || std::thread::spawn(move || election.candidate().stand()).join().expect("no panic");
        let one = election.candidate();
        assert!(!one.is_elected() && election.elected().is_none());
        assert!(one.stand() && one.stand() && one.is_elected());
        assert!(!other_stands());
        assert_eq!(election.elected(), Some(std::process::id()));
        one.resign();
        assert!(!one.is_elected() && election.elected().is_none());
        assert!(other_stands(), "and that one has resigned at its end");
        assert!(one.stand());
        drop(one);
        assert!(other_stands());
        assert!(!Election::NONE.candidate().stand());
    }

    #[test]
    fn the_death_of_the_elected_one_lets_another_be_elected() {
        let election = Election::make(&shared_lines(1).expect("memory")[0]).expect("a mutex");
        for _ in 0..20 {
            let (mut ours, mut theirs) = UnixStream::pair().expect("two sockets");
            let pid = match fork().expect("a process") {
                Fork::Parent(pid) => pid,
                Fork::Child(_) => {
                    let candidate = election.candidate();
                    let _ = theirs.write_all(&[u8::from(candidate.stand())]);
                    loop {
                        std::thread::park();
                    }
                }
            };
            let mut said = [0];
            ours.read_exact(&mut said).expect("it says whether it is elected");
            let own = election.candidate();
            assert_eq!((said, own.stand(), election.elected()), ([1], false, u32::try_from(pid.as_raw()).ok()));
            kill(pid, Signal::SIGKILL).expect("a child");
            waitpid(pid, None).expect("a child");
            assert!(own.stand() && election.elected() == Some(std::process::id()));
        }
    }
}
