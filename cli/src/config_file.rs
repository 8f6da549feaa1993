//! The configuration file (`--config`): options of `run` by their long names, and the operands `app` and `port`, in TOML.
//!
//! A value of the file becomes the default of its option. So the command line and the environment take precedence, and the
//! option's own parser decides what is valid. Each error is one line that begins with the path and the line in the file.

use crate::hints;
use crate::operands::{self, Operands};
use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use std::error::Error;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use tine_common::log::one_line;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A larger file is refused.
const BYTES_MAX: u64 = 1 << 20;

#[derive(Debug)]
pub struct ConfigFile {
    /// As it was given.
    path: PathBuf,
    /// In the order of their lines.
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    /// As they would be typed; more than one only for an option that is repeatable.
    values: Vec<String>,
    line: usize,
}

/// What a name of the file may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Flag,
    One,
    Many,
}

impl ConfigFile {
    /// Reads the file and checks each of its values. `options`: all options of `run`. A relative `path` begins at
    /// `directory`.
    pub fn read(
        path: &Path,
        directory: &Path,
        options: &clap::Command,
        operands: Operands,
    ) -> Result<ConfigFile, String> {
        let text = text_of(&directory.join(path))
            .map_err(|why| format!("--config {}: {why}", one_line(&path.display().to_string())))?;
        let entries = entries(&text, options, operands)
            .and_then(|entries| check(&entries, options).map(|()| entries))
            .map_err(|(line, why)| format!("{}:{line}: {}", one_line(&path.display().to_string()), one_line(&why)))?;
        Ok(ConfigFile { path: path.to_path_buf(), entries })
    }

    /// The command with the values of the file as the defaults of its options.
    pub fn as_defaults(&self, command: clap::Command) -> clap::Command {
        command.mut_args(|arg| match arg.get_long().and_then(|name| self.entry(name)) {
            Some(entry) if !entry.values.is_empty() => arg.default_values(entry.values.clone()),
            _ => arg,
        })
    }

    /// The only value of a name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.entry(name)?.values.first().map(String::as_str)
    }

    pub fn line(&self, name: &str) -> Option<usize> {
        self.entry(name).map(|entry| entry.line)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }
}

fn text_of(path: &Path) -> Result<String, String> {
    let open = || -> io::Result<(bool, File)> {
        // What is not a file could block, or be gone when a reload reads it again.
        Ok((std::fs::metadata(path)?.is_file(), File::open(path)?))
    };
    let (is_file, file) = open().map_err(|e| match e.kind() {
        ErrorKind::NotFound => "there is no such file".to_string(),
        ErrorKind::PermissionDenied => "the file cannot be read: permission denied".to_string(),
        _ => format!("the file cannot be read: {e}"),
    })?;
    if !is_file {
        return Err("it has to be a regular file".to_string());
    }
    let mut bytes = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|e| format!("the file cannot be read: {e}"))?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err("the file is larger than 1M; is this a configuration file?".to_string());
    }
    String::from_utf8(bytes).map_err(|_| "the file is not in UTF-8".to_string())
}

/// A line, and what is wrong in it.
type Mistake = (usize, String);

