//! gRPC for applications: its messages, metadata, deadlines and statuses over an [`Exchange`](tine_worker::app::Exchange) of
//! HTTP/2. An application routes by [`Request::path`](tine_worker::http::Request::path), as it does for anything else.
//!
//! - a call with one message each way: [`unary`]
//! - any other call: a [`Method`], passed to [`call`]
//! - a path that it does not serve: [`unimplemented()`]
//!
//! ```
//! # mod tine { pub use tine_apps::grpc; pub use tine_worker::{app, http}; }
//! use tine::app::{Answer, App, Cx};
//! use tine::grpc;
//! use tine::http::Request;
//!
//! #[derive(prost::Message)]
//! struct Name {
//!     #[prost(string, tag = "1")]
//!     name: String,
//! }
//!
//! struct Greeter;
//!
//! impl App for Greeter {
//!     fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
//!         match request.path() {
//!             "/greeter.Greeter/Hello" => {
//!                 grpc::unary(request, cx, |asked: Name, _| Ok(Name { name: format!("hello {}", asked.name) }))
//!             }
//!             _ => grpc::unimplemented(request, cx),
//!         }
//!     }
//! }
//! ```

mod coding;
mod exchange;
mod held;
mod inbox;
mod metadata;
mod method;
mod replies;
mod status;
mod unary;

pub use metadata::{binary, metadata};
pub use method::{Method, Next};
pub use replies::Replies;
pub use status::{Code, Status};
pub use unary::decode;

use exchange::Call;
use prost::Message;
use tine_worker::app::{Answer, Cx};
use tine_worker::http::{Request, Response, StatusCode, Version};

/// The most that a message may have, on its way and after its decompression.
pub const MESSAGE_BYTES_MAX: usize = 10 << 20;

pub(crate) const CONTENT_TYPE: &str = "application/grpc";

/// Whether a request is a call of gRPC: it is in HTTP/2, and of a content type that is answered.
pub fn is_call(request: &Request<'_>) -> bool {
    request.version() == Version::Http2 && request.headers().get("content-type").is_some_and(is_answered)
}

/// Answers a call with one message each way. The error of the function is the call's status.
pub fn unary<Q, A>(
    request: &Request<'_>,
    cx: &Cx<'_>,
    answer: impl FnOnce(Q, &mut Replies) -> Result<A, Status> + 'static,
) -> Answer
where
    Q: Message + Default + 'static,
    A: Message + 'static,
{
    call(request, cx, unary::Unary::new(answer))
}

/// Answers a call of any shape.
pub fn call(request: &Request<'_>, cx: &Cx<'_>, method: impl Method + 'static) -> Answer {
    answer(request, || Call::new(request, cx, method))
}

/// Answers a call of a method that there is not.
pub fn unimplemented(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let status = Status::new(Code::Unimplemented, format!("unknown method {}", request.path()));
    answer(request, || Call::refused(request, cx, status))
}

fn answer<M: Method + 'static>(request: &Request<'_>, begin: impl FnOnce() -> Call<M>) -> Answer {
    match refusal(request) {
        Some(response) => response.into(),
        None => Answer::exchange(begin()),
    }
}

/// Other requests get an answer of HTTP.
fn refusal(request: &Request<'_>) -> Option<Response> {
    let text = |status, text: &'static str| Some(Response::text(status, text));
    if request.version() != Version::Http2 {
        return text(StatusCode::HTTP_VERSION_NOT_SUPPORTED, "gRPC needs HTTP/2\n");
    }
    if request.method() != "POST" {
        let response = Response::text(StatusCode::METHOD_NOT_ALLOWED, "a call of gRPC is a POST\n");
        return Some(response.header("Allow", "POST"));
    }
    match request.headers().get("content-type").is_some_and(is_answered) {
        true => None,
        false => text(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a call of gRPC has the content type application/grpc\n"),
    }
}

/// Messages are in Protocol Buffers, which may be said.
fn is_answered(content_type: &[u8]) -> bool {
    let name = content_type.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
    name.eq_ignore_ascii_case(CONTENT_TYPE.as_bytes()) || name.eq_ignore_ascii_case(b"application/grpc+proto")
}
