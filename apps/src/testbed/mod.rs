//! The built-in test origin: a backend for testing and measuring proxies, load balancers and gateways.
//!
//! One file per family of endpoints; the table in `endpoints` routes. Paths without an endpoint are echoed, so there is
//! no 404. A path is routed by its decoded form, whichever characters were percent-encoded (RFC 3986, 6.2.2.2), and
//! echoed as it was sent.

mod after_body;
mod bin;
mod chunked;
mod coder;
mod compressed;
mod cookies;
mod delay;
mod draw;
mod echo;
mod endpoints;
mod etag;
mod fault;
mod grpc;
mod headers;
mod help;
mod help_page;
mod hostname;
mod identity;
mod json_text;
mod mix;
mod nousage;
mod numbers;
mod pace;
mod query;
mod random;
mod range;
mod redirect;
mod sse;
mod status;
mod stream;
mod tickets;
mod trickle;
mod upload;
mod websocket;

pub use endpoints::{ENDPOINTS, Endpoint, HelpLine, Routes};

use crate::health;
use crate::percent;
use tine_worker::app::{Answer, App, Cx, RawAccess, WorkerInfo};
use tine_worker::http::{Request, Version};

#[derive(Debug, Clone, Copy)]
pub struct OriginConfig {
    /// Default size of `/stream`, in megabytes.
    pub stream_mb: u64,
    /// Bytes of each chunk of `/stream`, at most 1 MiB.
    pub chunk_bytes: usize,
    /// Access to the connection without framing, for `/fault/...`; without it the faults are turned off.
    pub raw_access: Option<RawAccess>,
}

pub struct Origin {
    config: OriginConfig,
    hostname: String,
    routes: Routes,
    help: help::Help,
    bin: bin::Pattern,
    stream: stream::Pattern,
    compressions: tickets::Tickets,
    descriptors: grpc::Descriptors,
}

impl Origin {
    pub fn new(config: OriginConfig, worker: &WorkerInfo) -> Self {
        Origin {
            config,
            hostname: hostname::hostname(),
            routes: Routes::of(ENDPOINTS),
            help: help::Help::new(config.raw_access.is_some(), worker.root_path),
            bin: bin::Pattern::new(worker.buffer_bytes),
            stream: stream::Pattern::new(config.chunk_bytes),
            compressions: tickets::Tickets::default(),
            descriptors: grpc::Descriptors::default(),
        }
    }
}

impl App for Origin {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        // Load generators request this path endlessly, so it is checked before any decoding.
        if request.path() == "/health" {
            return health::answer(cx);
        }
        if request.version() == Version::Http2
            && let Some(answer) = grpc::answer(self, request, cx)
        {
            return answer;
        }
        let path = percent::decode_text(request.path());
        let (endpoint, rest) = self.routes.find(&path);
        endpoint.answer(self, rest, request, cx)
    }
}
