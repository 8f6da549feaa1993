//! Server reflection, v1 and v1alpha, which have the same messages: grpcurl and its like learn from it what they can call.
//! The descriptors are those of the files in proto/, as protoc wrote them (proto/make).

use super::{SERVICES, stopping};
use crate::grpc::{self, Code, Method, Next, Replies, Status};
use prost::Message;
use std::rc::Rc;
use tine_worker::app::{Answer, Cx};
use tine_worker::http::Request;

const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

/// A FileDescriptorSet with its files as they are sent.
#[derive(Clone, PartialEq, prost::Message)]
struct FileSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// What is looked up in a FileDescriptorProto.
#[derive(Clone, PartialEq, prost::Message)]
struct FileNames {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(message, repeated, tag = "4")]
    messages: Vec<Named>,
    #[prost(message, repeated, tag = "5")]
    enums: Vec<Named>,
    #[prost(message, repeated, tag = "6")]
    services: Vec<Service>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Named {
    #[prost(string, tag = "1")]
    name: String,
    /// Within a message; an enum has numbers there.
    #[prost(message, repeated, tag = "3")]
    nested: Vec<Nested>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Nested {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Service {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    methods: Vec<Nested>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServerReflectionRequest {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Asked", tags = "3, 4, 5, 6, 7")]
    asked: Option<Asked>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Asked {
    #[prost(string, tag = "3")]
    FileByFilename(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    #[prost(message, tag = "5")]
    FileContainingExtension(ExtensionRequest),
    #[prost(string, tag = "6")]
    AllExtensionNumbersOfType(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExtensionRequest {
    #[prost(string, tag = "1")]
    containing_type: String,
    #[prost(int32, tag = "2")]
    extension_number: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ServerReflectionResponse {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<ServerReflectionRequest>,
    #[prost(oneof = "Found", tags = "4, 5, 6, 7")]
    found: Option<Found>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Found {
    #[prost(message, tag = "4")]
    Files(FileSet),
    #[prost(message, tag = "5")]
    ExtensionNumbers(ExtensionNumbers),
    #[prost(message, tag = "6")]
    Services(Services),
    #[prost(message, tag = "7")]
    Error(ErrorResponse),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ExtensionNumbers {
    #[prost(string, tag = "1")]
    base_type_name: String,
    #[prost(int32, repeated, tag = "2")]
    numbers: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Services {
    #[prost(message, repeated, tag = "1")]
    services: Vec<Nested>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorResponse {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The files, each with its full names. Parsed when they are first asked for.
#[derive(Default)]
pub struct Descriptors(std::cell::OnceCell<Rc<Vec<File>>>);

struct File {
    name: String,
    bytes: Vec<u8>,
    symbols: Vec<String>,
}

pub fn answer(request: &Request<'_>, cx: &Cx<'_>, descriptors: &Descriptors) -> Answer {
    let files = descriptors.0.get_or_init(|| Rc::new(parse())).clone();
    grpc::call(request, cx, Reflection { files })
}

struct Reflection {
    files: Rc<Vec<File>>,
}

impl Method for Reflection {
    fn on_message(&mut self, message: &[u8], replies: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        let request: ServerReflectionRequest = grpc::decode(message)?;
        let found = match &request.asked {
            None => return Err(Status::new(Code::InvalidArgument, "the request asks for nothing")),
            Some(asked) => self.find(asked),
        };
        let valid_host = request.host.clone();
        replies.send(&ServerReflectionResponse { valid_host, original_request: Some(request), found: Some(found) })?;
        Ok(Next::Message)
    }

    fn on_drain(&mut self, _: &mut Replies, _: &Cx<'_>) -> Result<Next, Status> {
        Err(stopping())
    }
}

impl Reflection {
    fn find(&self, asked: &Asked) -> Found {
        match asked {
            Asked::ListServices(_) => {
                let services = SERVICES.iter().map(|name| Nested { name: name.to_string() }).collect();
                Found::Services(Services { services })
            }
            Asked::FileByFilename(name) => self.file(|file| file.name == *name, name),
            Asked::FileContainingSymbol(symbol) => self.file(|file| file.symbols.contains(symbol), symbol),
            // No file has extensions.
            Asked::FileContainingExtension(extension) => not_found(&extension.containing_type),
            Asked::AllExtensionNumbersOfType(name) => match self.files.iter().any(|file| file.symbols.contains(name)) {
                true => Found::ExtensionNumbers(ExtensionNumbers { base_type_name: name.clone(), numbers: Vec::new() }),
                false => not_found(name),
            },
        }
    }

    /// No file imports another.
    fn file(&self, is_it: impl Fn(&File) -> bool, name: &str) -> Found {
        match self.files.iter().find(|file| is_it(file)) {
            Some(file) => Found::Files(FileSet { files: vec![file.bytes.clone()] }),
            None => not_found(name),
        }
    }
}

fn not_found(name: &str) -> Found {
    Found::Error(ErrorResponse { code: Code::NotFound as i32, message: format!("{name} is not known") })
}

fn parse() -> Vec<File> {
    let set = FileSet::decode(DESCRIPTORS).expect("protoc has written a FileDescriptorSet");
    set.files.into_iter().map(parse_file).collect()
}

fn parse_file(bytes: Vec<u8>) -> File {
    let names = FileNames::decode(&*bytes).expect("protoc has written a FileDescriptorProto");
    let package = &names.package;
    let mut symbols = Vec::new();
    for message in &names.messages {
        symbols.push(format!("{package}.{}", message.name));
        symbols.extend(message.nested.iter().map(|nested| format!("{package}.{}.{}", message.name, nested.name)));
    }
    symbols.extend(names.enums.iter().map(|one| format!("{package}.{}", one.name)));
    for service in &names.services {
        symbols.push(format!("{package}.{}", service.name));
        symbols.extend(service.methods.iter().map(|method| format!("{package}.{}.{}", service.name, method.name)));
    }
    File { name: names.name, bytes, symbols }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_descriptors_have_each_service_and_no_other() {
        let files = parse();
        for service in SERVICES {
            assert!(files.iter().any(|file| file.symbols.iter().any(|symbol| symbol == service)), "{service}");
        }
        let names: usize =
            files.iter().map(|file| FileNames::decode(&*file.bytes).expect("a file").services.len()).sum();
        assert_eq!(names, SERVICES.len());
        let symbols: Vec<_> = files.iter().flat_map(|file| &file.symbols).collect();
        for symbol in ["echo.EchoRequest", "echo.EchoService.Echo", "grpc.testing.PayloadType"] {
            assert!(symbols.iter().any(|known| *known == symbol), "{symbol}");
        }
    }
}
