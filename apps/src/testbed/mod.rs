//! The built-in test origin: what people put behind proxies, load balancers and gateways to measure them.
//!
//! One endpoint family a file; this one routes. Paths that are no endpoint are echoed: there is no 404.

mod bin;
mod delay;
mod draw;
mod echo;
mod fault;
mod help;
mod hostname;
mod json_text;
mod query;
mod stream;
mod upload;
mod websocket;

use tine_worker::app::{Answer, App, Cx, RawDoor};
use tine_worker::http::{Request, Response, StatusCode};

#[derive(Debug, Clone, Copy)]
pub struct OriginConfig {
    /// Megabytes of `/stream`.
    pub stream_mb: u64,
    /// Bytes of each chunk of `/stream`, at most 1 MiB.
    pub chunk_bytes: usize,
    /// To bytes without framing, for `/fault/...`; without it that family is turned off.
    pub door: Option<RawDoor>,
}

pub struct Origin {
    config: OriginConfig,
    hostname: String,
    bin: bin::Pattern,
    stream: stream::Pattern,
}

impl Origin {
    pub fn new(config: OriginConfig) -> Self {
        Origin {
            config,
            hostname: hostname::hostname(),
            bin: bin::Pattern::new(),
            stream: stream::Pattern::new(config.chunk_bytes),
        }
    }
}

impl App for Origin {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let path = request.path();
        match path {
            "/health" => return Response::json(StatusCode::OK, "{\"status\":\"ok\"}").into(),
            "/help" => return Response::text(StatusCode::OK, help::TEXT).into(),
            "/upload" => return upload::answer(request, cx, &self.hostname),
            "/stream" => return stream::answer(self.config.stream_mb, &self.stream),
            _ => {}
        }
        if path == "/fault" || path.starts_with("/fault/") {
            return fault::answer(request, self.config.door);
        }
        if let Some(size) = path.strip_prefix("/bin/") {
            return bin::answer(size, request, &self.bin);
        }
        if let Some(megabytes) = path.strip_prefix("/stream/").and_then(stream::megabytes) {
            return stream::answer(megabytes, &self.stream);
        }
        if let Some(delays) = path.strip_prefix("/delay/") {
            return delay::answer(delays, request, cx, &self.hostname);
        }
        if path.starts_with("/ws") {
            return websocket::answer(path, request, cx);
        }
        echo::answer(request, cx, &self.hostname)
    }
}
