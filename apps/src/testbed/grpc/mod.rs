//! The origin's gRPC services: hpdummy's EchoService, health checks, reflection, and what interop clients ask. Calls are
//! recognised by their content type, on each listener; so are requests to these services by any other, which get a 415.

mod echo;
mod health;
mod interop;
mod reflection;

use super::Origin;
use crate::grpc::{self, Code, Status};
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

/// The services, by their names.
const SERVICES: [&str; 5] = [
    "echo.EchoService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    "grpc.testing.TestService",
];

/// Of a request in HTTP/2. `None`: it is not of gRPC.
pub fn answer(origin: &Origin, request: &Request<'_>, cx: &Cx<'_>) -> Option<Answer> {
    if request.method() != "POST" {
        return None;
    }
    if !grpc::is_call(request) && !names_a_service(request.path()) {
        return None;
    }
    Some(match request.path() {
        "/echo.EchoService/Echo" => echo::unary(request, cx, &origin.hostname),
        "/echo.EchoService/StreamEcho" => echo::stream(request, cx, &origin.hostname),
        "/grpc.health.v1.Health/Check" => health::check(request, cx),
        "/grpc.health.v1.Health/Watch" => health::watch(request, cx),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
        | "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo" => {
            reflection::answer(request, cx, &origin.descriptors)
        }
        path => match path.strip_prefix("/grpc.testing.TestService/") {
            Some(method) => interop::answer(method, request, cx, &origin.hostname),
            None => grpc::unimplemented(request, cx),
        },
    })
}

pub use reflection::Descriptors;

/// How a call ends that would rest on while the server stops.
fn stopping() -> Status {
    Status::new(Code::Unavailable, "server is shutting down")
}

fn names_a_service(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
    service.is_some_and(|service| SERVICES.contains(&service))
}
