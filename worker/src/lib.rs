//! Tine's worker: one thread, one event loop, its own connections. It knows nothing of the master but a channel.
//!
//! Read it in this order:
//! - [`app`]: the interface that an application sees; [`http`]: requests, responses, framing, shared by all protocols.
//! - [`worker`]: the loop, a few named steps in a fixed order; `run_queue` and `timers` feed it.
//! - [`raw_access`]: what an application must be given before it may write bytes without framing.
//! - `accept` and `admission`: who takes a new connection and who is refused; `room`: who is closed instead; `drain`: how a worker ends;
//!   `own_descriptors`: what an app may not close.
//! - `connection`: the only place that touches a client's socket; [`net`]: its buffers.
//! - `protocol`: what a protocol is to its connection, pure: bytes in, bytes out, what do I wait for; `http1` and
//!   `websocket`.
#![forbid(unsafe_code)]

pub mod app;
pub mod http;

mod accept;
mod admission;
mod connection;
mod drain;
mod eviction;
mod http1;
pub mod net;
mod own_descriptors;
mod per_address;
mod protocol;
pub mod raw_access;
mod run_queue;
mod timers;
mod turn_clock;
mod websocket;
pub mod worker;
