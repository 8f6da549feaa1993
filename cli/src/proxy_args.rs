//! The options of a server behind proxies.

use tine_common::config::{ForwardedHeader, ProxyConfig, RootPath, TrustedProxy};

#[derive(clap::Args, Debug)]
pub struct ProxyArgs {
    /// Networks of proxies that are believed what they say of their clients: 10.0.0.0/8, 2001:db8::/32, unix: for clients of Unix sockets,
    /// or * for all; repeatable. Their Forwarded, X-Forwarded-For, -Proto and -Host, and X-Real-IP count, and only they may use
    /// addresses marked proxy:
    #[arg(
        long,
        value_name = "CIDR",
        env = "TINE_TRUSTED_PROXIES",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Behind a proxy"
    )]
    trusted_proxies: Vec<TrustedProxy>,
    /// Which of these header fields the proxies write: x-forwarded-for, x-real-ip or forwarded; any: X-Forwarded-For, then X-Real-IP,
    /// then Forwarded
    #[arg(
        long,
        value_name = "NAME",
        default_value = "any",
        env = "TINE_FORWARDED_HEADER",
        hide_env = true,
        help_heading = "Behind a proxy"
    )]
    forwarded_header: ForwardedHeader,
    /// Path below which the application is mounted, such as /shop (SCRIPT_NAME); a proxy may leave it in the paths of requests or
    /// remove it
    #[arg(long, value_name = "PATH", env = "TINE_ROOT_PATH", hide_env = true, help_heading = "Behind a proxy")]
    pub root_path: Option<RootPath>,
}

impl ProxyArgs {
    pub fn config(self) -> ProxyConfig {
        ProxyConfig { trusted: self.trusted_proxies, header: self.forwarded_header }
    }
}
