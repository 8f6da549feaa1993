//! The server of a program that has no command line of Tine's: its settings are values, its errors too.

use crate::about::{About, Health, with_own_paths};
use crate::identity::Identity;
use crate::start::{Origin, Service, enter};
use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tine_apps::health;
use tine_common::config::{Limits, MasterConfig, WORKERS_MAX};
use tine_worker::app::{App, AppError, AppFactory, RawAccess, WorkerInfo};

/// A pre-fork server: this process becomes the master, which binds the addresses and forks the workers.
///
/// ```no_run
/// use std::process::ExitCode;
/// use tine::app::{Answer, App, Cx};
/// use tine::http::{Request, Response, StatusCode};
/// use tine::{Server, ServerError};
///
/// struct Hello;
///
/// impl App for Hello {
///     fn call(&mut self, _: &Request<'_>, _: &Cx<'_>) -> Answer {
///         Response::text(StatusCode::OK, "hello\n").into()
///     }
/// }
///
/// fn main() -> Result<ExitCode, ServerError> {
///     Server::builder()
///         .bind("127.0.0.1:8080")
///         .bind("unix:/run/hello.sock")
///         .workers(4)
///         .serve(|_worker| Ok(Box::new(Hello)))
/// }
/// ```
///
/// It is the server of `tine run`: TERM and INT finish the requests in flight and stop it, HUP builds the applications anew in
/// new workers, USR2 starts the program on disk, which takes over the sockets; a service manager is notified, and `tine ctl`
/// controls it. Unlike that it prints nothing, and logs only warnings and errors unless [`Builder::quiet`] or
/// [`Builder::log_level`] is called.
pub struct Server {
    name: String,
    config: MasterConfig,
}

/// The settings of a [`Server`]. Those that are not made have the defaults of `tine run`; one that is wrong is reported by
/// [`Builder::build`] or [`Builder::serve`].
pub struct Builder {
    name: Option<String>,
    config: MasterConfig,
    /// The first mistake.
    mistake: Option<String>,
}

/// Why a server was not started. `Debug` is its text as well, for `main` that returns it.
pub enum ServerError {
    /// A setting is wrong; the text says what would be right.
    Setting(String),
    /// The system refused something: an address is in use, a file may not be written.
    System(String),
}

impl Server {
    /// Begins with the defaults. At least one [`Builder::bind`] is needed, unless sockets are handed down, as by systemd.
    pub fn builder() -> Builder {
        Builder { name: None, config: MasterConfig { quiet: true, ..MasterConfig::default() }, mistake: None }
    }

    /// Serves until the server is stopped; returns the exit status for `main`, 0 after a stop. `factory` is called in each
    /// worker, after the fork; all that the program does later is done by the master alone.
    ///
    /// Workers are forks of this process: no other thread may run, as of an async runtime that was started before. In a
    /// worker `std::env::args` has the process title in place of the arguments: read them before.
    pub fn serve(
        self,
        factory: impl Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError> + 'static,
    ) -> Result<ExitCode, ServerError> {
        let Server { name, config } = self;
        let origin = Origin::take().map_err(ServerError::system)?;
        match prepare(name, config, Box::new(factory), &origin) {
            Ok(service) => origin.serve(service).map(ExitCode::from).map_err(ServerError::system),
            Err(error) => {
                origin.report_failure(&error.to_string());
                Err(error)
            }
        }
    }

    /// As [`Server::serve`], for an application that is to write bytes without framing (`Out::raw`), as a test origin does.
    pub fn serve_raw(
        self,
        factory: impl Fn(&WorkerInfo, RawAccess) -> Result<Box<dyn App>, AppError> + 'static,
    ) -> Result<ExitCode, ServerError> {
        let raw_access = tine_worker::raw_access::grant();
        self.serve(move |worker| factory(worker, raw_access))
    }
}

