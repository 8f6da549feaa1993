//! `--static`, `--static-url` and `--static-cache`: whether files are served, which, where, and for how long an opened file
//! is used again.
//!
//! A named directory is served by itself at `/`, or beside an application below its URL. A directory `static` that was not
//! named is served only beside an application of the user's, and the banner says so; `none` turns that off. Beside an
//! application, a directory may be missing at the start: it is served once it exists.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tine_apps::files::{Files, Root, UrlPrefix};
use tine_apps::router::Router;
use tine_common::units::{parse_duration, show_duration};
use tine_worker::app::{AppError, AppFactory, WorkerInfo};

/// Served beside the user's application if it exists.
const DEFAULT_DIRECTORY: &str = "static";
/// URL path of files beside an application.
const DEFAULT_URL: &str = "/static";
/// With more, a replaced file would be served as it was for longer than its owner waits before looking for another cause.
const CACHE_MAX: Duration = Duration::from_secs(60);
/// In place of a directory: serve no files.
const NO_DIRECTORY: &str = "none";

#[derive(clap::Args, Debug, Clone)]
pub struct StaticArgs {
    /// Serve the files in this directory; without an app, nothing else. `none`: no files [default: ./static beside a Lua
    /// application, if it exists]
    #[arg(long = "static", value_name = "DIR", env = "TINE_STATIC", hide_env = true, help_heading = "Static files")]
    root: Option<PathBuf>,
    /// URL path of the files; / beside an app: the app gets what names no file [default: /static, or / without an app]
    #[arg(
        long = "static-url",
        value_name = "URL",
        env = "TINE_STATIC_URL",
        hide_env = true,
        value_parser = url,
        help_heading = "Static files"
    )]
    url: Option<UrlPrefix>,
    #[command(flatten)]
    cache: CacheArgs,
}

/// The option that only matters where files are served.
#[derive(clap::Args, Debug, Clone)]
pub struct CacheArgs {
    /// For how long a file that was opened is used for other requests, so that a replaced file is seen by then; at most
    /// 1m, 0 opens it for each request
    #[arg(
        long = "static-cache",
        value_name = "TIME",
        default_value = "1s",
        env = "TINE_STATIC_CACHE",
        hide_env = true,
        value_parser = parse_validity,
        help_heading = "Static files"
    )]
    validity: Duration,
}

/// Which application runs, if any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppKind {
    /// None was named.
    None,
    /// The built-in origin was named.
    Builtin,
    /// One of the user's.
    Users,
}

/// The files that are served.
#[derive(Debug, Clone)]
pub struct StaticFiles {
    root: Arc<Root>,
    at: UrlPrefix,
    /// No application is served beside them.
    pub is_alone: bool,
    /// The directory was found, not named.
    is_default: bool,
    validity: Duration,
}

impl StaticArgs {
    /// `at_start`: the directory was missing when this was called first. A reload does not tolerate it otherwise, and fails.
    pub fn choose(mut self, app: AppKind, at_start: &OnceCell<bool>) -> Result<Option<StaticFiles>, String> {
        let is_refused = self.root.as_deref() == Some(Path::new(NO_DIRECTORY));
        if is_refused {
            self.root = None;
        }
        let has_default = !is_refused && (self.url.is_some() || Path::new(DEFAULT_DIRECTORY).is_dir());
        let plan = plan(app, self.root.is_some(), self.url, has_default)?;
        let (at, is_alone) = match plan {
            Plan::NoFiles => return Ok(None),
            Plan::Alone(at) => (at, true),
            Plan::Beside(at) => (at, false),
        };
        let is_default = self.root.is_none();
        let path = self.root.unwrap_or_else(|| DEFAULT_DIRECTORY.into());
        let opened = Root::open_or_await(&path).and_then(|root| {
            let may_be_awaited = !is_alone && *at_start.get_or_init(|| root.is_awaited());
            if root.is_awaited() && !may_be_awaited { Root::open(&path) } else { Ok(root) }
        });
        let which = if is_default { ", the default" } else { "" };
        let root = opened.map(Arc::new).map_err(|e| format!("--static {}{which}: {e}", path.display()))?;
        Ok(Some(StaticFiles { root, at, is_alone, is_default, validity: self.cache.validity }))
    }
}

impl StaticFiles {
    /// Each worker reopens the directory, so that a reload serves what has the name by then, or fails if it is gone. The
    /// workers of the first generation can do with what was opened at the start, perhaps as root.
    fn app(&self, worker: &WorkerInfo) -> Result<Files, AppError> {
        let root = match self.root.reopen() {
            Ok(root) => Arc::new(root),
            Err(why) if worker.generation > 1 => {
                return Err(AppError::new(format!("--static {}: {why}", self.root.path().display())));
            }
            Err(why) => {
                let path = self.root.path().display();
                log::warn!("--static {path}: {why}; serving the directory opened at the start, a reload will fail");
                self.root.clone()
            }
        };
        Ok(Files::new(root, self.at.clone()).cached_for(self.validity))
    }

