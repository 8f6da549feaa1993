//! What the service manager is told (sd_notify(3)): ready, reloading, stopping, a line of status, and that the master lives.
//!
//! The words are sd-notify's. The socket is ours: it is held from the start on, so that it outlives a change of user,
//! never blocks the master, and may have an abstract name. Without a manager nothing here does anything.

use sd_notify::NotifyState;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};
use tine_common::sys::inherit::take_variable;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG_USEC: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";
/// Between two lines of status.
const STATUS_REST: Duration = Duration::from_secs(1);
/// A manager that takes nothing now is asked again after this long.
const RETRY: Duration = Duration::from_millis(100);
/// Messages that wait for the manager; the oldest of more is dropped.
const UNSENT_MAX: usize = 16;

pub struct Notifier {
    manager: Option<Manager>,
    /// Another process speaks for the service, so far or from now on: the manager would take it amiss.
    is_held: bool,
    unsent: VecDeque<String>,
    /// When what is unsent is tried again.
    retry_at: Option<Instant>,
    status: Status,
    watchdog: Option<Watchdog>,
}

/// The line of status: what was said, and what is to be said next.
struct Status {
    said: String,
    next: Option<String>,
    /// When that may be said.
    next_at: Instant,
}

struct Watchdog {
    usec: OsString,
    /// Half of what the manager waits, as sd_watchdog_enabled(3) has it.
    interval: Duration,
    due: Instant,
}

impl Notifier {
    /// Takes the variables out of the environment: the workers' apps, and what they start, are not to speak for the
    /// service. A program that takes over gets them by [`Notifier::environment`]. No other thread may run.
    pub fn from_env(now: Instant) -> Notifier {
        let [socket, usec, pid] = [NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID].map(take_variable);
        let is_ours = pid.is_none_or(|pid| pid.to_str() == Some(&std::process::id().to_string()));
        Notifier::new(socket, usec.filter(|_| is_ours), now)
    }

    fn new(socket: Option<OsString>, watchdog_usec: Option<OsString>, now: Instant) -> Notifier {
        let manager = socket.filter(|name| !name.is_empty()).map(Manager::new);
        let watchdog = watchdog_usec.filter(|_| manager.is_some()).and_then(|usec| {
            let all = Duration::from_micros(usec.to_str()?.parse().ok()?);
            (!all.is_zero()).then_some(Watchdog { usec, interval: all / 2, due: now })
        });
        let status = Status { said: String::new(), next: None, next_at: now };
        Notifier { manager, is_held: false, unsent: VecDeque::new(), retry_at: None, status, watchdog }
    }

    /// Whether somebody hears what is said.
    pub fn speaks(&self) -> bool {
        self.manager.is_some() && !self.is_held
    }

    /// The variables that a program needs which takes over as the service's main process.
    pub fn environment(&self) -> Vec<(&'static str, Option<OsString>)> {
        let socket = self.manager.as_ref().map(|manager| manager.name.clone());
        // Without WATCHDOG_PID the other is for whoever has it.
        let usec = self.watchdog.as_ref().map(|watchdog| watchdog.usec.clone());
        vec![(NOTIFY_SOCKET, socket), (WATCHDOG_USEC, usec), (WATCHDOG_PID, None)]
    }

    /// The server serves, for the first time or after a reload.
    pub fn ready(&mut self, status: &str, now: Instant) {
        self.tell(&[NotifyState::Ready], Some(status), now);
    }

    /// A reload has begun; [`Notifier::ready`] ends it.
    pub fn reloading(&mut self, now: Instant) {
        // CLOCK_MONOTONIC cannot be refused; without its time the manager could not tell this reload from an earlier one.
        let time = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        self.tell(&[NotifyState::Reloading, time], None, now);
    }

    pub fn stopping(&mut self, status: &str, now: Instant) {
        self.tell(&[NotifyState::Stopping], Some(status), now);
    }

