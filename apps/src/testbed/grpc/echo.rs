//! hpdummy's EchoService: answers a message with itself, with what was seen of the call, or with the status it asks for.

use super::stopping;
use crate::grpc::{self, Method, Next, Replies, Status};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, encode_varint};
use prost::{DecodeError, Message, length_delimiter_len};
use std::borrow::Cow;
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

/// What differs in the responses of a call: the first fields of echo.proto's EchoResponse.
#[derive(Clone, PartialEq, prost::Message)]
struct Varying {
    #[prost(string, tag = "1")]
    message: String,
    #[prost(int64, tag = "2")]
    request_timestamp: i64,
    #[prost(int64, tag = "3")]
    response_timestamp: i64,
}

/// An EchoResponse: its other fields are the same in each of a call, and encoded once.
#[derive(Debug)]
struct EchoResponse {
    varying: Varying,
    common: Vec<u8>,
}

impl Message for EchoResponse {
    fn encode_raw(&self, to: &mut impl BufMut) {
        self.varying.encode_raw(to);
        to.put_slice(&self.common);
    }

    fn encoded_len(&self) -> usize {
        self.varying.encoded_len() + self.common.len()
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        from: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        self.varying.merge_field(tag, wire_type, from, context)
    }

    fn clear(&mut self) {
        self.varying.clear();
        self.common.clear();
    }
}

pub fn unary(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let common = common(request, hostname);
    grpc::unary(request, cx, move |asked, _| Ok(EchoResponse { varying: echo(asked)?, common }))
}

pub fn stream(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let common = common(request, hostname);
    grpc::call(request, cx, StreamEcho(EchoResponse { varying: Varying::default(), common }))
}

struct StreamEcho(EchoResponse);

impl Method for StreamEcho {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        self.0.varying = echo(grpc::decode(message)?)?;
        replies.send(&self.0)?;
        Ok(Next::Message)
    }

    /// As a WebSocket ends then, between two messages.
    fn on_drain(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Err(stopping())
    }
}

fn echo(asked: EchoRequest) -> Result<Varying, Status> {
    if asked.response_code != 0 {
        let name = code_name(asked.response_code);
        return Err(Status::of_number(asked.response_code, format!("requested error: {name}")));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Varying {
        message: asked.message,
        request_timestamp: asked.timestamp,
        response_timestamp: now.as_nanos() as i64,
    })
}

/// `server_hostname`, `metadata` with the first value of each name, and `method`.
fn common(request: &Request<'_>, hostname: &str) -> Vec<u8> {
    let mut metadata: Vec<_> = grpc::metadata(request).collect();
    metadata.sort_by_key(|&(name, _)| name);
    metadata.dedup_by_key(|&mut (name, _)| name);
    let mut common = Vec::with_capacity(256);
    put(4, hostname.as_bytes(), &mut common);
    for (name, value) in metadata {
        let value = text(name, value);
        put_key(5, field_len(name.as_bytes()) + field_len(&value), &mut common);
        put(1, name.as_bytes(), &mut common);
        put(2, &value, &mut common);
    }
    put(6, request.path().as_bytes(), &mut common);
    common
}

/// Writes a field of text.
fn put(number: u8, value: &[u8], to: &mut Vec<u8>) {
    put_key(number, value.len(), to);
    to.extend_from_slice(value);
}

/// Begins a field that has a length: its number, which is below 16, and its wire type share a byte.
fn put_key(number: u8, length: usize, to: &mut Vec<u8>) {
    to.push(number << 3 | WireType::LengthDelimited as u8);
    encode_varint(length as u64, to);
}

fn field_len(value: &[u8]) -> usize {
    1 + length_delimiter_len(value.len()) + value.len()
}

/// A value of metadata in UTF-8: bytes that are not text are in base64, as they were sent.
fn text<'a>(name: &str, value: &'a [u8]) -> Cow<'a, [u8]> {
    let is_text = |bytes: &[u8]| bytes.is_ascii() || std::str::from_utf8(bytes).is_ok();
    match if name.ends_with("-bin") { grpc::binary(value) } else { None } {
        Some(bytes) if is_text(&bytes) => bytes.into(),
        Some(bytes) => STANDARD.encode(bytes).into_bytes().into(),
        None if is_text(value) => value.into(),
        None => String::from_utf8_lossy(value).into_owned().into_bytes().into(),
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
