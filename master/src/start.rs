//! From the command line to a running master, and from a fork to a running worker.

use crate::affinity;
use crate::alone::{self, Alone};
use crate::check;
use crate::command::Command;
use crate::command_line::{self, CommandLine, Complaint};
use crate::control::{self, Claim};
use crate::ctl;
use crate::given::Given;
use crate::handover::{Predecessor, Program};
use crate::identity::{self, Identity};
use crate::inherited::Inherited;
use crate::listener::{self, Bound};
use crate::master::{About, End, Forked, Master, Start};
use crate::notify::Notifier;
use crate::operands::Operands;
use crate::pidfile::Pidfile;
use crate::preflight::{self, Preflight};
use crate::settings::{Reread, Settings};
use crate::top;
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tine_common::config::{ControlAt, MasterConfig};
use tine_common::log::LogFile;
use tine_common::privileges::Privileges;
use tine_common::sys::process::{self, Nofile};
use tine_common::sys::{signals, started_with};
use tine_worker::app::{App, AppError, AppFactory, RawAccess, WorkerInfo};
use tine_worker::worker;

/// Workers of a dead master are gone this long after their graceful timeout, including those that hang.
const ORPHANS_MARGIN: Duration = Duration::from_secs(7);
const EXIT_SYSTEM: u8 = 1;
const EXIT_USAGE: u8 = 2;
/// How long a process waits for a stalled reader of standard error before it gives up its last line.
pub const LAST_LINE_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves an application under the command line of `tine`: `run`, `check`, `--help`. `factory` is called in each worker,
/// after the fork. There `std::env::args` has the process title in place of the arguments: read them before this call. No
/// other thread may run. Returns the process's exit status: 0 after a stop, 1 if the system or the app failed, 2 for a wrong
/// option.
pub fn serve(name: &str, factory: impl Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError> + 'static) -> ExitCode {
    let (name, factory) = (name.to_string(), Rc::new(factory));
    serve_with(Operands::Port, move |_: Asked<NoArgs>| {
        let factory = factory.clone();
        Ok(Served {
            name: name.clone(),
            try_next: "curl URL/".to_string(),
            options: Vec::new(),
            also: Vec::new(),
            warnings: Vec::new(),
            health: Health::AppsOwn,
            has_preflight: false,
            factory: Box::new(move |worker| factory(worker)),
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

/// The application's part of a parsed command line.
pub struct Asked<A> {
    /// The operand APP, if given.
    pub app: Option<String>,
    pub options: A,
    /// The options that were given rather than left at their defaults.
    pub given: Given,
}

/// What a command line asks to serve.
pub struct Served {
    /// The name of what is served, for the banner's first line.
    pub name: String,
    /// A command to try first; `URL` stands for the server's URL.
    pub try_next: String,
    /// Each of the application's own options and its value, for `check`.
    pub options: Vec<(&'static str, String)>,
    /// What is served in addition; one line each, for the banner and the log.
    pub also: Vec<String>,
    /// What tells a load balancer that the server stops soon if there is no `--health-path`.
    pub health: Health,
    /// Warnings about options without an effect; one line each.
    pub warnings: Vec<String>,
    /// The app is built once in a separate process before anything is bound; `check` does only that.
    pub has_preflight: bool,
    pub factory: AppFactory,
}

impl Served {
    /// What the master says about it, and what builds it.
    pub fn into_parts(self) -> (About, AppFactory) {
        let Served { name, try_next, also, health, factory, .. } = self;
        (About { name, try_next, also, health }, factory)
    }
}

/// How the application answers health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// At this path, with 503 while `--drain-delay` runs.
    At(&'static str),
    /// The application is informed (`Cx::is_lame_duck`) and decides itself.
    AppsOwn,
    /// Not at all.
    Nowhere,
}

/// As [`serve`], with the program's own operands and options. `choose` turns them into what is served, or into an error of
/// one line. A reload asks it again if there is a configuration file.
pub fn serve_with<A: clap::Args>(
    operands: Operands,
    choose: impl Fn(Asked<A>) -> Result<Served, String> + 'static,
) -> ExitCode {
    // First: inherited masks and ignored signals may be in the way, and no signal from now on may be lost.
    if let Err(e) = signals::hold(&Command::SIGNALS).and_then(|()| started_with::handle_sigpipe()) {
        return complain(&format!("signals cannot be set up: {e}"), EXIT_SYSTEM);
    }
    let (inherited, notifier) = (Inherited::take(), Notifier::from_env(Instant::now()));
    let taken = inherited.and_then(|mut inherited| Ok((inherited.take_predecessor()?, inherited)));
    let (mut predecessor, inherited) = match taken {
        Ok((predecessor, inherited)) => (predecessor, Ok(inherited)),
        Err(line) => (None, Err(line)),
    };
    let ended = run_command_line(operands, choose, inherited, notifier, &mut predecessor);
    ended.unwrap_or_else(|Failure { line, status, is_printed }| {
        if let Some(predecessor) = &predecessor {
            predecessor.send_reason(&line);
        }
        if is_printed { ExitCode::from(status) } else { complain(&line, status) }
    })
}

/// Why nothing is served, and the exit status.
struct Failure {
    line: String,
    status: u8,
    /// The line is on standard error already.
    is_printed: bool,
}

impl Failure {
    fn usage(line: String) -> Failure {
        Failure { line, status: EXIT_USAGE, is_printed: false }
    }

    fn system(line: String) -> Failure {
        Failure { line, status: EXIT_SYSTEM, is_printed: false }
    }
}

/// Runs the command line. The predecessor is taken once there is a master, which communicates with it from then on.
fn run_command_line<A: clap::Args>(
    operands: Operands,
    choose: impl Fn(Asked<A>) -> Result<Served, String> + 'static,
    inherited: Result<Inherited, String>,
    notifier: Notifier,
    predecessor: &mut Option<Predecessor>,
) -> Result<ExitCode, Failure> {
    let unknown = command_line::unknown_variables::<A>(operands);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Where it cannot be read, a relative path is tried as it is.
    let directory = std::env::current_dir().unwrap_or_default();
    let cli = match command_line::parse::<A>(&arguments, operands, &directory) {
        Ok(CommandLine::Serve(cli)) => *cli,
        Ok(CommandLine::Ctl(args)) => return Ok(without_handlers(|| ctl::run(args))),
        Ok(CommandLine::Top(args)) => return Ok(without_handlers(|| top::run(args))),
        Err(Complaint::Asked(text)) => return Ok(say(&text, 0)),
        Err(Complaint::Wrong(line)) => return Err(Failure::usage(line)),
    };
    let inherited = inherited.map_err(Failure::system)?;
    let (is_check, port, given) = (cli.is_check, cli.operands.port, cli.given.clone());
    let config = cli.server.config(port, !inherited.lent().is_empty());
    let program =
        Program::current().map_err(|e| Failure::system(format!("the current directory cannot be read: {e}")))?;
    // Before any path is opened or created.
    enter(&config.privileges).map_err(|line| Failure::usage(given.locate(line)))?;
    let level = tine_common::log::level(config.log_level, config.quiet);
    let asked = Asked { app: cli.operands.app, options: cli.app, given };
    let settings = Settings::of(asked, config, &choose).and_then(|settings| Ok((level?, settings)));
    let (level, Settings { mut served, config, given }) = settings.map_err(Failure::usage)?;
    let identity = Identity::of(&config.privileges).map_err(Failure::system)?;
    served.warnings.extend(unknown);
    served.warnings.extend(config.worker.is_alone.then(|| alone::warn_of_masters_options(&given)).flatten());
    if let Some(line) = warn_of_root(&served, &config, identity.as_ref()) {
        served.warnings.push(line);
    }
    tine_common::log::init(level);
    tine_common::log::set_process_name(if config.worker.is_alone { "server" } else { "master" });
    if served.has_preflight {
        let ended = preflight::run(&served.name, &config, identity.as_ref(), &served.factory);
        match ended.map_err(Failure::system)? {
            Preflight::Passed => {}
            Preflight::Failed(line) => return Err(Failure { line, status: EXIT_SYSTEM, is_printed: true }),
            Preflight::Stopped(signal) if is_check => {
                return Err(Failure::system(format!("{signal}: interrupted while loading {}", served.name)));
            }
            Preflight::Stopped(signal) => {
                log::info!("{signal}: stopping while loading {}", served.name);
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    let ended = if is_check {
        check::describe(&served, &config, &given, inherited).map(|text| say(&text, 0))
    } else {
        let reread = || Settings::reread(arguments, operands, directory, config.clone(), choose);
        let reread = given.file().is_some().then(reread);
        let origin = Origin { inherited, notifier, program, identity, reread };
        run(Settings { served, config, given }, origin, predecessor).map(ExitCode::from)
    };
    ended.map_err(Failure::system)
}

/// Runs a program that keeps the default signal handling.
fn without_handlers(program: impl FnOnce() -> ExitCode) -> ExitCode {
    match signals::release() {
        Ok(()) => program(),
        Err(e) => complain(&format!("signals cannot be set up: {e}"), EXIT_SYSTEM),
    }
}

/// What the process was started with, and the user that it becomes.
struct Origin {
    inherited: Inherited,
    notifier: Notifier,
    program: Program,
    identity: Option<Identity>,
    /// `None`: there is no configuration file, so nothing can change.
    reread: Option<Reread>,
}

fn run(settings: Settings, origin: Origin, predecessor: &mut Option<Predecessor>) -> Result<u8, String> {
    let Settings { mut served, config, given } = settings;
    let Origin { inherited, notifier, program, identity, reread } = origin;
    let Prepared { nofile, pidfile, log_file, mut bound } =
        prepare(&config, inherited, predecessor.as_ref(), config.worker.graceful_timeout + ORPHANS_MARGIN)?;
    if let Err(line) = hand_to(identity.as_ref(), &bound, pidfile.as_ref(), log_file.as_ref(), &config.control) {
        listener::remove_unix_sockets(&mut bound);
        return Err(line);
    }
    // A predecessor's control socket is taken over together with the server.
    let control = match predecessor {
        _ if config.worker.is_alone => None,
        Some(_) => None,
        None => control::open(&config.control, bound.first().map(|one| &one.address), Claim::Free)
            .inspect_err(|_| listener::remove_unix_sockets(&mut bound))?,
    };
    if let Some(file) = log_file {
        file.put_in_place()?;
    }
    served.also.iter().for_each(|line| log::info!("also {line}"));
    for line in std::mem::take(&mut served.warnings).into_iter().chain(listener::warnings(&config)) {
        log::warn!("{line}");
    }
    if let Some(control) = &control {
        log::info!("control socket: {}", control.path().display());
    }
    if nofile.before < nofile.now {
        log::info!("open files: limit raised from {} to {}", nofile.before, nofile.now);
    } else {
        log::info!("open files: limit is {}", nofile.now);
    }
    if config.worker.is_alone {
        let Served { name, try_next, also, factory, .. } = served;
        return Alone { name, try_next, also, config, bound, pidfile, notifier }.run(factory);
    }
    process::set_title("tine: master");
    let predecessor = predecessor.take();
    let (about, factory) = served.into_parts();
    let start =
        Start { about, factory, config, given, reread, bound, pidfile, program, predecessor, control, notifier };
    let master = Master::new(start).map_err(|e| format!("the master could not start: {e}"))?;
    match master.run() {
        End::Exit(status) => Ok(status),
        End::Worker(forked) => {
            let Forked { start, factory, privileges } = *forked;
            let name = format!("worker {}", start.info.index);
            process::set_title(&format!("tine: {name}"));
            tine_common::log::set_process_name(&name);
            affinity::pin(&privileges.affinity, start.info.index);
            // A link may lead elsewhere by now: to the version that a reload is to load.
            if let Err(line) = go_to(&privileges) {
                log::warn!("{line}; this worker stays in the master's directory");
            }
            // No destructor of the master may run in a worker: exit at once.
            std::process::exit(worker::run(start, &factory))
        }
    }
}

/// Sets the umask and the working directory for all files, including sockets.
fn enter(privileges: &Privileges) -> Result<(), String> {
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

/// Gives all files created so far to the user, and becomes that user.
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
            // The server may use another directory.
            log::debug!("no directory for a control socket that root trusts: {line}");
        }
        identity.assume()?;
    }
    identity::renounce_privileges()
}

/// An app that runs as root gives the machine to anyone who finds a hole in it.
fn warn_of_root(served: &Served, config: &MasterConfig, identity: Option<&Identity>) -> Option<String> {
    let is_warned = served.has_preflight && !config.privileges.allow_root && identity::is_root(identity);
    is_warned.then(|| {
        format!("{} runs as root; --user USER runs it as another user, --allow-root hides this warning", served.name)
    })
}

/// Everything that the system may refuse before the first fork.
pub struct Prepared {
    nofile: Nofile,
    pidfile: Option<Pidfile>,
    pub log_file: Option<LogFile>,
    pub bound: Vec<Bound>,
}

/// `patience`: see [`listener::bind`].
pub fn prepare(
    config: &MasterConfig,
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

/// Prints to standard output. A reader that has gone is not an error, a full disk is.
pub fn say(text: &str, status: u8) -> ExitCode {
    let mut out = std::io::stdout().lock();
    match out.write_all(printable(text).as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            complain(&format!("cannot write to standard output: {e}"), EXIT_SYSTEM)
        }
        _ => ExitCode::from(status),
    }
}

/// Escapes control characters other than line ends and tabs: a terminal could act on them, and the text may come from a
/// server, an app or a path. Escaped as in JSON, so that JSON stays JSON.
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
    // If nothing reads standard error, the exit status still reports the failure.
    tine_common::log::write_last(&format!("tine: {}\n", printable(line)), LAST_LINE_TIMEOUT);
    ExitCode::from(status)
}
