//! The worker: one loop of a few named steps in a fixed order.
//!
//! Events, expired timers and orders only set state and queue connections; then each queued connection is advanced
//! once.

mod accepting;
mod control;
mod draining;
mod logging;

use crate::accept::{Listeners, Tokens};
use crate::admission::Admission;
use crate::app::{App, AppError, AppFactory, ConnectionCx, Cx, TurnCx, Wakeups, WorkerInfo};
use crate::caller::Proxies;
use crate::connection::{Buffers, Connection, Turn};
use crate::dispatch::Recorder;
use crate::drain::Drain;
use crate::eviction::Evictions;
use crate::http::DateLine;
use crate::own_descriptors::OwnDescriptors;
use crate::per_address::PerAddress;
use crate::request_log::RequestLog;
use crate::run_queue::{RunQueue, Token};
use crate::tasks::Tasks;
use crate::throttle::Throttle;
use crate::timers::{Timers, earlier};
use crate::tls::Acceptor;
use crate::turn_clock::TurnClock;
use crate::watches::{self, Watches};
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll};
use signal_hook::consts::{SIGQUIT, SIGTERM};
use signal_hook_mio::v1_0::Signals;
use slab::Slab;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::access_log::Sink;
use tine_common::config::{AcceptMode, WorkerConfig};
use tine_common::crash::{self, CrashReport};
use tine_common::in_flight_table::InFlightTable;
use tine_common::message::Report;
use tine_common::metric::{Metric, Metrics};
use tine_common::scoreboard::{IDLE_HEARTBEAT_INTERVAL, Scoreboard, Slot, State};
use tine_common::sys::{descriptor, fork, process, started_with};
use tine_common::telemetry::{Count, Seat};

pub use crate::accept::{Listener, Place, Queue, Spoken};

/// Exit status of a worker whose app could not be built.
pub const EXIT_BOOT_FAILED: i32 = 3;
/// Exit status of a worker that has lost a descriptor that it cannot work without.
const EXIT_LOST: i32 = 1;

const EVENTS_PER_TURN: usize = 1024;
/// What [`OwnDescriptors`] calls a listener and its waker.
const LISTENER: &str = "a listener's";
/// What it calls the access log's file.
const ACCESS_LOG: &str = "the access log's";
/// A failed epoll_wait(2) is retried after at most this long.
const POLL_RETRY: Duration = Duration::from_millis(100);
/// The worker ends after this many consecutive failures of epoll_wait(2).
const POLL_FAILURES_MAX: u32 = 10;
/// A worker that hangs after its master has exited is killed this long after its graceful timeout.
const ORPHAN_MARGIN: Duration = Duration::from_secs(5);

// Tokens from the top; connections count from 0, and watches from `watches::FIRST_TOKEN`.
const CHANNEL: usize = usize::MAX - 1;
const SIGNALS: usize = usize::MAX - 2;
const WAKER: usize = usize::MAX - 3;
const LISTENERS: usize = usize::MAX / 2;
const TOKENS: Tokens = Tokens { first_listener: LISTENERS, waker: WAKER };

/// What the master passes to a new worker.
pub struct Start {
    pub config: WorkerConfig,
    pub info: WorkerInfo,
    pub listeners: Vec<Listener>,
    /// For those of them that are of TLS.
    pub tls: Option<Acceptor>,
    pub channel: UnixStream,
    /// `None`: there is no access log.
    pub access_log: Option<Sink>,
    pub scoreboard: Scoreboard,
    /// The number of its slot of the scoreboard.
    pub slot: usize,
    /// It asks for a successor once it has answered this many requests.
    pub requests_due: Option<u64>,
    /// Another master has the listening sockets, too, as long as this one has not taken over from it.
    pub are_sockets_lent: bool,
    /// The master's process id; `None`: there is no master (`--workers 0`).
    pub master: Option<u32>,
    /// Signals are blocked until the worker's own handlers are installed.
    pub signals: fork::Child,
}

/// Precedes the error of an app that cannot be built, in the report to the master.
pub const NOT_BUILT: &str = "the app could not be built: ";

