//! Applications that come with Tine. They use only `tine_worker::app` and `tine_worker::http`, as any user's app would.
//! `unsafe` is allowed in `lua/sys` only.
#![deny(unsafe_code)]

#[cfg_attr(not(feature = "testbed"), allow(dead_code))] // the origin chooses by it
mod accept;
pub mod admin;
mod around;
#[warn(missing_docs)]
pub mod files;
#[cfg(feature = "grpc")]
#[warn(missing_docs)]
pub mod grpc;
pub mod health;
mod html;
#[cfg(any(feature = "lua54", feature = "luajit"))]
pub mod lua;
pub mod mounted;
mod percent;
mod pieces;
#[warn(missing_docs)]
pub mod router;
#[cfg(feature = "testbed")]
pub mod testbed;
