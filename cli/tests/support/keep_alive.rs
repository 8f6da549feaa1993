//! Clients that keep their connections: one request after another, eight at a time, without end, or with pauses. Each
//! knows what it sent and checks what it gets: whole answers in order, and an end that is not a reset.

use super::{Client, eventually, patience};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Requests sent in one write.
const BATCH: u64 = 8;
/// Batches that may be in flight without an answer.
const BATCHES_AHEAD: u64 = 16;
/// As in [`super::load`]: after this long a silence before a request, the server may have taken the client for idle.
const HELD_UP: Duration = Duration::from_millis(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// One request after another.
    OneByOne,
    /// Eight in one write, and the next eight when all are answered.
    InEights,
    /// Eight in one write, over and over, while another thread reads the answers.
    WithoutEnd,
    /// One request, then a pause about as long as a drain lets a connection idle, and the next one without checking
    /// whether the server has closed the connection: many cross its end.
    WithPauses,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub answered: u64,
    /// Connections that the server ended after an answer with `Connection: close`.
    pub told_to_close: u64,
    /// Connections that ended without an announcement, with no request in flight.
    pub ended_idle: u64,
    /// Connections that ended with a request in flight that crossed the end: it was not answered, in part or at all.
    pub crossed: u64,
    /// As `crossed`, for clients that do not pause but had been held up by the machine.
    pub held_up: u64,
    pub failures: Vec<String>,
}

struct Shared {
    address: SocketAddr,
    is_over: AtomicBool,
    answered: AtomicU64,
}

pub struct KeepAliveClients {
    clients: Vec<JoinHandle<Tally>>,
    shared: Arc<Shared>,
}

impl KeepAliveClients {
    /// Starts this many clients of each manner.
    pub fn start(address: SocketAddr, clients: &[(Manner, usize)]) -> KeepAliveClients {
        let shared = Arc::new(Shared { address, is_over: AtomicBool::default(), answered: AtomicU64::default() });
        let manners = clients.iter().flat_map(|&(manner, count)| (0..count).map(move |_| manner));
        let start = |(number, manner)| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || KeepAliveClient { number, manner, shared, tally: Tally::default() }.live())
        };
        KeepAliveClients { clients: manners.enumerate().map(start).collect(), shared }
    }

    /// Waits until this many more requests have been answered.
    #[track_caller]
    pub fn wait_answered(&self, more: u64) {
        let until = self.shared.answered.load(Ordering::Relaxed) + more;
        eventually("the clients are answered", || {
            let is_there = self.shared.answered.load(Ordering::Relaxed) >= until;
            let is_broken = self.clients.iter().any(JoinHandle::is_finished);
            (is_there || is_broken).then_some(())
        });
    }

    /// From now on no client connects again, and a client is done at the end of its connection.
    pub fn expect_end(&self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
    }

    /// Waits for the server to end every connection; [`KeepAliveClients::expect_end`] has to be called before.
    pub fn join(self) -> Tally {
        let mut sum = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("a client that does not panic");
            sum.answered += tally.answered;
            sum.told_to_close += tally.told_to_close;
            sum.ended_idle += tally.ended_idle;
            sum.crossed += tally.crossed;
            sum.held_up += tally.held_up;
            sum.failures.extend(tally.failures);
        }
        sum
    }
}

struct KeepAliveClient {
    number: usize,
    manner: Manner,
    shared: Arc<Shared>,
    tally: Tally,
}

/// What arrived in answer to a request.
enum Came {
    Answer { says_close: bool },
    End,
}

impl KeepAliveClient {
    fn live(mut self) -> Tally {
        let until = Instant::now() + 6 * patience();
        while self.tally.failures.is_empty() && !self.shared.is_over.load(Ordering::SeqCst) {
            let spoken = Client::try_connect(self.shared.address).and_then(|client| match self.manner {
                Manner::WithoutEnd => self.stream(client, until),
                _ => self.converse(client, until),
            });
            if let Err(e) = spoken {
                self.tally.failures.push(format!("client {}, {:?}: {e}", self.number, self.manner));
            }
            if Instant::now() > until {
                self.tally.failures.push(format!("client {}: the server did not end its connection", self.number));
            }
        }
        self.tally
    }

