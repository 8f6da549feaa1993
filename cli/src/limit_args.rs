//! The options that limit requests of the whole server, and of each client.

use tine_common::config::{ClientKey, Exempt, LimitStore, ThrottleConfig};
use tine_common::throttle::{Change, Setting, ThrottleLimits};
use tine_common::units::parse_yes_or_no;

#[derive(clap::Args, Debug)]
pub struct LimitArgs {
    /// Maximum requests that the whole server answers at the same time, WebSockets included; further ones wait (--limit-wait) and
    /// then get 503
    #[arg(long, value_name = "N|off", default_value = "off", env = "TINE_LIMIT_CONCURRENCY", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Concurrency, text), help_heading = "Throttling")]
    limit_concurrency: Change,
    /// Maximum requests that the whole server begins to answer in any such time: 2000/min, 50/s or 10/5s
    #[arg(long, value_name = "N/TIME|off", default_value = "off", env = "TINE_LIMIT_RATE", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Rate, text), help_heading = "Throttling")]
    limit_rate: Change,
    /// Memory of all processes together above which no request is admitted
    #[arg(long, value_name = "SIZE|off", default_value = "off", env = "TINE_LIMIT_MEMORY", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Memory, text), help_heading = "Throttling")]
    limit_memory: Change,
    /// CPU use of all processes together above which no request is admitted; 100% is one CPU
    #[arg(long, value_name = "PERCENT|off", default_value = "off", env = "TINE_LIMIT_CPU", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Cpu, text), help_heading = "Throttling")]
    limit_cpu: Change,
    /// Maximum requests of one client that are answered at the same time; further ones wait and then get 429
    #[arg(long, value_name = "N|off", default_value = "off", env = "TINE_LIMIT_CLIENT_CONCURRENCY", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::ClientConcurrency, text), help_heading = "Throttling")]
    limit_client_concurrency: Change,
    /// Maximum rate of one client's requests, such as 100/min, in bursts of up to that number
    #[arg(long, value_name = "N/TIME|off", default_value = "off", env = "TINE_LIMIT_CLIENT_RATE", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::ClientRate, text), help_heading = "Throttling")]
    limit_client_rate: Change,
    /// What tells clients apart: ip (a /64 for IPv6), or header:NAME, the value of that header, and the address without one
    #[arg(
        long,
        value_name = "KEY",
        default_value = "ip",
        env = "TINE_LIMIT_CLIENT_KEY",
        hide_env = true,
        help_heading = "Throttling"
    )]
    limit_client_key: ClientKey,
    /// Warn when this much of a limit is used
    #[arg(long, value_name = "PERCENT", default_value = "80%", env = "TINE_LIMIT_WARN", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Warn, text), help_heading = "Throttling")]
    limit_warn: Change,
    /// Maximum time that a request over a limit waits for room before it is refused; 0 refuses at once
    #[arg(long, value_name = "TIME", default_value = "1s", env = "TINE_LIMIT_WAIT", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Wait, text), help_heading = "Throttling")]
    limit_wait: Change,
    /// Maximum requests that wait for room at the same time; further ones are refused at once
    #[arg(long, value_name = "N", default_value = "1000", env = "TINE_LIMIT_QUEUE", hide_env = true,
          value_parser = |text: &str| Change::of(Setting::Queue, text), help_heading = "Throttling")]
    limit_queue: Change,
    /// Paths (/metrics, /static/*) and client networks (10.0.0.0/8) that no limit applies to, besides the health path
    #[arg(
        long,
        value_name = "LIST",
        env = "TINE_LIMIT_EXEMPT",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Throttling"
    )]
    limit_exempt: Vec<Exempt>,
    /// Share --limit-concurrency and --limit-rate with other servers through Redis or Valkey: redis://HOST:PORT/KEY, redis+unix:///PATH?key=KEY, or file:PATH of a file that has it; one with a password not on the command line
    #[arg(
        long,
        value_name = "URL|none",
        default_value = "none",
        env = "TINE_LIMIT_STORE",
        hide_env = true,
        help_heading = "Throttling"
    )]
    limit_store: LimitStore,
    /// How much of the limits this server uses while it has never reached the store
    #[arg(long, value_name = "PERCENT", default_value = "0%", env = "TINE_LIMIT_STORE_ALONE", hide_env = true,
          value_parser = part, help_heading = "Throttling")]
    limit_store_alone: u64,
    /// Serve requests over a limit, and only count and log them
    #[arg(long, env = "TINE_LIMIT_DRY_RUN", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Throttling")]
    limit_dry_run: bool,
    /// Add RateLimit and RateLimit-Policy to responses: what is left of the rate limits
    #[arg(long, env = "TINE_RATELIMIT_HEADERS", hide_env = true, value_parser = parse_yes_or_no,
          help_heading = "Throttling")]
    ratelimit_headers: bool,
}

impl LimitArgs {
    /// The store, and how much is used without it, in percent.
    pub fn store(&self) -> (LimitStore, u64) {
        (self.limit_store.clone(), self.limit_store_alone)
    }

    pub fn config(self) -> ThrottleConfig {
        let mut limits = ThrottleLimits { is_dry_run: self.limit_dry_run, ..ThrottleLimits::default() };
        for change in [
            self.limit_concurrency,
            self.limit_rate,
            self.limit_memory,
            self.limit_cpu,
            self.limit_client_concurrency,
            self.limit_client_rate,
            self.limit_warn,
            self.limit_wait,
            self.limit_queue,
        ] {
            change.apply(&mut limits);
        }
        let (exempt, client_key) = (self.limit_exempt, self.limit_client_key);
        ThrottleConfig { limits, exempt, client_key, has_headers: self.ratelimit_headers }
    }
}

fn part(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
    number.filter(|part| *part <= 100).ok_or_else(|| "give a percentage from 0% to 100%".to_string())
}
