//! The built-in test origin: a backend for testing and measuring proxies, load balancers and gateways.
//!
//! One file per family of endpoints; this one routes. Paths without an endpoint are echoed, so there is no 404. A path
//! is routed by its decoded form, whichever characters were percent-encoded (RFC 3986, 6.2.2.2), and echoed as it was
//! sent.

mod accept;
mod after_body;
mod bin;
mod chunked;
mod coder;
mod compressed;
mod cookies;
mod delay;
mod draw;
mod echo;
mod etag;
mod fault;
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

use crate::health;
use crate::percent;
use tine_worker::app::{Answer, App, Cx, RawAccess, WorkerInfo};
use tine_worker::http::Request;

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
    help: help::Help,
    bin: bin::Pattern,
    stream: stream::Pattern,
    compressions: tickets::Tickets,
}

impl Origin {
    pub fn new(config: OriginConfig, worker: &WorkerInfo) -> Self {
        Origin {
            config,
            hostname: hostname::hostname(),
            help: help::Help::new(config.raw_access.is_some()),
            bin: bin::Pattern::new(worker.buffer_bytes),
            stream: stream::Pattern::new(config.chunk_bytes),
            compressions: tickets::Tickets::default(),
        }
    }
}

impl App for Origin {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        // Load generators request this path endlessly, so it is checked before any decoding.
        if request.path() == "/health" {
            return health::answer(cx);
        }
        self.route(&percent::decode_text(request.path()), request, cx)
    }
}

impl Origin {
    /// `path` is decoded; all routing uses it.
    fn route(&mut self, path: &str, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match path {
            "/health" => return health::answer(cx),
            "/help" => return self.help.answer(request),
            "/ip" => return identity::ip(request, cx),
            "/uuid" => return identity::uuid(),
            "/mix" => return mix::answer(request, cx),
            "/upload" => return upload::answer(request, cx, &self.hostname),
            "/sse" => return sse::answer(request),
            "/stream" => return stream::answer(self.config.stream_mb, &self.stream),
            _ => {}
        }
        if path == "/fault" || path.starts_with("/fault/") {
            return fault::answer(path, request, self.config.raw_access);
        }
        if let Some(size) = path.strip_prefix("/bin/") {
            return bin::answer(size, request, self.bin);
        }
        if let Some(count) = path.strip_prefix("/chunked/") {
            return chunked::answer(count, request, self.bin);
        }
        if let Some(bytes) = path.strip_prefix("/trickle/") {
            return trickle::answer(bytes, request, self.bin);
        }
        if let Some(size) = path.strip_prefix("/random/") {
            return random::answer(size, request);
        }
        if let Some(megabytes) = path.strip_prefix("/stream/").and_then(stream::megabytes) {
            return stream::answer(megabytes, &self.stream);
        }
        if let Some(delays) = path.strip_prefix("/delay/") {
            return delay::answer(delays, request, cx, &self.hostname);
        }
        if let Some(code) = path.strip_prefix("/status/") {
            return status::answer(code, request, cx, &self.hostname);
        }
        if let Some(rest) = path.strip_prefix("/nousage") {
            return nousage::answer(rest, request, cx, &self.hostname);
        }
        if let Some(count) = path.strip_prefix("/headers/") {
            return headers::answer(count, request);
        }
        if let Some(count) = path.strip_prefix("/cookies/") {
            return cookies::answer(count, request);
        }
        if let Some(answer) = compressed::answer(path, request, cx, &self.hostname, &self.compressions) {
            return answer;
        }
        if let Some(tag) = path.strip_prefix("/etag/") {
            return etag::answer(tag, request);
        }
        if let Some(size) = path.strip_prefix("/range/") {
            return range::answer(size, request, self.bin);
        }
        if let Some(hops) = path.strip_prefix("/redirect/") {
            return redirect::answer(hops, request);
        }
        if path.starts_with("/ws") {
            return websocket::answer(path, request, cx);
        }
        echo::answer(request, cx, &self.hostname)
    }
}