fn entries(text: &str, options: &clap::Command, operands: Operands) -> Result<Vec<Entry>, Mistake> {
    let line_at = |at: usize| 1 + text.bytes().take(at).filter(|&byte| byte == b'\n').count();
    let table = DeTable::parse(text).map_err(|e| (line_at(e.span().map_or(0, |span| span.start)), syntax(&e)))?;
    let mut entries = Vec::new();
    for (name, value) in table.get_ref() {
        let line = line_at(name.span().start);
        let name = name.get_ref().to_string();
        let kind = kind(&name, value.get_ref(), options, operands).map_err(|why| (line, why))?;
        let values = values(value, kind).map_err(|why| (line, format!("{name} {why}")))?;
        entries.push(Entry { name, values, line });
    }
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn syntax(error: &toml::de::Error) -> String {
    format!("{}; a line is written as in: idle-timeout = \"10s\"", error.message().lines().next().unwrap_or_default())
}

fn kind(name: &str, value: &DeValue<'_>, options: &clap::Command, operands: Operands) -> Result<Kind, String> {
    if operands.names().contains(&name) {
        return Ok(Kind::One);
    }
    let in_file = |arg: &&clap::Arg| arg.get_long().is_some_and(|long| long != "config");
    if let Some(arg) = options.get_arguments().filter(in_file).find(|arg| arg.get_long() == Some(name)) {
        return Ok(match arg.get_action() {
            clap::ArgAction::Append => Kind::Many,
            action if action.takes_values() => Kind::One,
            _ => Kind::Flag,
        });
    }
    if value.is_table() {
        return Err(format!("there are no tables here; write the options without [{name}]"));
    }
    if name == "config" {
        return Err("a configuration file cannot name another one; give --config PATH".to_string());
    }
    if let Some(hint) = hints::for_option(&format!("--{name}")) {
        return Err(format!("there is no option {name}: {hint}"));
    }
    let known =
        options.get_arguments().filter(in_file).filter_map(clap::Arg::get_long).chain(operands.names().iter().copied());
    let tip = hints::nearest(name, known).map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
    Err(format!("there is no option {name}{tip}"))
}

/// The values as they would be typed. The error continues a sentence that begins with the name.
fn values(value: &Spanned<DeValue<'_>>, kind: Kind) -> Result<Vec<String>, String> {
    match (kind, value.get_ref()) {
        (Kind::Flag, DeValue::Boolean(is_on)) => Ok(vec![is_on.to_string()]),
        (Kind::Flag, _) => Err("is true or false, without quotes".to_string()),
        (Kind::Many, DeValue::Array(array)) => array.iter().map(|value| scalar(value.get_ref())).collect(),
        (Kind::One, DeValue::Array(_)) => Err("takes one value, not an array".to_string()),
        (_, value) => Ok(vec![scalar(value)?]),
    }
}

fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        // Another radix would be lost on the way to the option's parser; --umask is octal by itself.
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_string()),
        DeValue::Integer(_) => Err("takes a decimal number, or a text in quotes".to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_string()),
        other => Err(format!("takes a number or a text in quotes, not a value of type {}", other.type_str())),
    }
}

