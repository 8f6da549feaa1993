//! Checks the descriptors that a worker cannot work without. An app that closes a descriptor that is not its own (a
//! double close) may hit any of them, and possibly no system call of the worker ever fails for it. A worker that has
//! lost the channel to its master, for example, would keep serving and be killed at the next stop.
//!
//! Once a second some are checked, with one system call each.

use std::fmt;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};
use tine_common::sys::descriptor::{Identity, identity};

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// With more descriptors than this, they are checked in turn.
const CHECKED_AT_ONCE: usize = 16;

pub struct OwnDescriptors {
    all: Vec<Own>,
    next: usize,
    check_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Own {
    name: &'static str,
    fd: RawFd,
    /// `None`: it could not be read.
    identity: Option<Identity>,
}

/// A descriptor that was closed, or refers to another file by now.
#[derive(Debug)]
pub struct Lost(Own);

impl OwnDescriptors {
    pub fn new(now: Instant) -> Self {
        OwnDescriptors { all: Vec::new(), next: 0, check_at: now + CHECK_INTERVAL }
    }

    /// From now on the descriptor has to refer to the same file.
    pub fn push(&mut self, name: &'static str, fd: RawFd) {
        self.all.push(Own { name, fd, identity: identity(fd) });
    }

    pub fn push_all(&mut self, name: &'static str, fds: impl IntoIterator<Item = RawFd>) {
        fds.into_iter().for_each(|fd| self.push(name, fd));
    }

    /// No longer checks this one: it is closed on purpose, or soon.
    pub fn forget(&mut self, name: &str) {
        self.all.retain(|own| own.name != name);
    }

    /// Checks some, if it is time. A sleeping worker wakes often enough for its heartbeat.
    pub fn check(&mut self, now: Instant) -> Result<(), Lost> {
        if now < self.check_at {
            return Ok(());
        }
        self.check_at = now + CHECK_INTERVAL;
        for _ in 0..self.all.len().min(CHECKED_AT_ONCE) {
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
        let what = if identity(fd).is_none() { "closed" } else { "another file" };
        write!(f, "descriptor {fd}, {name}, is {what}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn all_are_checked_in_turn_and_a_loss_is_found() {
        let began = Instant::now();
        let mut own = OwnDescriptors::new(began);
        let files: Vec<File> = (0..40).map(|_| File::open("/dev/null").expect("a file")).collect();
        files.iter().for_each(|file| own.push("a listener", file.as_raw_fd()));
        // A number that no test opens meanwhile.
        let taken = Own { name: "the channel to the master", fd: 900_000, identity: own.all[0].identity };
        own.all.push(taken);
        assert!(own.check(began).is_ok(), "not yet");
        let found =
            (1..=3).find_map(|checks| own.check(began + checks * CHECK_INTERVAL).err().map(|lost| (checks, lost)));
        let (checks, lost) = found.expect("the loss is found");
        assert_eq!((checks, lost.to_string().as_str()), (3, "descriptor 900000, the channel to the master, is closed"));
        own.forget("the channel to the master");
        assert!((4..8).all(|checks| own.check(began + checks * CHECK_INTERVAL).is_ok()));
    }
}
