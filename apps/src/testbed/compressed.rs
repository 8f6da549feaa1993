//! `/gzip`, `/brotli`, `/zstd`: the echo in that coding, if the client accepts it.
//!
//! Without Accept-Encoding any coding is acceptable (RFC 9110, 12.5.3), and the path asks for this one. The length is
//! declared, so the whole body is coded before the head is written: in slices, between which other connections get
//! their turn, and only one long body at a time per worker, so that a single encoder holds a long body's memory.

use super::Origin;
use super::coder::{Coder, Coding, SLICE_BYTES};
use super::echo::{EchoedBody, Reply, RequestJson};
use super::query;
use super::tickets::{Ticket, Tickets};
use std::io;
use std::time::Duration;
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::accept_encoding::{Choice, choose};
use tine_worker::http::{Head, Request, Response, StatusCode};

/// A ticket waits for its turn at most this long before it is looked at again.
const WAIT_MAX: Duration = Duration::from_secs(3600);

pub fn answer(coding: Coding, origin: &Origin, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    let level = match query::number(request, "level", coding.levels()) {
        Ok(level) => level.unwrap_or(coding.default_level()),
        Err(text) => return Response::text(StatusCode::BAD_REQUEST, text).into(),
    };
    let is_coded = match choose(request.headers(), &[coding.token()]) {
        Choice::Coding(_) => true,
        Choice::Identity => false,
        Choice::NotAcceptable => {
            let text = format!("406 Not Acceptable: Accept-Encoding allows neither {} nor identity\n", coding.token());
            let response = Response::text(StatusCode::NOT_ACCEPTABLE, text);
            return response.header("Vary", "Accept-Encoding").into();
        }
    };
    let mut json = RequestJson::new(request, cx, &origin.hostname);
    json.insert(field(coding), is_coded);
    let stage = Stage::Reading { json, body: EchoedBody::default() };
    Answer::exchange(Compressed { stage, is_coded, coding, level, tickets: origin.compressions.clone() })
}

/// The field of the JSON that says whether the echo is coded.
fn field(coding: Coding) -> &'static str {
    match coding {
        Coding::Gzip => "gzipped",
        Coding::Brotli => "brotli",
        Coding::Zstd => "zstd",
    }
}

struct Compressed {
    stage: Stage,
    /// The coding, if the client accepts it; otherwise the echo is sent without one.
    is_coded: bool,
    coding: Coding,
    level: u64,
    tickets: Tickets,
}

enum Stage {
    Reading {
        json: RequestJson,
        body: EchoedBody,
    },
    Plain(Reply),
    /// A long body waits for its turn.
    Waiting {
        reply: Reply,
        ticket: Ticket,
    },
    Coding {
        reply: Reply,
        coder: Box<Coder>,
        ticket: Option<Ticket>,
    },
    /// The head is written.
    Coded(Vec<u8>),
}

impl Exchange for Compressed {
    fn push(&mut self, bytes: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        if let Stage::Reading { body, .. } = &mut self.stage {
            body.push(bytes, end);
        }
        Ok(bytes.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        loop {
            let stage = std::mem::replace(&mut self.stage, Stage::Coded(Vec::new()));
            let (stage, pull) = self.step(stage, out, cx)?;
            self.stage = stage;
            if let Some(pull) = pull {
                return Ok(pull);
            }
        }
    }
}

impl Compressed {
    /// Makes one step. `None`: the next can follow at once.
    fn step(&self, stage: Stage, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<(Stage, Option<Pull>), AppError> {
        Ok(match stage {
            Stage::Reading { json, body } if !body.is_ended => (Stage::Reading { json, body }, Some(Pull::Idle)),
            Stage::Reading { json, body } => {
                let reply = json.finish(body);
                let stage = match self.is_coded {
                    true if reply.length() > SLICE_BYTES as u64 => {
                        Stage::Waiting { reply, ticket: self.tickets.take(cx.waker()) }
                    }
                    true => self.code(reply, None)?,
                    false => Stage::Plain(reply),
                };
                (stage, None)
            }
            Stage::Plain(mut reply) => {
                if !out.has_head() {
                    out.head(head().length(reply.length()))?;
                }
                let pull = reply.write_body(out)?;
                (Stage::Plain(reply), Some(pull))
            }
            Stage::Waiting { reply, ticket } => match ticket.ahead() {
                0 => (self.code(reply, Some(ticket))?, None),
                // The ticket wakes it.
                _ => (Stage::Waiting { reply, ticket }, Some(Pull::NotBefore(cx.now() + WAIT_MAX))),
            },
            Stage::Coding { mut reply, mut coder, ticket } => {
                if !code_slice(&mut reply, &mut coder).map_err(AppError::new)? {
                    // Continue at once, but after the other connections have had their turn.
                    return Ok((Stage::Coding { reply, coder, ticket }, Some(Pull::NotBefore(cx.now()))));
                }
                let coded = coder.finish().map_err(AppError::new)?;
                out.head(head().header("Content-Encoding", self.coding.token()).length(coded.len() as u64))?;
                (Stage::Coded(coded), None)
            }
            Stage::Coded(coded) if !out.has_room() => (Stage::Coded(coded), Some(Pull::More)),
            Stage::Coded(coded) => {
                out.write_shared(coded.into())?;
                (Stage::Coded(Vec::new()), Some(Pull::End))
            }
        })
    }
    fn code(&self, reply: Reply, ticket: Option<Ticket>) -> Result<Stage, AppError> {
        let coder = Coder::new(self.coding, self.level, reply.length()).map_err(AppError::new)?;
        Ok(Stage::Coding { reply, coder: Box::new(coder), ticket })
    }
}

/// What coded and plain responses share: Vary, so that caches keep them apart.
fn head() -> Head {
    Head::new(StatusCode::OK).content_type("application/json").header("Vary", "Accept-Encoding")
}

/// Codes the next [`SLICE_BYTES`]; returns whether the end was reached.
fn code_slice(reply: &mut Reply, coder: &mut Coder) -> io::Result<bool> {
    let mut coded_bytes = 0;
    while coded_bytes < SLICE_BYTES {
        let Some(piece) = reply.take_piece() else { return Ok(true) };
        coder.write(piece.as_bytes())?;
        coded_bytes += piece.len();
    }
    Ok(false)
}