/// Runs a worker to its end; returns its exit status.
pub fn run(start: Start, factory: &AppFactory) -> i32 {
    let mut channel = match start.channel.try_clone() {
        Ok(channel) => channel,
        Err(e) => {
            log::error!("no channel to the master: {e}");
            return 1;
        }
    };
    let is_alone = start.master.is_none();
    let failed = |channel: &mut UnixStream, text: String| {
        if is_alone {
            log::error!("{text}");
            return EXIT_BOOT_FAILED;
        }
        let mut report = vec![Report::BootFailed.byte()];
        report.extend_from_slice(text.as_bytes());
        // The master logs it; once that is gone there is no reader.
        let _ = channel.write_all(&report);
        EXIT_BOOT_FAILED
    };
    if let Some(master) = start.master {
        match process::end_after_parent(master, start.config.graceful_timeout + ORPHAN_MARGIN) {
            Ok(true) => {}
            Ok(false) => return 1, // the master is gone already
            Err(e) => return failed(&mut channel, format!("cannot watch for the master's exit: {e}")),
        }
    }
    let (info, slot) = (start.info, start.scoreboard.slot(start.slot));
    // Before the app is built, which may hang.
    if let Err(e) = crash::report_on_abort(CrashReport::new(slot, start.scoreboard.in_flight_table(start.slot))) {
        return failed(&mut channel, format!("cannot handle SIGABRT: {e}"));
    }
    // Processes that the app starts while it is built inherit the signals as this server did.
    let signals = match handle_signals(&start.signals) {
        Ok(signals) => signals,
        Err(e) => return failed(&mut channel, format!("cannot handle signals: {e}")),
    };
    let app = match factory(&info) {
        Ok(app) => app,
        Err(e) => return failed(&mut channel, format!("{NOT_BUILT}{e}")),
    };
    let mut worker = match Worker::new(start, signals, app) {
        Ok(worker) => worker,
        Err(e) => return failed(&mut channel, format!("cannot set up the event loop: {e}")),
    };
    if let Err(e) = worker.start_app() {
        return failed(&mut channel, format!("the app could not be started: {e}"));
    }
    slot.set_state(State::Ready);
    // The worker has its own copy: a ready worker has only the sockets that it keeps.
    drop(channel);
    if (&worker.channel).write_all(&[Report::Ready.byte()]).is_err() {
        log::warn!("the master was gone before this worker was ready");
    }
    let status = worker.run();
    if status == EXIT_LOST {
        // A descriptor closed now may belong to something else; the kernel closes all.
        std::mem::forget(worker);
    }
    status
}

/// Installs the signal handlers: from now on signals wait for the worker's loop. A signal that was ignored when the
/// server was started, and that means nothing to a worker, stays ignored. Also returns the descriptors of the signals.
fn handle_signals(blocked: &fork::Child) -> io::Result<(Signals, Vec<RawFd>)> {
    let before = descriptor::open();
    let others = started_with::OF_THE_MASTER.into_iter().filter(|&signal| !started_with::ignore_again(signal));
    let signals = Signals::new(others.chain([SIGTERM, SIGQUIT]))?;
    let own = descriptor::open().difference(&before).copied().collect();
    blocked.unblock_signals()?;
    started_with::restore_open_files_in_forks()?;
    Ok((signals, own))
}

struct Worker {
    config: WorkerConfig,
    info: WorkerInfo,
    poll: Poll,
    signals: Signals,
    channel: UnixStream,
    scoreboard: Scoreboard,
    slot: Slot,
    /// The number of that slot.
    slot_number: usize,
    in_flight_table: InFlightTable,
    listeners: Listeners,
    tls: Option<Acceptor>,
    proxies: Option<Proxies>,
    admission: Admission,
    /// Only with `--max-connections-per-address`.
    per_address: Option<PerAddress>,
    evictions: Evictions,
    connections: Slab<Connection>,
    /// Of the last connection that was inserted.
    serial: u32,
    run_queue: RunQueue,
    wakeups: Wakeups,
    tasks: Tasks,
    throttle: Throttle,
    clock: TurnClock,
    timers: Timers,
    buffers: Buffers,
    app: Box<dyn App>,
    date: DateLine,
    drain: Option<Drain>,
    /// The app was told that the worker exits.
    is_stopped: bool,
    /// The master has exited.
    is_orphaned: bool,
    /// Another master has the listening sockets, too.
    are_sockets_lent: bool,
    /// Once it has answered this many requests it asks for a successor.
    requests_due: Option<u64>,
    /// The server stops soon (`Order::LameDuck`).
    lame_duck: bool,
    metrics: Metrics,
    seat: Seat,
    counts: Counts,
    request_log: Option<Rc<RequestLog>>,
    own: OwnDescriptors,
    /// Listeners with pending connections, in this turn.
    ready_listeners: Vec<usize>,
    /// Another worker has handed off connections to this one.
    is_woken: bool,
    exit: Option<i32>,
}

