//! The binary `tine`: the server with its built-in test origin, a Lua application or files.
#![forbid(unsafe_code)]

mod lua_args;
mod static_args;

use lua_args::LuaArgs;
use static_args::{AppKind, StaticArgs, StaticFiles};
use std::process::ExitCode;
use tine::Served;
use tine_apps::lua::{AppName, LuaApp};
use tine_apps::testbed::{Origin, OriginConfig};
use tine_worker::app::{AppFactory, WorkerInfo};

#[derive(clap::Args, Debug, Clone)]
struct AppArgs {
    #[command(flatten)]
    files: StaticArgs,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    lua: LuaArgs,
    /// The Lua application: module.path:callable, or a path to a .lua file
    #[arg(long, value_name = "APP", help_heading = "Lua application")]
    app: Option<AppName>,
}

/// What the built-in origin serves.
#[derive(clap::Args, Debug, Clone)]
struct OriginArgs {
    /// Megabytes of /stream without a number, 1 to 1000
    #[arg(long, value_name = "N", default_value_t = 10, env = "TINE_STREAM_MB", hide_env = true,
          value_parser = clap::value_parser!(u64).range(1..=1000), help_heading = "Built-in origin")]
    stream_mb: u64,
    /// Bytes of a chunk of /stream, 1 to 1M
    #[arg(long, value_name = "SIZE", default_value = "4096", env = "TINE_CHUNK_SIZE", hide_env = true,
          value_parser = chunk_size, help_heading = "Built-in origin")]
    chunk_size: usize,
    /// Do not fail on request: /fault/... answers 404
    #[arg(long, env = "TINE_NO_FAULTS", hide_env = true, value_parser = tine_common::units::parse_yes_or_no,
          help_heading = "Built-in origin")]
    no_faults: bool,
}

impl OriginArgs {
    fn describe(&self) -> Vec<(&'static str, String)> {
        vec![
            ("stream-mb", self.stream_mb.to_string()),
            ("chunk-size", tine_common::units::show_size(self.chunk_size as u64)),
            ("no-faults", if self.no_faults { "on" } else { "off" }.to_string()),
        ]
    }
}

fn chunk_size(text: &str) -> Result<usize, String> {
    match tine_common::units::parse_size(text)? {
        bytes @ 1..=0x10_0000 => Ok(bytes as usize),
        _ => Err("a chunk has 1 to 1M bytes".to_string()),
    }
}

fn main() -> ExitCode {
    tine::serve_with(|args: AppArgs| {
        let AppArgs { files, origin, lua, app } = args;
        let files = files.choose(if app.is_some() { AppKind::Users } else { AppKind::None })?;
        let mut options = files.as_ref().map_or_else(StaticFiles::describe_none, StaticFiles::describe);
        if let Some(files) = files.as_ref().filter(|files| files.is_alone).cloned() {
            return Ok(files.serve_alone());
        }
        let (name, try_next, factory): (&str, &str, AppFactory) = match app {
            Some(app) => {
                options.extend(lua.describe());
                let config = lua.config(app);
                let factory = Box::new(move |worker: &WorkerInfo| Ok(Box::new(LuaApp::load(&config, worker)?) as _));
                ("a Lua application", "curl URL/", factory)
            }
            None => {
                options.extend(origin.describe());
                let door = (!origin.no_faults).then(tine_worker::door::open);
                let config = OriginConfig { stream_mb: origin.stream_mb, chunk_bytes: origin.chunk_size, door };
                let factory = Box::new(move |worker: &WorkerInfo| Ok(Box::new(Origin::new(config, worker)) as _));
                ("the built-in test origin", "curl URL/help", factory)
            }
        };
        let factory = match files {
            Some(files) => files.before(factory),
            None => factory,
        };
        Ok(Served { name: name.into(), try_next: try_next.into(), options, factory })
    })
}
