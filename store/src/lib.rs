//! The process of `--limit-store`: it leases this server's shares of limits that several servers have in common, from Redis or
//! Valkey, and puts them into the shared memory. No request ever waits for the store.
//!
//! - [`process`]: its loop, from the fork to its end.
//! - [`lease`]: what this server uses and wants, and what it is granted: no input or output.
//! - [`store`]: the connection, and the script that grants (`grant.lua`), which has the whole of the protocol.
#![forbid(unsafe_code)]

mod lease;
mod process;
mod store;

pub use process::{NAME, Start, run};
