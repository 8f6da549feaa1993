//! The operands of the command line: `[APP] [PORT]`, or `[PORT]` where the program is one application.
//!
//! A port is known by its digits, so either operand may be left out, and they may come in either order. After an app it may
//! also be the name of a service, such as http. A missing one comes from `TINE_APP` or `TINE_PORT`, or from the
//! configuration file.

use clap::{Arg, ArgAction};
use tine_common::config::ListenAddress;

/// Which operands a program takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operands {
    Port,
    AppAndPort,
}

/// The operands that were given. The app's name is not checked here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sorted {
    pub app: Option<String>,
    pub port: Option<u16>,
}

/// The names under which clap keeps the operands, in their order.
pub const IDS: [&str; 3] = ["APP", "PORT", "MORE"];

const APP_HELP: &str = "The application: module.path:callable, a path to a .lua file, or builtin [default: builtin]";
const PORT_HELP: &str = "TCP port to listen on; 0 lets the system choose [default: 8080]";

impl Operands {
    /// The operands for clap. Surplus ones are accepted, too, so that the error is ours.
    pub fn args(self) -> Vec<Arg> {
        let [app, port, more] = IDS;
        let mut args = Vec::new();
        if self == Operands::AppAndPort {
            args.push(Arg::new(app).help(APP_HELP));
        }
        args.push(Arg::new(port).help(PORT_HELP));
        args.push(Arg::new(more).action(ArgAction::Append).num_args(0..).hide(true));
        args
    }

    /// The operands by the names that the configuration file and the environment have for them.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Operands::Port => &["port"],
            Operands::AppAndPort => &["app", "port"],
        }
    }

    /// Which of them a given text is; a service's name is taken for an app's.
    pub fn name_of(self, text: &str) -> &'static str {
        if self == Operands::Port || is_number(text) { "port" } else { "app" }
    }

    /// Tells the app and the port apart in `given`; `app` and `port` come from the environment or the
    /// configuration file. The error is one line with
    /// a correction.
    pub fn sort(self, given: &[String], app: Option<String>, port: Option<String>) -> Result<Sorted, String> {
        let mut sorted = Sorted::default();
        for text in given {
            if self.name_of(text) == "port" {
                if let Some(first) = sorted.port {
                    return Err(format!("{first} and {text} are two ports; give one, and more addresses by --listen"));
                }
                sorted.port = Some(port_of(text, "PORT")?);
            } else if let Some(address) = address_of(text) {
                return Err(format!("{address} is an address; give it by --listen {address}"));
            } else if let Some(first) = &sorted.app {
                let service = service(text).filter(|_| sorted.port.is_none());
                sorted.port = Some(service.ok_or_else(|| {
                    format!(
                        "neither {first:?} nor {text:?} is a port, a number from 0 to 65535 or a name in {SERVICES}; give an \
                         app and a port, such as `tine run {first} 8080`"
                    )
                })?);
            } else {
                sorted.app = Some(text.clone());
            }
        }
        if sorted.port.is_none() {
            sorted.port = port.map(|text| port_of(&text, "TINE_PORT, the PORT")).transpose()?;
        }
        if self == Operands::AppAndPort && sorted.app.is_none() {
            sorted.app = app;
        }
        Ok(sorted)
    }
}