#[derive(Default)]
struct Counts {
    /// Connections that were refused or evicted and are still being closed.
    refused_open: usize,
    /// Those that were announced in this turn (`Turn::Announced`).
    announced: Vec<Token>,
    /// Connections were opened or closed since the last load snapshot.
    changed: bool,
}

impl Worker {
    fn new(start: Start, (mut signals, own_signals): (Signals, Vec<RawFd>), app: Box<dyn App>) -> io::Result<Worker> {
        let Start {
            config,
            info,
            listeners,
            tls,
            channel,
            access_log,
            scoreboard,
            slot: slot_number,
            requests_due,
            are_sockets_lent,
            ..
        } = start;
        let now = Instant::now();
        let (poll, mut own) = (Poll::new()?, OwnDescriptors::new(now));
        let registry = poll.registry().try_clone()?;
        own.push_all("the event loop's", [poll.as_raw_fd(), registry.as_raw_fd()]);
        own.push_all("of the signals", own_signals);
        own.push_all(ACCESS_LOG, access_log.as_ref().and_then(Sink::descriptor));
        poll.registry().register(&mut signals, mio::Token(SIGNALS), Interest::READABLE)?;
        channel.set_nonblocking(true)?;
        poll.registry().register(&mut SourceFd(&channel.as_raw_fd()), mio::Token(CHANNEL), Interest::READABLE)?;
        own.push("the channel to the master", channel.as_raw_fd());
        own.push_all(LISTENER, listeners.iter().flat_map(Listener::descriptors).map(|fd| fd.as_raw_fd()));
        let of_listener = |one: &Listener| 1 + usize::from(matches!(one.queue, Queue::Own { .. }));
        let taken = listeners.iter().map(of_listener).sum();
        let proxies = Proxies::of(&config.proxies, listeners.iter().any(|one| one.spoken.is_proxied));
        let per_address = config.connections_per_address_max.zip(scoreboard.address_counts(slot_number));
        let per_address = per_address.map(|(most, counts)| PerAddress::new(most, counts));
        let is_balancing = config.accept != AcceptMode::Plain;
        let listeners = Listeners::new(poll.as_raw_fd(), TOKENS, listeners, info.index, is_balancing, now)?;
        let request_log = RequestLog::new(&config.request_log, access_log, info, now)?.map(Rc::new);
        let recorder = Recorder::new(scoreboard.telemetry().requests(slot_number), request_log.clone());
        let (buffers, wakeups) = (Buffers::new(config.read_buffer_bytes(), recorder, now), Wakeups::new(registry));
        let (in_flight_table, slot) = (scoreboard.in_flight_table(slot_number), scoreboard.slot(slot_number));
        slot.heartbeat(now, false);
        Ok(Worker {
            admission: Admission::new(process::nofile()?, taken, config.connections_max),
            throttle: Throttle::new(scoreboard.throttle().seat(slot_number), &config.throttle),
            config,
            info,
            poll,
            signals,
            channel,
            scoreboard,
            slot,
            slot_number,
            in_flight_table,
            listeners,
            tls,
            proxies,
            per_address,
            evictions: Evictions::default(),
            connections: Slab::new(),
            serial: 0,
            run_queue: RunQueue::default(),
            tasks: Tasks::of(wakeups.background.clone()),
            wakeups,
            clock: TurnClock::new(slot, now),
            timers: Timers::default(),
            buffers,
            app,
            date: DateLine::new(now),
            drain: None,
            is_stopped: false,
            is_orphaned: false,
            are_sockets_lent,
            requests_due,
            lame_duck: false,
            metrics: Metrics::default(),
            seat: scoreboard.telemetry().seat(slot_number),
            counts: Counts::default(),
            request_log,
            own,
            ready_listeners: Vec::new(),
            is_woken: false,
            exit: None,
        })
    }

