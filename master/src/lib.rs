//! Tine: a pre-fork HTTP server. A small master owns the sockets and the processes; N single-threaded workers accept for
//! themselves.
//!
//! A Rust application implements [`app::App`] and gives [`serve`] what builds one:
//!
//! ```no_run
//! use tine::app::{Answer, App, Cx};
//! use tine::http::{Request, Response, StatusCode};
//!
//! struct Hello;
//!
//! impl App for Hello {
//!     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
//!         Response::text(StatusCode::OK, "hello\n").into()
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     tine::serve("hello", |_worker| Ok(Box::new(Hello)))
//! }
//! ```
//!
//! Its tests need no server: [`testing`] drives it without a socket.
#![forbid(unsafe_code)]

mod about;
mod affinity;
mod alone;
mod args;
mod banner;
mod check;
mod children;
mod command;
mod command_line;
mod config_file;
mod control;
mod control_args;
mod cpus;
mod ctl;
mod drain_args;
mod given;
mod handover;
mod hints;
mod holder;
mod identity;
mod inherited;
mod listener;
mod log_args;
mod master;
mod memory_line;
mod notify;
mod oom;
mod operands;
mod output;
mod pidfile;
mod preflight;
mod privileges_args;
mod recycle;
mod respawn;
mod rollout;
mod serve;
mod settings;
mod shortage;
mod start;
mod supervision_args;
mod supervisor;
mod top;
mod unix_socket;
mod usage;
mod warnings;
mod watchdog;

pub use about::{About, Health};
pub use given::Given;
pub use operands::Operands;
pub use serve::{Asked, Served, serve, serve_raw, serve_with};
pub use tine_apps::{files, router};
pub use tine_worker::{app, http, testing};
