//! What master and workers share. Imports flow one way: `common <- worker <- apps <- master`.
//!
//! - [`config`]: every limit and choice, named with its unit, with its default.
//! - [`units`]: sizes (`64K`) and durations (`10s`) as people write them.
//! - [`scoreboard`]: the shared memory in which each worker tells about itself.
//! - [`address_counts`]: how many connections each client's address has, beside it.
//! - [`status`]: what the master tells about the server over its control socket.
//! - [`in_flight_table`]: the requests that each worker is in, beside it.
//! - [`request_name`]: what the log calls a request.
//! - [`privileges`]: who the server is once it has bound.
//! - [`message`]: what master and worker say to each other.
//! - [`crash_report`]: what a worker says when it is told to die for hanging; [`fixed_text`] takes them without allocating.
//! - [`log`]: one line a record, and [`log::Burst`], which bounds repetition.
//! - [`sys`]: system calls; the only folder of the project that may say `unsafe`.
#![deny(unsafe_code)]

pub mod address_counts;
pub mod config;
pub mod crash_report;
pub mod fixed_text;
pub mod in_flight_table;
pub mod log;
pub mod message;
pub mod privileges;
pub mod request_name;
pub mod scoreboard;
pub mod status;
pub mod sys;
pub mod units;

/// The version that `--version` prints and the `Server` header carries.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