    fn run(&mut self) -> i32 {
        let mut events = Events::with_capacity(EVENTS_PER_TURN);
        let mut now = Instant::now();
        let mut failures = 0;
        loop {
            let timeout = self.timeout(now);
            self.slot.heartbeat(now, true);
            match self.poll.poll(&mut events, Some(timeout)) {
                Ok(()) => failures = 0,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => events.clear(),
                Err(e) => {
                    events.clear();
                    failures += 1;
                    match failures {
                        _ if descriptor::is_lost(&e) => self.lose(format_args!("epoll_wait: {e}")),
                        1 => log::error!("epoll_wait: {e}; retrying"),
                        2..POLL_FAILURES_MAX => {}
                        _ => self.lose(format_args!("epoll_wait failed {failures} times in a row: {e}")),
                    }
                    // The only other thing to wait for here is time.
                    std::thread::sleep(timeout.min(POLL_RETRY));
                }
            }
            now = Instant::now();
            self.slot.heartbeat(now, false);
            if self.date.refresh(now) {
                self.app.each_second(now);
            }
            self.latch(&events, now);
            self.expire(now);
            self.accept(now);
            self.advance(now);
            self.attend();
            self.run_tasks(now);
            self.retire(now);
            self.keep_draining(now);
            self.write_logs(now);
            self.publish();
            tine_common::log::report_suppressed(now);
            self.balance(now);
            self.keep_own(now);
            if let Some(status) = self.exit {
                self.finish_logs();
                return status;
            }
        }
    }

    /// Ends the worker if it has lost a descriptor that it needs.
    fn keep_own(&mut self, now: Instant) {
        if let Some(e) = self.listeners.take_lost() {
            self.lose(e);
        } else if let Err(lost) = self.own.check(now) {
            self.lose(lost);
        }
    }

    /// Ends the worker: the descriptor's number may refer to something else by now.
    fn lose(&mut self, what: impl fmt::Display) {
        if self.exit.is_some() {
            return;
        }
        log::error!("{what}; this worker cannot go on (has the app closed a descriptor that is not its own?)");
        self.count_cut("the lost descriptor", Instant::now());
        self.exit = Some(EXIT_LOST);
    }

    /// Until the nearest deadline; zero while a connection is queued for a turn.
    fn timeout(&self, now: Instant) -> Duration {
        if !self.run_queue.is_empty() || !self.ready_listeners.is_empty() {
            return Duration::ZERO;
        }
        let drain = self.drain.and_then(|drain| match self.listeners.is_closed() {
            true => drain.ends,
            false => Some(drain.accept_grace_until),
        });
        let log = self.request_log.as_ref().and_then(|log| log.deadline());
        let tasks = if self.tasks.is_empty() { None } else { self.tasks.deadline(now) };
        let deadlines = [
            self.timers.nearest(),
            tasks,
            self.listeners.deadline(),
            self.admission.deadline(),
            self.throttle.deadline(),
            drain,
            log,
        ];
        let nearest = deadlines.into_iter().fold(None, earlier);
        nearest.map_or(IDLE_HEARTBEAT_INTERVAL, |at| at.saturating_duration_since(now).min(IDLE_HEARTBEAT_INTERVAL))
    }

    /// Records what the kernel, the master and the operator report.
    fn latch(&mut self, events: &Events, now: Instant) {
        for event in events {
            match event.token().0 {
                CHANNEL => self.on_orders(now),
                SIGNALS => self.on_signals(now),
                WAKER => self.is_woken = true,
                token if token >= watches::FIRST_TOKEN => match token.checked_sub(LISTENERS) {
                    Some(listener) => self.ready_listeners.push(listener),
                    None => self.on_watched(event),
                },
                token => {
                    // A descriptor that a child of the app inherited for a moment stays in the poll after our close.
                    let Some(connection) = self.connections.get_mut(token) else { continue };
                    connection.on_event(event);
                    if connection.schedule() {
                        self.run_queue.push(token, connection.had_turn);
                    }
                }
            }
        }
    }