fn prepare(
    name: String,
    mut config: MasterConfig,
    factory: AppFactory,
    origin: &Origin,
) -> Result<Service, ServerError> {
    let lent = origin.lent().map_err(ServerError::system)?;
    if config.addresses().next().is_none() && lent.is_empty() {
        return Err(ServerError::setting("there is no address to listen on; give one, as in bind(\"127.0.0.1:8080\")"));
    }
    enter(&config.privileges).map_err(ServerError::setting)?;
    let level = tine_common::log::level(config.log_level, config.quiet).map_err(ServerError::setting)?;
    let identity = Identity::of(&config.privileges).map_err(ServerError::system)?;
    config.log_format.put_in_place();
    tine_common::log::init(level);
    tine_common::log::set_process_name(if config.worker.is_alone { "server" } else { "master" });
    let about = About { name, try_next: "curl URL/".to_string(), also: Vec::new(), health: Health::AppsOwn };
    let factory = with_own_paths(&about, &mut config, factory);
    Ok(Service { about, factory, config, identity, warnings: Vec::new(), reread: None, development: None })
}

impl Builder {
    /// An address to listen on, in addition to those before: a `SocketAddr`, or a text such as `127.0.0.1:8080`,
    /// `[::1]:8080`, `*:8080` or `unix:/run/app.sock`, each with `proxy:` before it if its connections begin with a header of the PROXY
    /// protocol. Port 0 lets the system choose.
    pub fn bind(mut self, address: impl fmt::Display) -> Builder {
        match address.to_string().parse() {
            Ok(address) => self.config.listen.push(address),
            Err(mistake) => self.mistake(mistake),
        }
        self
    }

    /// The address of the status page, the metrics and the probes, which a process of its own serves; by default none.
    pub fn admin(mut self, address: impl fmt::Display) -> Builder {
        match address.to_string().parse() {
            Ok(address) => self.config.admin = Some(address),
            Err(mistake) => self.mistake(mistake),
        }
        self
    }

    /// The number of workers, of which each is a process with one thread. By default one for each CPU that is available. With
    /// 0 this process serves by itself, without a master: for a debugger.
    pub fn workers(mut self, count: usize) -> Builder {
        if count > WORKERS_MAX {
            self.mistake(format!("workers({count}) is too many; give a number from 0 to {WORKERS_MAX}"));
        }
        (self.config.workers, self.config.worker.is_alone) = (count.clamp(1, WORKERS_MAX), count == 0);
        self
    }

    /// What the log, the status and the banner call the application; by default the program's name.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into());
        self
    }

    /// How long a drain waits for requests in flight before it closes their connections; 30 s by default.
    pub fn graceful_timeout(mut self, time: Duration) -> Builder {
        self.config.worker.graceful_timeout = time;
        self
    }

    /// How long a stop keeps serving before it drains, while health checks are answered with 503; zero by default.
    pub fn drain_delay(mut self, time: Duration) -> Builder {
        self.config.drain_delay = time;
        self
    }

    /// The server itself answers health checks at this path, before the application: 200, or 503 during the drain delay.
    pub fn health_path(mut self, path: &str) -> Builder {
        match health::parse_path(path) {
            Ok(path) => self.config.health_path = Some(path),
            Err(mistake) => self.mistake(format!("health_path({path:?}): {mistake}")),
        }
        self
    }

    /// The limits and timeouts of a connection: `Limits { idle_timeout: Duration::from_secs(10), ..Limits::default() }`.
    pub fn limits(mut self, limits: Limits) -> Builder {
        self.config.worker.limits = limits;
        self
    }

    /// Connections of the whole server; above it further ones are answered with 503. By default as many as the limit of open
    /// files allows.
    pub fn max_connections(mut self, count: usize) -> Builder {
        self.config.worker.connections_max = Some(count.max(1));
        self
    }

    /// A file for the master's process ID.
    pub fn pidfile(mut self, path: impl Into<PathBuf>) -> Builder {
        self.config.pidfile = Some(path.into());
        self
    }

    /// The level of the log, which goes to standard error; `TINE_LOG` sets it if this does not. If the program has installed a
    /// logger of its own, that one gets the records, and this has no effect.
    pub fn log_level(mut self, level: log::LevelFilter) -> Builder {
        self.config.log_level = Some(level);
        self
    }

    /// With `false` as `tine run`: prints where it serves to standard output, and logs from level info.
    pub fn quiet(mut self, is_quiet: bool) -> Builder {
        self.config.quiet = is_quiet;
        self
    }

    /// Any other setting: those of the master, its workers, their supervision, the user to become.
    ///
    /// ```
    /// # use tine::Server;
    /// Server::builder().configure(|config| {
    ///     config.backlog = 512;
    ///     config.supervision.recycling.requests_max = Some(1_000_000);
    /// });
    /// ```
    pub fn configure(mut self, change: impl FnOnce(&mut MasterConfig)) -> Builder {
        change(&mut self.config);
        self
    }

    /// The server, if its settings are right and fit together. Nothing is bound yet.
    pub fn build(self) -> Result<Server, ServerError> {
        let Builder { name, config, mistake } = self;
        mistake.map_or_else(|| config.check(), Err).map_err(ServerError::setting)?;
        Ok(Server { name: name.unwrap_or_else(program), config })
    }

    /// [`Builder::build`] and [`Server::serve`].
    pub fn serve(
        self,
        factory: impl Fn(&WorkerInfo) -> Result<Box<dyn App>, AppError> + 'static,
    ) -> Result<ExitCode, ServerError> {
        self.build()?.serve(factory)
    }

    fn mistake(&mut self, line: String) {
        self.mistake.get_or_insert(line);
    }
}

