//! A gateway from HTTP to a service on TCP that knows nothing of HTTP: a request's body goes to the service, and what the
//! service answers until it closes is the response. Neither waits for the other to end, and one worker has any number of
//! such requests at a time.
//!
//!     socat TCP-LISTEN:7000,bind=127.0.0.1,reuseaddr,fork EXEC:'tr a-z A-Z'
//!     GATEWAY_TO=127.0.0.1:7000 cargo run --example gateway -- run 8080
//!     curl -d hello http://127.0.0.1:8080/
use mio::net::TcpStream;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};
use tine::app::{Answer, App, AppError, Cx, Exchange, Interest, Out, Pull, Watch};
use tine::http::{Head, Request, Response, StatusCode};

/// The service may take this long to connect, and then for its next bytes in either direction.
const TIMEOUT: Duration = Duration::from_secs(30);

struct Gateway {
    service: SocketAddr,
}

/// One request. Dropping it, when it ends or its client leaves, closes the connection to the service.
struct Call {
    service: TcpStream,
    /// Calls it again when the service has bytes, takes bytes, or has closed.
    _watch: Watch,
    is_connected: bool,
    /// The service takes nothing now: its buffers are full, or it is not connected yet.
    is_blocked: bool,
    body_ended: bool,
    until: Instant,
}

impl App for Gateway {
    fn call(&mut self, _: &Request<'_>, cx: &Cx<'_>) -> Answer {
        // Does not block: the socket becomes writable once it is connected.
        let opened = TcpStream::connect(self.service)
            .and_then(|service| cx.watch(&service, Interest::ReadWrite).map(|watch| (service, watch)));
        match opened {
            Ok((service, _watch)) => {
                let until = cx.now() + TIMEOUT;
                let (is_connected, is_blocked, body_ended) = (false, true, false);
                Answer::exchange(Call { service, _watch, is_connected, is_blocked, body_ended, until })
            }
            Err(e) => Response::text(StatusCode::SERVICE_UNAVAILABLE, format!("{e}\n")).into(),
        }
    }
}

impl Exchange for Call {
    /// What the service does not take is left with the client, and pushed again.
    fn push(&mut self, body: &[u8], end: bool, cx: &Cx<'_>) -> Result<usize, AppError> {
        self.is_blocked = !self.is_connected;
        let mut taken = 0;
        while taken < body.len() && !self.is_blocked {
            match self.service.write(&body[taken..]) {
                Ok(count) => {
                    taken += count;
                    self.until = cx.now() + TIMEOUT;
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.is_blocked = true,
                // It wants no more; what it has answered counts, or the next read says what is wrong.
                Err(_) => taken = body.len(),
            }
        }
        self.body_ended = end && taken == body.len();
        Ok(taken)
    }

    fn wants_body(&self) -> bool {
        !self.is_blocked
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !self.is_connected {
            match self.service.take_error() {
                Ok(None) if self.service.peer_addr().is_err() => return self.wait(out, cx),
                Ok(None) => self.is_connected = true,
                Ok(Some(e)) | Err(e) => return fail(out, StatusCode::BAD_GATEWAY, &e.to_string()),
            }
            // The body first.
            return Ok(Pull::More);
        }
        if std::mem::take(&mut self.body_ended) {
            // An error: it has closed, which the read tells.
            let _ = self.service.shutdown(Shutdown::Write);
        }
        let mut bytes = [0; 16 << 10];
        match self.service.read(&mut bytes) {
            Ok(count) => {
                if !out.has_head() {
                    out.head(Head::new(StatusCode::OK).content_type("application/octet-stream"))?;
                }
                out.write(&bytes[..count])?;
                self.until = cx.now() + TIMEOUT;
                // Only WouldBlock means that there is nothing left: until then nothing wakes it.
                Ok(if count == 0 { Pull::End } else { Pull::More })
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => Ok(Pull::More),
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(out, cx),
            Err(e) => fail(out, StatusCode::BAD_GATEWAY, &e.to_string()),
        }
    }
}

impl Call {
    fn wait(&self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        match cx.now() < self.until {
            true => Ok(Pull::NotBefore(self.until)),
            false => fail(out, StatusCode::GATEWAY_TIMEOUT, "it took too long"),
        }
    }
}

/// Answers with this status or, if the answer has begun, cuts it.
fn fail(out: &mut Out<'_>, status: StatusCode, why: &str) -> Result<Pull, AppError> {
    if out.has_head() {
        return Err(AppError::new(format!("the service: {why}")));
    }
    out.head(Head::new(status).content_type("text/plain"))?;
    out.write(format!("the service: {why}\n").as_bytes())?;
    Ok(Pull::End)
}

pub fn main() -> std::process::ExitCode {
    tine_cli::serve("a gateway", |_worker| {
        let service = std::env::var("GATEWAY_TO").map_err(|_| AppError::new("GATEWAY_TO is not set"))?;
        let service = service.parse().map_err(|e| AppError::new(format!("GATEWAY_TO={service}: {e}")))?;
        Ok(Box::new(Gateway { service }))
    })
}
