//! What the options come to: what is served, and how. They are read before the start and, if there is a configuration file,
//! again by each reload.

use crate::command_line::{self, CommandLine, Complaint};
use crate::given::{Given, Source};
use crate::operands::Operands;
use crate::serve::{Asked, Served};
use crate::warnings;
use nix::unistd::fchdir;
use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use tine::for_cli::{Reloaded, Reread, go_to, with_own_paths};
use tine_common::config::MasterConfig;

/// Options and operands that a reload cannot change: they belong to the sockets, the files and the process. The others are
/// those of [`MasterConfig::reloaded`] and the application's.
const FIXED: [&str; 31] = [
    "port",
    "host",
    "listen",
    "grpc",
    "tls-listen",
    "backlog",
    "accept",
    "defer-accept",
    "receive-buffer",
    "tcp-fastopen",
    "pidfile",
    "control",
    "admin",
    "limit-store",
    "limit-store-alone",
    "shared-max",
    "quiet",
    "log-file",
    "access-log",
    "log-level",
    "log-format",
    "user",
    "group",
    "umask",
    "chdir",
    "allow-root",
    "reload",
    "reload-dir",
    "reload-include",
    "reload-exclude",
    "reload-engine",
];

const PASSWORD: &str = "--limit-store has a password, which every user of this machine can read on a command line; give it in \
                        TINE_LIMIT_STORE, in the file of --config, or as file:PATH";

const WITHOUT_MASTER: &str = "--workers 0 has no master, which --reload needs; leave it out for one worker";

pub struct Settings {
    pub served: Served,
    pub config: MasterConfig,
    pub given: Given,
}

impl Settings {
    /// The directory of `config` is the current one already. The error is one line.
    pub fn of<A>(
        asked: Asked<A>,
        mut config: MasterConfig,
        choose: &impl Fn(Asked<A>) -> Result<Served, String>,
    ) -> Result<Settings, String> {
        let given = asked.given.clone();
        let is_legible = config.limit_store.has_password() && given.source("limit-store") == Source::CommandLine;
        if is_legible {
            return Err(PASSWORD.to_string());
        }
        let mut served = config.check().and_then(|()| choose(asked)).map_err(|line| given.locate(line))?;
        if let Some(development) = &served.development {
            if config.worker.is_alone {
                return Err(given.locate(WITHOUT_MASTER.to_string()));
            }
            if given.source("workers") == Source::Default {
                config.workers = 1;
            }
            config.worker.is_outdated_on_leave = true;
            served.warnings.push(warnings::of_development(development, &config));
        }
        served.warnings.extend(warnings::of_silence(&served.about, &config));
        served.factory = with_own_paths(&served.about, &mut config, served.factory);
        Ok(Settings { served, config, given })
    }

    /// For reloads: reads `arguments` again, and the file that they name, with a path that begins at `directory`. `started`
    /// and `given` are the configuration and the options of the start.
    pub fn reread<A: clap::Args>(
        arguments: Vec<OsString>,
        operands: Operands,
        directory: PathBuf,
        started: &MasterConfig,
        given: &Given,
        choose: impl Fn(Asked<A>) -> Result<Served, String> + 'static,
    ) -> Reread {
        let (privileges, at_start) = (started.privileges.clone(), given.clone());
        Box::new(move || {
            let cli = match command_line::parse::<A>(&arguments, operands, &directory) {
                Ok(CommandLine::Serve(cli)) => *cli,
                Err(Complaint::Wrong(line)) => return Err(line),
                // The arguments are those of the start.
                Ok(_) | Err(Complaint::Asked(_)) => return Err("the command line is not that of a server".to_string()),
            };
            let config = cli.server.config(cli.operands.port, true);
            let asked = Asked { app: cli.operands.app, options: cli.app, given: cli.given };
            // As each worker does: the name of the directory may lead to another version by now. The master itself stays.
            let here = File::open(".").map_err(|e| format!("the current directory cannot be read: {e}"))?;
            let settings = go_to(&privileges).and_then(|()| Settings::of(asked, config, &choose));
            fchdir(&here).map_err(|e| format!("the current directory cannot be entered again: {e}"))?;
            let settings = settings?;
            let warning = settings.warn_of_fixed(&at_start);
            let Settings { served: Served { about, factory, .. }, config, .. } = settings;
            Ok(Reloaded { about, factory, config, warning })
        })
    }

    /// A warning for what differs from `started` and cannot be changed by a reload.
    fn warn_of_fixed(&self, started: &Given) -> Option<String> {
        let is_fixed =
            |name: &String| FIXED.contains(&name.as_str()) || name == "workers" && self.config.worker.is_alone;
        let fixed: Vec<String> = self.given.changed_from(started).into_iter().filter(is_fixed).collect();
        let file = self.given.file()?.display();
        let verb = if fixed.len() == 1 { "needs" } else { "need" };
        let names = fixed.join(", ");
        (!fixed.is_empty()).then(|| format!("{names} changed in {file} and {verb} a restart or an upgrade"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ServerArgs;
    use clap::Args;

    #[test]
    fn what_is_fixed_is_an_option() {
        let options = ServerArgs::augment_args(clap::Command::new(""));
        let is_option = |name: &str| options.get_arguments().any(|arg| arg.get_long() == Some(name));
        for name in FIXED {
            // Those of applications are not the server's.
            let is_apps = name.starts_with("reload");
            assert!(is_apps || is_option(name) || Operands::Port.names().contains(&name), "{name}");
        }
    }
}
