//! `/upload`: reads and drops the body as it arrives, and reports its length.

use super::echo::{EchoedBody, Reply, RequestJson};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::Request;

pub fn answer(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    Answer::exchange(Upload { json: RequestJson::new(request, cx, hostname), body: EchoedBody::default(), reply: None })
}

struct Upload {
    json: RequestJson,
    body: EchoedBody,
    /// Set once the body has ended.
    reply: Option<Reply>,
}

impl Exchange for Upload {
    fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        self.body.count(body, end);
        Ok(body.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if let Some(reply) = &mut self.reply {
            return reply.write(out);
        }
        if !self.body.is_ended {
            return Ok(Pull::Idle);
        }
        let mut json = std::mem::take(&mut self.json);
        json.insert("bytes_received", self.body.size);
        self.reply.insert(json.finish(std::mem::take(&mut self.body))).write(out)
    }
}
