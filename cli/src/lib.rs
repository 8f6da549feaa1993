//! The command line of Tine: its options, `tine ctl` and `tine top`, as a library for applications in Rust that want the
//! same.
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
//!     tine_cli::serve("hello", |_worker| Ok(Box::new(Hello)))
//! }
//! ```
//!
//! A program with options of its own, or with none, may do without this crate: the server is the crate [`tine`].
#![forbid(unsafe_code)]

mod admin_args;
mod args;
mod cert;
mod check;
mod command_line;
mod config_file;
mod control_args;
mod cpus;
mod ctl;
mod drain_args;
mod given;
mod hints;
mod limit_args;
mod log_args;
mod operands;
mod output;
mod privileges_args;
mod proxy_args;
mod request_log_args;
mod serve;
mod settings;
mod supervision_args;
mod tls_args;
mod top;
mod warnings;

pub use given::{Given, Source};
pub use operands::Operands;
pub use serve::{Asked, Served, serve, serve_raw, serve_with};
