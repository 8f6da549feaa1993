//! From what the process was started with to a running master, and from a fork to a running worker.

use crate::about::About;
use crate::affinity;
use crate::alone::Alone;
use crate::command::Command;
use crate::control::{self, Claim};
use crate::development::Development;
use crate::handover::{Predecessor, Program};
use crate::identity::{self, Identity};
use crate::inherited::Inherited;
use crate::listener::{self, Bound};
use crate::master::{Duty, End, Forked, Master, Reread, Start};
use crate::notify::Notifier;
use crate::pidfile::Pidfile;
use crate::tls::{self, Certificates};
use nix::sys::stat::Mode;
use std::time::{Duration, Instant};
use tine_common::access_log::{Opened, Sink};
use tine_common::config::{Address, ControlAt, MasterConfig, StoreUrl};
use tine_common::log::LogFile;
use tine_common::privileges::Privileges;
use tine_common::sys::process::{self, Nofile};
use tine_common::sys::{signals, started_with};
use tine_worker::app::AppFactory;
use tine_worker::worker;

/// Workers of a dead master are gone this long after their graceful timeout, including those that hang.
const ORPHANS_MARGIN: Duration = Duration::from_secs(7);

/// What the process was started with besides its options: the sockets and the program that it may hand on, the service
/// manager, and in an upgrade the master that it takes over from.
pub struct Origin {
    inherited: Result<Inherited, String>,
    notifier: Notifier,
    program: Result<Program, String>,
    predecessor: Option<Predecessor>,
}

/// What a server is started with.
pub struct Service {
    pub about: About,
    /// Builds the application, in each worker.
    pub factory: AppFactory,
    /// Checked, and entered by [`enter`].
    pub config: MasterConfig,
    /// The user to become, of `config`.
    pub identity: Option<Identity>,
    /// Lines for the log, about options without an effect and the like.
    pub warnings: Vec<String>,
    /// Reads the options again at a reload; `None`: there is nothing to read again.
    pub reread: Option<Reread>,
    /// `--reload`.
    pub development: Option<Development>,
}

impl Origin {
    /// To be called before anything else: from here on no signal is lost, whatever was inherited. The error is one line.
    pub fn take() -> Result<Origin, String> {
        signals::hold(&Command::SIGNALS)
            .and_then(|()| started_with::handle_sigpipe())
            .map_err(|e| format!("signals cannot be set up: {e}"))?;
        let (inherited, notifier) = (Inherited::take(), Notifier::from_env(Instant::now()));
        let taken = inherited.and_then(|mut inherited| Ok((inherited.take_predecessor()?, inherited)));
        let (predecessor, inherited) = match taken {
            Ok((predecessor, inherited)) => (predecessor, Ok(inherited)),
            Err(line) => (None, Err(line)),
        };
        let program = Program::current().map_err(|e| format!("the current directory cannot be read: {e}"));
        Ok(Origin { inherited, notifier, program, predecessor })
    }

    /// The addresses of the sockets that were handed down. The error: the process was started with something that it cannot
    /// use.
    pub fn lent(&self) -> Result<Vec<Address>, String> {
        self.program.as_ref().map_err(Clone::clone)?;
        self.inherited.as_ref().map(Inherited::lent).map_err(Clone::clone)
    }

    /// In an upgrade, tells the master that started this one why nothing is served.
    pub fn report_failure(&self, line: &str) {
        if let Some(predecessor) = &self.predecessor {
            predecessor.send_reason(line);
        }
    }

    /// Serves until the server is stopped; returns the exit status. The error is one line, and why nothing was served. A
    /// worker ends its process here.
    pub fn serve(mut self, service: Service) -> Result<u8, String> {
        let mut predecessor = self.predecessor.take();
        let ended = run(service, self, &mut predecessor);
        if let (Err(line), Some(predecessor)) = (&ended, &predecessor) {
            predecessor.send_reason(line);
        }
        ended
    }
}