    /// A descriptor of the app is ready. Apart from the loop, which mostly has none.
    #[cold]
    fn on_watched(&mut self, event: &Event) {
        self.wakeups.watches.on_event(event);
        self.wake();
    }

    fn expire(&mut self, now: Instant) {
        while let Some(token) = self.timers.expired(now) {
            let idle_end = self.drain.map(|drain| drain.idle_end(token));
            let cx = turn_cx(&self.config, self.info, &self.date, self.lame_duck, now);
            let connection = &mut self.connections[token];
            connection.armed = None;
            match connection.deadline(idle_end, &cx) {
                // The deadline has moved since the timer was set.
                Some(at) if at > now => self.timers.arm(token, &mut connection.armed, at),
                None => {}
                Some(_) => {
                    connection.on_deadline();
                    if connection.schedule() {
                        self.run_queue.push(token, connection.had_turn);
                    }
                }
            }
        }
        self.admission.sum_up(now);
        self.throttle.sum_up(now);
        self.throttle.look(now);
    }

    /// The number of admitted connections.
    fn admitted(&self) -> usize {
        self.connections.len() - self.counts.refused_open
    }

    /// Advances each queued connection once, as long as the turn has time.
    fn advance(&mut self, now: Instant) {
        let turn = self.run_queue.begin_turn();
        self.clock.begin_turn(now);
        let cx = turn_cx(&self.config, self.info, &self.date, self.lame_duck, now);
        let cx = TurnCx {
            in_flight_table: Some(&self.in_flight_table),
            clock: Some(&self.clock),
            wakeups: Some(&self.wakeups),
            throttle: Some(&self.throttle),
            seat: self.seat,
            request_log: self.request_log.as_deref(),
            tls: self.tls.as_ref(),
            proxies: self.proxies.as_ref(),
            ..cx
        };
        let mut is_first = true;
        while !self.run_queue.is_empty() {
            if !std::mem::take(&mut is_first) {
                self.clock.pass();
            }
            let Some(token) = self.run_queue.next(self.clock.spent()) else { break };
            self.clock.begin_connection();
            let idle_end = self.drain.map(|drain| drain.idle_end(token));
            let connection = &mut self.connections[token];
            connection.had_turn = turn;
            let were_in_flight = connection.in_flight();
            self.in_flight_table.turn_to(connection.before());
            let mut end = connection.advance(&mut self.buffers, &mut *self.app, idle_end, &cx);
            // A connection that is answered and closed in its first turn is never registered.
            if end != Turn::Closed && !connection.registered {
                match register(&self.poll, &self.wakeups.watches, connection.fd(), token) {
                    Ok(()) => connection.registered = true,
                    Err(e) => {
                        // No event would report its bytes.
                        self.metrics[Metric::Refused] += 1;
                        self.seat.count(Count::RefusedDescriptors, 1);
                        self.admission.on_refused(format_args!("epoll_ctl of a connection: {e}"), now);
                        connection.turn_away(&self.date, &mut self.buffers, cx.request_log, now);
                        end = Turn::Closed;
                    }
                }
            }
            let are_in_flight = if end == Turn::Closed { 0 } else { connection.in_flight() };
            connection.in_flight_entry = self.in_flight_table.keep(connection.in_flight_entry, are_in_flight > 0);
            if are_in_flight != were_in_flight {
                self.metrics[Metric::InFlight] += u64::from(are_in_flight);
                self.metrics[Metric::InFlight] -= u64::from(were_in_flight);
                // At once: a worker that hangs in its next connection publishes nothing more.
                self.slot.set(Metric::InFlight, self.metrics[Metric::InFlight]);
            }
            match end {
                Turn::Closed => {
                    let mut connection = self.connections.remove(token);
                    self.timers.disarm(token, &mut connection.armed);
                    if let Some(per_address) = &mut self.per_address {
                        per_address.leave(token);
                    }
                    self.counts.refused_open -= usize::from(connection.is_refused());
                    self.counts.changed = true;
                    // Before the client sees the close: another worker may admit its next connection.
                    self.slot.set(Metric::Connections, self.admitted() as u64);
                    drop(connection);
                    continue;
                }
                Turn::Again | Turn::Announced => {
                    connection.schedule();
                    self.run_queue.push_again(token);
                    self.counts.announced.extend((end == Turn::Announced).then_some(token));
                }
                Turn::Waits => {}
            }
            if let Some(at) = connection.deadline(idle_end, &cx) {
                self.timers.arm(token, &mut connection.armed, at);
            }
        }
        self.in_flight_table.turn_away();
        self.run_queue.end_turn();
        self.count_announced(now);
    }

