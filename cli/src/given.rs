//! Which options were given and where, once the command line, the environment and the configuration file are read.

use crate::config_file::ConfigFile;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Id};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use tine_common::log::one_line;

/// The options that were given rather than left at their defaults.
#[derive(Debug, Clone)]
pub struct Given {
    matches: ArgMatches,
    /// The id of each option by its long name.
    ids: BTreeMap<String, Id>,
    operands: GivenOperands,
    file: Option<Rc<ConfigFile>>,
}

/// The value of each operand that was given, by its name.
pub type GivenOperands = BTreeMap<&'static str, (String, Source)>;

/// Where a value is from; a later one takes precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Default,
    /// The line of the configuration file.
    File(usize),
    Environment,
    CommandLine,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::File(line) => write!(f, "file, line {line}"),
            Source::Environment => f.write_str("environment"),
            Source::CommandLine => f.write_str("command line"),
        }
    }
}

impl Given {
    /// `options`: all options of `run`, which `matches` has the values of.
    pub fn new(
        matches: ArgMatches,
        options: &clap::Command,
        operands: GivenOperands,
        file: Option<ConfigFile>,
    ) -> Given {
        let named = options.get_arguments().filter_map(|arg| Some((arg.get_long()?.to_string(), arg.get_id().clone())));
        Given { matches, ids: named.collect(), operands, file: file.map(Rc::new) }
    }

    /// Those of `A`, as they are typed: `--stream-mb`.
    pub fn options_of<A: Args>(&self) -> Vec<String> {
        let options = A::augment_args(clap::Command::new(""));
        let names = options.get_arguments().filter_map(|arg| arg.get_long());
        names.filter(|name| self.source(name) != Source::Default).map(|name| format!("--{name}")).collect()
    }

    /// Where the value of an option, by its long name, or of an operand is from.
    pub fn source(&self, name: &str) -> Source {
        if let Some((_, source)) = self.operands.get(name) {
            return *source;
        }
        let id = self.ids.get(name).map_or("", Id::as_str);
        match self.matches.try_contains_id(id).ok().and_then(|_| self.matches.value_source(id)) {
            Some(ValueSource::CommandLine) => Source::CommandLine,
            Some(ValueSource::EnvVariable) => Source::Environment,
            _ => self.file.as_ref().and_then(|file| file.line(name)).map_or(Source::Default, Source::File),
        }
    }

    /// As it was typed, several with commas; `None` if there is none.
    pub fn value(&self, name: &str) -> Option<String> {
        if let Some((value, _)) = self.operands.get(name) {
            return Some(value.clone());
        }
        let values = self.matches.try_get_raw(self.ids.get(name)?.as_str()).ok()??;
        Some(values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","))
    }

    /// The names whose values differ from those of another reading of the same options.
    pub fn changed_from(&self, other: &Given) -> Vec<String> {
        let names = self.ids.keys().map(String::as_str).chain(["app", "port"]);
        names.filter(|name| self.value(name) != other.value(name)).map(str::to_string).collect()
    }

    /// The configuration file as it was given.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path())
    }

    /// The error of an option, after the place in the configuration file if it is from there. A correction, after a
    /// semicolon, may name others.
    pub fn locate(&self, error: String) -> String {
        let Some(file) = &self.file else { return error };
        let mistake = error.split(';').next().unwrap_or_default();
        let options =
            mistake.split_whitespace().filter_map(|word| word.trim_end_matches([':', ',']).strip_prefix("--"));
        // An error of the operand begins with its value in quotes.
        let app = self.value("app").filter(|app| mistake.starts_with(&format!("{app:?}"))).map(|_| "app");
        let line = options.chain(app).find_map(|name| match self.source(name) {
            Source::File(line) => Some(line),
            _ => None,
        });
        match line {
            Some(line) => format!("{}:{line}: {error}", one_line(&file.path().display().to_string())),
            None => error,
        }
    }
}
