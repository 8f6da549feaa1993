//! Lua WSGI applications: one VM per worker, each request on its own coroutine, and for a short response a single call
//! across the boundary between Rust and Lua.
//!
//! - `config`: which application, from where, within which limits; `load`: finds it.
//! - [`driver.lua`](../../../apps/src/lua/driver.lua): what happens to a request inside the VM.
//! - `vm`: the VM and its pooled coroutines; `host`: the functions that the driver gets; `environ`: a request as a WSGI
//!   environ.
//! - `deadline` and `memory`: limits on what an app takes of the worker's time and memory.
//! - `yielded`: what a coroutine yields; `waiting`: how it waits; `reply`: status and headers, checked; `exchange`:
//!   requests of more than one turn.
//! - `file_body`: a body that is a file; `client`: what `tine.connected` is told.
//! - `websocket`: requests that become WebSockets.
//! - `sys`: what needs Lua's C functions, and thereby `unsafe`.
//! - `shared`, `socket`, `metrics`: `tine.shared`, `tine.socket` and `tine.wait`, `tine.metrics`.
//! - `jobs`: what runs outside of any request.
//! - `modules`: those that an app has to require: `json`, `crypto`, web.lua and wsapi.lua.
//! - `app`: the whole as an `App`; `page`: error pages, `debug_page` and `error_report` those of `--debug`.
//! - `files`: which files the app uses; `stand_in`: what answers while it cannot be loaded (`--reload`).

mod app;
mod client;
mod config;
mod crypto;
mod deadline;
mod debug_page;
mod driver;
mod environ;
mod error_report;
mod exchange;
mod file_body;
mod files;
mod host;
mod jobs;
mod json;
mod load;
mod memory;
mod messages;
mod metrics;
mod modules;
mod page;
mod reply;
mod shared;
mod socket;
mod stand_in;
mod sys;
mod vm;
mod waiting;
mod websocket;
mod yielded;

pub use app::LuaApp;
pub use config::{AppName, LuaConfig};
pub use stand_in::StandIn;

#[cfg(not(any(feature = "lua54", feature = "luajit")))]
compile_error!("choose a Lua: the feature lua54 (the default) or luajit");
