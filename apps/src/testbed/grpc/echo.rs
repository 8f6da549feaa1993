//! hpdummy's EchoService: answers a message with itself, with what was seen of the call, or with the status it asks for.

use super::stopping;
use crate::grpc::{self, Method, Next, Replies, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

#[derive(Clone, PartialEq, prost::Message)]
struct EchoRequest {
    #[prost(string, tag = "1")]
    message: String,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int32, tag = "3")]
    response_code: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EchoResponse {
    #[prost(string, tag = "1")]
    message: String,
    #[prost(int64, tag = "2")]
    request_timestamp: i64,
    #[prost(int64, tag = "3")]
    response_timestamp: i64,
    #[prost(string, tag = "4")]
    server_hostname: String,
    #[prost(btree_map = "string, string", tag = "5")]
    metadata: BTreeMap<String, String>,
    #[prost(string, tag = "6")]
    method: String,
    #[prost(int32, tag = "7")]
    response_code: i32,
}

pub fn unary(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let mut template = Template::new(request, hostname);
    grpc::unary(request, cx, move |asked, _| {
        template.fill(asked)?;
        Ok(template.0)
    })
}

pub fn stream(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    grpc::call(request, cx, StreamEcho(Template::new(request, hostname)))
}

struct StreamEcho(Template);

impl Method for StreamEcho {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        self.0.fill(grpc::decode(message)?)?;
        replies.send(&self.0.0)?;
        Ok(Next::Message)
    }

    /// As a WebSocket ends then, between two messages.
    fn on_drain(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Err(stopping())
    }
}

/// All responses of a call: only the message and the times differ.
struct Template(EchoResponse);

impl Template {
    fn new(request: &Request<'_>, hostname: &str) -> Template {
        let mut metadata = BTreeMap::new();
        for (name, value) in grpc::metadata(request) {
            metadata.entry(name.to_string()).or_insert_with(|| text(name, value));
        }
        let (server_hostname, method) = (hostname.to_string(), request.path().to_string());
        Template(EchoResponse { metadata, server_hostname, method, ..EchoResponse::default() })
    }

    fn fill(&mut self, asked: EchoRequest) -> Result<(), Status> {
        if asked.response_code != 0 {
            let name = code_name(asked.response_code);
            return Err(Status::of_number(asked.response_code, format!("requested error: {name}")));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.0.message = asked.message;
        self.0.request_timestamp = asked.timestamp;
        self.0.response_timestamp = now.as_nanos() as i64;
        Ok(())
    }
}

/// A value of metadata as text: bytes that are none are in base64, as they were sent.
fn text(name: &str, value: &[u8]) -> String {
    match grpc::binary(value).filter(|_| name.ends_with("-bin")) {
        Some(bytes) => String::from_utf8(bytes).unwrap_or_else(|error| STANDARD.encode(error.as_bytes())),
        None => String::from_utf8_lossy(value).into_owned(),
    }
}

/// As grpc-go writes a code.
fn code_name(code: i32) -> String {
    const NAMES: [&str; 17] = [
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    ];
    let name = usize::try_from(code).ok().and_then(|code| NAMES.get(code));
    name.map_or_else(|| format!("Code({})", code as u32), |name| name.to_string())
}
