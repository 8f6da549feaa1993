//! What is served, as the banner, the status and the log describe it.

use tine_apps::{health, mounted};
use tine_common::config::{Exempt, MasterConfig};
use tine_worker::app::AppFactory;

/// What is served.
#[derive(Debug, Clone)]
pub struct About {
    /// Its name, for the banner's first line.
    pub name: String,
    /// A command to try first; `URL` stands for the server's URL.
    pub try_next: String,
    /// What is served in addition; one line each.
    pub also: Vec<String>,
    /// What tells a load balancer that the server stops soon if there is no `--health-path`.
    pub health: Health,
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

/// The application below `--root-path`, with the server's own path for health checks before it, if there are such paths. No limit applies
/// to health checks: a load balancer takes a server that refuses them for dead.
pub fn with_own_paths(about: &About, config: &mut MasterConfig, factory: AppFactory) -> AppFactory {
    let of_app = match about.health {
        Health::At(path) => Some(path.to_string()),
        Health::AppsOwn | Health::Nowhere => None,
    };
    for path in [of_app, config.health_path.clone()].into_iter().flatten().map(Exempt::Path) {
        if !config.worker.throttle.exempt.contains(&path) {
            config.worker.throttle.exempt.push(path);
        }
    }
    let root = config.worker.root_path;
    if let Some(root) = root {
        let below = |exempt: &Exempt| match exempt {
            Exempt::Path(path) => Some(Exempt::Path(format!("{root}{path}"))),
            Exempt::Below(path) => Some(Exempt::Below(format!("{root}{path}"))),
            Exempt::Network(_) => None,
        };
        // The limits come before the application, which alone has paths without it.
        let exempt = &mut config.worker.throttle.exempt;
        let more: Vec<Exempt> = exempt.iter().filter_map(below).collect();
        exempt.extend(more);
    }
    mounted::at(root, health::at(config.health_path.as_deref(), factory))
}
