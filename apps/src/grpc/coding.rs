//! The compression of messages: gzip, or none.

use super::{Code, MESSAGE_BYTES_MAX, Status};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{Read, Write};
use tine_worker::http::Request;

/// Shorter messages are sent as they are.
const WORTH_BYTES_MIN: usize = 64;

/// What `grpc-encoding` of the request says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
}

impl Coding {
    /// The error names what there is no decoder for.
    pub fn of(request: &Request<'_>) -> Result<Coding, Status> {
        match request.headers().get("grpc-encoding") {
            None | Some(b"identity") => Ok(Coding::Identity),
            Some(b"gzip") => Ok(Coding::Gzip),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                Err(Status::new(Code::Unimplemented, format!("no decompressor for the grpc-encoding {other:?}")))
            }
        }
    }
}

/// Whether the client takes messages in gzip.
pub fn takes_gzip(request: &Request<'_>) -> bool {
    let lists = request.headers().all("grpc-accept-encoding");
    lists.flat_map(|list| list.split(|&byte| byte == b',')).any(|one| one.trim_ascii() == b"gzip")
}

/// What a message in gzip has, unless that is too much.
pub fn decompress(message: &[u8]) -> Result<Vec<u8>, Status> {
    let mut plain = Vec::new();
    let mut decoder = GzDecoder::new(message).take(MESSAGE_BYTES_MAX as u64 + 1);
    match decoder.read_to_end(&mut plain) {
        Err(_) => Err(Status::new(Code::Internal, "the message is not in gzip, as its flag says")),
        Ok(bytes) if bytes > MESSAGE_BYTES_MAX => Err(too_large("a decompressed message", "more")),
        Ok(_) => Ok(plain),
    }
}

/// The message in gzip, appended to `out`; false: it is not worth it.
pub fn compress(message: &[u8], out: &mut Vec<u8>) -> bool {
    if message.len() < WORTH_BYTES_MIN {
        return false;
    }
    let mut encoder = GzEncoder::new(out, Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(message).and_then(|()| encoder.finish().map(drop)).is_ok()
}

/// RESOURCE_EXHAUSTED in the words of grpc-go, which people search for.
pub fn too_large(what: &str, bytes: impl std::fmt::Display) -> Status {
    Status::new(Code::ResourceExhausted, format!("{what} is larger than max ({bytes} vs. {MESSAGE_BYTES_MAX})"))
}