    fn start_app(&mut self) -> Result<(), AppError> {
        let turn = turn_cx(&self.config, self.info, &self.date, false, Instant::now());
        let turn = TurnCx { wakeups: Some(&self.wakeups), seat: self.seat, ..turn };
        self.app.start(&Cx { turn: &turn, connection: ConnectionCx::default() })
    }

    /// What the app does outside of any request.
    #[inline(always)] // into each turn, where mostly there is nothing
    fn run_tasks(&mut self, now: Instant) {
        if !self.tasks.is_empty() {
            self.run_due_tasks(now);
        }
    }

    #[cold]
    fn run_due_tasks(&mut self, now: Instant) {
        if self.tasks.deadline(now).is_none_or(|at| at > now) {
            return;
        }
        self.clock.begin_connection();
        let turn = turn_cx(&self.config, self.info, &self.date, self.lame_duck, now);
        let turn = TurnCx { clock: Some(&self.clock), wakeups: Some(&self.wakeups), seat: self.seat, ..turn };
        self.tasks.run(&turn, self.drain.map(|drain| drain.of_no_connection()));
        self.wake();
    }

    /// Lets requests that wait for the limits go on, as far as there is room.
    fn attend(&mut self) {
        self.throttle.attend(self.clock.latest(), &self.wakeups.woken);
        self.wake();
    }

    /// Queues the connections and tasks that apps and watches have woken.
    #[inline(always)] // into each turn, where mostly there are none
    fn wake(&mut self) {
        while let Some(id) = self.wakeups.woken.pop() {
            let connection = self.connections.get_mut(id.token).filter(|connection| connection.id == id.whole());
            let Some(connection) = connection else {
                self.tasks.wake(id); // or it was closed
                continue;
            };
            connection.wake(id.stream);
            if connection.schedule() {
                self.run_queue.push(id.token, connection.had_turn);
            }
        }
    }

    fn publish(&mut self) {
        let counts = self.buffers.recorder.counts();
        self.metrics[Metric::Requests] = counts.answered;
        self.metrics[Metric::ResponsesCut] = counts.cut;
        self.buffers.recorder.publish();
        self.metrics[Metric::Connections] = self.admitted() as u64;
        self.slot.publish(&self.metrics);
    }

    fn balance(&mut self, now: Instant) {
        let changed = std::mem::take(&mut self.counts.changed);
        let snapshot =
            self.listeners.wants_snapshot(changed, now).then(|| self.scoreboard.load_snapshot(now, self.slot_number));
        if snapshot.is_none() && self.listeners.deadline().is_none_or(|at| now < at) {
            return;
        }
        self.listeners.adjust(self.admitted() as u64, snapshot.as_ref(), now);
    }
}

fn register(poll: &Poll, watches: &Watches, fd: RawFd, token: usize) -> io::Result<()> {
    poll.registry().register(&mut SourceFd(&fd), mio::Token(token), Interest::READABLE | Interest::WRITABLE)?;
    watches.on_registered(fd);
    Ok(())
}

fn turn_cx<'a>(
    config: &'a WorkerConfig,
    worker: WorkerInfo,
    date: &'a DateLine,
    is_lame_duck: bool,
    now: Instant,
) -> TurnCx<'a> {
    TurnCx {
        now,
        date,
        limits: &config.limits,
        worker,
        is_lame_duck,
        in_flight_table: None,
        clock: None,
        wakeups: None,
        throttle: None,
        seat: Seat::NONE,
        request_log: None,
        tls: None,
        proxies: None,
    }
}
