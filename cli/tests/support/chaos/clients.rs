//! The load under chaos: clients that know which answer to expect, and from which process.

use super::victims::Victims;
use crate::support::{Client, Response};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a request may take: longer than the longest back-off of a respawn.
const PATIENCE: Duration = Duration::from_secs(45);
/// As in [`crate::support::load`]: after this long a silence before a request, the server may have taken the client for
/// idle.
const HELD_UP: Duration = Duration::from_millis(60);
const PATHS: [&str; 5] = ["plain", "plain", "sleep", "stream", "echo"];

pub struct Shared {
    pub address: SocketAddr,
    pub victims: Victims,
    pub is_over: AtomicBool,
    /// A worker may be out of descriptors: 503 is a valid answer.
    pub is_limited: AtomicBool,
    pub answered: AtomicU64,
    pub refused: AtomicU64,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub answered: u64,
    /// Answers with 500, from the app's own errors.
    pub failed_as_asked: u64,
    pub refused: u64,
    /// Requests that were lost with a victim.
    pub lost: u64,
    pub held_up: u64,
    pub failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.answered += other.answered;
        self.failed_as_asked += other.failed_as_asked;
        self.refused += other.refused;
        self.lost += other.lost;
        self.held_up += other.held_up;
        self.failures.extend(other.failures);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Habit {
    Keeps,
    Closes,
    /// Requests the app's own errors.
    Errs,
}

pub struct Clients(Vec<JoinHandle<Tally>>);

/// The number of clients, and so of simultaneous connections.
pub const CLIENTS: u64 = 15;

impl Clients {
    pub fn start(shared: &Arc<Shared>) -> Clients {
        let habits = [(Habit::Keeps, 8), (Habit::Closes, 6), (Habit::Errs, 1)];
        let habits = habits.into_iter().flat_map(|(habit, count)| (0..count).map(move |_| habit));
        let start = |(number, habit): (usize, Habit)| {
            let shared = Arc::clone(shared);
            std::thread::spawn(move || ChaosClient { number: number as u64, asked: 0, habit, shared }.live())
        };
        let clients: Vec<_> = habits.enumerate().map(start).collect();
        assert_eq!(clients.len() as u64, CLIENTS);
        Clients(clients)
    }

    pub fn join(self) -> Tally {
        let mut sum = Tally::default();
        for client in self.0 {
            sum.add(client.join().expect("a client that does not panic"));
        }
        sum
    }
}

struct ChaosClient {
    number: u64,
    asked: u64,
    habit: Habit,
    shared: Arc<Shared>,
}

impl ChaosClient {
    fn live(mut self) -> Tally {
        let mut tally = Tally::default();
        while tally.failures.is_empty() && !self.shared.is_over.load(Ordering::SeqCst) {
            let since = Instant::now();
            let mut worker = None;
            if let Err(e) = self.converse(&mut tally, &mut worker) {
                match self.shared.victims.explain_loss(worker, since) {
                    true => tally.lost += 1,
                    false => tally.failures.push(format!(
                        "client {} ({:?}), request {}, worker {worker:?}: {e}",
                        self.number, self.habit, self.asked
                    )),
                }
            }
        }
        tally
    }

    /// One connection, until it ends cleanly. `worker` is the process that answers on it.
    fn converse(&mut self, tally: &mut Tally, worker: &mut Option<i32>) -> io::Result<()> {
        let mut client = Client::try_connect(self.shared.address)?;
        client.stream.set_read_timeout(Some(PATIENCE))?;
        let mut quiet_since = Instant::now();
        loop {
            if client.has_ended()? {
                return Ok(());
            }
            self.asked += 1;
            let (request, expected) = self.request();
            client.write_all(request.as_bytes())?;
            let was_held_up = quiet_since.elapsed() > HELD_UP;
            if client.at_end()? {
                if was_held_up && self.habit == Habit::Keeps {
                    tally.held_up += 1;
                    return Ok(());
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let response = client.try_response("GET")?;
            if let Some(pid) = response.header("x-process").and_then(|pid| pid.parse().ok()) {
                *worker = Some(pid);
            }
            self.judge(&response, &expected, tally)?;
            self.shared.answered.fetch_add(1, Ordering::Relaxed);
            if response.header("connection") == Some("close") {
                // Whatever the answer, a clean end follows it.
                return client.rest().map(|_| ());
            }
            if self.shared.is_over.load(Ordering::SeqCst) {
                return Ok(());
            }
            if self.habit == Habit::Errs {
                std::thread::sleep(Duration::from_millis(20));
            }
            quiet_since = Instant::now();
        }
    }

    /// A request, and the end of its answer.
    fn request(&self) -> (String, String) {
        let mark = format!("{}-{}", self.number, self.asked);
        let path = match self.habit {
            Habit::Errs => "error",
            _ => PATHS[(self.asked + self.number) as usize % PATHS.len()],
        };
        let close = if self.habit == Habit::Closes { "Connection: close\r\n" } else { "" };
        let request = match path {
            "echo" => {
                let length = mark.len();
                format!("POST /echo HTTP/1.1\r\nHost: t\r\n{close}Content-Length: {length}\r\n\r\n{mark}")
            }
            _ => format!("GET /{path}?{mark} HTTP/1.1\r\nHost: t\r\n{close}\r\n"),
        };
        (request, mark)
    }

    fn judge(&self, response: &Response, expected: &str, tally: &mut Tally) -> io::Result<()> {
        match response.status {
            200 if self.habit != Habit::Errs && response.body.ends_with(expected.as_bytes()) => tally.answered += 1,
            500 if self.habit == Habit::Errs => tally.failed_as_asked += 1,
            503 if self.shared.is_limited.load(Ordering::SeqCst) => {
                self.shared.refused.fetch_add(1, Ordering::Relaxed);
                tally.refused += 1;
            }
            status => return Err(io::Error::other(format!("answered with {status}: {:?}", response.text()))),
        }
        Ok(())
    }
}
