//! The command line and its environment variables. A mistake in them is reported in one line.

use crate::control::ControlArgs;
use crate::ctl::CtlArgs;
use crate::drain_args::DrainArgs;
use crate::hints;
use crate::log_args::LogArgs;
use crate::operands::{self, Operands};
use crate::privileges_args::PrivilegesArgs;
use crate::supervision_args::SupervisionArgs;
use crate::top::TopArgs;
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tine_common::config::{AcceptMode, Address, HEADER_COUNT_CEILING, Limits, MasterConfig, WORKERS_MAX, WorkerConfig};
use tine_common::units::{parse_duration, parse_size, parse_yes_or_no};

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
}

/// The command line of `run` or `check`: the server's options and the application's.
pub struct Cli<A> {
    pub is_check: bool,
    pub server: ServerArgs,
    pub operands: operands::Sorted,
    pub app: A,
    pub given: Given,
}

/// The options that were given, on the command line or in the environment.
pub struct Given {
    matches: ArgMatches,
}

impl Given {
    /// Those of `A`, as they are typed: `--stream-mb`.
    pub fn options_of<A: Args>(&self) -> Vec<String> {
        let is_given = |id: &str| {
            let source = self.matches.try_contains_id(id).ok().and_then(|_| self.matches.value_source(id));
            matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
        };
        let options = A::augment_args(clap::Command::new(""));
        let given = options.get_arguments().filter(|arg| is_given(arg.get_id().as_str()));
        given.filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect()
    }
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
}

