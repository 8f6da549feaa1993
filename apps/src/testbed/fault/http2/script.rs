//! A fault over HTTP/2 as data: what is sent on a stream and its connection, step by step, and how the stream ends.
//!
//! As over HTTP/1, the request's body is read and dropped first, and a head has only the fields that a fault gives it. The bytes of a
//! body obey the client's windows; raw frames come after them, once they are sent.

use crate::testbed::after_body;
use crate::testbed::fault::script::PATTERN;
use std::borrow::Cow;
use std::collections::VecDeque;
use tine_worker::app::{Acks, Answer, AppError, Cx, Exchange, Out, Pull, RawAccess, RawFrame, RawStream, StreamEnd};

/// The longest payload that every client accepts (RFC 9113, 4.2).
pub const PAYLOAD_BYTES_MAX: usize = 16_384;

/// What is sent, in order.
#[derive(Debug)]
pub struct Script {
    steps: VecDeque<Step>,
    end: StreamEnd,
}

pub type Field = (&'static str, Cow<'static, str>);

#[derive(Debug)]
enum Step {
    Head {
        fields: Vec<Field>,
        /// Of one more field, which is made only as it is written: many may wait to be.
        fill_bytes: Option<usize>,
        fragment_bytes_max: usize,
    },
    Text(&'static str),
    /// `length` bytes of [`PATTERN`].
    Pattern {
        sent: u64,
        length: u64,
    },
    Frame {
        kind: u8,
        flags: u8,
        on: On,
        payload: Cow<'static, [u8]>,
    },
    /// The beginning of a frame of this length, of which no more comes.
    HalfFrame {
        kind: u8,
        flags: u8,
        length: u8,
        begin: &'static [u8],
    },
    Goaway {
        last: Option<u32>,
        code: u32,
    },
    Withhold(Acks),
}

/// Whose frame it is.
#[derive(Debug, Clone, Copy)]
pub enum On {
    TheStream,
    Another(u32),
}

impl Script {
    /// An empty script, which ends by END_STREAM.
    pub fn new() -> Self {
        Script { steps: VecDeque::new(), end: StreamEnd::Whole }
    }

    /// A response with this Content-Length, whatever body follows.
    pub fn declaring(length: u64) -> Self {
        Script::new().ok(&[("content-length", length.to_string().into())])
    }

    /// The head of a 200 with these fields, too.
    pub fn ok(self, fields: &[Field]) -> Self {
        self.head([&[(":status", "200".into()), ("content-type", "text/plain".into())], fields].concat())
    }

    /// A head of these fields alone.
    pub fn head(self, fields: Vec<Field>) -> Self {
        self.head_in(fields, PAYLOAD_BYTES_MAX)
    }

    /// A head whose frames have at most `fragment_bytes_max` of it.
    pub fn head_in(self, fields: Vec<Field>, fragment_bytes_max: usize) -> Self {
        self.step(Step::Head { fields, fill_bytes: None, fragment_bytes_max })
    }

    /// The head has a field of this length, too.
    pub fn filled(mut self, bytes: usize) -> Self {
        if let Some(Step::Head { fill_bytes, .. }) = self.steps.back_mut() {
            *fill_bytes = Some(bytes);
        }
        self
    }

    pub fn text(self, text: &'static str) -> Self {
        self.step(Step::Text(text))
    }

    /// `length` bytes of [`PATTERN`].
    pub fn pattern(self, length: u64) -> Self {
        self.step(Step::Pattern { sent: 0, length })
    }

    pub fn frame(self, kind: u8, flags: u8, on: On, payload: impl Into<Cow<'static, [u8]>>) -> Self {
        self.step(Step::Frame { kind, flags, on, payload: payload.into() })
    }

    pub fn half_frame(self, kind: u8, flags: u8, length: u8, begin: &'static [u8]) -> Self {
        debug_assert!(begin.len() < usize::from(length));
        self.step(Step::HalfFrame { kind, flags, length, begin })
    }

    pub fn goaway(self, last: Option<u32>, code: u32) -> Self {
        self.step(Step::Goaway { last, code })
    }

    pub fn withhold(self, acks: Acks) -> Self {
        self.step(Step::Withhold(acks))
    }

    pub fn then(mut self, end: StreamEnd) -> Self {
        self.end = end;
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push_back(step);
        self
    }

    pub fn play(self, raw_access: RawAccess) -> Answer {
        after_body::answer(Player { script: self, raw_access, is_queued: false })
    }
}

struct Player {
    script: Script,
    raw_access: RawAccess,
    /// Bytes of the body may not be sent yet: what is raw would overtake them.
    is_queued: bool,
}

impl Exchange for Player {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        while let Some(step) = self.script.steps.front_mut() {
            match step {
                Step::Text(_) | Step::Pattern { .. } => {
                    if !step.write(out)? {
                        return Ok(Pull::More);
                    }
                    self.is_queued = true;
                }
                _ if std::mem::take(&mut self.is_queued) => return Ok(Pull::Sent),
                _ => step.write_raw(&mut out.raw_stream(self.raw_access)?)?,
            }
            self.script.steps.pop_front();
        }
        if self.script.end != StreamEnd::Whole && std::mem::take(&mut self.is_queued) {
            return Ok(Pull::Sent);
        }
        out.raw_stream(self.raw_access)?.end(self.script.end);
        Ok(Pull::End)
    }
}

impl Step {
    /// Writes as much of a body as there is room for; whether that is all.
    fn write(&mut self, out: &mut Out<'_>) -> Result<bool, AppError> {
        match self {
            Step::Text(text) => {
                if !out.has_room() {
                    return Ok(false);
                }
                out.write_static(text.as_bytes())?;
            }
            Step::Pattern { sent, length } => {
                while sent < length {
                    let rest = &PATTERN[(*sent % PATTERN.len() as u64) as usize..];
                    let part = (*length - *sent).min(rest.len().min(out.room()) as u64) as usize;
                    if part == 0 {
                        return Ok(false);
                    }
                    out.write_static(&rest[..part])?;
                    *sent += part as u64;
                }
            }
            _ => {}
        }
        Ok(true)
    }

    fn write_raw(&self, raw: &mut RawStream<'_>) -> Result<(), AppError> {
        match self {
            Step::Head { fields, fill_bytes, fragment_bytes_max } => {
                // `&` takes eight bits of HPACK's Huffman code, so that it is sent as it is.
                let fill = fill_bytes.map(|bytes| vec![b'&'; bytes]);
                let fill = fill.iter().map(|fill| (&b"x-fill"[..], &fill[..]));
                let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                let fields: Vec<_> = fields.chain(fill).collect();
                raw.head(&fields, *fragment_bytes_max)
            }
            Step::Frame { kind, flags, on, payload } => {
                let stream = if let On::Another(id) = on { *id } else { raw.id() };
                raw.frame(RawFrame { kind: *kind, flags: *flags, stream, payload })
            }
            Step::HalfFrame { kind, flags, length, begin } => {
                let id = raw.id().to_be_bytes();
                raw.bytes(&[&[0, 0, *length, *kind, *flags], &id[..], begin].concat())
            }
            Step::Goaway { last, code } => {
                raw.goaway(*last, *code);
                Ok(())
            }
            Step::Withhold(acks) => {
                raw.withhold(*acks);
                Ok(())
            }
            Step::Text(_) | Step::Pattern { .. } => Ok(()),
        }
    }
}