    /// The name of the files in the banner's first line.
    pub fn name(&self) -> String {
        format!("the files in {}", self.root.path().display())
    }

    /// The banner's line where an application is served, too.
    pub fn also(&self) -> String {
        let is_found = self.is_default && !self.root.is_awaited();
        let why = if is_found { ", since the directory exists; --static none disables it" } else { "" };
        format!("{} at {}{why}", self.name(), self.at)
    }

    /// The directory does not exist.
    pub fn warning(&self) -> Option<String> {
        let path = self.root.path().display();
        let line = || format!("--static {path}: there is no such directory; its files are served once it exists");
        self.root.is_awaited().then(line)
    }

    /// An application that serves only the files.
    pub fn alone(self) -> AppFactory {
        Box::new(move |worker| Ok(Box::new(self.app(worker)?)))
    }

    /// The application, with the files routed before it.
    pub fn before(self, app: AppFactory) -> AppFactory {
        Box::new(move |worker| Ok(Box::new(Router::new(self.app(worker)?, app(worker)?))))
    }

    /// For `check`.
    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let validity = if self.validity.is_zero() { "none".to_string() } else { show_duration(self.validity) };
        vec![
            ("static", self.root.path().display().to_string()),
            ("static-url", self.at.to_string()),
            ("static-cache", validity),
        ]
    }

    /// For `check`, if no files are served.
    pub fn describe_none() -> Vec<(&'static str, String)> {
        ["static", "static-url", "static-cache"].map(|name| (name, "none".to_string())).to_vec()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Plan {
    NoFiles,
    /// At this path, and nothing else.
    Alone(UrlPrefix),
    /// At this path, before an application.
    Beside(UrlPrefix),
}

/// Whether and where files are served. `is_named`: by `--static`; `has_default`: [`DEFAULT_DIRECTORY`] exists, or a URL is
/// given for it.
fn plan(app: AppKind, is_named: bool, url: Option<UrlPrefix>, has_default: bool) -> Result<Plan, String> {
    let has_directory = is_named || (app == AppKind::Users && has_default);
    match (app, has_directory, url) {
        (AppKind::None, true, url) => Ok(Plan::Alone(url.unwrap_or(UrlPrefix::ROOT))),
        (_, true, Some(url)) => Ok(Plan::Beside(url)),
        (_, true, None) => Ok(Plan::Beside(DEFAULT_URL.parse()?)),
        (_, false, Some(url)) => Err(format!("--static-url {url} needs a directory; name it with --static DIR")),
        (_, false, None) => Ok(Plan::NoFiles),
    }
}

fn parse_validity(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time <= CACHE_MAX => Ok(time),
        _ => Err("give a time of at most 1m, or 0 to open each file anew".to_string()),
    }
}

/// Also without the first slash.
fn url(text: &str) -> Result<UrlPrefix, String> {
    match text.is_empty() || text.starts_with('/') {
        true => text.parse(),
        false => format!("/{text}").parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::AppKind::{Builtin, None as NoApp, Users};
    use super::*;

    #[test]
    fn whether_and_where_files_are_served() {
        let alone = |at: &str| Ok(Plan::Alone(at.parse().unwrap()));
        let beside = |at: &str| Ok(Plan::Beside(at.parse().unwrap()));
        for (app, is_named, url, has_default, expected) in [
            (NoApp, false, None, false, Ok(Plan::NoFiles)),
            (NoApp, false, None, true, Ok(Plan::NoFiles)),
            (NoApp, true, None, false, alone("/")),
            (NoApp, true, None, true, alone("/")),
            (NoApp, true, Some("/files"), false, alone("/files")),
            (NoApp, true, Some("/"), false, alone("/")),
            (NoApp, false, Some("/files"), true, Err("needs a directory")),
            (Builtin, false, None, true, Ok(Plan::NoFiles)),
            (Builtin, true, None, false, beside("/static")),
            (Builtin, true, Some("/files"), false, beside("/files")),
            (Builtin, true, Some("/"), false, beside("/")),
            (Builtin, false, Some("/files"), true, Err("needs a directory")),
            (Users, false, None, false, Ok(Plan::NoFiles)),
            (Users, false, None, true, beside("/static")),
            (Users, true, None, false, beside("/static")),
            (Users, false, Some("/files"), true, beside("/files")),
            (Users, false, Some("/files"), false, Err("needs a directory")),
            (Users, false, Some("/"), true, beside("/")),
        ] {
            let case = format!("{app:?} named={is_named} {url:?} default={has_default}");
            let planned = plan(app, is_named, url.map(|url| url.parse().unwrap()), has_default);
            match expected {
                Ok(expected) => assert_eq!(planned, Ok(expected), "{case}"),
                Err(words) => assert!(planned.as_ref().is_err_and(|e| e.contains(words)), "{case}: {planned:?}"),
            }
        }
    }
}