#[derive(Args, Debug)]
pub struct ServerArgs {
    /// IP address to listen on, or localhost [default: 127.0.0.1]
    #[arg(long, value_name = "IP", env = "TINE_HOST", hide_env = true, value_parser = host, help_heading = "Listening")]
    host: Option<IpAddr>,
    // No doc comment, in which rustdoc would take [::1] for a link.
    #[arg(
        long,
        help = "Further address to listen on, or the only one if no PORT is given: 127.0.0.1:8080, [::1]:8080, *:8080 (IPv4) or unix:/path; repeatable",
        short = 'b',
        value_name = "ADDR",
        env = "TINE_LISTEN",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Listening"
    )]
    listen: Vec<Address>,
    /// Length of the accept queue
    #[arg(long, value_name = "N", default_value_t = 4096, env = "TINE_BACKLOG", hide_env = true,
          value_parser = backlog, help_heading = "Listening")]
    backlog: u32,
    /// How workers share a TCP port: shared (one accept queue), per-worker (an accept queue for each) or plain (one queue without load balancing between workers, for comparison)
    #[arg(long, value_name = "MODE", default_value = "shared", env = "TINE_ACCEPT", hide_env = true,
          value_parser = accept_mode, help_heading = "Listening")]
    accept: AcceptMode,
    /// How long the kernel holds back a connection that has not sent data (TCP_DEFER_ACCEPT); 0 is off. When the server stops, such a client has half a second to send and may then be reset
    #[arg(long, value_name = "TIME", default_value = "1s", env = "TINE_DEFER_ACCEPT", hide_env = true,
          value_parser = parse_duration, help_heading = "Listening")]
    defer_accept: Duration,
    /// Maximum unread data that the kernel buffers for a TCP connection, including its overhead; auto: the system's default
    #[arg(long, value_name = "SIZE|auto", default_value = "1M", env = "TINE_RECEIVE_BUFFER", hide_env = true,
          value_parser = receive_buffer, help_heading = "Listening")]
    receive_buffer: Most,
    /// Accept data in the first packet of returning clients (TCP Fast Open)
    #[arg(long, env = "TINE_TCP_FASTOPEN", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Listening")]
    tcp_fastopen: bool,

    /// Number of worker processes, up to 1024; auto: one for each available CPU; 0: this process serves, without a master
    #[arg(long, short, value_name = "N|auto", default_value = "auto", env = "TINE_WORKERS", hide_env = true,
          value_parser = workers, help_heading = "Processes")]
    workers: usize,
    /// Maximum time that a drain waits for requests in flight before it closes their connections
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_GRACEFUL_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    graceful_timeout: Duration,
    #[command(flatten)]
    drain: DrainArgs,
    /// File to write the master's process ID to
    #[arg(long, value_name = "PATH", env = "TINE_PIDFILE", hide_env = true, help_heading = "Processes")]
    pidfile: Option<PathBuf>,
    #[command(flatten)]
    control: ControlArgs,
    /// How often to log memory, connections and request counts; skipped while nothing changes; 0 is off
    #[arg(long, value_name = "TIME", default_value = "10s", env = "TINE_MEM_INTERVAL", hide_env = true,
          value_parser = parse_duration, help_heading = "Processes")]
    mem_interval: Duration,
    /// Log only warnings and errors, and print nothing to standard output; --log-level and TINE_LOG override the level
    #[arg(long, env = "TINE_QUIET", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Processes")]
    quiet: bool,
    #[command(flatten)]
    log: LogArgs,

    #[command(flatten)]
    supervision: SupervisionArgs,
    #[command(flatten)]
    privileges: PrivilegesArgs,

    /// Maximum connections of the whole server; auto: as many as the limit of open files allows
    #[arg(long, value_name = "N|auto", default_value = "auto", env = "TINE_MAX_CONNECTIONS", hide_env = true,
          value_parser = connections, help_heading = "Limits")]
    max_connections: Most,
    /// Maximum connections from one client address to the whole server, counted per /64 for IPv6 (503 above it); Unix sockets are exempt. Behind a proxy, all clients share the proxy's address
    #[arg(long, value_name = "N|off", default_value = "off", env = "TINE_MAX_CONNECTIONS_PER_ADDRESS", hide_env = true,
          value_parser = connections_per_address, help_heading = "Limits")]
    max_connections_per_address: Most,
    /// Read buffer of a worker, 64K to 4M: the most that it reads from a client at once. Also the length of the pattern that /bin repeats
    #[arg(long, value_name = "SIZE", default_value = "256K", env = "TINE_BUFFER_SIZE", hide_env = true,
          value_parser = buffer_bytes, help_heading = "Limits")]
    buffer_size: usize,
    /// Maximum length of the request line (414 above it)
    #[arg(long, value_name = "SIZE", default_value = "8K", env = "TINE_REQUEST_LINE_MAX", hide_env = true,
          value_parser = head_bytes, help_heading = "Limits")]
    request_line_max: usize,
    /// Maximum size of all header lines (431 above it)
    #[arg(long, value_name = "SIZE", default_value = "16K", env = "TINE_HEADER_MAX", hide_env = true,
          value_parser = head_bytes, help_heading = "Limits")]
    header_max: usize,
    /// Maximum number of header lines, 1 to 256 (431 above it)
    #[arg(long, value_name = "N", default_value_t = 100, env = "TINE_HEADER_COUNT_MAX", hide_env = true,
          value_parser = header_count, help_heading = "Limits")]
    header_count_max: usize,
    /// Maximum unsent output an app may queue on a connection
    #[arg(long, value_name = "SIZE", default_value = "64K", env = "TINE_WRITE_HIGH_WATERMARK", hide_env = true,
          value_parser = watermark, help_heading = "Limits")]
    write_high_watermark: usize,
    /// Ask the app for more output below this much unsent
    #[arg(long, value_name = "SIZE", default_value = "16K", env = "TINE_WRITE_LOW_WATERMARK", hide_env = true,
          value_parser = watermark, help_heading = "Limits")]
    write_low_watermark: usize,

    /// Maximum time to receive a request head, from its first byte
    #[arg(long, value_name = "TIME", default_value = "10s", env = "TINE_HEADER_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    header_timeout: Duration,
    /// Maximum idle time before the first request and between requests
    #[arg(long, value_name = "TIME", default_value = "75s", env = "TINE_IDLE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    idle_timeout: Duration,
    /// Maximum gap between bytes of a request body while the app waits for them
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_BODY_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    body_timeout: Duration,
    /// After a response, maximum gap between bytes of a request body that the app did not read; six times this in total
    #[arg(long, value_name = "TIME", default_value = "5s", env = "TINE_LINGER_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    linger_timeout: Duration,
    /// Minimum rate of a request body in bytes per second while the app waits for it; a client may lag by 30s; 0 is off
    #[arg(long, value_name = "SIZE", default_value = "240", env = "TINE_BODY_RATE_MIN", hide_env = true,
          value_parser = body_rate, help_heading = "Timeouts")]
    body_rate_min: u64,
    /// Maximum time that a client may read nothing of a response
    #[arg(long, value_name = "TIME", default_value = "60s", env = "TINE_WRITE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Timeouts")]
    write_timeout: Duration,

    /// Maximum length of a client's message (close code 1009 above it)
    #[arg(long, value_name = "SIZE", default_value = "16M", env = "TINE_WS_MESSAGE_MAX", hide_env = true,
          value_parser = message_bytes, help_heading = "WebSocket")]
    ws_message_max: usize,
    /// Ping a client after this long without data from it; 0 is never
    #[arg(long, value_name = "TIME", default_value = "30s", env = "TINE_WS_PING_INTERVAL", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_ping_interval: Duration,
    /// Close a connection that receives nothing for this long, not even a pong
    #[arg(long, value_name = "TIME", default_value = "90s", env = "TINE_WS_IDLE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_idle_timeout: Duration,
    /// Maximum time to receive a message, from its first byte (close code 1008 above it); 0 is unlimited
    #[arg(long, value_name = "TIME", default_value = "5m", env = "TINE_WS_MESSAGE_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "WebSocket")]
    ws_message_timeout: Duration,
}

