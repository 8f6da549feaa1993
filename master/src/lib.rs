//! Tine: a pre-fork HTTP server. A small master owns the sockets and the processes; N single-threaded workers accept for
//! themselves.
//!
//! A Rust application implements [`app::App`], and [`Server`] runs it:
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
//! fn main() -> Result<std::process::ExitCode, tine::ServerError> {
//!     tine::Server::builder().bind("127.0.0.1:8080").workers(4).serve(|_worker| Ok(Box::new(Hello)))
//! }
//! ```
//!
//! `serve` of the package `tine-cli` runs it under all options of `tine run`, with `tine ctl` and `tine top`. Its tests need
//! no server: [`testing`] drives it without a socket.
#![forbid(unsafe_code)]

#[warn(missing_docs)]
mod about;
mod affinity;
mod alone;
mod banner;
mod children;
mod command;
mod control;
mod development;
mod handover;
mod holder;
mod identity;
mod inherited;
mod limit_overrides;
mod limit_states;
mod listener;
mod master;
mod memory_line;
mod notify;
mod oom;
mod pidfile;
mod preflight;
mod recycle;
mod respawn;
mod rollout;
#[warn(missing_docs)]
mod server;
mod shortage;
mod start;
mod supervisor;
mod tls;
mod unix_socket;
mod usage;
mod watchdog;
mod watching;

pub use about::{About, Health};
pub use server::{Builder, Server, ServerError};
#[cfg(feature = "grpc")]
pub use tine_apps::grpc;
pub use tine_apps::{files, router};
pub use tine_common::{config, privileges};
pub use tine_worker::{app, http, testing};

/// What the package `tine-cli` uses; not part of the interface, and may change in any version.
#[doc(hidden)]
pub mod for_cli {
    pub use crate::about::with_own_paths;
    pub use crate::command::Command;
    pub use crate::development::{Development, LoadFailure};
    pub use crate::identity::{Identity, is_root};
    pub use crate::listener::warnings;
    pub use crate::master::{Reloaded, Reread};
    pub use crate::start::{Origin, Service, enter, go_to, rehearse};
    pub use crate::tls::check_certificates;
    pub use crate::watching::Pattern;

    pub mod control {
        pub use crate::control::{Found, Last, Line, NotFound, Talk, TalkError, Wanted, find, identity};
    }

    pub mod preflight {
        pub use crate::preflight::{Preflight, run};
    }
}