/// The address, if the text cannot be anything else: a path names a file here, also with `:callable`.
fn address_of(text: &str) -> Option<ListenAddress> {
    let is_plain = text.contains(':') && !text.starts_with(['/', '.']);
    is_plain.then(|| text.parse().ok())?
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

pub fn port_of(text: &str, what: &str) -> Result<u16, String> {
    let port = if is_number(text) { text.parse().ok() } else { service(text) };
    port.ok_or_else(|| format!("{text:?} cannot be {what}; a port is a number from 0 to 65535"))
}

const SERVICES: &str = "/etc/services";

/// The TCP port of a service, by its name or an alias.
fn service(name: &str) -> Option<u16> {
    let file = std::fs::read(SERVICES).ok()?;
    port_in(&String::from_utf8_lossy(&file), name)
}

/// services(5): `name port/protocol [alias ...] # comment`.
fn port_in(services: &str, name: &str) -> Option<u16> {
    services.lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let (official, port) = (words.next()?, words.next()?.strip_suffix("/tcp")?);
        (official == name || words.any(|alias| alias == name)).then(|| port.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sort(operands: Operands, given: &[&str], app: Option<&str>, port: Option<&str>) -> Result<Sorted, String> {
        let given: Vec<String> = given.iter().map(|text| text.to_string()).collect();
        operands.sort(&given, app.map(str::to_string), port.map(str::to_string))
    }

    #[test]
    fn a_port_is_known_by_its_digits() {
        let both = |app: Option<&str>, port| Ok(Sorted { app: app.map(str::to_string), port });
        for (given, app, port, expected) in [
            (&[][..], None, None, both(None, None)),
            (&["8080"], None, None, both(None, Some(8080))),
            (&["0"], None, None, both(None, Some(0))),
            (&["65535"], None, None, both(None, Some(65535))),
            (&["docs.app:app"], None, None, both(Some("docs.app:app"), None)),
            (&["docs.app:app", "9000"], None, None, both(Some("docs.app:app"), Some(9000))),
            (&["9000", "docs.app:app"], None, None, both(Some("docs.app:app"), Some(9000))),
            (&["builtin", "9000"], None, None, both(Some("builtin"), Some(9000))),
            (&["8080.lua"], None, None, both(Some("8080.lua"), None)),
            (&["./site/app.lua:app", "80"], None, None, both(Some("./site/app.lua:app"), Some(80))),
            (&["/srv/app.lua:app"], None, None, both(Some("/srv/app.lua:app"), None)),
            (&["proxy:app"], None, None, both(Some("proxy:app"), None)),
            (&["../app:app"], None, None, both(Some("../app:app"), None)),
            (&["/srv/app.lua", "80"], None, None, both(Some("/srv/app.lua"), Some(80))),
            (&["8080x"], None, None, both(Some("8080x"), None)),
            // The environment fills in what is missing, and only that.
            (&[], Some("a:b"), Some("81"), both(Some("a:b"), Some(81))),
            (&["82"], Some("a:b"), Some("x"), both(Some("a:b"), Some(82))),
            (&["c:d"], Some("a:b"), Some("81"), both(Some("c:d"), Some(81))),
        ] {
            assert_eq!(sort(Operands::AppAndPort, given, app, port), expected, "{given:?} {app:?} {port:?}");
        }
        let only = |port| Ok(Sorted { app: None, port });
        assert_eq!(sort(Operands::Port, &["9000"], Some("a:b"), None), only(Some(9000)));
        assert_eq!(sort(Operands::Port, &[], Some("a:b"), Some("81")), only(Some(81)));
    }

    #[test]
    fn a_service_has_its_tcp_port() {
        let services =
            "# http 1/tcp\nhttp\t\t81/udp\nhttp\t\t80/tcp\t\twww web # WWW\nodd x/tcp\n\nhttp-alt 8080/tcp # web2\n";
        for (name, port) in [
            ("http", Some(80)),
            ("web", Some(80)),
            ("www", Some(80)),
            ("http-alt", Some(8080)),
            ("odd", None),
            ("web2", None),
            ("WWW", None),
            ("#", None),
        ] {
            assert_eq!(port_in(services, name), port, "{name}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_do() {
        use Operands::{AppAndPort, Port};
        for (operands, given, port, words) in [
            (AppAndPort, &["65536"][..], None, &["\"65536\"", "PORT", "0 to 65535"][..]),
            (AppAndPort, &["a:b", "99999999999999999999"], None, &["PORT", "0 to 65535"]),
            (AppAndPort, &["80", "81"], None, &["80 and 81", "two ports", "--listen"]),
            (AppAndPort, &["a:b", "81", "82"], None, &["81 and 82", "two ports"]),
            (AppAndPort, &["a:b", "c:d"], None, &["\"a:b\"", "\"c:d\"", "0 to 65535", "`tine run a:b 8080`"]),
            (AppAndPort, &["a:b", "80", "c:d"], None, &["\"c:d\"", "`tine run a:b 8080`"]),
            (AppAndPort, &["127.0.0.1:80"], None, &["--listen 127.0.0.1:80"]),
            (AppAndPort, &[":80"], None, &["--listen 0.0.0.0:80"]),
            (AppAndPort, &["localhost:80"], None, &["--listen 127.0.0.1:80"]),
            (AppAndPort, &["proxy:80"], None, &["--listen proxy:127.0.0.1:80"]),
            (AppAndPort, &["unix:/run/x"], None, &["--listen unix:/run/x"]),
            (AppAndPort, &["a:b"], Some(""), &["TINE_PORT", "0 to 65535"]),
            (AppAndPort, &[], Some("+80"), &["TINE_PORT", "0 to 65535"]),
            (Port, &["a:b"], None, &["\"a:b\"", "PORT", "0 to 65535"]),
            (Port, &["80", "81"], None, &["two ports"]),
            (Port, &[], Some("x"), &["TINE_PORT"]),
        ] {
            let line = sort(operands, given, None, port).expect_err("it is wrong");
            assert!(words.iter().all(|word| line.contains(word)), "{given:?}: {line}");
        }
    }
}
