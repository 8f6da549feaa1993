//! Applications that come with Tine. They see `tine_worker::app` and `tine_worker::http` and nothing deeper: they are
//! written as any user's app would be.
#![forbid(unsafe_code)]

pub mod files;
pub mod health;
pub mod lua;
mod percent;
mod pieces;
pub mod router;
pub mod testbed;
