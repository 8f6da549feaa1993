//! A gRPC service of your own: `cargo run -p tine --features grpc --example own_grpc 50051`. Its messages are derived here; of
//! a .proto file, prost-build makes the same.

use prost::Message;
use std::process::ExitCode;
use tine::app::{Answer, App, Cx};
use tine::grpc::{self, Code, Method, Next, Replies, Status};
use tine::http::Request;
use tine::{Server, ServerError};

#[derive(Clone, PartialEq, Message)]
struct HelloRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct HelloReply {
    #[prost(string, tag = "1")]
    message: String,
}

struct Greeter;

impl App for Greeter {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.path() {
            "/helloworld.Greeter/SayHello" => grpc::unary(request, cx, |asked: HelloRequest, _| match &*asked.name {
                "" => Err(Status::new(Code::InvalidArgument, "whom?")),
                name => Ok(HelloReply { message: format!("Hello {name}") }),
            }),
            "/helloworld.Greeter/SayHelloBidiStream" => grpc::call(request, cx, Greetings { number: 0 }),
            _ => grpc::unimplemented(request, cx),
        }
    }
}

/// A reply to each message.
struct Greetings {
    number: u32,
}

impl Method for Greetings {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        let HelloRequest { name } = grpc::decode(message)?;
        self.number += 1;
        replies.send(&HelloReply { message: format!("Hello {name}, number {}", self.number) })?;
        Ok(Next::Message)
    }
}

fn serve() -> Result<ExitCode, ServerError> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "50051".to_string());
    let server = Server::builder().name("a gRPC service").bind(format!("127.0.0.1:{port}")).workers(2).quiet(false);
    server.serve(|_worker| Ok(Box::new(Greeter)))
}

pub fn main() -> ExitCode {
    serve().unwrap_or_else(|error| {
        eprintln!("own_grpc: {error}");
        ExitCode::FAILURE
    })
}
