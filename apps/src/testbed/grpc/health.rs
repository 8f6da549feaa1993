//! grpc.health.v1: the server, and each of its services, is serving until it begins to stop.

use super::{SERVICES, stopping};
use crate::grpc::{self, Code, Method, Next, Replies, Status};
use std::time::Duration;
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;
const SERVICE_UNKNOWN: i32 = 3;

/// How often a watch looks whether the server is about to stop (`--drain-delay`): of that nothing wakes it.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

pub fn check(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let status = now(cx);
    grpc::unary(request, cx, move |asked: HealthCheckRequest, _| match is_known(&asked.service) {
        true => Ok(HealthCheckResponse { status }),
        false => Err(Status::new(Code::NotFound, "unknown service")),
    })
}

pub fn watch(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    grpc::call(request, cx, Watch { is_known: true, told: None })
}

/// Its client is told at once, and at each change.
struct Watch {
    is_known: bool,
    told: Option<i32>,
}

impl Method for Watch {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let asked: HealthCheckRequest = grpc::decode(message)?;
        self.is_known = is_known(&asked.service);
        self.go_on(replies, cx)
    }

    fn on_end(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Err(Status::new(Code::Internal, "the call has no message"))
    }

    fn go_on(&mut self, replies: &mut Replies, cx: &Cx<'_>) -> Result<Next, Status> {
        let status = if self.is_known { now(cx) } else { SERVICE_UNKNOWN };
        if self.told.replace(status) != Some(status) {
            replies.send(&HealthCheckResponse { status })?;
        }
        match cx.is_draining() {
            // The worker ends: the client asks another one.
            true => Err(stopping()),
            false => Ok(Next::NotBefore(cx.now() + LOOK)),
        }
    }
}

fn now(cx: &Cx<'_>) -> i32 {
    if cx.is_lame_duck() || cx.is_draining() { NOT_SERVING } else { SERVING }
}

/// The server as a whole has no name.
fn is_known(service: &str) -> bool {
    service.is_empty() || SERVICES.contains(&service)
}