/// The name of this program.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_default();
    path.file_name().map_or("an application".to_string(), |name| name.to_string_lossy().into_owned())
}

impl ServerError {
    fn setting(line: impl AsRef<str>) -> ServerError {
        ServerError::Setting(as_settings(line.as_ref()))
    }

    fn system(line: String) -> ServerError {
        ServerError::System(as_settings(&line))
    }

    fn text(&self) -> &str {
        match self {
            ServerError::Setting(line) | ServerError::System(line) => line,
        }
    }
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Debug for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for ServerError {}

/// A line that names options, with the names that they have here: `--idle-timeout` is `idle_timeout`.
fn as_settings(line: &str) -> String {
    let as_setting = |word: &str| match word.strip_prefix("--").filter(|name| name.starts_with(char::is_alphabetic)) {
        Some(name) => name.replace('-', "_"),
        None => word.to_string(),
    };
    line.split(' ').map(as_setting).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake(builder: Builder) -> String {
        match builder.build() {
            Err(ServerError::Setting(line)) => line,
            Err(ServerError::System(line)) => panic!("of the system: {line}"),
            Ok(_) => panic!("nothing is wrong"),
        }
    }

    #[test]
    fn a_wrong_setting_is_a_value_with_a_correction() {
        let with = Server::builder;
        for (builder, words) in [
            (with().bind("localhost"), &["\"localhost\"", "127.0.0.1:8080"][..]),
            (with().bind("x").bind(":80").workers(9999), &["\"x\""]),
            (with().bind(":80").bind("127.0.0.1:80"), &["listen 127.0.0.1:80", "0.0.0.0:80"]),
            (with().workers(1025), &["workers(1025)", "0 to 1024"]),
            (with().health_path("up"), &["health_path(\"up\")", "/health"]),
            (
                with().limits(Limits { idle_timeout: Duration::ZERO, ..Limits::default() }),
                &["idle_timeout 0s would end every connection at once; give at least 1ms"],
            ),
            (with().configure(|config| config.supervision.surge_max = 0), &["max_unavailable 0 and max_surge 0"]),
        ] {
            let line = mistake(builder);
            assert!(words.iter().all(|word| line.contains(word)) && !line.contains("--"), "{line}");
        }
    }

    #[test]
    fn settings_come_to_a_configuration() {
        let address: std::net::SocketAddr = "[::1]:80".parse().expect("an address");
        let server = Server::builder().bind(address).bind("unix:/run/a.sock").workers(0).health_path("/up").build();
        let config = server.expect("nothing is wrong").config;
        let listen: Vec<String> = config.listen.iter().map(|address| address.to_string()).collect();
        assert_eq!(listen, ["[::1]:80", "unix:/run/a.sock"]);
        assert!(config.worker.is_alone && config.quiet);
        assert_eq!((config.workers, config.health_path.as_deref()), (1, Some("/up")));
    }

    #[test]
    fn an_error_is_its_text() {
        let error = ServerError::system("127.0.0.1:80 is in use; give --listen another".to_string());
        assert_eq!((format!("{error}"), format!("{error:?}")), (error.text().to_string(), error.text().to_string()));
        assert!(error.text().ends_with("give listen another"));
    }
}