/// An upper bound; `None` is unlimited.
type Most = Option<usize>;

impl ServerArgs {
    /// `is_listening`: this process has inherited sockets, so no address is required.
    pub fn config(self, port: Option<u16>, is_listening: bool) -> MasterConfig {
        let mut listen = self.listen;
        if listen.is_empty() && !is_listening || port.is_some() || self.host.is_some() {
            let host = self.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            listen.insert(0, Address::Tcp(SocketAddr::new(host, port.unwrap_or(8080))));
        }
        MasterConfig {
            workers: self.workers.max(1),
            listen,
            backlog: self.backlog,
            tcp_fastopen: self.tcp_fastopen,
            defer_accept: self.defer_accept,
            receive_buffer_bytes: self.receive_buffer,
            drain_delay: self.drain.drain_delay,
            health_path: self.drain.health_path,
            pidfile: self.pidfile,
            log_file: self.log.log_file,
            control: self.control.at(),
            mem_interval: self.mem_interval,
            quiet: self.quiet,
            log_level: self.log.log_level,
            supervision: self.supervision.config(),
            privileges: self.privileges.config(),
            worker: WorkerConfig {
                is_alone: self.workers == 0,
                accept: self.accept,
                connections_max: self.max_connections,
                connections_per_address_max: self.max_connections_per_address,
                graceful_timeout: self.graceful_timeout,
                buffer_bytes: self.buffer_size,
                limits: Limits {
                    write_high_watermark_bytes: self.write_high_watermark,
                    write_low_watermark_bytes: self.write_low_watermark,
                    request_line_bytes_max: self.request_line_max,
                    header_bytes_max: self.header_max,
                    header_count_max: self.header_count_max,
                    header_timeout: self.header_timeout,
                    idle_timeout: self.idle_timeout,
                    body_timeout: self.body_timeout,
                    linger_timeout: self.linger_timeout,
                    body_rate_min_bytes: self.body_rate_min,
                    write_timeout: self.write_timeout,
                    ws_message_bytes_max: self.ws_message_max,
                    ws_ping_interval: self.ws_ping_interval,
                    ws_message_timeout: self.ws_message_timeout,
                    ws_idle_timeout: self.ws_idle_timeout,
                },
            },
        }
    }
}

