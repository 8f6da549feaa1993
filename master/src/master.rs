//! The master: a table of children, the commands, and small policies on both. It never serves an HTTP client.
//!
//! One thread, one loop: take the events (reports of workers, words of other masters, commands), obey the commands, reap the
//! dead, check the living, start what is due.

mod admin;
mod booting;
mod commanding;
mod configuring;
mod counting;
mod developing;
mod helper;
mod inheriting;
#[cfg(feature = "limit-store")]
mod leasing;
mod limiting;
mod measuring;
mod notifying;
mod replacing;
mod reporting;
mod spawning;
mod stopping;
mod supervising;
mod tickets;
mod upgrading;
mod waiting;

use crate::about::About;
use crate::children::{Child, Children};
use crate::command::Command;
use crate::control::Control;
use crate::development::Development;
use crate::handover::{Predecessor, Program};
use crate::listener::{Bound, remove_unix_sockets};
use crate::memory_line::MemoryLine;
use crate::notify::Notifier;
use crate::pidfile::Pidfile;
use crate::shortage::Shortage;
use crate::tls::Certificates;
use admin::Admin;
use booting::Boot;
use configuring::Configuring;
pub use configuring::{Reloaded, Reread};
use counting::Counting;
use developing::Developing;
use helper::Helper;
use inheriting::{Succession, server_memory};
#[cfg(feature = "limit-store")]
use leasing::Leasing;
use limiting::Limiting;
use measuring::Measuring;
use mio::{Events, Interest, Poll};
use replacing::Replacing;
use signal_hook::consts::{SIGCHLD, SIGHUP};
use signal_hook_mio::v1_0::Signals;
use std::io;
use std::time::{Duration, Instant, SystemTime};
use stopping::Stopping;
use supervising::Supervising;
use tine_common::access_log::Sink;
use tine_common::config::{MasterConfig, StoreUrl};
use tine_common::log::{Allowance, and_others};
use tine_common::message::{Order, Report};
use tine_common::metric::Metric;
use tine_common::privileges::Privileges;
use tine_common::scoreboard::Scoreboard;
use tine_common::server_memory::ServerMemory;
use tine_common::sys::{process, signals};
use tine_worker::app::AppFactory;
use tine_worker::tls::Acceptor;
use tine_worker::worker;
use upgrading::Upgrading;

/// A worker that has not exited at the graceful timeout, or after an order to cut, is killed this much later.
const KILL_MARGIN: Duration = Duration::from_secs(1);
/// While the poll fails, signals and channels are read this often.
const POLL_RETRY: Duration = Duration::from_millis(100);
// Tokens from the top down; the channel of a child has its slot as its token.
const SIGNALS: usize = usize::MAX - 1;
const UPGRADE: usize = usize::MAX - 2;
const OLD_MASTER: usize = usize::MAX - 3;
/// The channel of the process of `--admin`.
const ADMIN: usize = usize::MAX - 4;
/// That of the process of `--limit-store`.
const LIMIT_STORE: usize = usize::MAX - 5;
/// What `--reload` hears of: reports of workers, and changes of files.
const DEVELOPING: usize = usize::MAX - 6;
/// This token and all above: the control socket and its clients.
const CONTROL: usize = 1 << 32;

/// All that the master is built from.
pub struct Start {
    pub about: About,
    pub factory: AppFactory,
    pub config: MasterConfig,
    /// `None`: a reload changes no option.
    pub reread: Option<Reread>,
    /// `--reload`.
    pub development: Option<Development>,
    pub certificates: Certificates,
    pub bound: Vec<Bound>,
    /// The address of `--admin`.
    pub admin: Option<Bound>,
    /// The store of `--limit-store`.
    pub limit_store: Option<StoreUrl>,
    pub pidfile: Option<Pidfile>,
    /// What each worker gets; `None`: there is no access log.
    pub access_log: Option<Sink>,
    pub program: Program,
    /// The master that this one is to take over from.
    pub predecessor: Option<Predecessor>,
    /// `None`: not wanted, not available, or not taken over yet.
    pub control: Option<Control>,
    pub notifier: Notifier,
}

/// How [`Master::run`] returns: in the master's process, or in a process just forked.
pub enum End {
    Exit(u8),
    Child(Box<Forked>),
}

/// A process just forked, and what it needs of the master.
pub struct Forked {
    /// In its title and in the log.
    pub name: String,
    pub duty: Duty,
    pub privileges: Privileges,
}

/// What the process does.
pub enum Duty {
    /// That of a worker, or what `--admin` shows.
    Serve(Box<worker::Start>, AppFactory),
    #[cfg(feature = "limit-store")]
    Lease(Box<tine_store::Start>),
}

