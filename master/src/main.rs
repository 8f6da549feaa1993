//! The binary `tine`: the server with its built-in test origin.
#![forbid(unsafe_code)]

mod lua_args;

use lua_args::LuaArgs;
use std::process::ExitCode;
use tine_apps::lua::{AppName, LuaApp};
use tine_apps::testbed::{Origin, OriginConfig};

#[derive(clap::Args, Debug, Clone)]
struct AppArgs {
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

fn chunk_size(text: &str) -> Result<usize, String> {
    match tine_common::units::parse_size(text)? {
        bytes @ 1..=0x10_0000 => Ok(bytes as usize),
        _ => Err("a chunk has 1 to 1M bytes".to_string()),
    }
}

fn main() -> ExitCode {
    let describe = |args: &AppArgs| {
        if args.app.is_some() {
            return args.lua.describe();
        }
        let args = &args.origin;
        vec![
            ("stream-mb", args.stream_mb.to_string()),
            ("chunk-size", tine_common::units::show_size(args.chunk_size as u64)),
            ("no-faults", if args.no_faults { "on" } else { "off" }.to_string()),
        ]
    };
    tine::serve_with("the built-in test origin", "curl URL/help", describe, |args| {
        if let Some(app) = args.app {
            let config = args.lua.config(app);
            return Box::new(move |worker| Ok(Box::new(LuaApp::load(&config, worker)?)));
        }
        let args = args.origin;
        let door = (!args.no_faults).then(tine_worker::door::open);
        let config = OriginConfig { stream_mb: args.stream_mb, chunk_bytes: args.chunk_size, door };
        Box::new(move |worker| Ok(Box::new(Origin::new(config, worker))))
    })
}