/// Parses the command line. `Err` is a text to print: help, the version or a mistake.
pub fn parse<A: Args>(
    arguments: impl Iterator<Item = OsString>,
    operands: Operands,
) -> Result<CommandLine<A>, Complaint> {
    let arguments = command_first::<A>(joined(version_asked(arguments.collect())));
    let complaint = |error: clap::Error| complaint(&error, &arguments);
    let matches = without_empty_variables(command::<A>(operands)).try_get_matches_from(&arguments);
    let mut matches = matches.map_err(complaint)?;
    let (command, matches) = matches.remove_subcommand().expect("clap requires one");
    match command.as_str() {
        "ctl" => return CtlArgs::from_arg_matches(&matches).map(CommandLine::Ctl).map_err(complaint),
        "top" => return TopArgs::from_arg_matches(&matches).map(CommandLine::Top).map_err(complaint),
        _ => {}
    }
    let server = ServerArgs::from_arg_matches(&matches).map_err(complaint)?;
    let app = A::from_arg_matches(&matches).map_err(complaint)?;
    let texts = operands::IDS.iter().filter_map(|id| matches.try_get_many::<String>(id).ok().flatten());
    let texts: Vec<String> = texts.flatten().cloned().collect();
    let variable = |name: &str| variable(name).map(|value| value.to_string_lossy().into_owned());
    let operands = operands.sort(&texts, variable("TINE_APP"), variable("TINE_PORT")).map_err(Complaint::Wrong)?;
    let is_check = command == "check";
    Ok(CommandLine::Serve(Box::new(Cli { is_check, server, operands, app, given: Given { matches } })))
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
    let is_server = !["ctl", "top"].contains(&&*command);
    if let Some(hint) = hints::for_option(context(ContextKind::InvalidArg)).filter(|_| is_server)
        && error.kind() == ErrorKind::UnknownArgument
    {
        return format!("there is no option {}: {hint}", context(ContextKind::InvalidArg));
    }
    let word = context(ContextKind::InvalidSubcommand);
    if let Some(hint) = hints::for_command(word).filter(|_| word == command) {
        return format!("`tine {word}` is not a command; {hint}");
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

pub fn number_between(text: &str, low: u64, high: u64) -> Result<usize, String> {
    match text.parse::<u64>() {
        Ok(number) if (low..=high).contains(&number) => Ok(number as usize),
        _ => Err(format!("give a number from {low} to {high}")),
    }
}

fn size_between(text: &str, low: u64, high: u64) -> Result<usize, String> {
    let show = tine_common::units::show_size;
    match parse_size(text)? {
        bytes if (low..=high).contains(&bytes) => Ok(bytes as usize),
        _ => Err(format!("give a size from {} to {}", show(low), show(high))),
    }
}

fn host(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| "give an IP address such as 127.0.0.1, 0.0.0.0 or ::1".to_string()),
    }
}

fn accept_mode(text: &str) -> Result<AcceptMode, String> {
    match text {
        "shared" => Ok(AcceptMode::Shared),
        "per-worker" => Ok(AcceptMode::PerWorker),
        "plain" => Ok(AcceptMode::Plain),
        _ => Err("give shared, per-worker or plain".to_string()),
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text {
        // CPU affinity and cgroup quota (v1 and v2) together, at least 1.
        "auto" => Ok(std::thread::available_parallelism().map_or(1, |n| n.get()).min(WORKERS_MAX)),
        _ => number_between(text, 0, WORKERS_MAX as u64).map_err(|e| format!("{e}, or auto")),
    }
}

fn connections(text: &str) -> Result<Most, String> {
    match text {
        "auto" => Ok(None),
        _ => number_between(text, 1, 1 << 31).map(Some).map_err(|e| format!("{e}, or auto")),
    }
}

fn connections_per_address(text: &str) -> Result<Most, String> {
    match text {
        "off" => Ok(None),
        _ => number_between(text, 1, 65535).map(Some).map_err(|e| format!("{e}, or off")),
    }
}

fn receive_buffer(text: &str) -> Result<Most, String> {
    match text {
        "auto" => Ok(None),
        _ => size_between(text, 16 << 10, 1 << 30).map(Some).map_err(|e| format!("{e}, or auto")),
    }
}

fn backlog(text: &str) -> Result<u32, String> {
    number_between(text, 1, i32::MAX as u64).map(|number| number as u32)
}

fn head_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 64, 4 << 20)
}

fn buffer_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 64 << 10, 4 << 20)
}

fn body_rate(text: &str) -> Result<u64, String> {
    size_between(text, 0, 1 << 30).map(|bytes| bytes as u64)
}

fn header_count(text: &str) -> Result<usize, String> {
    number_between(text, 1, HEADER_COUNT_CEILING as u64)
}

fn message_bytes(text: &str) -> Result<usize, String> {
    size_between(text, 1, 1 << 30)
}

fn watermark(text: &str) -> Result<usize, String> {
    size_between(text, 1, 1 << 30)
}
