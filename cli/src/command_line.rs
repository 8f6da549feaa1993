//! The command line and its environment variables. A mistake in them is reported in one line.

use crate::args::ServerArgs;
use crate::cert::CertArgs;
use crate::config_file::ConfigFile;
use crate::ctl::CtlArgs;
use crate::given::{Given, GivenOperands, Source};
use crate::hints;
use crate::operands::{self, Operands};
use crate::top::TopArgs;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Args, FromArgMatches};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

const ABOUT: &str = "Pre-fork HTTP server: a master and N single-threaded workers that accept connections themselves";

const AFTER_HELP: &str = "\
Sizes are written 65536, 64K or 1M; durations 500ms, 10s or 2m.
Every option is also an environment variable: --idle-timeout is
TINE_IDLE_TIMEOUT, PORT is TINE_PORT{app}.
TINE_LOG sets the log level if --log-level is not given.
Signals: TERM and INT finish requests in flight and stop, a second one closes
their connections; QUIT stops at once; HUP reloads the app; USR2 upgrades to
the binary on disk.";

/// A parsed command line.
pub enum CommandLine<A> {
    Serve(Box<Cli<A>>),
    Ctl(CtlArgs),
    Top(TopArgs),
    Cert(CertArgs),
}

/// The command line of `run` or `check`: the server's options and the application's.
pub struct Cli<A> {
    pub is_check: bool,
    pub server: ServerArgs,
    pub operands: operands::Sorted,
    pub app: A,
    pub given: Given,
}

fn command<A: Args>(operands: Operands) -> clap::Command {
    let app_variable = if operands == Operands::AppAndPort { ", APP is TINE_APP" } else { "" };
    let with_options = |name: &'static str, about: &'static str| {
        let command = clap::Command::new(name).args(operands.args());
        let command = A::augment_args(ServerArgs::augment_args(command));
        command.about(about).long_about(None).after_help(AFTER_HELP.replace("{app}", app_variable))
    };
    clap::Command::new("tine")
        .about(ABOUT)
        .version(tine_common::VERSION)
        .term_width(80)
        .max_term_width(80)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_options("run", "Run the server in the foreground"))
        .subcommand(with_options("check", "Validate the options and the app, print what `run` would serve"))
        .subcommand(CtlArgs::augment_args(clap::Command::new("ctl")).about("Control a running server"))
        .subcommand(TopArgs::augment_args(clap::Command::new("top")).about("Watch a running server in the terminal"))
        .subcommand(
            CertArgs::augment_args(clap::Command::new("cert"))
                .about("Make a self-signed certificate and its key, for trying out HTTPS"),
        )
}

/// Parses the command line and the configuration file that it names, whose path begins at `directory`. `Err` is a text to
/// print: help, the version or a mistake.
pub fn parse<A: Args>(
    arguments: &[OsString],
    operands: Operands,
    directory: &Path,
) -> Result<CommandLine<A>, Complaint> {
    let arguments = command_first::<A>(joined(version_asked(arguments.to_vec())));
    let complaint = |error: clap::Error| complaint(&error, &arguments);
    let read = |command: clap::Command| {
        let mut matches = command.try_get_matches_from(&arguments).map_err(complaint)?;
        Ok(matches.remove_subcommand().expect("clap requires one"))
    };
    let tine = without_empty_variables(command::<A>(operands));
    let (command, mut matches) = read(tine.clone())?;
    match command.as_str() {
        "ctl" => return CtlArgs::from_arg_matches(&matches).map(CommandLine::Ctl).map_err(complaint),
        "top" => return TopArgs::from_arg_matches(&matches).map(CommandLine::Top).map_err(complaint),
        "cert" => return CertArgs::from_arg_matches(&matches).map(CommandLine::Cert).map_err(complaint),
        _ => {}
    }
    let options = A::augment_args(ServerArgs::augment_args(clap::Command::new("")));
    let path = matches.get_one::<PathBuf>("config");
    let file = path.map(|path| ConfigFile::read(path, directory, &options, operands)).transpose();
    let file = file.map_err(Complaint::Wrong)?;
    if let Some(file) = &file {
        (_, matches) = read(tine.mut_subcommand(&command, |command| file.as_defaults(command)))?;
    }
    let server = ServerArgs::from_arg_matches(&matches).map_err(complaint)?;
    let app = A::from_arg_matches(&matches).map_err(complaint)?;
    let (operands, sources) = sorted(operands, &matches, file.as_ref()).map_err(Complaint::Wrong)?;
    let given = Given::new(matches, &options, sources, file);
    Ok(CommandLine::Serve(Box::new(Cli { is_check: command == "check", server, operands, app, given })))
}

