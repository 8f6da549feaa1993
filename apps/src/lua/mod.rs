//! Lua WSGI applications: one VM a worker, each request on a coroutine of its own, the border crossed once each way.
//!
//! - `config`: which application, from where, within which limits; `load`: how it is found and what is said if not.
//! - [`driver.lua`](../../../apps/src/lua/driver.lua): what happens to a request inside the VM.
//! - `vm`: the VM and its lanes; `host`: what Lua may ask of us; `environ`: a request as WSGI has it.
//! - `deadline` and `memory`: the guards that keep an app from holding up others, or the machine.
//! - `said`: what a lane says; `reply`: its status and headers, checked; `exchange`: what takes more than one turn.
//! - `app`: the whole as an `App`; `page`: what a client is told where the app failed.

mod app;
mod config;
mod deadline;
mod environ;
mod exchange;
mod host;
mod load;
mod memory;
mod page;
mod reply;
mod said;
mod vm;

pub use app::LuaApp;
pub use config::{AppName, LuaConfig};

#[cfg(not(any(feature = "lua54", feature = "luajit")))]
compile_error!("choose a Lua: the feature lua54 (the default) or luajit");
