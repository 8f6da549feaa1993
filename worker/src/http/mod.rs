//! Requests and responses, independent of protocol version and application.

pub mod accept_encoding;
mod body_length;
pub mod conditional;
mod conversion;
mod date;
mod error;
mod fields;
pub(crate) mod known_fields;
pub mod range;
mod request;
mod response;
pub(crate) mod target;
mod weight;

pub use body_length::{BODY_BYTES_MAX, BodyLength};
pub(crate) use date::DateLine;
pub use date::HttpDate;
pub use error::Error;
pub use fields::Fields;
pub use http::StatusCode;
pub(crate) use request::KeptField;
pub use request::{Headers, KeptHeaders, Request, Version};
pub(crate) use response::is_token_byte;
pub use response::{Body, Head, HeaderError, Response, Trailers};
pub use weight::parse_weight;