    /// Another process is the service's main one from now on.
    pub fn main_pid(&mut self, pid: u32, now: Instant) {
        self.tell(&[NotifyState::MainPid(pid)], None, now);
    }

    /// What `systemctl status` shows. The same again is not said, and a new one no sooner than a second after the last.
    pub fn status(&mut self, text: &str, now: Instant) {
        if self.manager.is_none() || self.is_held {
            return;
        }
        self.status.next = (text != self.status.said).then(|| text.to_string());
        self.send_due(now);
    }

    /// Another process speaks for the service. What the manager has not taken yet is still said.
    pub fn hold(&mut self) {
        self.is_held = true;
        self.status.next = None;
    }

    /// This process speaks from now on.
    pub fn release(&mut self) {
        self.is_held = false;
    }

    /// Whether the manager has taken all that was to be said.
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// When [`Notifier::send_due`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        let status = self.status.due();
        let watchdog = self.watchdog.as_ref().filter(|_| !self.is_held).map(|watchdog| watchdog.due);
        [status, watchdog, self.retry_at].into_iter().flatten().min()
    }

    /// Says what is due: that the master lives, a status that was held back, what the manager did not take.
    pub fn send_due(&mut self, now: Instant) {
        if let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.due <= now && !self.is_held) {
            watchdog.due = now + watchdog.interval;
            self.tell(&[NotifyState::Watchdog], None, now);
        }
        if self.status.due().is_some_and(|due| due <= now)
            && let Some(text) = self.status.next.take()
        {
            self.tell(&[], Some(&text), now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.send(now);
        }
    }

    fn tell(&mut self, states: &[NotifyState<'_>], status: Option<&str>, now: Instant) {
        if self.manager.is_none() || self.is_held {
            return;
        }
        let mut message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Some(status) = status {
            // A line of its own, so no more than a line.
            message.push_str(&format!("{}\n", NotifyState::Status(&status.replace('\n', " "))));
            self.status = Status { said: status.to_string(), next: None, next_at: now + STATUS_REST };
        }
        if self.unsent.len() == UNSENT_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(message);
        self.send(now);
    }

    /// In their order, as far as the manager takes them.
    fn send(&mut self, now: Instant) {
        self.retry_at = None;
        let Some(manager) = self.manager.as_mut() else { return };
        while let Some(message) = self.unsent.front() {
            match manager.send(message.as_bytes()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.retry_at = Some(now + RETRY);
                    return;
                }
                Err(e) => manager.complain(&e),
                Ok(()) => {}
            }
            self.unsent.pop_front();
        }
    }
}

impl Status {
    fn due(&self) -> Option<Instant> {
        self.next.as_ref().map(|_| self.next_at)
    }
}

struct Manager {
    /// As NOTIFY_SOCKET has it: a path, or an abstract name behind `@`.
    name: OsString,
    /// Made before the process gives up any right; `None`: it could not be, and is tried again.
    socket: Option<UnixDatagram>,
    has_complained: bool,
}

impl Manager {
    fn new(name: OsString) -> Manager {
        let mut manager = Manager { name, socket: None, has_complained: false };
        // Said when there is something to tell, and a log to say it in.
        let _ = manager.connect();
        manager
    }

    fn connect(&mut self) -> io::Result<()> {
        let address = match self.name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(&self.name),
            _ => Err(io::Error::new(io::ErrorKind::Unsupported, "it is neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address?)?;
        socket.set_nonblocking(true)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        if let Some(socket) = &self.socket {
            match socket.send(message) {
                Ok(_) => return Ok(()),
                // The manager has made itself a new socket.
                Err(e) if matches!(e.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotConnected) => {
                    self.socket = None;
                }
                Err(e) => return Err(e),
            }
        }
        self.connect()?;
        self.socket.as_ref().map_or(Ok(()), |socket| socket.send(message).map(|_| ()))
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            log::warn!("{NOTIFY_SOCKET} {}: the service manager cannot be told: {error}", self.name.display());
        }
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
