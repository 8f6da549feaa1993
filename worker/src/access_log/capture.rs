//! What a line has of its request, between that and the line's end.

use super::datum::Room;
use crate::app::Tls;
use crate::http::Request;
use std::net::SocketAddr;
use std::time::Instant;

/// The most that an empty capture keeps allocated.
const KEPT_BYTES_MAX: usize = 4096;

/// What is known of a request while it is in the input.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub head: Asking<'a>,
    pub client: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    pub request_id: Option<&'a str>,
    pub began: Instant,
    pub tls: Option<&'a Tls>,
}

#[derive(Clone, Copy)]
pub enum Asking<'a> {
    Request(&'a Request<'a>),
    /// What has arrived of a head that was refused; empty if nothing was read.
    Refused(&'a [u8]),
}

/// What was rendered of a line before its end.
#[derive(Debug, Default)]
pub struct Capture {
    pub(super) bytes: Vec<u8>,
    /// Where the response's pieces begin, once there are some.
    pub(super) response_at: Option<usize>,
    pub(super) room: Room,
}

impl Capture {
    /// Empties it, to be used again; false: it is too large to be kept.
    pub fn clear(&mut self) -> bool {
        self.bytes.clear();
        self.response_at = None;
        self.bytes.capacity() <= KEPT_BYTES_MAX
    }
}
