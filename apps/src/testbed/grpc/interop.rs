//! grpc.testing.TestService, as the official interop clients ask it (grpc/grpc: doc/interop-test-descriptions.md).

mod messages;

use super::stopping;
use crate::grpc::{self, Code, MESSAGE_BYTES_MAX, Method, Next, Replies, Status};
use messages::{
    BoolValue, EchoStatus, Empty, Payload, ResponseParameters, SimpleRequest, SimpleResponse,
    StreamingInputCallRequest, StreamingInputCallResponse, StreamingOutputCallRequest, StreamingOutputCallResponse,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

/// Metadata that is returned: at the beginning, and at the end.
const ECHO_INITIAL: &str = "x-grpc-test-echo-initial";
const ECHO_TRAILING: &str = "x-grpc-test-echo-trailing-bin";
/// How many replies a half-duplex call may ask for in all.
const ASKED_MAX: usize = 100_000;

pub fn answer(method: &str, request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let echoes = Echoes::of(request);
    match method {
        "EmptyCall" => grpc::unary(request, cx, move |_: Empty, replies| {
            echoes.echo(replies);
            Ok(Empty {})
        }),
        "UnaryCall" => {
            let hostname = hostname.to_string();
            grpc::unary(request, cx, move |asked, replies| {
                echoes.echo(replies);
                simple(asked, hostname, replies)
            })
        }
        "StreamingInputCall" => grpc::call(request, cx, Input { echoes, bytes: 0 }),
        "StreamingOutputCall" | "FullDuplexCall" => grpc::call(request, cx, Output::new(echoes, false)),
        "HalfDuplexCall" => grpc::call(request, cx, Output::new(echoes, true)),
        _ => grpc::unimplemented(request, cx),
    }
}

fn simple(asked: SimpleRequest, hostname: String, replies: &mut Replies) -> Result<SimpleResponse, Status> {
    came_as_said(asked.expect_compressed.as_ref(), replies)?;
    ended_by(asked.response_status.as_ref())?;
    if let Some(compressed) = &asked.response_compressed {
        replies.compress(compressed.value);
    }
    let payload = (asked.response_size != 0).then(|| payload(asked.response_size)).transpose()?;
    Ok(SimpleResponse { payload, hostname, ..SimpleResponse::default() })
}

/// The status that the message asks for.
fn ended_by(status: Option<&EchoStatus>) -> Result<(), Status> {
    match status {
        Some(status) if status.code != 0 => Err(Status::of_number(status.code, status.message.clone())),
        _ => Ok(()),
    }
}

/// Interop clients probe whether the server sees what is compressed.
fn came_as_said(expected: Option<&BoolValue>, replies: &Replies) -> Result<(), Status> {
    match expected {
        Some(expected) if expected.value && !replies.got_compressed() => {
            Err(Status::new(Code::InvalidArgument, "the message is not compressed, as it says"))
        }
        _ => Ok(()),
    }
}

fn payload(size: i32) -> Result<Payload, Status> {
    match usize::try_from(size) {
        Err(_) => Err(Status::new(Code::InvalidArgument, "a payload has a size of at least 0")),
        Ok(size) if size > MESSAGE_BYTES_MAX => {
            Err(Status::new(Code::ResourceExhausted, format!("a payload has at most {MESSAGE_BYTES_MAX} bytes")))
        }
        Ok(size) => Ok(Payload { kind: 0, body: vec![0; size] }),
    }
}

/// Metadata that the call returns.
struct Echoes {
    initial: Option<String>,
    trailing: Option<Vec<u8>>,
}

impl Echoes {
    fn of(request: &Request<'_>) -> Echoes {
        let initial = request.headers().get(ECHO_INITIAL).and_then(|value| String::from_utf8(value.to_vec()).ok());
        Echoes { initial, trailing: request.headers().get(ECHO_TRAILING).and_then(grpc::binary) }
    }

    fn echo(&self, replies: &mut Replies) {
        if let Some(value) = &self.initial {
            replies.initial(ECHO_INITIAL, value.clone());
        }
        if let Some(value) = &self.trailing {
            replies.trailing_binary(ECHO_TRAILING, value);
        }
    }
}

/// Counts the bytes that come.
struct Input {
    echoes: Echoes,
    bytes: u64,
}

impl Method for Input {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        let message: StreamingInputCallRequest = grpc::decode(message)?;
        came_as_said(message.expect_compressed.as_ref(), replies)?;
        self.bytes += message.payload.map_or(0, |payload| payload.body.len()) as u64;
        Ok(Next::Message)
    }

    fn on_end(&mut self, replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        self.echoes.echo(replies);
        let aggregated_payload_size = i32::try_from(self.bytes).unwrap_or(i32::MAX);
        replies.send(&StreamingInputCallResponse { aggregated_payload_size })?;
        Ok(Next::End)
    }
}

/// Sends what each message asks for: before the next message, or all at the end.
struct Output {
    echoes: Echoes,
    waits_for_end: bool,
    has_ended: bool,
    is_first: bool,
    asked: VecDeque<ResponseParameters>,
    next_at: Option<Instant>,
}

impl Output {
    fn new(echoes: Echoes, waits_for_end: bool) -> Output {
        Output { echoes, waits_for_end, has_ended: false, is_first: true, asked: VecDeque::new(), next_at: None }
    }

    fn rest(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let Some(first) = self.asked.front() else {
            return Ok(if self.has_ended { Next::End } else { Next::Message });
        };
        let pause = Duration::from_micros(u64::try_from(first.interval_us).unwrap_or(0));
        let at = *self.next_at.get_or_insert(cx.now() + pause);
        if !pause.is_zero() && cx.now() < at {
            return Ok(Next::NotBefore(at));
        }
        replies.compress(first.compressed.as_ref().is_some_and(|compressed| compressed.value));
        replies.send(&StreamingOutputCallResponse { payload: Some(payload(first.size)?) })?;
        self.asked.pop_front();
        self.next_at = None;
        Ok(if self.asked.is_empty() && !self.has_ended { Next::Message } else { Next::More })
    }
}

impl Method for Output {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let message: StreamingOutputCallRequest = grpc::decode(message)?;
        if std::mem::take(&mut self.is_first) {
            self.echoes.echo(replies);
        }
        ended_by(message.response_status.as_ref())?;
        if self.asked.len() + message.response_parameters.len() > ASKED_MAX {
            return Err(Status::new(Code::ResourceExhausted, format!("a call asks for at most {ASKED_MAX} replies")));
        }
        self.asked.extend(message.response_parameters);
        if self.waits_for_end { Ok(Next::Message) } else { self.rest(replies, cx) }
    }

    fn on_end(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        self.has_ended = true;
        self.rest(replies, cx)
    }

    fn go_on(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        self.rest(replies, cx)
    }

    fn on_drain(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Err(stopping())
    }
}
