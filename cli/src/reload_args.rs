//! `--reload`, the developer's mode, and its options.

use std::path::PathBuf;
use tine::for_cli::{Development, Pattern};
use tine_apps::lua::{LuaConfig, StandIn};
use tine_common::units::parse_yes_or_no;

#[derive(clap::Args, Debug, Clone)]
pub struct ReloadArgs {
    /// For development: reload the app when one of its files changes, with one worker unless --workers is given, and show clients errors as --debug does, also if the app cannot be loaded
    #[arg(long, env = "TINE_RELOAD", hide_env = true, value_parser = parse_yes_or_no, help_heading = "Development")]
    pub reload: bool,
    /// Directory whose files --reload watches, too, with those below it; repeatable
    #[arg(
        long,
        value_name = "DIR",
        env = "TINE_RELOAD_DIR",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Development"
    )]
    reload_dir: Vec<PathBuf>,
    /// Watch only these of the files in --reload-dir, or in the current directory if there is none: '*.html', 'views/**'; repeatable
    #[arg(
        long,
        value_name = "GLOB",
        env = "TINE_RELOAD_INCLUDE",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Development"
    )]
    reload_include: Vec<Pattern>,
    /// Files or directories that are not watched, even if the app uses them; repeatable
    #[arg(
        long,
        value_name = "GLOB",
        env = "TINE_RELOAD_EXCLUDE",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "Development"
    )]
    reload_exclude: Vec<Pattern>,
    /// How changes are noticed: auto (by inotify, or as poll where that is not possible) or poll (look at all files once a second: for network file systems and shared folders)
    #[arg(long, value_name = "ENGINE", default_value = "auto", env = "TINE_RELOAD_ENGINE", hide_env = true,
          value_parser = engine, help_heading = "Development")]
    reload_engine: String,
}

impl ReloadArgs {
    /// The error is one line.
    pub fn check(&self) -> Result<(), String> {
        match self.reload_dir.iter().find(|dir| !dir.is_dir()) {
            Some(dir) => {
                Err(format!("--reload-dir {}: there is no such directory; give one that exists", dir.display()))
            }
            None => Ok(()),
        }
    }

    pub fn describe(&self) -> Vec<(&'static str, String)> {
        let or_none = |all: Vec<String>| if all.is_empty() { "none".to_string() } else { all.join(",") };
        let patterns = |all: &[Pattern]| or_none(all.iter().map(Pattern::to_string).collect());
        vec![
            ("reload", if self.reload { "on" } else { "off" }.to_string()),
            ("reload-dir", or_none(self.reload_dir.iter().map(|dir| dir.display().to_string()).collect())),
            ("reload-include", patterns(&self.reload_include)),
            ("reload-exclude", patterns(&self.reload_exclude)),
            ("reload-engine", self.reload_engine.clone()),
        ]
    }

    /// `given`: those of the options that were given. A warning about those that have no effect.
    pub fn warning(&self, given: &[String]) -> Option<String> {
        let idle: Vec<&str> =
            given.iter().map(String::as_str).filter(|option| option.starts_with("--reload-")).collect();
        let verb = if idle.len() == 1 { "has" } else { "have" };
        (!self.reload && !idle.is_empty()).then(|| format!("{} {verb} no effect without --reload", idle.join(", ")))
    }

    /// `None`: without `--reload`.
    pub fn development(self, config: &LuaConfig) -> Option<Development> {
        let config = config.clone();
        self.reload.then(|| Development {
            dirs: self.reload_dir,
            include: self.reload_include,
            exclude: self.reload_exclude,
            polls: self.reload_engine == "poll",
            files: Vec::new(),
            shows_errors: config.debug,
            stand_in: std::rc::Rc::new(move |failure| Box::new(StandIn::new(&failure.text, &failure.code, &config))),
        })
    }
}

fn engine(text: &str) -> Result<String, String> {
    match text {
        "auto" | "poll" => Ok(text.to_string()),
        _ => Err("give auto or poll".to_string()),
    }
}
