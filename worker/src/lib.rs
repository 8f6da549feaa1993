//! Tine's worker: one thread, one event loop, its own connections. It knows nothing of the master but a channel.
//!
//! Read it in this order:
//! - [`app`]: the interface that an application sees; [`http`]: requests, responses, framing, shared by all protocols.
//! - [`worker`]: the loop, a few named steps in a fixed order; `run_queue` and `timers` decide which connections have a
//!   turn, `turn_clock` how long it lasts.
//! - [`raw_access`]: what an application must be given before it may write bytes without framing.
//! - `accept`, `admission` and `per_address`: which worker accepts a connection, and which connections are refused;
//!   `throttle`: which requests are admitted, wait or are refused;
//!   `eviction`: which are closed instead; `drain`: how a worker ends; `own_descriptors`: what an app must not close;
//!   `watches`: the descriptors that it waits for; `tasks`: what it does outside of any request.
//! - `caller`: the client of a request, behind proxies; `proxy_header`: how a proxy announces a connection.
//! - [`tls`]: certificates and what else a TLS session is made of.
//! - `connection`: the only place that uses a client's socket; [`net`]: its buffers.
//! - `protocol`: the interface of a protocol to its connection, pure: bytes in, bytes out, and what it waits for;
//!   `http1` and `websocket` implement it; `dispatch`, `exchange` and `patience` are common to protocols that answer
//!   requests.
#![forbid(unsafe_code)]

#[warn(missing_docs)]
pub mod app;
#[warn(missing_docs)]
pub mod http;

mod accept;
mod access_log;
mod admission;
mod caller;
mod connection;
mod dispatch;
mod drain;
mod eviction;
mod exchange;
mod http1;
mod http2;
/// For clients in tests.
#[doc(hidden)]
pub use http2::hpack;
pub mod net;
mod own_descriptors;
mod patience;
mod per_address;
mod protocol;
mod proxy_header;
pub mod raw_access;
mod request_log;
mod run_queue;
mod sink;
mod tasks;
#[warn(missing_docs)]
pub mod testing;
mod throttle;
mod timers;
pub mod tls;
mod turn_clock;
mod watches;
mod websocket;
pub mod worker;
