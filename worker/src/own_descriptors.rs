//! The descriptors that a worker cannot work without, looked after: an app that closes one that is not its own (a double
//! close) may hit any of them, and no call of ours need ever say so. A worker that does not hear its master, say, would
//! serve on and be killed at the next stop.
//!
//! Some are looked at once a second, which costs a system call each.

use std::fmt;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};
use tine_common::sys::descriptor::{Identity, identity};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// With more than these, each has its turn.
const LOOKED_AT_ONCE: usize = 16;

pub struct OwnDescriptors {
    all: Vec<Own>,
    next: usize,
    look_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Own {
    name: &'static str,
    fd: RawFd,
    /// `None`: it could not be asked for.
    identity: Option<Identity>,
}

/// A descriptor that is closed, or another file's by now.
#[derive(Debug)]
pub struct Lost(Own);

impl OwnDescriptors {
    pub fn new(now: Instant) -> Self {
        OwnDescriptors { all: Vec::new(), next: 0, look_at: now + LOOK_EVERY }
    }

    /// What it is now is what it is to stay.
    pub fn push(&mut self, name: &'static str, fd: RawFd) {
        self.all.push(Own { name, fd, identity: identity(fd) });
    }

    /// This one is closed on purpose, or soon.
    pub fn forget(&mut self, name: &str) {
        self.all.retain(|own| own.name != name);
    }

    /// Looks, if it is time. A sleeping worker wakes often enough by itself.
    pub fn look(&mut self, now: Instant) -> Result<(), Lost> {
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + LOOK_EVERY;
        for _ in 0..self.all.len().min(LOOKED_AT_ONCE) {
            self.next = (self.next + 1) % self.all.len();
            let own = self.all[self.next];
            if own.identity.is_some() && identity(own.fd) != own.identity {
                return Err(Lost(own));
            }
        }
        Ok(())
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Own { name, fd, .. } = self.0;
        let what = if identity(fd).is_none() { "closed" } else { "another file's" };
        write!(f, "descriptor {fd}, {name}, is {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn each_has_its_turn_and_is_missed() {
        let began = Instant::now();
        let mut own = OwnDescriptors::new(began);
        let files: Vec<File> = (0..40).map(|_| File::open("/dev/null").expect("a file")).collect();
        files.iter().for_each(|file| own.push("a listener", file.as_raw_fd()));
        // A number that no test opens meanwhile.
        let taken = Own { name: "the channel to the master", fd: 900_000, identity: own.all[0].identity };
        own.all.push(taken);
        assert!(own.look(began).is_ok(), "not yet");
        let found = (1..=3).find_map(|looks| own.look(began + looks * LOOK_EVERY).err().map(|lost| (looks, lost)));
        let (looks, lost) = found.expect("it is missed");
        assert_eq!((looks, lost.to_string().as_str()), (3, "descriptor 900000, the channel to the master, is closed"));
        own.forget("the channel to the master");
        assert!((4..8).all(|looks| own.look(began + looks * LOOK_EVERY).is_ok()));
    }
}