    /// Sends and reads in turns, until the server ends the connection.
    fn converse(&mut self, mut client: Client, until: Instant) -> io::Result<()> {
        let count = if self.manner == Manner::InEights { BATCH } else { 1 };
        let mut quiet_since = Instant::now();
        for first in (0..).step_by(count as usize) {
            // A client that pauses does not check first: its request crosses the end.
            if self.manner != Manner::WithPauses && client.has_ended()? {
                self.tally.ended_idle += 1;
                return close(client);
            }
            client.write_all(self.requests(first, count).as_bytes())?;
            let was_held_up = quiet_since.elapsed() > HELD_UP;
            for at in 0..count {
                match self.answer(&mut client, first + at)? {
                    Came::End if at == 0 && self.manner == Manner::WithPauses => {
                        self.tally.crossed += 1;
                        return close(client);
                    }
                    Came::End if at == 0 && was_held_up => {
                        self.tally.held_up += 1;
                        return close(client);
                    }
                    Came::End => return Err(io::Error::other(format!("ended after {at} of {count} answers"))),
                    Came::Answer { says_close: true } if at + 1 == count => {
                        self.tally.told_to_close += 1;
                        return self.cross(client, first + count);
                    }
                    Came::Answer { says_close: true } => {
                        return Err(io::Error::other(format!("closed after {} of {count} answers", at + 1)));
                    }
                    Came::Answer { says_close: false } => {}
                }
            }
            if Instant::now() > until {
                break;
            }
            quiet_since = Instant::now();
            if self.manner == Manner::WithPauses {
                // 150 to 650 ms: around the time that a drain lets a connection idle (`Drain::idle_end`).
                std::thread::sleep(Duration::from_millis(150 + (self.number as u64 * 131 + first * 197) % 500));
            }
        }
        Ok(())
    }

    /// The server has announced that it closes, and a request is in flight all the same: it meets an end, not a reset.
    fn cross(&mut self, mut client: Client, first: u64) -> io::Result<()> {
        client.write_all(self.requests(first, BATCH).as_bytes())?;
        match client.rest()? {
            rest if rest.is_empty() => close(client),
            _ => Err(io::Error::other("bytes after the last answer")),
        }
    }

    /// Sends without end from a second thread, while this one reads.
    fn stream(&mut self, mut client: Client, until: Instant) -> io::Result<()> {
        let (read, is_ended) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let mut sender = client.sender();
        let writer = {
            let (number, read, is_ended) = (self.number, Arc::clone(&read), Arc::clone(&is_ended));
            std::thread::spawn(move || -> io::Result<()> {
                // Some more after the end: they were in flight.
                let mut more = 4;
                for first in (0..).step_by(BATCH as usize) {
                    while first >= read.load(Ordering::Relaxed) + BATCH * BATCHES_AHEAD
                        && !is_ended.load(Ordering::SeqCst)
                    {
                        std::thread::sleep(Duration::from_micros(200));
                    }
                    more -= i32::from(is_ended.load(Ordering::SeqCst));
                    if more == 0 {
                        break;
                    }
                    sender.write_all(requests(number, first, BATCH).as_bytes())?;
                }
                Ok(())
            })
        };
        let mut ended = Ok(());
        for number in 0.. {
            match self.answer(&mut client, number) {
                Ok(Came::Answer { says_close: false }) if Instant::now() < until => {}
                Ok(Came::Answer { says_close: false }) => break,
                Ok(Came::Answer { says_close: true }) => {
                    self.tally.told_to_close += 1;
                    ended = match client.rest() {
                        Ok(rest) if rest.is_empty() => Ok(()),
                        Ok(_) => Err(io::Error::other("bytes after the last answer")),
                        Err(e) => Err(e),
                    };
                    break;
                }
                // It sends all the time, but the machine may not have scheduled it.
                Ok(Came::End) => {
                    self.tally.held_up += 1;
                    break;
                }
                Err(e) => {
                    ended = Err(e);
                    break;
                }
            }
            read.store(number + 1, Ordering::Relaxed);
        }
        is_ended.store(true, Ordering::SeqCst);
        let written = writer.join().expect("a writer that does not panic");
        ended.and(written).and_then(|()| close(client))
    }

    /// The answer to this request, or the end of the connection in its place.
    fn answer(&mut self, client: &mut Client, number: u64) -> io::Result<Came> {
        if client.at_end()? {
            return Ok(Came::End);
        }
        let response = client.try_response("GET")?;
        let expected = format!("/{}/{number}\"", self.number);
        if response.status != 200 || !response.text().contains(&expected) {
            return Err(io::Error::other(format!("not the answer to request {number}: {}", response.text())));
        }
        self.tally.answered += 1;
        self.shared.answered.fetch_add(1, Ordering::Relaxed);
        Ok(Came::Answer { says_close: response.header("connection") == Some("close") })
    }

    fn requests(&self, first: u64, count: u64) -> String {
        requests(self.number, first, count)
    }
}

/// Requests of several kinds, each with an echo that has its number.
fn requests(client: usize, first: u64, count: u64) -> String {
    let request = |number: u64| match number % 8 {
        3 => format!("POST /{client}/{number} HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello"),
        6 => format!("GET /delay/2?x=/{client}/{number} HTTP/1.1\r\nHost: t\r\n\r\n"),
        _ => format!("GET /{client}/{number} HTTP/1.1\r\nHost: t\r\n\r\n"),
    };
    (first..first + count).map(request).collect()
}

/// Shuts down our side, too. Bytes sent before may have met a socket that was gone: then this one was reset.
fn close(client: Client) -> io::Result<()> {
    client.stream.shutdown(Shutdown::Write)?;
    match client.stream.take_error()? {
        Some(e) => Err(e),
        None => Ok(()),
    }
}
