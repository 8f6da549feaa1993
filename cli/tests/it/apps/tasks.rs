//! An application with work of its own. It says on standard error what happens to it: its start and its end, and each time that it is elected.
//!
//! GET /count tells how often its timer has come, GET /relay spawns a task that waits for a thread's word and says it, GET /hold one
//! that holds the worker's exit for a moment, GET /stuck one that holds it for ever. With `FAILS` it cannot start.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine::app::election::{Candidate, Election};
use tine::app::{Answer, App, AppError, Cx, Interest, Rest, Task, Watch};
use tine::http::{Request, Response, StatusCode};

struct Tasks {
    count: Rc<Cell<u64>>,
    election: Election,
}

struct Timer(Rc<Cell<u64>>);

struct Relay {
    near: UnixStream,
    watch: Watch,
}

/// Says this when its time has come.
struct Later(Option<Instant>, &'static str);

struct Stands(Candidate);

impl App for Tasks {
    fn start(&mut self, cx: &Cx<'_>) -> Result<(), AppError> {
        if std::env::var_os("FAILS").is_some() {
            return Err(AppError::new("no database"));
        }
        eprintln!("start {}", cx.worker().index);
        cx.background().spawn(Timer(Rc::clone(&self.count)));
        cx.background().spawn(Stands(self.election.candidate()));
        Ok(())
    }

    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.path() {
            "/count" => return Response::text(StatusCode::OK, self.count.get().to_string()).into(),
            "/relay" => {
                let (near, mut far) = UnixStream::pair().expect("two sockets");
                near.set_nonblocking(true).expect("a socket");
                let watch = cx.watch(&near, Interest::Read).expect("room in the poll");
                // It wakes the task only from there on.
                watch.set_waker(tine::app::Waker::none());
                cx.background().spawn(Relay { near, watch });
                std::thread::spawn(move || far.write_all(b"word"));
            }
            "/hold" => cx.background().spawn(Later(Some(cx.now() + Duration::from_millis(200)), "held")),
            "/stuck" => cx.background().spawn(Later(None, "never")),
            _ => {}
        }
        Response::text(StatusCode::OK, "ok").into()
    }

    fn stop(&mut self, cx: &Cx<'_>) {
        eprintln!("stop {}", cx.worker().index);
        cx.background().spawn(Later(Some(cx.now() + Duration::from_millis(20)), "last"));
    }
}

impl Task for Timer {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        self.0.set(self.0.get() + 1);
        Rest::NotBefore(cx.now() + Duration::from_millis(10))
    }

    fn holds_exit(&self) -> bool {
        false
    }
}

impl Task for Relay {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        self.watch.set_waker(cx.waker());
        let mut word = [0; 16];
        match self.near.read(&mut word) {
            Ok(count) => {
                eprintln!("relayed {}", String::from_utf8_lossy(&word[..count]));
                Rest::End
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => Rest::Wait,
            Err(e) => panic!("read: {e}"),
        }
    }
}

impl Task for Later {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        match self.0 {
            Some(at) if at > cx.now() => Rest::NotBefore(at),
            Some(_) => {
                eprintln!("{}", self.1);
                Rest::End
            }
            None => Rest::Wait,
        }
    }
}

impl Task for Stands {
    fn run(&mut self, cx: &Cx<'_>) -> Rest {
        if cx.is_draining() {
            self.0.resign();
            return Rest::End;
        }
        if !self.0.is_elected() && self.0.stand() {
            eprintln!("elected {}", std::process::id());
        }
        Rest::NotBefore(cx.now() + Duration::from_millis(50))
    }

    fn holds_exit(&self) -> bool {
        false
    }
}

pub fn main() -> ExitCode {
    tine_cli::serve("tasks", |worker| Ok(Box::new(Tasks { count: Rc::default(), election: worker.election })))
}
