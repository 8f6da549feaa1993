//! Where the lines of the access log go, as `--access-log` names it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const DEV_LOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum Target {
    #[default]
    Nowhere,
    File(PathBuf),
    StandardOutput,
    /// A Unix datagram socket that takes RFC 5424.
    Syslog {
        socket: PathBuf,
        facility: Facility,
    },
    /// The journal's native socket.
    Journal(PathBuf),
}

/// A facility of syslog, by its number (RFC 5424, 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

const FACILITIES: [(&str, u8); 20] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

impl Facility {
    /// As nginx.
    const DEFAULT: Facility = Facility(23);

    /// The number at the front of a message, for severity `info`.
    pub fn priority(self) -> u8 {
        self.0 * 8 + 6
    }

    fn name(self) -> &'static str {
        FACILITIES.iter().find(|(_, number)| *number == self.0).map_or("", |(name, _)| name)
    }
}

impl FromStr for Facility {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = FACILITIES.iter().find(|(name, _)| *name == text);
        let names = || FACILITIES.map(|(name, _)| name).join(", ");
        found
            .map(|(_, number)| Facility(*number))
            .ok_or_else(|| format!("no facility {text:?}; give one of {}", names()))
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let forms = "give a file, -, none, syslog:[PATH][,facility=NAME] or journald:";
        let or = |path: &str, default: &str| PathBuf::from(if path.is_empty() { default } else { path });
        if let Some(rest) = text.strip_prefix("syslog:") {
            let (path, facility) = match rest.split_once(",facility=") {
                Some((path, name)) => (path, name.parse()?),
                None => (rest, Facility::DEFAULT),
            };
            if path.contains("server=") {
                return Err(format!("{text:?} has nginx's form; {forms}"));
            }
            return Ok(Target::Syslog { socket: socket(or(path, DEV_LOG))?, facility });
        }
        if let Some(path) = text.strip_prefix("journald:") {
            return Ok(Target::Journal(socket(or(path, JOURNAL))?));
        }
        match text {
            "none" => Ok(Target::Nowhere),
            "-" => Ok(Target::StandardOutput),
            "" => Err(forms.to_string()),
            "syslog" | "journald" | "stdout" | "off" => {
                let meant = match text {
                    "stdout" => "-".to_string(),
                    "off" => "none".to_string(),
                    _ => format!("{text}:"),
                };
                Err(format!("{text:?} could be a file; write {meant}, or ./{text} for the file"))
            }
            path => Ok(Target::File(PathBuf::from(path))),
        }
    }
}

fn socket(path: PathBuf) -> Result<PathBuf, String> {
    match path.is_absolute() {
        true => Ok(path),
        false => Err(format!("the socket {} is not an absolute path", path.display())),
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Nowhere => f.write_str("none"),
            Target::File(path) => write!(f, "{}", path.display()),
            Target::StandardOutput => f.write_str("-"),
            Target::Syslog { socket, facility } => {
                write!(f, "syslog:{},facility={}", socket.display(), facility.name())
            }
            Target::Journal(socket) => write!(f, "journald:{}", socket.display()),
        }
    }
}

impl Target {
    pub fn path(&self) -> Option<&Path> {
        match self {
            Target::File(path) => Some(path),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again() {
        for (text, shown) in [
            ("none", "none"),
            ("-", "-"),
            ("access.log", "access.log"),
            ("./stdout", "./stdout"),
            ("syslog:", "syslog:/dev/log,facility=local7"),
            ("syslog:/run/log,facility=daemon", "syslog:/run/log,facility=daemon"),
            ("syslog:,facility=local0", "syslog:/dev/log,facility=local0"),
            ("journald:", "journald:/run/systemd/journal/socket"),
            ("journald:/run/j", "journald:/run/j"),
        ] {
            let target: Target = text.parse().expect(text);
            assert_eq!(target.to_string(), shown);
            assert_eq!(shown.parse(), Ok(target));
        }
    }

    #[test]
    fn what_could_mean_two_things_is_refused() {
        for (text, expected) in [
            ("", "give a file"),
            ("stdout", "write -, or ./stdout"),
            ("off", "write none"),
            ("syslog", "write syslog:, or ./syslog"),
            ("syslog:log", "not an absolute path"),
            ("syslog:server=unix:/dev/log", "nginx's form"),
            ("syslog:,facility=local9", "local7"),
        ] {
            let error = text.parse::<Target>().expect_err(text);
            assert!(error.contains(expected), "{text:?}: {error}");
        }
    }
}
