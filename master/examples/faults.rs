//! An application that fails on demand, for the tests of what a failure costs.
//!
//! `FAULTS_BOOT=error` (or `panic`): it cannot be built. GET /panic panics, GET /hang never returns; all else is `ok`.
use tine::app::{Answer, App, AppError, Cx};
use tine::http::{Request, Response, StatusCode};

struct Faults;

impl App for Faults {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        match request.path() {
            "/panic" => panic!("asked to"),
            "/hang" => loop {
                std::thread::park();
            },
            _ => Response::text(StatusCode::OK, "ok").into(),
        }
    }
}

fn main() -> std::process::ExitCode {
    tine::serve("faults", |_worker| match std::env::var("FAULTS_BOOT").as_deref() {
        Ok("error") => Err(AppError::new("there is no database")),
        Ok("panic") => panic!("there is no database"),
        _ => Ok(Box::new(Faults)),
    })
}
