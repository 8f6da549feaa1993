//! What is served, as the banner, the status and the log describe it.

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