/// The operands, and the value and the source of each that was given.
fn sorted(
    operands: Operands,
    matches: &ArgMatches,
    file: Option<&ConfigFile>,
) -> Result<(operands::Sorted, GivenOperands), String> {
    let typed = operands::IDS.iter().filter_map(|id| matches.try_get_many::<String>(id).ok().flatten());
    let typed: Vec<String> = typed.flatten().cloned().collect();
    let set = |name: &str| {
        let variable = variable(&format!("TINE_{}", name.to_ascii_uppercase()));
        let variable = variable.map(|value| (value.to_string_lossy().into_owned(), Source::Environment));
        variable.or_else(|| file.and_then(|file| Some((file.value(name)?.to_string(), Source::File(file.line(name)?)))))
    };
    let sets: BTreeMap<_, _> = operands.names().iter().filter_map(|&name| Some((name, set(name)?))).collect();
    let text = |name: &str| sets.get(name).map(|(text, _)| text.clone());
    let sorted = operands.sort(&typed, text("app"), text("port"))?;
    // What was typed has taken the place of what was set elsewhere.
    let values = [("app", sorted.app.clone()), ("port", sorted.port.map(|port| port.to_string()))];
    // Of two, one is the port, by its number or its name.
    let is_typed = |name: &str| typed.len() > 1 || typed.iter().any(|text| operands.name_of(text) == name);
    let sources = values.into_iter().filter_map(|(name, value)| {
        let source = if is_typed(name) { Source::CommandLine } else { sets.get(name)?.1 };
        Some((name, (value?, source)))
    });
    Ok((sorted, sources.collect()))
}

/// The value of a variable. An empty one counts as unset: unit files and compose files leave one out like that.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_env().map(|name| name.to_string_lossy().into_owned()) {
        Some(name) if variable(&name).is_none() => arg.env(Resettable::Reset),
        _ => arg,
    });
    command.mut_subcommands(without_empty_variables)
}

/// One line for each environment variable that has our prefix and is not known.
pub fn unknown_variables<A: Args>(operands: Operands) -> Vec<String> {
    let command = command::<A>(operands);
    let arguments = command.get_subcommands().flat_map(|command| command.get_arguments());
    let known = arguments.filter_map(|arg| Some(arg.get_env()?.to_string_lossy().into_owned()));
    let known: Vec<String> = known.chain(["TINE_APP", "TINE_PORT", "TINE_LOG"].map(str::to_string)).collect();
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    hints::unknown_variables(names, &known)
}

fn complaint(error: &clap::Error, arguments: &[OsString]) -> Complaint {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Complaint::Asked(error.to_string())
        }
        _ => Complaint::Wrong(one_line(error, arguments)),
    }
}

/// Turns `tine --workers 2 run` into `tine run --workers 2`: moves the command before options that precede it. The command
/// is the first argument `run` or `check` that is not the value of the option before it. `tine --help` and `tine --version`
/// stay as they are, and a missing command is left for clap to report.
fn command_first<A: Args>(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_option = |text: &OsString| text.as_encoded_bytes().starts_with(b"-");
    let is_for_tine = |text: &OsString| ["-h", "--help", "-V", "--version"].iter().any(|asked| text == asked);
    if !arguments.get(1).is_some_and(|first| is_option(first) && !is_for_tine(first)) {
        return arguments;
    }
    let options = ServerArgs::augment_args(A::augment_args(clap::Command::new("")));
    let takes_value = |text: &OsString| {
        let long = text.to_str().and_then(|text| text.strip_prefix("--"));
        let short = text.to_str().and_then(|text| text.strip_prefix('-')?.parse::<char>().ok());
        let is_it =
            |arg: &clap::Arg| long.is_some() && arg.get_long() == long || short.is_some() && arg.get_short() == short;
        options.get_arguments().any(|arg| is_it(arg) && arg.get_action().takes_values())
    };
    let mut at = 1;
    while let Some(argument) = arguments.get(at) {
        if argument == "run" || argument == "check" {
            arguments[1..=at].rotate_right(1);
            break;
        }
        at += if takes_value(argument) { 2 } else { 1 };
    }
    arguments
}

