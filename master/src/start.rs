//! From the command line to a running master, and from a fork to a running worker.

use crate::affinity;
use crate::args::{self, Cli, CommandLine, Complaint, Given};
use crate::command::Command;
use crate::control::{self, Claim};
use crate::ctl;
use crate::handover::{Predecessor, Program};
use crate::identity::{self, Identity};
use crate::inherited::Inherited;
use crate::listener::{self, Bound};
use crate::master::{End, Master, Start};
use crate::notify::Notifier;
use crate::operands::Operands;
use crate::pidfile::Pidfile;
use crate::preflight::{self, Preflight};
use crate::top;
use nix::sys::stat::Mode;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tine_apps::health;
use tine_common::config::{Address, Config, ControlAt};
use tine_common::log::LogFile;
use tine_common::privileges::Privileges;
use tine_common::sys::process::{self, Nofile};
use tine_common::sys::{signals, started_with};
use tine_worker::app::{App, AppError, AppFactory, RawAccess, WorkerInfo};
use tine_worker::worker;

/// Workers of a master that has died are gone this long after their graceful timeout, also those that hang.
const ORPHANS_MARGIN: Duration = Duration::from_secs(7);
const EXIT_SYSTEM: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// How long the last line of a process waits for a reader of standard error that stands still.
pub const LAST_WORD_PATIENCE: Duration = Duration::from_secs(1);

/// Serves an application under the command line of `tine`: `run`, `check`, `--help`. `factory` is called in each worker,
/// after the fork; there `std::env::args` has the process's title in place of the arguments, so who wants them reads them
/// before. No other thread may run. Returns the process's exit status: 0 after a stop, 1 when the system or the app failed, 2
/// for a wrong option.
pub fn serve(name: &str, factory: impl Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError> + 'static) -> ExitCode {
    serve_with(Operands::Port, |_: Asked<NoArgs>| {
        Ok(Served {
            name: name.to_string(),
            try_next: "curl URL/".to_string(),
            options: Vec::new(),
            also: Vec::new(),
            warnings: Vec::new(),
            health: Health::AppsOwn,
            has_preflight: false,
            factory: Box::new(factory),
        })
    })
}

/// As [`serve`], for an application that is to write bytes without framing, as a test origin does that fails on request:
/// it gets raw access.
pub fn serve_raw(
    name: &str,
    factory: impl Fn(&WorkerInfo, RawAccess) -> Result<Box<dyn App>, AppError> + 'static,
) -> ExitCode {
    let raw_access = tine_worker::raw_access::grant();
    serve(name, move |worker| factory(worker, raw_access))
}

/// An application without options of its own.
#[derive(clap::Args, Debug)]
struct NoArgs {}

/// What a command line asks for.
pub struct Asked<A> {
    /// What was given as APP.
    pub app: Option<String>,
    pub options: A,
    /// Which of the options were given, and did not just have their default.
    pub given: Given,
}

/// What a command line comes to.
pub struct Served {
    /// What is served, as the first line says it.
    pub name: String,
    /// What to try first; `URL` stands for where the server listens.
    pub try_next: String,
    /// Each of the application's own options and its value, for `check`.
    pub options: Vec<(&'static str, String)>,
    /// What is served besides; a line each, which the banner and the log have.
    pub also: Vec<String>,
    /// Who tells a balancer that the server stops soon, where there is no `--health-path`.
    pub health: Health,
    /// What was given and has no effect; a line each.
    pub warnings: Vec<String>,
    /// The app is built once by a process of its own before anything is bound, and `check` does no more than that.
    pub has_preflight: bool,
    pub factory: AppFactory,
}

/// How a health check is answered by what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At this path, with 503 while `--drain-delay` runs.
    At(&'static str),
    /// The application is told (`Cx::is_lame_duck`), and does as it likes.
    AppsOwn,
    /// Not at all.
    Nowhere,
}

/// As [`serve`], with operands and options of the program's own. `choose` makes of them what is served, or says in one
/// line what is wrong with them.
pub fn serve_with<A: clap::Args>(
    operands: Operands,
    choose: impl FnOnce(Asked<A>) -> Result<Served, String>,
) -> ExitCode {
    // First of all: what was inherited of them may be in the way, and each that comes from now on is heard.
    if let Err(e) = signals::hold(&Command::SIGNALS).and_then(|()| started_with::hear_sigpipe()) {
        return complain(&format!("signals cannot be heard: {e}"), EXIT_SYSTEM);
    }
    let (inherited, notifier) = (Inherited::take(), Notifier::from_env(Instant::now()));
    let taken = inherited.and_then(|mut inherited| Ok((inherited.take_predecessor()?, inherited)));
    let (mut predecessor, inherited) = match taken {
        Ok((predecessor, inherited)) => (predecessor, Ok(inherited)),
        Err(line) => (None, Err(line)),
    };
    let ended = follow(operands, choose, inherited, notifier, &mut predecessor);
    ended.unwrap_or_else(|Failure { line, status, is_said }| {
        if let Some(predecessor) = &predecessor {
            predecessor.tell_reason(&line);
        }
        if is_said { ExitCode::from(status) } else { complain(&line, status) }
    })
}

/// Why nothing is served, and the exit status for it.
struct Failure {
    line: String,
    status: u8,
    /// It is on standard error already.
    is_said: bool,
}

impl Failure {
    fn usage(line: String) -> Failure {
        Failure { line, status: EXIT_USAGE, is_said: false }
    }