pub struct Master {
    about: About,
    factory: AppFactory,
    config: MasterConfig,
    program: Program,
    pid: u32,
    began: (Instant, SystemTime),
    /// What workers begin TLS sessions with.
    tls: Option<Acceptor>,
    // What it owns of the system.
    bound: Vec<Bound>,
    /// Only with `--admin`.
    admin: Option<Admin>,
    /// Only with `--limit-store`.
    #[cfg(feature = "limit-store")]
    leasing: Option<Leasing>,
    pidfile: Option<Pidfile>,
    access_log: Option<Sink>,
    /// `None`: not wanted, not available, or not taken over yet.
    control: Option<Control>,
    notifier: Notifier,
    poll: Poll,
    signals: Signals,
    memory: ServerMemory,
    scoreboard: Scoreboard,
    children: Children,
    shortage: Shortage,
    poll_failures_allowance: Allowance,
    /// `None`: off, or not logged at this level.
    memory_line: Option<MemoryLine>,
    // What it does: the fields of each are private to the file that does it.
    boot: Boot,
    counting: Counting,
    supervising: Supervising,
    measuring: Measuring,
    limiting: Limiting,
    replacing: Replacing,
    configuring: Configuring,
    /// Only with `--reload`.
    developing: Option<Developing>,
    upgrading: Upgrading,
    succession: Succession,
    stopping: Stopping,
    notified: notifying::Notified,
    commands: Vec<commanding::Asked>,
    waiters: Vec<waiting::Waiter>,
}

impl Master {
    pub fn new(start: Start) -> io::Result<Master> {
        let Start { about, factory, config, reread, bound, pidfile, access_log, program, mut predecessor, .. } = start;
        let (mut control, mut notifier) = (start.control, start.notifier);
        let memory = server_memory(&config, start.limit_store.as_ref(), predecessor.as_mut())?;
        let mut scoreboard = Scoreboard::over(&memory)?.with_dictionaries(config.shared_bytes_max);
        if config.worker.connections_per_address_max.is_some() {
            scoreboard.count_addresses(&memory)?;
        }
        let limits = config.worker.throttle.limits;
        if !memory.is_taken_on() {
            scoreboard.throttle().set(&limits);
        }
        let poll = Poll::new()?;
        let wanted = |signal: &i32| *signal != SIGHUP || !process::ignores_hangup();
        let mut signals = Signals::new(Command::SIGNALS.into_iter().filter(wanted).chain([SIGCHLD]))?;
        poll.registry().register(&mut signals, mio::Token(SIGNALS), Interest::READABLE)?;
        signals::release()?;
        if let Some(control) = &mut control {
            control.register(poll.registry(), CONTROL)?;
        }
        if predecessor.is_some() {
            // Until the handover, the predecessor speaks for the service.
            notifier.hold();
        }
        let now = Instant::now();
        let memory_line = MemoryLine::of(&config, now);
        let admin = start.admin.map(|bound| Admin::new(bound, scoreboard, now)).transpose()?;
        if start.limit_store.is_some() && !memory.is_taken_on() {
            scoreboard.throttle().share(config.limit_store_alone_percent);
        }
        #[cfg(feature = "limit-store")]
        let leasing = start.limit_store.map(|url| Leasing::new(url, scoreboard.throttle(), now)).transpose()?;
        let developing = start.development.map(|development| Developing::new(development, poll.registry(), now));
        let developing = developing.transpose()?;
        let texts = predecessor.as_mut().filter(|_| !memory.is_taken_on()).map(Predecessor::limits);
        let mut master = Master {
            children: Children::new(config.workers, now),
            tls: start.certificates.acceptor(memory.ticket_keys()),
            about,
            factory,
            config,
            program,
            pid: std::process::id(),
            began: (now, SystemTime::now()),
            bound,
            admin,
            #[cfg(feature = "limit-store")]
            leasing,
            pidfile,
            access_log,
            control,
            notifier,
            poll,
            signals,
            memory,
            scoreboard,
            boot: Boot::NoneReady { failures: 0 },
            counting: Counting::default(),
            supervising: Supervising::new(now),
            measuring: Measuring::new(now),
            limiting: Limiting::new(limits),
            replacing: Replacing::default(),
            configuring: Configuring::new(reread),
            developing,
            upgrading: Upgrading::default(),
            succession: Succession::of(predecessor),
            stopping: Stopping::default(),
            notified: notifying::Notified::nothing(scoreboard.totals()[Metric::Requests], now),
            commands: Vec::new(),
            waiters: Vec::new(),
            shortage: Shortage::default(),
            poll_failures_allowance: Allowance::new(1.0, 1.0 / 30.0),
            memory_line,
        };
        // With memory of its own it need not wait for the takeover.
        texts.into_iter().for_each(|texts| master.begin_limiting(&texts));
        Ok(master)
    }

