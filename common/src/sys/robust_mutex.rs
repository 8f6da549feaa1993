//! A mutex between processes, of which the kernel knows the owner: when the owner dies, the next one gets the mutex and is told
//! (pthread_mutexattr_setrobust(3), get_robust_list(2)). No process ID is compared, so none can be mistaken for another.

use super::mmap::Line;
use libc::{c_int, pthread_mutex_t};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicU64;

/// PTHREAD_MUTEX_ROBUST, which the crate libc leaves out.
const ROBUST: c_int = 1;
const _: () = assert!(size_of::<pthread_mutex_t>() <= size_of::<Line>() - 8 && align_of::<pthread_mutex_t>() <= 128);

/// The mutex at the beginning of a line of shared memory, of which nothing else is read or written but the last word.
#[derive(Debug, Clone, Copy)]
pub struct RobustMutex(&'static Line);

/// The mutex is this process's now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Clean,
    /// Its last owner died with it, and may have left half of its work.
    OwnerDied,
}

impl RobustMutex {
    /// The mutex that [`RobustMutex::make`] has made there.
    pub fn at(line: &'static Line) -> RobustMutex {
        RobustMutex(line)
    }

    /// Makes a mutex, before another process knows the line.
    pub fn make(line: &'static Line) -> io::Result<RobustMutex> {
        let mutex = RobustMutex(line);
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are memory of this function.
        check("pthread_mutexattr_init", unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
        // SAFETY: they were initialised by the call before.
        let mut attributes = unsafe { attributes.assume_init() };
        // SAFETY: initialised attributes, and a constant of pthread.h.
        let shared = unsafe { libc::pthread_mutexattr_setpshared(&mut attributes, libc::PTHREAD_PROCESS_SHARED) };
        check("pthread_mutexattr_setpshared", shared)?;
        // SAFETY: as before.
        let robust = unsafe { libc::pthread_mutexattr_setrobust(&mut attributes, ROBUST) };
        check("pthread_mutexattr_setrobust", robust)?;
        // SAFETY: the line is large enough, lives as long as the process, and its atomic words may be changed through a
        // shared reference.
        let made = unsafe { libc::pthread_mutex_init(mutex.raw(), &attributes) };
        check("pthread_mutex_init", made)?;
        Ok(mutex)
    }

    /// The last word of the line: it is the user's, 0 at first.
    pub fn word(self) -> &'static AtomicU64 {
        &self.0.words[self.0.words.len() - 1]
    }

    fn raw(self) -> *mut pthread_mutex_t {
        self.0.words.as_ptr().cast_mut().cast()
    }

    /// Takes it if it is free. An `OwnerDied` is told once: the mutex is an ordinary one from then on.
    pub fn try_lock(self) -> Option<Taken> {
        // SAFETY: `make` has initialised it, and it is never destroyed.
        match unsafe { libc::pthread_mutex_trylock(self.raw()) } {
            0 => Some(Taken::Clean),
            libc::EOWNERDEAD => {
                // SAFETY: as above, and this thread owns it.
                unsafe { libc::pthread_mutex_consistent(self.raw()) };
                Some(Taken::OwnerDied)
            }
            _ => None,
        }
    }

    /// By its owner.
    pub fn unlock(self) {
        // SAFETY: as above; a thread that does not own it gets an error (EPERM), as the mutex is robust.
        unsafe { libc::pthread_mutex_unlock(self.raw()) };
    }
}

fn check(call: &str, error: c_int) -> io::Result<()> {
    match error {
        0 => Ok(()),
        number => {
            let error = io::Error::from_raw_os_error(number);
            Err(io::Error::new(error.kind(), format!("{call}: {error}")))
        }
    }
}