/// The predecessor is taken once there is a master, which communicates with it from then on.
fn run(service: Service, origin: Origin, predecessor: &mut Option<Predecessor>) -> Result<u8, String> {
    let Service { about, factory, config, identity, warnings, reread, development } = service;
    let Origin { inherited, notifier, program, .. } = origin;
    let (inherited, program) = (inherited?, program?);
    if let Some(threads) = process::threads().filter(|&count| count > 1 && !config.worker.is_alone) {
        return Err(format!(
            "this process has {threads} threads, and its forks would have one: start the server before any other thread, \
             such as those of an async runtime"
        ));
    }
    let Prepared { nofile, pidfile, log_file, access_log, mut bound, mut admin, limit_store, certificates } =
        prepare(&config, inherited, predecessor.as_ref(), config.worker.graceful_timeout + ORPHANS_MARGIN)?;
    let all = bound.iter().chain(&admin);
    let files = Files { pidfile: pidfile.as_ref(), log_file: log_file.as_ref(), access_log: access_log.as_ref() };
    let handed = hand_to(identity.as_ref(), all, files, &config.control)
        .and_then(|()| if config.tls.is_on() { tls::hide_memory() } else { Ok(()) });
    if let Err(line) = handed {
        listener::remove_unix_sockets(bound.iter_mut().chain(&mut admin));
        return Err(line);
    }
    // A predecessor's control socket is taken over together with the server.
    let control = match predecessor {
        _ if config.worker.is_alone => None,
        Some(_) => None,
        None => control::open(&config.control, bound.first().map(|one| &one.address), Claim::Free)
            .inspect_err(|_| listener::remove_unix_sockets(bound.iter_mut().chain(&mut admin)))?,
    };
    if let Some(file) = log_file {
        file.put_in_place()?;
    }
    about.also.iter().for_each(|line| log::info!("also {line}"));
    let access_log = access_log.map(|opened| opened.sink);
    let of_access_log = access_log.as_ref().and_then(Sink::warning).map(str::to_string);
    let of_tls = certificates.warnings().chain(tls::unreadable_later(&config.tls));
    for line in warnings.into_iter().chain(listener::warnings(&config)).chain(of_access_log).chain(of_tls) {
        log::warn!("{line}");
    }
    if let Some(control) = &control {
        log::info!("control socket: {}", control.path().display());
    }
    if let Some(admin) = &admin {
        log::info!("status page and metrics: {}", admin.url());
    }
    if let Some(url) = &limit_store {
        log::info!("limits are shared through {url}");
    }
    if nofile.before < nofile.now {
        log::info!("open files: limit raised from {} to {}", nofile.before, nofile.now);
    } else {
        log::info!("open files: limit is {}", nofile.now);
    }
    if config.worker.is_alone {
        return Alone { about, config, certificates, bound, pidfile, access_log, notifier }.run(factory);
    }
    process::set_title("tine: master");
    let predecessor = predecessor.take();
    let start = Start {
        about,
        factory,
        config,
        reread,
        development,
        certificates,
        bound,
        admin,
        limit_store,
        pidfile,
        access_log,
        program,
        predecessor,
        control,
        notifier,
    };
    let master = Master::new(start).map_err(|e| format!("the master could not start: {e}"))?;
    match master.run() {
        End::Exit(status) => Ok(status),
        End::Child(forked) => become_child(*forked),
    }
}

/// In a process just forked: does what it was forked for, and exits.
fn become_child(forked: Forked) -> ! {
    let Forked { name, duty, privileges } = forked;
    tine_common::log::forget();
    process::set_title(&format!("tine: {name}"));
    tine_common::log::set_process_name(&name);
    // A link may lead elsewhere by now: to the version that a reload is to load.
    if let Err(line) = go_to(&privileges) {
        log::warn!("{line}; this process stays in the master's directory");
    }
    // No destructor of the master may run here: exit at once.
    std::process::exit(match duty {
        Duty::Serve(start, factory) => {
            affinity::pin(&privileges.affinity, start.info.index);
            worker::run(*start, &factory)
        }
        #[cfg(feature = "limit-store")]
        Duty::Lease(start) => tine_store::run(*start),
    })
}

/// Sets the umask and the working directory for all files, including sockets. To be called before any path is opened or
/// created.
pub fn enter(privileges: &Privileges) -> Result<(), String> {
    if let Some(umask) = privileges.umask {
        nix::sys::stat::umask(Mode::from_bits_truncate(umask));
    }
    go_to(privileges)
}

pub fn go_to(privileges: &Privileges) -> Result<(), String> {
    let Some(directory) = &privileges.directory else { return Ok(()) };
    std::env::set_current_dir(directory)
        .map_err(|e| format!("--chdir {} cannot be entered: {e}; give a directory", directory.display()))
}

