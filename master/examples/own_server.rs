//! A server of your own without Tine's command line: `cargo run -p tine --example own_server 8080`, then
//! `curl http://127.0.0.1:8080/`.

use std::process::ExitCode;
use std::time::Duration;
use tine::app::{Answer, App, Cx};
use tine::config::Limits;
use tine::http::{Request, Response, StatusCode};
use tine::{Server, ServerError};

struct Hello {
    worker: usize,
}

impl App for Hello {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        let text = format!("worker {} answers {} {}\n", self.worker, request.method(), request.path());
        Response::text(StatusCode::OK, text).into()
    }
}

fn serve() -> Result<ExitCode, ServerError> {
    let port = std::env::args().nth(1).unwrap_or_else(|| "8080".to_string());
    Server::builder()
        .name("an own server")
        .bind(format!("127.0.0.1:{port}"))
        .workers(2)
        .health_path("/up")
        .limits(Limits { idle_timeout: Duration::from_secs(10), ..Limits::default() })
        .quiet(false)
        .serve(|worker| Ok(Box::new(Hello { worker: worker.index })))
}

pub fn main() -> ExitCode {
    serve().unwrap_or_else(|error| {
        eprintln!("own_server: {error}");
        ExitCode::FAILURE
    })
}
