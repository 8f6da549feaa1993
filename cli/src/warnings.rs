//! Warnings about options that are not wrong, but do not do what was probably meant.

use crate::args::ServerArgs;
use crate::given::Given;
use crate::supervision_args::SupervisionArgs;
use tine::for_cli::Development;
use tine::{About, Health};
use tine_common::config::{Address, MasterConfig};
use tine_common::units::counted;

/// Server options that only a master acts on, apart from those of supervision.
const MASTERS: [&str; 9] = [
    "--control",
    "--admin",
    "--limit-store",
    "--mem-interval",
    "--drain-delay",
    "--accept",
    "--limit-memory",
    "--limit-cpu",
    "--limit-warn",
];

/// The options that were given and have no effect without a master.
pub fn of_masters_options(given: &Given) -> Option<String> {
    let all = given.options_of::<ServerArgs>();
    let mut idle = given.options_of::<SupervisionArgs>();
    idle.extend(all.into_iter().filter(|option| MASTERS.contains(&option.as_str())));
    let verb = if idle.len() == 1 { "has" } else { "have" };
    (!idle.is_empty()).then(|| format!("{} {verb} no effect with --workers 0: there is no master", idle.join(", ")))
}

/// An app that runs as root gives the machine to anyone who finds a hole in it.
pub fn of_root(name: &str) -> String {
    format!("{name} runs as root; --user USER runs it as another user, --allow-root hides this warning")
}

/// What a server under `--reload` should not be used for, and why.
pub fn of_development(development: &Development, config: &MasterConfig) -> String {
    let is_open = |address: &Address| matches!(address, Address::Tcp(tcp) if !tcp.ip().to_canonical().is_loopback());
    let clients =
        if config.addresses().any(|one| is_open(one.address)) { "clients on other machines, too," } else { "clients" };
    let shown = match development.shows_errors {
        true => format!("; {clients} are shown errors with lines of the code (--debug)"),
        false => String::new(),
    };
    let workers = counted(config.workers as u64, "worker");
    format!("--reload is for development, not for production: {workers}, replaced when a file changes{shown}")
}

/// The delay has an effect only if load balancers can see it.
pub fn of_silence(about: &About, config: &MasterConfig) -> Option<String> {
    let is_silent = !config.drain_delay.is_zero() && config.health_path.is_none() && about.health == Health::Nowhere;
    is_silent.then(|| {
        format!(
            "--drain-delay only waits: no path of {} answers 503 meanwhile; give one with --health-path /health",
            about.name
        )
    })
}
