//! Clients of HTTP/2 that ask without a pause, several requests at a time, and do what GOAWAY says: they finish what is served, and go on, with what
//! is not, on another connection. Every request has to be answered.

use super::http2::{DATA, Frame, GOAWAY, HEADERS, Http2, RST_STREAM, block, request};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

/// Requests that a client has open at a time.
const AT_A_TIME: usize = 8;

/// What is asked for, again and again.
#[derive(Debug, Clone, Copy)]
pub enum Asks {
    /// The echo of a GET, of a POST with a body, and a response that takes a while, in turn.
    Paths,
    /// echo.EchoService/Echo.
    Grpc,
}

pub struct Http2Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<Seen, String>>>,
}

#[derive(Debug, Default)]
pub struct Seen {
    pub answered: u64,
    pub connections: u64,
    /// Requests that GOAWAY said were not served.
    pub sent_again: u64,
}

impl Http2Load {
    pub fn start(address: SocketAddr, asks: Asks, clients: usize) -> Http2Load {
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let clients = (0..clients)
            .map(|_| {
                let (stop, answered) = (stop.clone(), answered.clone());
                std::thread::spawn(move || run(address, asks, &stop, &answered))
            })
            .collect();
        Http2Load { stop, answered, clients }
    }

    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Ends the clients; fails if one of their requests was lost.
    #[track_caller]
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Seen::default();
        for client in self.clients {
            let seen = client.join().expect("no panic").unwrap_or_else(|lost| panic!("{lost}"));
            all.answered += seen.answered;
            all.connections += seen.connections;
            all.sent_again += seen.sent_again;
        }
        all
    }
}

fn run(address: SocketAddr, asks: Asks, stop: &AtomicBool, answered: &AtomicU64) -> Result<Seen, String> {
    let mut seen = Seen::default();
    while !stop.load(Ordering::Relaxed) {
        let http2 = Http2::try_connect(address, &[]).map_err(|e| format!("connecting: {e}"))?;
        seen.connections += 1;
        Conversation { http2, asks, next: 1, open: BTreeMap::new(), goes_away: None }.run(stop, answered, &mut seen)?;
    }
    Ok(seen)
}

/// One connection.
struct Conversation {
    http2: Http2,
    asks: Asks,
    next: u32,
    /// The bytes that have come of each response; `None` before its head.
    open: BTreeMap<u32, Option<Vec<u8>>>,
    goes_away: Option<u32>,
}

impl Conversation {
    fn run(&mut self, stop: &AtomicBool, answered: &AtomicU64, seen: &mut Seen) -> Result<(), String> {
        loop {
            while self.goes_away.is_none() && !stop.load(Ordering::Relaxed) && self.open.len() < AT_A_TIME {
                self.ask()?;
            }
            if self.open.is_empty() {
                return Ok(());
            }
            let frame = self.http2.frame().map_err(|e| self.lost(&e.to_string()))?;
            let frame = frame.ok_or_else(|| self.lost("the end of the connection"))?;
            match frame.kind {
                GOAWAY => {
                    let last = u32::from_be_bytes(*frame.payload.first_chunk().expect("a stream"));
                    self.goes_away = Some(last);
                    let again = self.open.split_off(&last.saturating_add(1));
                    seen.sent_again += again.len() as u64;
                }
                RST_STREAM => return Err(self.lost(&format!("{frame:?}"))),
                HEADERS => {
                    let fields = self.http2.fields(&frame.payload);
                    let response = self.open.get_mut(&frame.stream).ok_or("a head of no request")?;
                    let is_first = response.is_none();
                    if is_first && fields[0].1 != "200"
                        || fields.iter().any(|(name, code)| name == "grpc-status" && code != "0")
                    {
                        return Err(format!("stream {}: {fields:?}", frame.stream));
                    }
                    response.get_or_insert_default();
                }
                DATA => {
                    if !frame.payload.is_empty() {
                        self.send(&[Frame::window_update(0, frame.payload.len() as u32)])?;
                    }
                    let response = self.open.get_mut(&frame.stream).and_then(Option::as_mut);
                    response.ok_or("DATA of no response")?.extend_from_slice(&frame.payload);
                }
                _ => {}
            }
            if frame.ends_stream() {
                let body = self.open.remove(&frame.stream).flatten().unwrap_or_default();
                let text = String::from_utf8_lossy(&body);
                // Each request has its number.
                if !text.contains(&format!("own-{}-", frame.stream)) {
                    return Err(format!("stream {} gets {text}", frame.stream));
                }
                seen.answered += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn ask(&mut self) -> Result<(), String> {
        let id = self.next;
        self.next += 2;
        self.open.insert(id, None);
        let frames = match self.asks {
            Asks::Grpc => {
                let message = format!("own-{id}-");
                let message = [&[10, message.len() as u8], message.as_bytes()].concat();
                let framed = [&[0, 0, 0, 0, message.len() as u8], &message[..]].concat();
                let mut fields = request("POST", "/echo.EchoService/Echo");
                fields.extend_from_slice(&[("content-type", "application/grpc"), ("te", "trailers")]);
                vec![Frame::headers(id, false, block(&fields)), Frame::data(id, true, framed)]
            }
            Asks::Paths => match id % 6 {
                1 => vec![Frame::headers(id, true, block(&request("GET", &format!("/own-{id}-/any"))))],
                3 => vec![
                    Frame::headers(id, false, block(&request("POST", "/anything"))),
                    Frame::data(id, false, format!("own-{id}")),
                    Frame::data(id, true, "-"),
                ],
                _ => vec![Frame::headers(id, true, block(&request("GET", &format!("/delay/20?own-{id}-"))))],
            },
        };
        self.send(&frames)
    }

    fn send(&mut self, frames: &[Frame]) -> Result<(), String> {
        self.http2.try_send(frames).map_err(|e| self.lost(&format!("sending: {e}")))
    }

    fn lost(&self, why: &str) -> String {
        format!("{why}: lost {:?}; GOAWAY {:?}", self.open.keys(), self.goes_away)
    }
}
