//! What a call sends: metadata, messages, and metadata at its end.

use super::coding::{self, too_large};
use super::held::Held;
use super::inbox::PREFIX_BYTES;
use super::metadata::encode_binary;
use super::{CONTENT_TYPE, MESSAGE_BYTES_MAX, Status};
use bytes::Bytes;
use prost::Message;
use std::borrow::Cow;
use tine_worker::app::{AppError, Out};
use tine_worker::http::{Head, StatusCode, Trailers};

/// While this much waits, a method is not called.
const WAITING_BYTES_MAX: usize = 64 << 10;
/// What is longer is not copied any more.
const SHARED_BYTES_MIN: usize = 16 << 10;

type Field = (Cow<'static, str>, Cow<'static, str>);

/// Where a [`Method`](super::Method) replies.
#[derive(Default)]
pub struct Replies {
    /// Messages with their prefixes, in order: first what is left of this, then `small`.
    large: Bytes,
    small: Vec<u8>,
    held: Held,
    initial: Vec<Field>,
    trailing: Vec<Field>,
    /// The client takes messages in gzip.
    takes_gzip: bool,
    /// Messages from now on are in gzip, and the head says so.
    compresses: bool,
    announces_gzip: bool,
    has_head: bool,
    /// The message that is being answered came in gzip.
    pub(super) got_compressed: bool,
}

impl Replies {
    pub(super) fn new(takes_gzip: bool) -> Replies {
        Replies { takes_gzip, ..Replies::default() }
    }

    /// Sends a message.
    pub fn send(&mut self, message: &impl Message) -> Result<(), Status> {
        let length = message.encoded_len();
        if length > MESSAGE_BYTES_MAX {
            return Err(too_large("the message to send", length));
        }
        self.held.admit(self.waiting_bytes() + length)?;
        if self.compresses {
            self.send_compressed(&message.encode_to_vec());
        } else {
            self.begin(0, length);
            message.encode_raw(&mut self.small);
        }
        self.held.set(self.waiting_bytes());
        Ok(())
    }

    fn send_compressed(&mut self, message: &[u8]) {
        self.begin(1, 0);
        let start = self.small.len();
        if !coding::compress(message, &mut self.small) {
            self.small.extend_from_slice(message);
            self.small[start - PREFIX_BYTES] = 0;
        }
        let length = (self.small.len() - start) as u32;
        self.small[start - 4..start].copy_from_slice(&length.to_be_bytes());
    }

    fn begin(&mut self, flag: u8, length: usize) {
        if self.large.is_empty() && self.small.len() >= SHARED_BYTES_MIN {
            self.large = std::mem::take(&mut self.small).into();
        }
        self.small.reserve(PREFIX_BYTES + length);
        self.small.push(flag);
        self.small.extend_from_slice(&(length as u32).to_be_bytes());
    }

    /// Metadata before the first message: without effect once that is sent. A `-bin` name needs [`Replies::initial_binary`].
    pub fn initial(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        self.initial.push((name.into(), value.into()));
    }

    /// The same with any bytes, for a name that ends in `-bin`.
    pub fn initial_binary(&mut self, name: impl Into<Cow<'static, str>>, value: &[u8]) {
        self.initial(name, encode_binary(value));
    }

    /// Metadata after the last message.
    pub fn trailing(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) {
        self.trailing.push((name.into(), value.into()));
    }

    /// The same with any bytes, for a name that ends in `-bin`.
    pub fn trailing_binary(&mut self, name: impl Into<Cow<'static, str>>, value: &[u8]) {
        self.trailing(name, encode_binary(value));
    }

    /// Whether messages from now on are sent in gzip, if the client takes that. What the client compressed is answered so
    /// anyway. To compress later ones only, call it before the first, too: the head has to say it.
    pub fn compress(&mut self, yes: bool) {
        self.announces_gzip |= self.takes_gzip && !self.has_head;
        self.compresses = yes && self.announces_gzip;
    }

    /// Whether the message that is being answered came compressed.
    pub fn got_compressed(&self) -> bool {
        self.got_compressed
    }

    fn waiting_bytes(&self) -> usize {
        self.large.len() + self.small.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting_bytes() >= WAITING_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting_bytes() == 0
    }

    /// Writes what there is room for.
    pub(super) fn write(&mut self, out: &mut Out<'_>) -> Result<(), AppError> {
        if self.is_empty() {
            return Ok(());
        }
        self.write_head(out)?;
        self.write_messages(out)?;
        self.held.set(self.waiting_bytes());
        Ok(())
    }

    fn write_messages(&mut self, out: &mut Out<'_>) -> Result<(), AppError> {
        loop {
            if self.large.is_empty() && self.small.len() >= SHARED_BYTES_MIN {
                self.large = std::mem::take(&mut self.small).into();
            }
            let room = out.room();
            if room == 0 {
                return Ok(());
            }
            if self.large.is_empty() {
                if !self.small.is_empty() {
                    out.write(&self.small)?;
                    self.small.clear();
                }
                return Ok(());
            }
            out.write_shared(self.large.split_to(room.min(self.large.len())))?;
        }
    }

    fn write_head(&mut self, out: &mut Out<'_>) -> Result<(), AppError> {
        if !std::mem::replace(&mut self.has_head, true) {
            out.head(self.head())?;
        }
        Ok(())
    }

    fn head(&mut self) -> Head {
        let mut head = Head::new(StatusCode::OK).content_type(CONTENT_TYPE);
        if self.announces_gzip {
            head = head.header("grpc-encoding", "gzip");
        }
        self.initial.drain(..).fold(head, |head, (name, value)| head.header(name, value))
    }

    /// Ends the response: after messages by trailers, and otherwise, unless the status is OK, by the head alone.
    pub(super) fn write_status(&mut self, status: &Status, out: &mut Out<'_>) -> Result<(), AppError> {
        if !self.has_head && !status.is_ok() {
            // Of a coding that there is no decoder for, the client has to be told which there are (compression.md).
            let head = self.head().header("grpc-accept-encoding", "identity,gzip");
            let head = self.status_fields(status).fold(head, |head, (name, value)| head.header(name, value));
            return out.head(head);
        }
        self.write_head(out)?;
        let fields = self.status_fields(status);
        out.trailers(fields.fold(Trailers::new(), |trailers, (name, value)| trailers.field(name, value)))
    }

    fn status_fields(&mut self, status: &Status) -> impl Iterator<Item = Field> {
        let number = ("grpc-status".into(), status.number());
        let message = status.encoded_message().map(|message| ("grpc-message".into(), message));
        std::iter::once(number).chain(message).chain(self.trailing.drain(..))
    }
}
