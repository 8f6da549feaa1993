//! An application under the command line of `tine`: `run`, `check`, `ctl`, `top`.

use crate::cert;
use crate::check;
use crate::command_line::{self, CommandLine, Complaint};
use crate::ctl;
use crate::given::Given;
use crate::operands::Operands;
use crate::output::{EXIT_SYSTEM, EXIT_USAGE, complain, say};
use crate::settings::Settings;
use crate::top;
use crate::warnings;
use std::ffi::OsString;
use std::process::ExitCode;
use std::rc::Rc;
use tine::for_cli::preflight::{self, Preflight};
use tine::for_cli::{Development, Identity, Origin, Service, enter, is_root};
use tine::{About, Health};
use tine_common::config::MasterConfig;
use tine_common::sys::signals;
use tine_worker::app::{App, AppError, AppFactory, RawAccess, WorkerInfo};

/// Serves an application under the command line of `tine`: `run`, `check`, `--help`. `factory` is called in each worker,
/// after the fork. There `std::env::args` has the process title in place of the arguments: read them before this call. No
/// other thread may run. Returns the process's exit status: 0 after a stop, 1 if the system or the app failed, 2 for a wrong
/// option.
pub fn serve(name: &str, factory: impl Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError> + 'static) -> ExitCode {
    let (name, factory) = (name.to_string(), Rc::new(factory));
    serve_with(Operands::Port, move |_: Asked<NoArgs>| {
        let factory = factory.clone();
        Ok(Served {
            about: About {
                name: name.clone(),
                try_next: "curl URL/".to_string(),
                also: Vec::new(),
                health: Health::AppsOwn,
            },
            options: Vec::new(),
            warnings: Vec::new(),
            has_preflight: false,
            development: None,
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
    pub about: About,
    /// Each of the application's own options and its value, for `check`.
    pub options: Vec<(&'static str, String)>,
    /// Warnings about options without an effect; one line each.
    pub warnings: Vec<String>,
    /// The app is built once in a separate process before anything is bound; `check` does only that.
    pub has_preflight: bool,
    /// `--reload`: the server starts even if the app cannot be loaded.
    pub development: Option<Development>,
    pub factory: AppFactory,
}

/// As [`serve`], with the program's own operands and options. `choose` turns them into what is served, or into an error of
/// one line. A reload asks it again if there is a configuration file.
pub fn serve_with<A: clap::Args>(
    operands: Operands,
    choose: impl Fn(Asked<A>) -> Result<Served, String> + 'static,
) -> ExitCode {
    // First: inherited masks and ignored signals may be in the way, and no signal from now on may be lost.
    let origin = match Origin::take() {
        Ok(origin) => origin,
        Err(line) => return complain(&line, EXIT_SYSTEM),
    };
    let service = match obey(operands, choose, &origin) {
        Ok(Next::Serve(service)) => *service,
        Ok(Next::Exit(status)) => return status,
        Err(Failure { line, status, is_printed }) => {
            origin.report_failure(&line);
            return if is_printed { ExitCode::from(status) } else { complain(&line, status) };
        }
    };
    match origin.serve(service) {
        Ok(status) => ExitCode::from(status),
        Err(line) => complain(&line, EXIT_SYSTEM),
    }
}

/// What remains to be done once the command line is read.
enum Next {
    Serve(Box<Service>),
    Exit(ExitCode),
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

/// Does what the command line asks for, apart from serving.
fn obey<A: clap::Args>(
    operands: Operands,
    choose: impl Fn(Asked<A>) -> Result<Served, String> + 'static,
    origin: &Origin,
) -> Result<Next, Failure> {
    let unknown = command_line::unknown_variables::<A>(operands);
    let arguments: Vec<OsString> = std::env::args_os().collect();
    // Where it cannot be read, a relative path is tried as it is.
    let directory = std::env::current_dir().unwrap_or_default();
    let cli = match command_line::parse::<A>(&arguments, operands, &directory) {
        Ok(CommandLine::Serve(cli)) => *cli,
        Ok(CommandLine::Ctl(args)) => return Ok(Next::Exit(without_handlers(|| ctl::run(args)))),
        Ok(CommandLine::Cert(args)) => return Ok(Next::Exit(without_handlers(|| cert::run(args)))),
        Ok(CommandLine::Top(args)) => return Ok(Next::Exit(without_handlers(|| top::run(args)))),
        Err(Complaint::Asked(text)) => return Ok(Next::Exit(say(&text, 0))),
        Err(Complaint::Wrong(line)) => return Err(Failure::usage(line)),
    };
    let lent = origin.lent().map_err(Failure::system)?;
    let (is_check, port, given) = (cli.is_check, cli.operands.port, cli.given.clone());
    let config = cli.server.config(port, !lent.is_empty());
    enter(&config.privileges).map_err(|line| Failure::usage(given.locate(line)))?;
    let level = tine_common::log::level(config.log_level, config.quiet);
    let asked = Asked { app: cli.operands.app, options: cli.app, given };
    let settings = Settings::of(asked, config, &choose).and_then(|settings| Ok((level?, settings)));
    let (level, Settings { mut served, config, given }) = settings.map_err(Failure::usage)?;
    let identity = Identity::of(&config.privileges).map_err(Failure::system)?;
    served.warnings.extend(unknown);
    served.warnings.extend(config.worker.is_alone.then(|| warnings::of_masters_options(&given)).flatten());
    if served.has_preflight && !config.privileges.allow_root && is_root(identity.as_ref()) {
        served.warnings.push(warnings::of_root(&served.about.name));
    }
    config.log_format.put_in_place();
    tine_common::log::init(level);
    tine_common::log::set_process_name(if config.worker.is_alone { "server" } else { "master" });
    if served.has_preflight
        && (is_check || served.development.is_none())
        && let Some(status) = load_once(&served, &config, identity.as_ref(), is_check)?
    {
        return Ok(Next::Exit(status));
    }
    if is_check {
        return check::describe(&served, &config, &given, &lent)
            .map(|text| Next::Exit(say(&text, 0)))
            .map_err(Failure::system);
    }
    let file = given.file().map(|file| directory.join(file));
    let reread = || Settings::reread(arguments, operands, directory, &config, &given, choose);
    let reread = given.file().is_some().then(reread);
    let Served { about, factory, warnings, mut development, .. } = served;
    if let Some(development) = &mut development {
        development.files.extend(file);
    }
    Ok(Next::Serve(Box::new(Service { about, factory, config, identity, warnings, reread, development })))
}

/// Builds the application in a process of its own. `Some`: a signal has ended that.
fn load_once(
    served: &Served,
    config: &MasterConfig,
    identity: Option<&Identity>,
    is_check: bool,
) -> Result<Option<ExitCode>, Failure> {
    let name = &served.about.name;
    match preflight::run(name, config, identity, &served.factory).map_err(Failure::system)? {
        Preflight::Passed => Ok(None),
        Preflight::Failed(line) => Err(Failure { line, status: EXIT_SYSTEM, is_printed: true }),
        Preflight::Stopped(signal) if is_check => {
            Err(Failure::system(format!("{signal}: interrupted while loading {name}")))
        }
        Preflight::Stopped(signal) => {
            log::info!("{signal}: stopping while loading {name}");
            Ok(Some(ExitCode::SUCCESS))
        }
    }
}

/// Runs a program that keeps the default signal handling.
fn without_handlers(program: impl FnOnce() -> ExitCode) -> ExitCode {
    match signals::release() {
        Ok(()) => program(),
        Err(e) => complain(&format!("signals cannot be set up: {e}"), EXIT_SYSTEM),
    }
}