/// Files that this process has created, and that the user of `--user` must be able to open.
struct Files<'a> {
    pidfile: Option<&'a Pidfile>,
    log_file: Option<&'a LogFile>,
    access_log: Option<&'a Opened>,
}

/// Gives all files created so far to the user, and becomes that user.
fn hand_to<'b>(
    identity: Option<&Identity>,
    mut bound: impl Iterator<Item = &'b Bound>,
    files: Files<'_>,
    control: &ControlAt,
) -> Result<(), String> {
    if let Some(identity) = identity {
        let (uid, gid) = (identity.uid.as_raw(), identity.gid.as_raw());
        bound.try_for_each(|one| one.give_to(uid, gid))?;
        files.pidfile.map_or(Ok(()), |pidfile| pidfile.give_to(uid, gid))?;
        files.log_file.map_or(Ok(()), |file| file.give_to(uid, gid))?;
        files.access_log.map_or(Ok(()), |opened| opened.give_to(uid, gid))?;
        if (control, identity.uid.is_root()) == (&ControlAt::Auto, false)
            && let Err(line) = control::make_directory_for(uid, gid)
        {
            // The server may use another directory.
            log::debug!("no directory for a control socket that root trusts: {line}");
        }
        identity.assume()?;
    }
    identity::renounce_privileges()
}

/// Everything that the system may refuse before the first fork.
struct Prepared {
    nofile: Nofile,
    pidfile: Option<Pidfile>,
    log_file: Option<LogFile>,
    access_log: Option<Opened>,
    bound: Vec<Bound>,
    admin: Option<Bound>,
    limit_store: Option<StoreUrl>,
    certificates: Certificates,
}

/// `patience`: see [`listener::bind`].
fn prepare(
    config: &MasterConfig,
    mut inherited: Inherited,
    predecessor: Option<&Predecessor>,
    patience: Duration,
) -> Result<Prepared, String> {
    let nofile = process::raise_nofile().map_err(|e| format!("the limit of open files cannot be read: {e}"))?;
    let needed = listener::descriptors_needed(config);
    if nofile.now < needed {
        return Err(format!(
            "{} workers need {needed} open files, but the limit is {}; raise it (ulimit -n) or run fewer workers",
            config.workers, nofile.now
        ));
    }
    let predecessor = predecessor.map(|predecessor| predecessor.pid);
    let pidfile = config.pidfile.as_deref().map(|path| Pidfile::check(path, predecessor)).transpose()?;
    let log_file = config.log_file.as_deref().map(LogFile::open).transpose()?;
    // Before the user changes: its file may be root's.
    let limit_store = config.limit_store.url()?.filter(|_| !config.worker.is_alone);
    let certificates = Certificates::load(&config.tls)?;
    let access_log = Opened::open(&config.worker.request_log.access.target)?;
    let at = config.admin.as_ref().filter(|_| !config.worker.is_alone);
    let own = at.and_then(|at| inherited.take_admin(at));
    let mut bound = listener::bind(config, inherited, patience)?;
    let admin = at.map(|at| listener::bind_admin(at, own, config, patience)).transpose();
    let admin = admin.inspect_err(|_| listener::remove_unix_sockets(&mut bound))?;
    Ok(Prepared { nofile, pidfile, log_file, access_log, bound, admin, limit_store, certificates })
}

/// Does what a start does before it forks, and releases it again, so that a port in use or a missing permission is reported.
/// Sockets that were handed down are left as they are.
pub fn rehearse(config: &MasterConfig, lent: &[Address]) -> Result<(), String> {
    let mut own = config.clone();
    own.listen.retain(|one| !lent.contains(&one.address));
    own.tls.listen.retain(|one| !lent.contains(&one.address));
    let Prepared { mut bound, mut admin, log_file, access_log, .. } =
        prepare(&own, Inherited::default(), None, Duration::ZERO)?;
    let control = match &config.control {
        ControlAt::Path(_) => control::open(&config.control, None, Claim::Free),
        ControlAt::Auto | ControlAt::Nowhere => Ok(None),
    };
    listener::remove_unix_sockets(bound.iter_mut().chain(&mut admin));
    control?.into_iter().for_each(|control| control.remove());
    if let Some(file) = log_file {
        file.discard();
    }
    if let Some(opened) = access_log {
        opened.discard();
    }
    Ok(())
}
