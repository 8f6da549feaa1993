//! What master and workers share. Imports flow one way: `common <- worker <- apps <- master <- cli`.
//!
//! - [`config`]: every limit and choice, named with its unit, with its default.
//! - [`units`]: sizes (`64K`) and durations (`10s`) as people write them; [`figures`]: numbers for people to read.
//! - [`server_memory`]: the shared memory that an upgrade hands on: what of the following is of the whole server.
//! - [`scoreboard`]: the shared memory in which each worker publishes its state and load.
//! - [`address_counts`]: beside it, the number of connections of each client's address.
//! - [`gauges`]: beside it, what the master measures of the whole server.
//! - [`telemetry`]: beside it, what is measured of requests, connections and the server, and its exposition.
//! - [`in_flight_table`]: beside it, the requests that each worker is processing.
//! - [`throttle`]: beside it, the limits of the whole server: permits, the log of admissions, the clients' own limits.
//! - [`shared`]: the dictionaries that the workers' applications share.
//! - [`election`]: which worker of the whole server is the elected one.
//! - [`access_log`]: what a line of the access log has, and where it goes; [`escape`]: what clients send, within a line.
//! - [`status`]: the server's status, as the master reports it over its control socket, and the status page shows it;
//!   [`roster`]: what the master contributes; [`bulletin`]: the memory in which it publishes that; [`resident`]: memory and
//!   CPU time of processes.
//! - [`method`]: the classes of methods.
//! - [`limit_status`]: its part about the limits.
//! - [`request_name`]: the name of a request in the log.
//! - [`percent`]: how percent-encoding is decoded.
//! - [`privileges`]: the user, directory and CPUs of the server once it has bound.
//! - [`message`]: the messages between master and worker.
//! - [`used_files`]: the files that applications use, as workers report them to the master for `--reload`.
//! - [`crash`]: the report that a worker logs before it dies by SIGABRT; [`fixed_text`] holds it without an allocation.
//! - [`log`]: one line per record, and [`log::Burst`], which bounds repetition.
//! - [`sys`]: system calls; the only directory of this crate that may use `unsafe`.
#![deny(unsafe_code)]

pub mod access_log;
pub mod address_counts;
pub mod bulletin;
#[warn(missing_docs)]
pub mod config;
pub mod crash;
pub mod election;
pub mod escape;
pub mod figures;
pub mod fixed_text;
pub mod gauges;
pub mod in_flight_table;
pub mod limit_status;
pub mod log;
pub mod message;
pub mod method;
pub mod metric;
pub mod percent;
#[warn(missing_docs)]
pub mod privileges;
pub mod request_name;
pub mod resident;
pub mod roster;
pub mod scoreboard;
pub mod server_memory;
pub mod shared;
pub mod status;
pub mod sys;
pub mod telemetry;
pub mod throttle;
pub mod ticket_keys;
pub mod units;
pub mod used_files;
mod words;

/// The version that `--version` prints and the `Server` header carries.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
