//! An application of your own: `cargo run --example own_app -- run 8080`, then `curl -N http://127.0.0.1:8080/`.
use std::time::{Duration, Instant};
use tine::app::{Answer, App, AppError, Cx, Exchange, Out, Pull};
use tine::http::{Head, Request, StatusCode};

struct Countdown;
struct Ticks(u32, Instant); // how many are left, when the next one is due

impl App for Countdown {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let from = request.query_value("from").and_then(|n| n.parse().ok()).unwrap_or(5);
        Answer::exchange(Ticks(from, cx.now()))
    }
}

impl Exchange for Ticks {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("text/plain"))?;
        }
        if cx.now() >= self.1 {
            out.write(format!("{}\n", self.0).as_bytes())?;
            if self.0 == 0 {
                return Ok(Pull::End);
            }
            *self = Ticks(self.0 - 1, cx.now() + Duration::from_millis(200));
        }
        Ok(Pull::NotBefore(self.1))
    }
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve("a countdown", |_worker| Ok(Box::new(Countdown)))
}
