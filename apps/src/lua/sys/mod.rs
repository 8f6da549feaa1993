//! Lua's C functions: the only directory of this crate that may use `unsafe`.
//!
//! - `open`: a VM as a user's program expects it; `allocator`: its memory.
//! - `coroutine`: one that answers requests, resumed and read where it stops.
//! - `calls` and `environ`: the functions of ours that an app calls most, about its request, `current`.
//! - `stack`: the values that Lua and these pass each other.
//! - `file_handle`: the descriptor of a file that an app has opened.
//! - `hook`: the hook that watches coroutines for `--request-timeout`.
//! - `running`: which code runs, for the crash report.
//!
//! Each unsafe block is one call under a `SAFETY:` line. An error of Lua may jump over a frame of Rust: such a function
//! says so, and has no value that needs to be dropped.
#![allow(unsafe_code)]

mod allocator;
pub mod calls;
pub mod coroutine;
mod current;
pub mod environ;
pub mod file_handle;
pub mod hook;
mod open;
pub mod running;
mod stack;

pub use open::{Opened, open};
