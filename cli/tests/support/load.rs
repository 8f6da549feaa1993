//! Clients under load: each sends requests until the server refuses its connection, and remembers every request that
//! was sent and not answered.

use super::{Client, eventually, patience};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A client that paused for this long between two of its steps was held up by the machine: the server may have taken
/// its silence for idleness, as RFC 9112 section 9.3 allows.
const HELD_UP: Duration = Duration::from_millis(60);

#[derive(Clone)]
pub enum Target {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Sends requests on one connection until the server announces that it closes, or closes.
    KeepAlive,
    /// One connection for each request.
    Close,
}

pub struct Load {
    clients: Vec<JoinHandle<Tally>>,
    is_stopping: Arc<AtomicBool>,
    is_draining: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

#[derive(Debug, Default)]
pub struct Tally {
    pub answered: u64,
    /// Keep-alive connections that an answer ended with `Connection: close`.
    pub told_to_close: u64,
    /// Requests that were not answered after the client itself had been held up.
    pub held_up: u64,
    pub failures: Vec<String>,
}

impl Load {
    /// One client for each habit and path.
    pub fn start(target: &Target, clients: &[(Habit, &'static str)]) -> Load {
        let [is_stopping, is_draining, is_over] = [(); 3].map(|()| Arc::<AtomicBool>::default());
        let answered = Arc::<AtomicU64>::default();
        let start = |&(habit, path)| {
            let (target, answered) = (target.clone(), answered.clone());
            let (is_stopping, is_draining) = (is_stopping.clone(), is_draining.clone());
            let is_over = is_over.clone();
            std::thread::spawn(move || {
                ask_until_refused(&target, habit, path, &is_stopping, &is_draining, &is_over, &answered)
            })
        };
        Load { clients: clients.iter().map(start).collect(), is_stopping, is_draining, is_over, answered }
    }

    /// Waits until this many more requests have been answered.
    #[track_caller]
    pub fn wait_answered(&self, more: u64) {
        let until = self.answered.load(Ordering::Relaxed) + more;
        eventually("the clients are answered", || (self.answered.load(Ordering::Relaxed) >= until).then_some(()));
    }

    /// From now on workers may drain: a client that was held up may find its connection closed, as an idle one.
    pub fn expect_drains(&self) {
        self.is_draining.store(true, Ordering::SeqCst);
    }

    /// From now on a refused connection is the expected end.
    pub fn expect_refusals(&self) {
        self.expect_drains();
        self.is_stopping.store(true, Ordering::SeqCst);
    }

    /// No client makes another connection; waits until all have their answers.
    pub fn finish(self) -> Tally {
        self.is_over.store(true, Ordering::SeqCst);
        self.join()
    }

    pub fn join(self) -> Tally {
        let mut sum = Tally::default();
        for client in self.clients {
            let tally = client.join().expect("a client that does not panic");
            sum.answered += tally.answered;
            sum.told_to_close += tally.told_to_close;
            sum.held_up += tally.held_up;
            sum.failures.extend(tally.failures);
        }
        sum
    }
}

fn ask_until_refused(
    target: &Target,
    habit: Habit,
    path: &str,
    is_stopping: &AtomicBool,
    is_draining: &AtomicBool,
    is_over: &AtomicBool,
    answered: &AtomicU64,
) -> Tally {
    let option = if habit == Habit::Close { "Connection: close\r\n" } else { "" };
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n{option}\r\n");
    let mut tally = Tally::default();
    let end = Instant::now() + 3 * patience();
    while tally.failures.is_empty() && Instant::now() < end && !is_over.load(Ordering::SeqCst) {
        let mut quiet_since = Instant::now();
        let connected = match target {
            Target::Tcp(address) => Client::try_connect(*address),
            Target::Unix(path) => Client::try_connect_unix(path),
        };
        let mut client = match connected {
            Ok(client) => client,
            Err(e) => {
                let is_refused = matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
                if !is_refused || !is_stopping.load(Ordering::SeqCst) {
                    tally.failures.push(format!("{path}: connect: {e}"));
                }
                return tally;
            }
        };
        loop {
            match ask(&mut client, &request) {
                Ok(Asked::Ended) => break,
                Ok(Asked::Answered { says_close }) => {
                    tally.answered += 1;
                    answered.fetch_add(1, Ordering::Relaxed);
                    if says_close {
                        tally.told_to_close += u64::from(habit == Habit::KeepAlive);
                        // A reset here may have cost a slower client its answer.
                        match client.rest() {
                            Ok(rest) if rest.is_empty() => {}
                            Ok(_) => tally.failures.push(format!("{path}: bytes after the last answer")),
                            Err(e) => tally.failures.push(format!("{path}: after the last answer: {e}")),
                        }
                        break;
                    }
                }
                Err((sent_at, _))
                    if is_draining.load(Ordering::SeqCst) && sent_at.duration_since(quiet_since) > HELD_UP =>
                {
                    tally.held_up += 1;
                    break;
                }
                Err((_, what)) => {
                    tally.failures.push(format!("{path}: {what}"));
                    break;
                }
            }
            quiet_since = Instant::now();
        }
    }
    tally
}

enum Asked {
    /// The server had ended the connection before the request was sent.
    Ended,
    Answered {
        says_close: bool,
    },
}

/// One request; the error has the time when it was sent.
fn ask(client: &mut Client, request: &str) -> Result<Asked, (Instant, String)> {
    let ended = client.has_ended();
    if matches!(ended, Ok(true)) {
        return Ok(Asked::Ended);
    }
    let sent = ended.and_then(|_| client.write_all(request.as_bytes()));
    let sent_at = Instant::now();
    sent.map_err(|e| (sent_at, format!("sending: {e}")))?;
    let response = client.try_response("GET").map_err(|e| (sent_at, format!("sent and not answered: {e}")))?;
    if response.status != 200 {
        return Err((sent_at, format!("answered with {}", response.status)));
    }
    Ok(Asked::Answered { says_close: response.header("connection") == Some("close") })
}
