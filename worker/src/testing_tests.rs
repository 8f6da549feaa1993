use super::*;
use crate::app::{Answer, AppError, Exchange, Interest, Out, Pull, Watch};
use crate::http::{Head, Request, StatusCode};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

struct Paths;

/// Echoes the body in chunks, and then counts to three, a second apart.
struct Echo {
    body: Vec<u8>,
    ticks: u32,
    at: Option<Instant>,
}

impl App for Paths {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        match request.path() {
            "/health" => crate::http::Response::text(
                if cx.is_lame_duck() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK },
                "health",
            )
            .into(),
            _ => Answer::exchange(Echo { body: Vec::new(), ticks: 0, at: None }),
        }
    }
}

impl Exchange for Echo {
    fn push(&mut self, bytes: &[u8], _: bool, _: &Cx<'_>) -> Result<usize, AppError> {
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if !out.has_head() {
            out.interim(Head::new(StatusCode::from_u16(103).expect("a status")))?;
            out.head(Head::new(StatusCode::OK))?;
            out.write(&self.body)?;
        }
        if self.body == b"fail" {
            return Err(AppError::new("as the test wants it"));
        }
        if self.at.is_some_and(|at| cx.now() < at) {
            return Ok(Pull::NotBefore(cx.now()));
        }
        if self.ticks == 3 {
            return Ok(Pull::End);
        }
        self.ticks += 1;
        out.write(format!(" {}", self.ticks).as_bytes())?;
        let at = cx.now() + Duration::from_secs(1);
        self.at = Some(at);
        Ok(Pull::NotBefore(at))
    }
}

#[test]
fn an_app_is_driven_to_its_end_and_time_passes_at_once() {
    let mut client = Client::new(Paths);
    let response = client.post("/", b"abc");
    assert_eq!((response.status, response.text(), response.interim.as_slice()), (200, "abc 1 2 3", &[103][..]));
    assert!(response.is_complete && client.elapsed() == Duration::from_secs(3));
    assert_eq!(client.get("/health").status, 200);
    client.lame_duck();
    assert_eq!(client.get("/health").status, 503);
    assert!(client.request("HEAD", "/health", &[("X", "y")], b"").body.is_empty());
}

/// Two requests that wait for each other would need two connections; one that wakes itself shows that it is called.
#[test]
fn an_exchange_that_is_woken_does_not_wait_for_its_time() {
    struct Woken(u32);

    impl App for Woken {
        fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
            Answer::exchange(Woken(0))
        }
    }

    impl Exchange for Woken {
        fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
            if self.0 == 3 {
                out.head(Head::new(StatusCode::NO_CONTENT))?;
                return Ok(Pull::End);
            }
            self.0 += 1;
            cx.waker().wake();
            Ok(Pull::NotBefore(cx.now() + Duration::from_secs(60)))
        }
    }

    let mut client = Client::new(Woken(0));
    assert_eq!((client.get("/").status, client.elapsed()), (204, Duration::ZERO));
}

#[test]
fn a_response_that_breaks_off_is_not_complete() {
    let response = Client::new(Paths).post("/", b"fail");
    assert_eq!((response.status, response.text(), response.is_complete), (200, "fail", false));
}

#[test]
#[should_panic(expected = "no end of the response within 2s")]
fn the_time_is_limited() {
    Client::new(Paths).time_limit(Duration::from_secs(2)).get("/");
}

/// Waits for a byte of its peer, or two minutes, and says which came first.
struct Waiting {
    peer: UnixStream,
    _watch: Watch,
    until: Instant,
}

/// What the other end does: it gets the socket.
struct Waits(fn(UnixStream));

impl App for Waits {
    fn call(&mut self, _: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let (peer, other) = UnixStream::pair().expect("two sockets");
        peer.set_nonblocking(true).expect("a socket");
        (self.0)(other);
        let _watch = cx.watch(&peer, Interest::ReadWrite).expect("room in the poll");
        Answer::exchange(Waiting { peer, _watch, until: cx.now() + Duration::from_secs(120) })
    }
}

impl Exchange for Waiting {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        let status = match self.peer.read(&mut [0]) {
            Ok(_) => StatusCode::OK,
            Err(e) if e.kind() != io::ErrorKind::WouldBlock => return Err(AppError::new(e)),
            Err(_) if cx.now() < self.until => return Ok(Pull::NotBefore(self.until)),
            Err(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        out.head(Head::new(status))?;
        Ok(Pull::End)
    }
}

#[test]
fn a_descriptor_is_waited_for_in_real_time() {
    let mut client = Client::new(Waits(|other| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            (&other).write_all(b"x").expect("the exchange waits");
        });
    }));
    assert_eq!((client.get("/").status, client.elapsed()), (200, Duration::ZERO));
    assert_eq!((client.get("/").status, client.elapsed()), (200, Duration::ZERO));
}

#[test]
fn a_descriptor_that_never_is_ready_lets_the_time_pass() {
    let mut client = Client::new(Waits(std::mem::forget)).descriptor_limit(Duration::ZERO);
    assert_eq!((client.get("/").status, client.elapsed()), (504, Duration::from_secs(120)));
    assert_eq!(Client::new(Waits(drop)).descriptor_limit(Duration::ZERO).get("/").status, 200);
}

#[test]
#[should_panic(expected = "waits without a timeout, and nothing wakes it")]
fn waiting_for_nothing_is_an_error() {
    struct Lost;

    impl App for Lost {
        fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
            Answer::exchange(Lost)
        }
    }

    impl Exchange for Lost {
        fn pull(&mut self, _: &mut Out<'_>, _: &Cx<'_>) -> Result<Pull, AppError> {
            Ok(Pull::Wait)
        }
    }

    Client::new(Lost).get("/");
}
