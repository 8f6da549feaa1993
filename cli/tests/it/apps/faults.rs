//! An application that fails on demand, for tests of what a failure costs.
//!
//! `FAULTS_BOOT=error` (or `panic`): it cannot be built; `hang`: building never ends; `slow`: it ends after a second;
//! `retire`: the app asks for a fresh worker from the start. GET /panic panics, GET /hang never returns, GET /block/20
//! takes 20 ms in which its worker does nothing else, GET /hoard keeps 128 MiB, GET /close/7 closes descriptor 7,
//! whatever it is; every other path answers `ok`.
use tine::app::{Answer, App, AppError, Cx};
use tine::http::{Request, Response, StatusCode};

struct Faults {
    retires: Option<&'static str>,
    hoard: Vec<u8>,
}

impl App for Faults {
    fn call(&mut self, request: &Request<'_>, _: &Cx<'_>) -> Answer {
        if let Some(fd) = request.path().strip_prefix("/close/") {
            let fd: i32 = fd.parse().expect("a descriptor's number");
            return match nix::unistd::close(fd) {
                Ok(()) => Response::text(StatusCode::OK, "closed").into(),
                Err(e) => Response::text(StatusCode::NOT_FOUND, e.desc()).into(),
            };
        }
        match request.path() {
            "/panic" => panic!("asked to"),
            "/hang" => loop {
                std::thread::park();
            },
            "/hoard" => {
                self.hoard = vec![1; 128 << 20];
                Response::text(StatusCode::OK, "kept").into()
            }
            path => {
                let ms = path.strip_prefix("/block/").and_then(|ms| ms.parse().ok());
                ms.map(std::time::Duration::from_millis).into_iter().for_each(std::thread::sleep);
                Response::text(StatusCode::OK, "ok").into()
            }
        }
    }

    fn retires(&self) -> Option<&'static str> {
        self.retires
    }
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve("faults", |_worker| match std::env::var("FAULTS_BOOT").as_deref() {
        Ok("error") => Err(AppError::new("the database is down")),
        Ok("panic") => panic!("the database is down"),
        Ok("hang") => loop {
            std::thread::park();
        },
        Ok("slow") => {
            std::thread::sleep(std::time::Duration::from_secs(1));
            Ok(Box::new(Faults { retires: None, hoard: Vec::new() }))
        }
        Ok("retire") => Ok(Box::new(Faults { retires: Some("asked to"), hoard: Vec::new() })),
        _ => Ok(Box::new(Faults { retires: None, hoard: Vec::new() })),
    })
}
