//! Notifies the service manager (sd_notify(3)): ready, reloading, stopping, a status line, and watchdog keep-alives.
//!
//! The messages come from the crate sd-notify. The socket is our own: it is opened at the start, so that it survives a change
//! of user; it never blocks the master; and it may have an abstract name. Without a manager nothing here has an effect.

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
/// Minimum time between two status lines.
const STATUS_REST: Duration = Duration::from_secs(1);
/// While the manager's queue is full, sending is tried again after this long.
const RETRY: Duration = Duration::from_millis(100);
/// Maximum queued messages; above it, the oldest is dropped.
const UNSENT_MAX: usize = 16;

pub struct Notifier {
    manager: Option<Manager>,
    /// Another process speaks for the service, and the manager would reject messages from this one.
    is_held: bool,
    unsent: VecDeque<String>,
    /// When the unsent messages are tried again.
    retry_at: Option<Instant>,
    status: Status,
    watchdog: Option<Watchdog>,
}

/// The status line: the last one sent, and the next one.
struct Status {
    sent: String,
    next: Option<String>,
    /// When the next one may be sent.
    next_at: Instant,
}

struct Watchdog {
    usec: OsString,
    /// Half of the manager's timeout, as sd_watchdog_enabled(3) recommends.
    interval: Duration,
    due: Instant,
}

impl Notifier {
    /// Removes the variables from the environment, so that apps and the processes that they start do not speak for the
    /// service. A program that takes over gets them from [`Notifier::environment`]. No other thread may run.
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
        let status = Status { sent: String::new(), next: None, next_at: now };
        Notifier { manager, is_held: false, unsent: VecDeque::new(), retry_at: None, status, watchdog }
    }

    /// Whether there is a manager, and this process speaks for the service.
    pub fn is_active(&self) -> bool {
        self.manager.is_some() && !self.is_held
    }

    /// The environment variables for a program that takes over as the service's main process.
    pub fn environment(&self) -> Vec<(&'static str, Option<OsString>)> {
        let socket = self.manager.as_ref().map(|manager| manager.name.clone());
        // Without WATCHDOG_PID, WATCHDOG_USEC is for any process that has it.
        let usec = self.watchdog.as_ref().map(|watchdog| watchdog.usec.clone());
        vec![(NOTIFY_SOCKET, socket), (WATCHDOG_USEC, usec), (WATCHDOG_PID, None)]
    }

    /// The server is ready, for the first time or after a reload.
    pub fn ready(&mut self, status: &str, now: Instant) {
        self.notify(&[NotifyState::Ready], Some(status), now);
    }

    /// A reload has begun; [`Notifier::ready`] ends it.
    pub fn reloading(&mut self, now: Instant) {
        // CLOCK_MONOTONIC cannot fail; the manager needs the time to tell this reload from an earlier one.
        let time = NotifyState::monotonic_usec_now().unwrap_or(NotifyState::MonotonicUsec(0));
        self.notify(&[NotifyState::Reloading, time], None, now);
    }

    pub fn stopping(&mut self, status: &str, now: Instant) {
        self.notify(&[NotifyState::Stopping], Some(status), now);
    }

    /// Another process is the service's main one from now on.
    pub fn main_pid(&mut self, pid: u32, now: Instant) {
        self.notify(&[NotifyState::MainPid(pid)], None, now);
    }

    /// The line that `systemctl status` shows. Sent only if it has changed, and at most once a second.
    pub fn status(&mut self, text: &str, now: Instant) {
        if self.manager.is_none() || self.is_held {
            return;
        }
        self.status.next = (text != self.status.sent).then(|| text.to_string());
        self.send_due(now);
    }

    /// Another process speaks for the service. Queued messages are still sent.
    pub fn hold(&mut self) {
        self.is_held = true;
        self.status.next = None;
    }

    /// This process speaks for the service from now on.
    pub fn release(&mut self) {
        self.is_held = false;
    }

    /// Whether all messages were sent.
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_empty()
    }

    /// When [`Notifier::send_due`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        let status = self.status.due();
        let watchdog = self.watchdog.as_ref().filter(|_| !self.is_held).map(|watchdog| watchdog.due);
        [status, watchdog, self.retry_at].into_iter().flatten().min()
    }

    /// Sends what is due: a keep-alive, a delayed status line, messages that could not be sent before.
    pub fn send_due(&mut self, now: Instant) {
        if let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| watchdog.due <= now && !self.is_held) {
            watchdog.due = now + watchdog.interval;
            self.notify(&[NotifyState::Watchdog], None, now);
        }
        if self.status.due().is_some_and(|due| due <= now)
            && let Some(text) = self.status.next.take()
        {
            self.notify(&[], Some(&text), now);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.send(now);
        }
    }

    fn notify(&mut self, states: &[NotifyState<'_>], status: Option<&str>, now: Instant) {
        if self.manager.is_none() || self.is_held {
            return;
        }
        let mut message: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Some(status) = status {
            // The protocol separates fields by line feeds.
            message.push_str(&format!("{}\n", NotifyState::Status(&status.replace('\n', " "))));
            self.status = Status { sent: status.to_string(), next: None, next_at: now + STATUS_REST };
        }
        if self.unsent.len() == UNSENT_MAX {
            self.unsent.pop_front();
        }
        self.unsent.push_back(message);
        self.send(now);
    }

    /// Sends the queued messages in order, as far as the manager takes them.
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
    /// As in NOTIFY_SOCKET: a path, or an abstract name after `@`.
    name: OsString,
    /// Opened before the process gives up privileges; `None`: that failed, and is tried again.
    socket: Option<UnixDatagram>,
    has_complained: bool,
}

impl Manager {
    fn new(name: OsString) -> Manager {
        let mut manager = Manager { name, socket: None, has_complained: false };
        // An error is logged by the first message, when there is a log.
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
                // The manager has opened a new socket.
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
            log::warn!("{NOTIFY_SOCKET} {}: cannot notify the service manager: {error}", self.name.display());
        }
    }
}

#[cfg(test)]
#[path = "notify_tests.rs"]
mod tests;
