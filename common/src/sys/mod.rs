//! System calls: the only directory of this crate that may use `unsafe`.
//!
//! Each unsafe block is one call under a `SAFETY:` line. Descriptors are `OwnedFd` from birth, CLOEXEC and
//! nonblocking; EINTR is handled here; an error names its call.
#![allow(unsafe_code)]

pub mod abort;
pub mod clock;
pub mod descriptor;
pub mod epoll;
pub mod exec;
pub mod file;
pub mod fork;
pub mod inherit;
pub mod local_time;
pub mod mmap;
pub mod output;
pub mod passing;
pub mod process;
pub mod queue_waker;
pub mod random;
pub mod robust_mutex;
pub mod signals;
pub mod socket;
pub mod started_with;