/// Asks the options' own parsers.
fn check(entries: &[Entry], options: &clap::Command) -> Result<(), Mistake> {
    for entry in entries {
        if let Some(text) = entry.values.first().filter(|_| entry.name == "port")
            && let Err(why) = operands::port_of(text, "port")
        {
            return Err((entry.line, why));
        }
    }
    let takes_values =
        |name: &str| options.get_arguments().any(|arg| arg.get_long() == Some(name) && arg.get_action().takes_values());
    let typed = entries
        .iter()
        .filter(|entry| takes_values(&entry.name))
        .flat_map(|entry| entry.values.iter().map(|value| format!("--{}={value}", entry.name)));
    let command = options.clone().no_binary_name(true).mut_args(|arg| arg.env(Resettable::Reset));
    let Err(error) = command.try_get_matches_from(typed) else { return Ok(()) };
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    // As in `--workers <N|auto>`.
    let name = context(ContextKind::InvalidArg).split([' ', '=']).next().unwrap_or_default().trim_start_matches("--");
    let value = context(ContextKind::InvalidValue);
    let reason = error.source().map(|reason| reason.to_string());
    let text = error.to_string();
    let reason = reason.unwrap_or_else(|| text.lines().next().unwrap_or_default().replace("error: ", ""));
    let line = entries.iter().find(|entry| entry.name == name).map_or(1, |entry| entry.line);
    Err((line, format!("{name} {value:?}: {reason}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ServerArgs;
    use clap::Args;

    fn read(text: &str) -> Result<Vec<(String, Vec<String>, usize)>, Mistake> {
        let options = ServerArgs::augment_args(clap::Command::new("run"));
        let entries = entries(text, &options, Operands::AppAndPort)?;
        check(&entries, &options)?;
        Ok(entries.into_iter().map(|entry| (entry.name, entry.values, entry.line)).collect())
    }

    #[test]
    fn values_are_as_they_would_be_typed() {
        for (text, name, values, line) in [
            ("workers = 4", "workers", &["4"][..], 1),
            ("workers = \"auto\"", "workers", &["auto"], 1),
            ("# first\n\nworkers = 1_0", "workers", &["10"], 3),
            ("quiet = true", "quiet", &["true"], 1),
            ("quiet = false", "quiet", &["false"], 1),
            ("listen = [\"127.0.0.1:1\",\n 8080]", "listen", &["127.0.0.1:1", "8080"], 1),
            ("listen = 8080", "listen", &["8080"], 1),
            ("listen = []", "listen", &[], 1),
            ("port = 80", "port", &["80"], 1),
            ("app = 'docs.app:app'", "app", &["docs.app:app"], 1),
            ("umask = '027'", "umask", &["027"], 1),
            ("\u{feff}quiet = true", "quiet", &["true"], 1),
        ] {
            let values: Vec<String> = values.iter().map(|value| value.to_string()).collect();
            assert_eq!(read(text), Ok(vec![(name.to_string(), values, line)]), "{text:?}");
        }
        assert_eq!(read(""), Ok(Vec::new()));
        let names = |text| read(text).expect("valid").into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
        assert_eq!(
            names("workers = 1\nbacklog = 2\nport = 3\n"),
            ["workers", "backlog", "port"],
            "in the file's order"
        );
    }

    #[test]
    fn a_mistake_has_its_line_and_what_would_be_right() {
        for (text, line, words) in [
            ("quiet = true\nworker = 4", 2, &["no option worker", "did you mean workers?"][..]),
            ("idle_timeout = '1s'", 1, &["idle_timeout", "did you mean idle-timeout?"]),
            ("bind = 'x'", 1, &["no option bind", "--listen"]),
            ("colour-of-the-sky = 1", 1, &["no option colour-of-the-sky"]),
            ("config = 'x'", 1, &["cannot name another"]),
            ("help = true", 1, &["no option help"]),
            ("[run]\nworkers = 4", 1, &["without [run]"]),
            ("\nworkers = 'many'", 2, &["workers \"many\"", "from 0 to 1024", "or auto"]),
            ("workers = -1", 1, &["workers \"-1\"", "from 0 to 1024"]),
            ("workers = 1.5", 1, &["workers \"1.5\"", "from 0 to 1024"]),
            ("workers = 0x10", 1, &["workers takes a decimal number"]),
            ("umask = 0o27", 1, &["umask takes a decimal number, or a text"]),
            ("workers = true", 1, &["workers takes a number or a text", "boolean"]),
            ("workers = [1]", 1, &["workers takes one value"]),
            ("workers = 1979-05-27", 1, &["workers takes a number or a text", "datetime"]),
            ("listen = [8080, 'x']", 1, &["listen \"x\"", "unix:/path"]),
            ("listen = [[8080]]", 1, &["listen takes a number or a text", "array"]),
            ("quiet = 'yes'", 1, &["quiet is true or false"]),
            ("pidfile = ''", 1, &["pidfile"]),
            ("max-requests = 'x'", 1, &["max-requests \"x\"", "digit"]),
            ("port = 65536", 1, &["\"65536\" cannot be port", "0 to 65535"]),
            ("idle-timeout = 10", 1, &["idle-timeout \"10\"", "10s"]),
            ("quiet = true\nidle-timeout = 10s\n", 2, &["is written as in"]),
            ("workers = 1\nworkers = 2", 2, &["duplicate key"]),
            ("workers", 1, &["is written as in"]),
        ] {
            let (at, why) = read(text).expect_err(text);
            assert_eq!(at, line, "{text:?}: {why}");
            assert!(words.iter().all(|word| why.contains(word)), "{text:?}: {why}");
        }
    }
}