/// Turns `--workers -1` into `--workers=-1`: a negative number is a value, if a wrong one, and not an option named 1.
fn joined(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let is_negative = matches!(argument.as_encoded_bytes(), [b'-', b'0'..=b'9', ..]);
        match joined.last_mut().filter(|last| is_negative && is_bare_option(last)) {
            Some(option) => {
                option.push("=");
                option.push(argument);
            }
            None => joined.push(argument),
        }
    }
    joined
}

/// An option without a value in the same argument: `--name` or `-n`.
fn is_bare_option(argument: &OsString) -> bool {
    match argument.as_encoded_bytes() {
        [b'-', b'-', name @ ..] => !name.is_empty() && !name.contains(&b'='),
        [b'-', short] => short.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Accepts `tine version` and `tine -v`, which other programs have, as `tine --version`.
fn version_asked(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if let [_, word] = &mut arguments[..]
        && ["version", "-v", "-version"].iter().any(|asked| word == asked)
    {
        *word = "--version".into();
    }
    arguments
}

pub enum Complaint {
    /// Help or the version, as requested.
    Asked(String),
    /// A mistake, with a correction.
    Wrong(String),
}

/// clap reports the mistake in its first line and a correction in a `tip:` or a list of values; the usage is left out.
fn one_line(error: &clap::Error, arguments: &[OsString]) -> String {
    let command = arguments.get(1).map(|name| name.to_string_lossy()).unwrap_or_default();
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let is_server = !["ctl", "top", "cert"].contains(&&*command);
    if let Some(hint) = hints::for_option(context(ContextKind::InvalidArg)).filter(|_| is_server)
        && error.kind() == ErrorKind::UnknownArgument
    {
        return format!("there is no option {}: {hint}", context(ContextKind::InvalidArg));
    }
    let word = context(ContextKind::InvalidSubcommand);
    if let Some(hint) = hints::for_command(word).filter(|_| word == command) {
        return format!("`tine {word}` is not a command; {hint}");
    }
    let argument =
        [context(ContextKind::InvalidArg), word].into_iter().find(|text| !text.is_empty()).unwrap_or_default();
    if !is_server && argument.parse::<u16>().is_ok_and(|port| port >= 80) {
        return format!(
            "`tine {command}` has no argument for a port; for the server on that port give --control {argument}"
        );
    }
    let text = error.to_string();
    let mut lines = text.lines();
    let mut line = lines.next().unwrap_or_default().trim_start_matches("error: ").to_string();
    // The missing arguments stand in lines of their own.
    if line.ends_with(':') {
        let missing = lines.take_while(|line| !line.is_empty()).map(str::trim).collect::<Vec<_>>().join(", ");
        line = format!("{line} {missing}");
    }
    // "To pass it as a value" does not help a user who misspelt an option.
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: ")).filter(|tip| !tip.starts_with("to pass"));
    match tip {
        Some(tip) => line = format!("{line}; {tip}"),
        None if error.get(ContextKind::InvalidArg).is_none() || error.kind() == ErrorKind::UnknownArgument => {
            line.push_str(match &*command {
                "ctl" => "; `tine ctl --help` lists commands and options",
                "top" => "; `tine top --help` lists the options",
                "cert" => "; `tine cert --help` lists the options",
                _ => "; `tine run --help` lists the options",
            });
        }
        None => {}
    }
    // The option as it is written: `--workers <N|auto>`.
    let option = context(ContextKind::InvalidArg).split([' ', '=', '[']).next().unwrap_or_default();
    match variable_of(option).filter(|_| !is_given(option, arguments)) {
        Some(variable) => format!("{variable}: {line}"),
        None => line,
    }
}

/// The environment variable of an option, if it is set.
fn variable_of(option: &str) -> Option<String> {
    let name = format!("TINE_{}", option.strip_prefix("--")?.to_ascii_uppercase().replace('-', "_"));
    variable(&name).map(|_| name)
}

/// The option is on the command line, by its long or its short name.
fn is_given(option: &str, arguments: &[OsString]) -> bool {
    let short = match option {
        "--workers" => "-w",
        "--listen" => "-b",
        _ => option,
    };
    let begins = |argument: &OsString| {
        let argument = argument.to_string_lossy();
        argument.split('=').next() == Some(option) || short != option && argument.starts_with(short)
    };
    arguments.iter().any(begins)
}