    /// Serves until told to stop. In a process just forked it returns at once with that worker's start; dropping the master
    /// there closes the descriptors that are not the worker's.
    pub fn run(mut self) -> End {
        if !self.succession.is_pending() {
            self.bound.iter_mut().for_each(Bound::claim_file);
            self.admin.iter_mut().for_each(Admin::claim_file);
            if let Err(line) = self.write_pidfile() {
                log::error!("{line}");
                remove_unix_sockets(&mut self.bound);
                self.close_admin();
                return End::Exit(1);
            }
        }
        let mut events = Events::with_capacity(256);
        self.keep_ticket_keys();
        loop {
            let now = Instant::now();
            if let Some(forked) = self.spawn_helper(now) {
                return End::Child(Box::new(forked));
            }
            while let Some(index) = self.children.due(now).or_else(|| self.next_successor(now)) {
                if let Some(start) = self.spawn(index, now) {
                    let Master { factory, config, developing, .. } = self;
                    let factory = developing.and_then(Developing::into_stand_in).unwrap_or(factory);
                    let name = format!("worker {}", start.info.index);
                    let duty = Duty::Serve(Box::new(start), factory);
                    return End::Child(Box::new(Forked { name, duty, privileges: config.privileges }));
                }
            }
            self.shortage.settle(now);
            if let Some(ending) = self.finished(now) {
                return End::Exit(self.clean_up(ending));
            }
            match self.poll.poll(&mut events, Some(self.timeout(now))) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => events.clear(),
                Err(e) => {
                    events.clear();
                    self.turn_without_poll(&e, now);
                }
            }
            let now = Instant::now();
            for event in &events {
                match event.token().0 {
                    SIGNALS => self.take_signals(),
                    UPGRADE => self.handle_new_master(now),
                    OLD_MASTER => self.handle_old_master(),
                    ADMIN | LIMIT_STORE => self.helpers_mut().for_each(Helper::handle_reports),
                    DEVELOPING => {} // read in each turn
                    CONTROL.. => self.control.iter_mut().for_each(|control| control.on_event(event, now)),
                    slot => self.handle_reports(slot, now),
                }
            }
            self.take_control_requests(now);
            self.obey_all(now);
            self.reap(now);
            self.measure(now);
            self.note_cpu(now);
            self.check_workers(now);
            self.keep_developing(now);
            self.keep_stopping(now);
            self.enforce(now);
            self.helpers_mut().for_each(|helper| helper.enforce(now));
            self.enforce_old_master(now);
            self.keep_ticket_keys();
            self.keep_reloading(now);
            self.keep_upgrading(now);
            self.keep_taking_over();
            self.announce();
            self.log_memory(now);
            tine_common::log::report_suppressed(now);
            self.count_dropped_lines();
            self.update_waiters(now);
            self.notify(now);
            self.post(now);
        }
    }

    /// A turn while the poll fails: signals and channels are read without events. Only control clients have to wait.
    fn turn_without_poll(&mut self, error: &io::Error, now: Instant) {
        if let Some(others) = self.poll_failures_allowance.admits(now) {
            log::error!("epoll_wait: {error}; polling every {} ms{}", POLL_RETRY.as_millis(), and_others(others));
        }
        std::thread::sleep(POLL_RETRY.min(self.timeout(now)));
        self.take_signals();
        self.children.slots().into_iter().for_each(|slot| self.handle_reports(slot, now));
        self.helpers_mut().for_each(Helper::handle_reports);
    }

    fn timeout(&self, now: Instant) -> Duration {
        let memory_line = self.memory_line.as_ref().map(MemoryLine::due);
        let control = self.control.as_ref().and_then(|control| control.deadline(now));
        let manager = self.notifier.due();
        let old_master = self.succession.kill_at();
        let admin = self.admin.as_ref().and_then(Admin::deadline);
        let developing = self.developing.as_ref().and_then(Developing::deadline);
        let deadlines = [
            developing,
            self.stopping.deadline(),
            old_master,
            self.children.next_start(now),
            memory_line,
            control,
            manager,
            admin,
            self.ticket_keys_due(now),
        ];
        let helpers = self.helpers().map(Helper::deadline);
        let nearest = deadlines.into_iter().chain(helpers).flatten().fold(self.supervising.next_check(), Instant::min);
        nearest.saturating_duration_since(now)
    }

    fn order(&mut self, slot: usize, order: Order) {
        self.children.get_mut(slot).into_iter().for_each(|child| child.order(order));
    }

    fn order_all(&mut self, order: Order) {
        self.children.slots().into_iter().for_each(|slot| self.order(slot, order));
        // The others are about the service that workers give.
        if matches!(order, Order::Lent | Order::Owned | Order::ReopenLogs) {
            self.helpers_mut().for_each(|helper| helper.order(order));
        }
    }

    fn handle_reports(&mut self, slot: usize, now: Instant) {
        for report in self.read_reports(slot) {
            match report {
                Report::Ready => self.on_ready(slot, now),
                Report::Leaving => self.on_left_by_itself(slot, now),
                Report::Due => self.children.get_mut(slot).into_iter().for_each(|child| child.is_due = true),
                Report::BootFailed => {}
            }
        }
    }

    /// The reports of a worker since the last call.
    fn read_reports(&mut self, slot: usize) -> Vec<Report> {
        self.children.get_mut(slot).map_or(Vec::new(), Child::read_reports)
    }

    fn write_pidfile(&mut self) -> Result<(), String> {
        self.pidfile.as_mut().map_or(Ok(()), Pidfile::write)
    }
}
