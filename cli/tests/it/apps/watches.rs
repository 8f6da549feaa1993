//! An application that waits for descriptors in ways that no example shows.
//!
//! GET /closed-first watches a socket, closes it, answers with its number and keeps the watch until GET /release wakes it.
//! GET /news is a WebSocket that sends each piece that comes from the TCP service at `NEWS_FROM`, and closes when that
//! ends. Every other path answers `ok`.

use std::cell::RefCell;
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use tine::app::{Answer, App, AppError, Cx, Exchange, Interest, Message, MessageOut, Out, Peer, Pull, Waker, Watch};
use tine::http::{Head, Request, Response, StatusCode};

#[derive(Default)]
struct Watches {
    /// Of the request that waits for its release.
    held: Rc<RefCell<Option<Waker>>>,
}

struct ClosedFirst {
    number: i32,
    _watch: Watch,
    held: Rc<RefCell<Option<Waker>>>,
}

struct News {
    service: TcpStream,
    _watch: Watch,
}

impl App for Watches {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.path() {
            "/closed-first" => {
                let (near, _far) = UnixStream::pair().expect("two sockets");
                let _watch = cx.watch(&near, Interest::Read).expect("room in the poll");
                *self.held.borrow_mut() = Some(cx.waker());
                Answer::exchange(ClosedFirst { number: near.as_raw_fd(), _watch, held: Rc::clone(&self.held) })
            }
            "/release" => {
                self.held.take().expect("a request that is held").wake();
                Response::text(StatusCode::OK, "released").into()
            }
            "/news" => {
                let service = std::env::var("NEWS_FROM").expect("an address");
                let service = TcpStream::connect(service).expect("the service is there");
                service.set_nonblocking(true).expect("a socket");
                let _watch = cx.watch(&service, Interest::Read).expect("room in the poll");
                Answer::upgrade(News { service, _watch })
            }
            _ => Response::text(StatusCode::OK, "ok").into(),
        }
    }
}

impl Exchange for ClosedFirst {
    fn pull(&mut self, out: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK))?;
            out.write(self.number.to_string().as_bytes())?;
        }
        Ok(if self.held.borrow().is_some() { Pull::Wait } else { Pull::End })
    }
}

impl Peer for News {
    fn message(&mut self, _: Message, _: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<(), AppError> {
        Ok(())
    }

    fn pull(&mut self, out: &mut MessageOut<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
        let mut piece = [0; 1024];
        match self.service.read(&mut piece) {
            Ok(0) => Ok(Pull::End),
            Ok(count) => out.send(Message::binary(piece[..count].to_vec())).map(|()| Pull::More),
            Err(e) if e.kind() == ErrorKind::WouldBlock => Ok(Pull::Wait),
            Err(e) => Err(AppError::new(e)),
        }
    }
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve("watches", |_worker| Ok(Box::new(Watches::default())))
}