    fn system(line: String) -> Failure {
        Failure { line, status: EXIT_SYSTEM, is_said: false }
    }
}

/// Does what the command line says. The predecessor is taken once there is a master, which talks to it from then on.
fn follow<A: clap::Args>(
    operands: Operands,
    choose: impl FnOnce(Asked<A>) -> Result<Served, String>,
    inherited: Result<Inherited, String>,
    notifier: Notifier,
    predecessor: &mut Option<Predecessor>,
) -> Result<ExitCode, Failure> {
    let unknown = args::unknown_variables::<A>(operands);
    let Cli { is_check, server, operands, app, given } = match args::parse::<A>(std::env::args_os(), operands) {
        Ok(CommandLine::Serve(cli)) => *cli,
        Ok(CommandLine::Ctl(args)) => return Ok(without_handlers(|| ctl::run(args))),
        Ok(CommandLine::Top(args)) => return Ok(without_handlers(|| top::run(args))),
        Err(Complaint::Asked(text)) => return Ok(say(&text, 0)),
        Err(Complaint::Wrong(line)) => return Err(Failure::usage(line)),
    };
    let inherited = inherited.map_err(Failure::system)?;
    let config = server.config(operands.port, !inherited.lent().is_empty());
    let program = Program::current()
        .map_err(|e| Failure::system(format!("the directory it was started in cannot be told: {e}")))?;
    // Before anything is looked for by its name, or made.
    let level = enter(&config.privileges)
        .and_then(|()| config.check())
        .and_then(|()| tine_common::log::level(config.log_level, config.quiet));
    let chosen = level.and_then(|level| Ok((level, choose(Asked { app: operands.app, options: app, given })?)));
    let (level, mut served) = chosen.map_err(Failure::usage)?;
    let identity = Identity::of(&config.privileges).map_err(Failure::system)?;
    served.warnings.extend(unknown);
    served.warnings.extend(warn_of_silence(&served, &config));
    if let Some(path) = config.health_path.as_deref().and_then(|path| path.parse().ok()) {
        served.factory = health::before(path, served.factory);
    }
    if let Some(line) = warn_of_root(&served, &config, identity.as_ref()) {
        served.warnings.push(line);
    }
    tine_common::log::init(level);
    tine_common::log::set_process_name("master");
    if served.has_preflight {
        let ended = preflight::fly(&served.name, &config, identity.as_ref(), &served.factory);
        match ended.map_err(Failure::system)? {
            Preflight::Passed => {}
            Preflight::Failed(line) => return Err(Failure { line, status: EXIT_SYSTEM, is_said: true }),
            Preflight::Stopped(signal) if is_check => {
                return Err(Failure::system(format!("{signal}: {} was still being loaded", served.name)));
            }
            Preflight::Stopped(signal) => {
                log::info!("{signal}: stopping; {} was being loaded", served.name);
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let ended = if is_check {
        check(&served, &config, inherited).map(|text| say(&text, 0))
    } else {
        run(served, config, Origin { inherited, notifier, program, identity }, predecessor).map(ExitCode::from)
    };
    ended.map_err(Failure::system)
}

/// For a program that signals end as any other.
fn without_handlers(program: impl FnOnce() -> ExitCode) -> ExitCode {
    match signals::release() {
        Ok(()) => program(),
        Err(e) => complain(&format!("signals cannot be heard: {e}"), EXIT_SYSTEM),
    }
}

/// How the process came to be, and who it becomes.
struct Origin {
    inherited: Inherited,
    notifier: Notifier,
    program: Program,
    identity: Option<Identity>,
}

fn run(served: Served, config: Config, origin: Origin, predecessor: &mut Option<Predecessor>) -> Result<u8, String> {
    let Served { name, try_next, also, health, warnings, factory, .. } = served;
    let Origin { inherited, notifier, program, identity } = origin;
    let Prepared { nofile, pidfile, log_file, mut bound } =
        prepare(&config, inherited, predecessor.as_ref(), config.graceful_timeout + ORPHANS_MARGIN)?;
    if let Err(line) = hand_to(identity.as_ref(), &bound, pidfile.as_ref(), log_file.as_ref(), &config.control) {
        listener::remove_unix_sockets(&mut bound);
        return Err(line);
    }
    // That of a predecessor is taken over when the server is.
    let control = match predecessor {
        Some(_) => None,
        None => control::open(&config.control, bound.first().map(|one| &one.address), Claim::Free)
            .inspect_err(|_| listener::remove_unix_sockets(&mut bound))?,
    };
    if let Some(file) = log_file {
        file.put_in_place()?;
    }
    also.iter().for_each(|line| log::info!("also {line}"));
    for line in warnings.into_iter().chain(listener::warnings(&config)) {
        log::warn!("{line}");
    }
    if let Some(control) = &control {
        log::info!("control socket: {}", control.path().display());
    }
    process::set_title("tine: master");
    if nofile.before < nofile.now {
        log::info!("open files: limit raised from {} to {}", nofile.before, nofile.now);
    } else {
        log::info!("open files: limit is {}", nofile.now);
    }
    let predecessor = predecessor.take();
    let start = Start { name, try_next, also, health, config, bound, pidfile, notifier, program, predecessor, control };
    let master = Master::new(start).map_err(|e| format!("the master could not start: {e}"))?;
    match master.run() {
        End::Exit(status) => Ok(status),
        End::Worker(start) => {
            let who = format!("worker {}", start.info.index);
            process::set_title(&format!("tine: {who}"));
            tine_common::log::set_process_name(&who);
            affinity::pin(&start.config.privileges.affinity, start.info.index);
            // A link may lead elsewhere by now: to what a reload is to load.
            if let Err(line) = go_to(&start.config.privileges) {
                log::warn!("{line}; this worker is where its master is");
            }
            // No destructor of the master's may run in a worker, whatever it becomes: leave at once.
            std::process::exit(worker::run(*start, &factory))
        }
    }
}

/// The directory and the mask that all files are found in and made with, sockets too.
fn enter(privileges: &Privileges) -> Result<(), String> {
    if let Some(umask) = privileges.umask {
        nix::sys::stat::umask(Mode::from_bits_truncate(umask));
    }
    go_to(privileges)
}

fn go_to(privileges: &Privileges) -> Result<(), String> {
    let Some(directory) = &privileges.folder else { return Ok(()) };
    std::env::set_current_dir(directory)
        .map_err(|e| format!("--chdir {} cannot be entered: {e}; give a directory", directory.display()))
}

/// All that was made so far becomes the user's, and so does this process.
fn hand_to(
    identity: Option<&Identity>,
    bound: &[Bound],
    pidfile: Option<&Pidfile>,
    log_file: Option<&LogFile>,
    control: &ControlAt,
) -> Result<(), String> {
    if let Some(identity) = identity {
        let (uid, gid) = (identity.uid.as_raw(), identity.gid.as_raw());
        bound.iter().try_for_each(|one| one.give_to(uid, gid))?;
        pidfile.map_or(Ok(()), |pidfile| pidfile.give_to(uid, gid))?;
        log_file.map_or(Ok(()), |file| file.give_to(uid, gid))?;
        if (control, identity.uid.is_root()) == (&ControlAt::Auto, false)
            && let Err(line) = control::make_directory_for(uid, gid)
        {
            // There are others that the server may have.
            log::debug!("no directory for the control socket that root finds: {line}");
        }
        identity.assume()?;
    }
    identity::renounce_privileges()
}

/// Code of the user's that runs as root has the machine, and whoever finds a hole in it.
fn warn_of_root(served: &Served, config: &Config, identity: Option<&Identity>) -> Option<String> {
    let is_warned = served.has_preflight && !config.privileges.allow_root && identity::is_root(identity);
    is_warned.then(|| {
        format!("{} runs as root; --user gives it another user, --allow-root says that it is meant to", served.name)
    })
}

/// A delay is for balancers to hear of the stop.
fn warn_of_silence(served: &Served, config: &Config) -> Option<String> {
    let is_silent = !config.drain_delay.is_zero() && config.health_path.is_none() && served.health == Health::Nowhere;
    is_silent.then(|| {
        format!(
            "--drain-delay only waits: no path of {} answers 503 meanwhile; --health-path /health does",
            served.name
        )
    })
}

/// What the system may refuse before the first fork, once it has not.
struct Prepared {
    nofile: Nofile,
    pidfile: Option<Pidfile>,
    log_file: Option<LogFile>,
    bound: Vec<Bound>,
}

/// `patience`: see [`listener::bind`].
fn prepare(
    config: &Config,
    inherited: Inherited,
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
    let bound = listener::bind(config, inherited, patience)?;
    Ok(Prepared { nofile, pidfile, log_file, bound })
}

/// What would run, and what `run` would warn of. After a preflight nothing is bound, so that an app can be checked beside
/// the server that runs it; otherwise prepares as `run` does and lets go, so that a port in use or a missing right is told.
/// Sockets that were inherited are named and left as they are.
fn check(served: &Served, config: &Config, inherited: Inherited) -> Result<String, String> {
    let mut text = format!("tine {} would serve {}", tine_common::VERSION, served.name);
    let lent: Vec<Address> = inherited.lent();
    let own = config.listen.iter().filter(|address| !lent.contains(address)).map(Address::to_string);
    let listen = lent.iter().map(|address| format!("{address} (inherited)")).chain(own);
    if served.has_preflight {
        text.push_str(&format!(" with\n  {:<22} {}\n", "listen", listen.collect::<Vec<_>>().join(", ")));
    } else {
        let mut own = config.clone();
        own.listen.retain(|address| !lent.contains(address));
        let Prepared { mut bound, log_file, .. } = prepare(&own, Inherited::default(), None, Duration::ZERO)?;
        let control = match &config.control {
            ControlAt::Path(_) => control::open(&config.control, None, Claim::Free),
            ControlAt::Auto | ControlAt::Nowhere => Ok(None),
        };
        listener::remove_unix_sockets(&mut bound);
        control?.into_iter().for_each(|control| control.remove());
        if let Some(file) = log_file {
            file.let_go();
        }
        text.push_str(" on\n");
        text.extend(listen.map(|address| format!("  {address}\n")));
        text.push_str("with\n");
    }
    for (option, value) in config.describe().iter().chain(&served.options) {
        text.push_str(&format!("  {option:<22} {value}\n"));
    }
    text.extend(served.also.iter().map(|line| format!("also {line}\n")));
    for line in served.warnings.iter().chain(&listener::warnings(config)) {
        text.push_str(&format!("warning: {line}\n"));
    }
    Ok(text)
}

/// Prints to standard output; a reader that has gone away is not an error, a disk that is full is one.
pub fn say(text: &str, status: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("what was asked for cannot be printed: {e}"), EXIT_SYSTEM)
        }
        _ => ExitCode::from(status),
    }
}

/// With no control character but line ends and tabs, which a terminal could take for orders: what is printed may be the
/// words of a server, an app or a path. Escaped as JSON has it, so that JSON stays JSON.
pub fn printable(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_control() && c != '\n' && c != '\t' {
            true => format!("\\u{:04x}", u32::from(c)).chars().collect::<Vec<_>>(),
            false => vec![c],
        })
        .collect()
}

/// Prints one line to standard error.
pub fn complain(line: &str, status: u8) -> ExitCode {
    // Where nothing reads standard error, the exit status still tells.
    tine_common::log::write_last(&format!("tine: {}\n", printable(line)), LAST_WORD_PATIENCE);
    ExitCode::from(status)
}
