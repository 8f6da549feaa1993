//! The client of `scripts/bench websocket`: one thread, several connections, and on each a number of binary messages in
//! flight. Every byte that comes back is compared with the expected echo: one frame in the shortest form.
//!
//! `websocket_load IP:PORT PATH CONNECTIONS BYTES WINDOW SECONDS` prints `ready` once all handshakes are done, and
//! begins when it reads a line. At the end, when everything that it sent has come back, it prints `MESSAGES SECONDS`
//! and waits for the end of its input: until then the connections stay open.
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Different messages, sent in turns: a swapped or repeated one is detected.
const MESSAGES: usize = 16;
/// Without any byte for this long, the server has lost something.
const STALL: Duration = Duration::from_secs(10);
/// The example key of RFC 6455, 1.3, and its Sec-WebSocket-Accept.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, path, connections, bytes, window, seconds] = &arguments[..] else {
        return Err("websocket_load IP:PORT PATH CONNECTIONS BYTES WINDOW SECONDS".into());
    };
    let (connections, bytes, window): (usize, usize, u64) = (connections.parse()?, bytes.parse()?, window.parse()?);
    if window == 0 || window > MESSAGES as u64 {
        return Err(format!("1 to {MESSAGES} messages can be in flight").into());
    }
    let traffic = Traffic::new(bytes);
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(address.parse()?, path)?);
    }
    println!("ready");
    io::stdin().read_line(&mut String::new())?;
    let begin = Instant::now();
    let messages = exchange(&mut clients, &traffic, window, begin + Duration::from_secs_f64(seconds.parse()?))?;
    println!("{messages} {}", begin.elapsed().as_secs_f64());
    io::stdin().read_line(&mut String::new())?;
    Ok(())
}

/// The bytes to send and the bytes to expect, each over and over.
struct Traffic {
    frames: Cycle,
    echoes: Cycle,
}

/// All messages, twice, so that a run of messages from any offset is one slice.
struct Cycle {
    bytes: Vec<u8>,
    frame_bytes: u64,
}

impl Traffic {
    fn new(payload_bytes: usize) -> Self {
        // xorshift64: payloads and masks only have to differ.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        };
        let (mut frames, mut echoes) = (Vec::new(), Vec::new());
        for _ in 0..MESSAGES {
            let mask = [random(), random(), random(), random()];
            let payload: Vec<u8> = (0..payload_bytes).map(|_| random()).collect();
            head(&mut frames, payload_bytes, 0x80);
            frames.extend_from_slice(&mask);
            frames.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            head(&mut echoes, payload_bytes, 0);
            echoes.extend_from_slice(&payload);
        }
        Traffic { frames: Cycle::new(frames), echoes: Cycle::new(echoes) }
    }
}

/// Appends the head of a whole binary message (RFC 6455, 5.2).
fn head(out: &mut Vec<u8>, length: usize, masked: u8) {
    out.push(0x82);
    match length {
        0..=125 => out.push(masked | length as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
}

impl Cycle {
    fn new(messages: Vec<u8>) -> Self {
        Cycle { frame_bytes: (messages.len() / MESSAGES) as u64, bytes: messages.repeat(2) }
    }

    /// Up to `length` bytes of the endless stream, from `at` on.
    fn slice(&self, at: u64, length: u64) -> &[u8] {
        let start = (at % (self.bytes.len() as u64 / 2)) as usize;
        let end = (start as u64 + length).min(self.bytes.len() as u64) as usize;
        &self.bytes[start..end]
    }
}

struct Client {
    stream: TcpStream,
    sent_bytes: u64,
    received_bytes: u64,
}

impl Client {
    /// Connects and completes the handshake.
    fn connect(address: SocketAddr, path: &str) -> Result<Self, Box<dyn Error>> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL))?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.push(byte[0]);
        }
        let answer = String::from_utf8_lossy(&answer);
        if !answer.starts_with("HTTP/1.1 101 ") || !answer.contains(ACCEPT) {
            return Err(format!("no WebSocket: {answer}").into());
        }
        stream.set_nonblocking(true)?;
        Ok(Client { stream: TcpStream::from_std(stream), sent_bytes: 0, received_bytes: 0 })
    }

    /// Reads and compares everything that has arrived; true if anything had.
    fn receive(&mut self, echoes: &Cycle, room: &mut [u8]) -> Result<bool, Box<dyn Error>> {
        let before = self.received_bytes;
        loop {
            match self.stream.read(room) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => {
                    let mut got = &room[..count];
                    while !got.is_empty() {
                        let expected = echoes.slice(self.received_bytes, got.len() as u64);
                        if got[..expected.len()] != *expected {
                            return Err(format!("byte {} is not the echo", self.received_bytes).into());
                        }
                        self.received_bytes += expected.len() as u64;
                        got = &got[expected.len()..];
                    }
                    if count < room.len() {
                        break;
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(self.received_bytes > before)
    }

    /// Sends up to this byte of the stream, as far as the socket accepts it.
    fn send(&mut self, frames: &Cycle, until: u64) -> io::Result<()> {
        while self.sent_bytes < until {
            match self.stream.write(frames.slice(self.sent_bytes, until - self.sent_bytes)) {
                Ok(count) => self.sent_bytes += count as u64,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Whether every message that was begun has come back.
    fn is_answered(&self, traffic: &Traffic) -> bool {
        let begun = self.sent_bytes.div_ceil(traffic.frames.frame_bytes);
        self.received_bytes == begun * traffic.echoes.frame_bytes
    }
}

/// Runs until that time, and then until every echo is back; returns the number of messages.
fn exchange(clients: &mut [Client], traffic: &Traffic, window: u64, until: Instant) -> Result<u64, Box<dyn Error>> {
    let Traffic { frames, echoes } = traffic;
    let mut room = vec![0; 256 << 10];
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(256);
    for (token, client) in clients.iter_mut().enumerate() {
        poll.registry().register(&mut client.stream, Token(token), Interest::READABLE | Interest::WRITABLE)?;
        client.send(frames, window * frames.frame_bytes)?;
    }
    let (mut moved, mut now) = (Instant::now(), Instant::now());
    loop {
        let is_over = now >= until;
        if is_over && clients.iter().all(|client| client.is_answered(traffic)) {
            return Ok(clients.iter().map(|client| client.received_bytes / echoes.frame_bytes).sum());
        }
        poll.poll(&mut events, Some(Duration::from_millis(50)))?;
        now = Instant::now();
        for event in &events {
            let client = &mut clients[event.token().0];
            if client.receive(echoes, &mut room)? {
                moved = now;
            }
            let allowed = match now < until {
                true => client.received_bytes / echoes.frame_bytes + window,
                false => client.sent_bytes.div_ceil(frames.frame_bytes), // a message that was begun is completed
            };
            client.send(frames, allowed * frames.frame_bytes)?;
        }
        if now > moved + STALL {
            return Err(format!("no byte has arrived for {} s", STALL.as_secs()).into());
        }
    }
}
