//! The options of Lua applications.

use crate::reload_args::ReloadArgs;
use std::path::PathBuf;
use std::time::Duration;
use tine::for_cli::Development;
use tine_apps::lua::{AppName, LuaApp, LuaConfig};
use tine_cli::{Given, Source};
use tine_common::units::{parse_duration, parse_size, parse_yes_or_no, show_duration, show_size};
use tine_worker::app::AppFactory;

#[derive(clap::Args, Debug, Clone)]
pub struct LuaArgs {
    /// Directory to search for modules before the current directory, LUA_PATH and LUA_CPATH; repeatable
    #[arg(
        long,
        value_name = "DIR",
        env = "TINE_APP_DIR",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Lua application"
    )]
    app_dir: Vec<PathBuf>,
    /// Send the file that a response names in X-Sendfile, if it is beneath this directory; repeatable
    #[arg(
        long,
        value_name = "DIR",
        env = "TINE_SENDFILE_ROOT",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Lua application"
    )]
    sendfile_root: Vec<PathBuf>,
    /// Maximum time an app may spend on a request, including sleeps (504 above it); 0 is unlimited
    #[arg(long, value_name = "TIME", default_value = "0", env = "TINE_REQUEST_TIMEOUT", hide_env = true,
          value_parser = parse_duration, help_heading = "Lua application")]
    request_timeout: Duration,
    /// Maximum memory of a worker's Lua VM; a request that needs more gets a 500, and the worker is replaced; 0 is unlimited
    #[arg(long, value_name = "SIZE", default_value = "0", env = "TINE_LUA_MEMORY_MAX", hide_env = true,
          value_parser = memory_bytes, help_heading = "Lua application")]
    lua_memory_max: usize,
    /// Maximum size of a request body (413 above it); 0 allows none
    #[arg(long, value_name = "SIZE", default_value = "10M", env = "TINE_MAX_BODY", hide_env = true,
          value_parser = parse_size, help_heading = "Lua application")]
    max_body: u64,
    /// Show errors to clients: the traceback with lines of the code, and the request. Not for production
    #[arg(long, env = "TINE_DEBUG", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Development")]
    debug: bool,
    #[command(flatten)]
    reload: ReloadArgs,
}

impl LuaArgs {
    /// `--reload` includes `--debug`, unless that is turned off by name.
    pub fn settled(mut self, given: &Given) -> LuaArgs {
        self.debug |= self.reload.reload && given.source("debug") == Source::Default;
        self
    }

    /// Checks that the directories exist. The error is one line.
    pub fn check(&self) -> Result<(), String> {
        self.reload.check()?;
        let missing = |directories: &[PathBuf]| directories.iter().find(|dir| !dir.is_dir()).cloned();
        if let Some(dir) = missing(&self.app_dir) {
            let dir = dir.display();
            return Err(format!("--app-dir {dir}: there is no such directory; give one that holds Lua modules"));
        }
        match missing(&self.sendfile_root) {
            Some(dir) => Err(format!("--sendfile-root {}: there is no such directory", dir.display())),
            None => Ok(()),
        }
    }

    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let or_none = |is_none: bool, text: String| if is_none { "none".to_string() } else { text };
        let list = |dirs: &[PathBuf]| {
            let dirs: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            or_none(dirs.is_empty(), dirs.join(","))
        };
        let memory = show_size(self.lua_memory_max as u64);
        let own = vec![
            ("app-dir", list(&self.app_dir)),
            ("sendfile-root", list(&self.sendfile_root)),
            ("request-timeout", or_none(self.request_timeout.is_zero(), show_duration(self.request_timeout))),
            ("lua-memory-max", or_none(self.lua_memory_max == 0, memory)),
            ("max-body", show_size(self.max_body)),
            ("debug", if self.debug { "on" } else { "off" }.to_string()),
        ];
        own.into_iter().chain(self.reload.describe()).collect()
    }

    /// Options that were given (`given`) and have no effect.
    pub fn warning(&self, given: &[String]) -> Option<String> {
        self.reload.warning(given)
    }

    /// What builds the app, and what `--reload` asks for.
    pub fn factory(self, app: AppName) -> (AppFactory, Option<Development>) {
        let config = self.config(app);
        let development = self.reload.development(&config);
        (Box::new(move |worker| Ok(Box::new(LuaApp::load(&config, worker)?))), development)
    }

    fn config(&self, app: AppName) -> LuaConfig {
        LuaConfig {
            app,
            app_dirs: self.app_dir.clone(),
            sendfile_roots: self.sendfile_root.clone(),
            request_timeout: Some(self.request_timeout).filter(|timeout| !timeout.is_zero()),
            memory_bytes_max: Some(self.lua_memory_max).filter(|&bytes| bytes > 0),
            body_bytes_max: self.max_body,
            debug: self.debug,
            reloads: self.reload.reload,
        }
    }
}

/// Below 1M no app could be loaded.
fn memory_bytes(text: &str) -> Result<usize, String> {
    match parse_size(text)? {
        bytes if bytes == 0 || bytes >= 1 << 20 => Ok(bytes as usize),
        _ => Err("give a size of at least 1M, or 0 for no limit".to_string()),
    }
}
