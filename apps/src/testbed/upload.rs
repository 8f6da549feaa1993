//! `/upload`: reads and drops the body as it comes, and says how much it was.

use super::echo::{EchoedBody, RequestJson, write_json};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::Request;

pub fn answer(request: &Request<'_>, cx: &Cx<'_>, hostname: &str) -> Answer {
    Answer::exchange(Upload { json: Some(RequestJson::new(request, cx, hostname)), body: EchoedBody::default() })
}

struct Upload {
    json: Option<RequestJson>,
    body: EchoedBody,
}

impl Exchange for Upload {
    fn push(&mut self, body: &[u8], end: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        self.body.count(body, end);
        Ok(body.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        match self.json.take() {
            Some(mut json) if self.body.is_ended => {
                json.insert("bytes_received", self.body.size);
                write_json(out, json.finish(&self.body))
            }
            waiting => {
                self.json = waiting;
                Ok(Pull::Idle)
            }
        }
    }
}
