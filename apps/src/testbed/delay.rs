//! `/delay/{reply}[/{read}]`: echoes after `reply` ms; with `read`, reads the body in pieces, `read` ms apart, so that
//! the client's send window fills.

use super::echo::{EchoedBody, Reply, RequestJson};
use super::numbers;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Request, Response, StatusCode};

/// The largest piece when reads are slowed.
const READ_BYTES_MAX: usize = 64 << 10;
/// A day: anything longer is a mistake.
pub const DELAY_MS_MAX: u64 = 24 * 3_600_000;

const INVALID: &str = r#"{"error":"invalid delay parameters","format":"/delay/{reply_ms}[/{read_chunk_delay_ms}]","examples":["/delay/1000","/delay/1000/100","/delay/0/50"]}"#;
const BOTH_ZERO: &str = r#"{"error":"at least one delay must be > 0","examples":["/delay/1000","/delay/0/100"]}"#;

pub fn answer(delays: &str, request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    let wrong = |text: &'static str| Response::json(StatusCode::BAD_REQUEST, text).into();
    let mut numbers = delays.split('/').map(|text| numbers::in_path(text).filter(|&ms| ms <= DELAY_MS_MAX));
    let (reply_ms, read_ms) = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Some(reply)), None, _) => (reply, 0),
        (Some(Some(reply)), Some(Some(read)), None) => (reply, read),
        _ => return wrong(INVALID),
    };
    if reply_ms == 0 && read_ms == 0 {
        return wrong(BOTH_ZERO);
    }
    Answer::exchange(Delay {
        json: RequestJson::new(request, cx, hostname),
        body: EchoedBody::default(),
        reply: None,
        reply_ms,
        read_ms,
        began: cx.now(),
        read_ended: cx.now(),
        read_chunks: 0,
        next_read: cx.now(),
    })
}

struct Delay {
    json: RequestJson,
    body: EchoedBody,
    /// Set once it is time to respond.
    reply: Option<Reply>,
    reply_ms: u64,
    read_ms: u64,
    began: Instant,
    read_ended: Instant,
    read_chunks: u64,
    /// No byte of the body is read before this time.
    next_read: Instant,
}

impl Exchange for Delay {
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        if cx.now() < self.next_read && !body.is_empty() {
            return Ok(0);
        }
        let taken = if self.read_ms > 0 { body.len().min(READ_BYTES_MAX) } else { body.len() };
        self.body.push(&body[..taken], end && taken == body.len());
        self.read_ended = cx.now();
        if taken > 0 {
            self.read_chunks += 1;
            self.next_read = cx.now() + Duration::from_millis(self.read_ms);
        }
        Ok(taken)
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(reply) = &mut self.reply {
            return reply.write(out);
        }
        if !self.body.is_ended {
            // Between two pieces wait for the clock, otherwise for the client.
            return Ok(if cx.now() < self.next_read { Pull::NotBefore(self.next_read) } else { Pull::Idle });
        }
        let reply_at = self.read_ended + Duration::from_millis(self.reply_ms);
        if cx.now() < reply_at {
            return Ok(Pull::NotBefore(reply_at));
        }
        let mut json = std::mem::take(&mut self.json);
        json.insert("duration_ms", self.reply_ms);
        if self.read_ms > 0 {
            json.insert("read_delay_ms", self.read_ms);
            // As in hpdummy, zeros are left out.
            let read_time_ms = (self.read_ended - self.began).as_millis() as u64;
            for (name, number) in [("read_chunks", self.read_chunks), ("total_read_time_ms", read_time_ms)] {
                if number > 0 {
                    json.insert(name, number);
                }
            }
        }
        self.reply.insert(json.finish(std::mem::take(&mut self.body))).write(out)
    }
}
