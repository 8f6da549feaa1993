//! Which Lua application runs, from where, within which limits.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct LuaConfig {
    pub app: AppName,
    /// Directories that are searched for modules first.
    pub app_dirs: Vec<PathBuf>,
    /// Directories of the files that a response may name (X-Sendfile); empty: the server leaves that header alone.
    pub sendfile_roots: Vec<PathBuf>,
    /// Maximum time an app may spend on a request, including sleeps but not the time it waits for its client.
    pub request_timeout: Option<Duration>,
    /// The most memory of one VM, in bytes.
    pub memory_bytes_max: Option<usize>,
    /// The longest request body, in bytes.
    pub body_bytes_max: u64,
    /// Whether error pages show the traceback, lines of the code and the request.
    pub debug: bool,
    /// Whether the app is reloaded when its files change.
    pub reloads: bool,
}

/// `module.path:callable`, or a path to a `.lua` file, also with `:callable`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppName {
    pub source: Source,
    /// Default: `app`, or the module itself if that can be called.
    pub callable: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    Module(String),
    File(PathBuf),
}

impl FromStr for AppName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an app; write it as module.path:callable, such as docs.app:app, or as a path to a .lua file"
            )
        };
        let (source, callable) = match text.rsplit_once(':') {
            Some((source, callable)) => (source, Some(callable.to_string())),
            None => (text, None),
        };
        if source.is_empty() || callable.as_deref() == Some("") || source.contains('\0') {
            return Err(wrong());
        }
        let is_file = [".lua", ".ws"].iter().any(|suffix| source.ends_with(suffix)) || source.contains('/');
        let source = match is_file {
            true => Source::File(source.into()),
            false if source.split('.').any(str::is_empty) => return Err(wrong()),
            false => Source::Module(source.to_string()),
        };
        Ok(AppName { source, callable })
    }
}

impl std::fmt::Display for AppName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.source {
            Source::Module(name) => f.write_str(name)?,
            Source::File(path) => write!(f, "{}", path.display())?,
        }
        self.callable.as_ref().map_or(Ok(()), |callable| write!(f, ":{callable}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_are_modules_or_files() {
        let module = |name: &str, callable: Option<&str>| {
            Ok(AppName { source: Source::Module(name.into()), callable: callable.map(str::to_string) })
        };
        let file = |path: &str, callable: Option<&str>| {
            Ok(AppName { source: Source::File(path.into()), callable: callable.map(str::to_string) })
        };
        for (text, expected) in [
            ("docs.app:app", module("docs.app", Some("app"))),
            ("docs.app", module("docs.app", None)),
            ("app", module("app", None)),
            ("my-app:create", module("my-app", Some("create"))),
            ("hello.lua", file("hello.lua", None)),
            ("examples/hello.lua:main", file("examples/hello.lua", Some("main"))),
            ("./hello", file("./hello", None)),
            ("hello.ws", file("hello.ws", None)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
            assert_eq!(expected.map(|app: AppName| app.to_string()), Ok(text.to_string()));
        }
        for text in ["", ":", ":app", "docs.app:", "docs..app", ".app", "a\0b"] {
            assert!(text.parse::<AppName>().is_err(), "{text:?}");
        }
    }
}
