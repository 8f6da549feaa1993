//! The binary `tine`: the server for Lua applications and files, with its built-in test origin.
#![forbid(unsafe_code)]

mod choice;
mod lua_args;
mod origin_args;
mod reload_args;
mod static_args;

use std::cell::OnceCell;
use std::process::ExitCode;

fn main() -> ExitCode {
    let at_start = OnceCell::new();
    tine_cli::serve_with(tine_cli::Operands::AppAndPort, move |asked| choice::choose(asked, &at_start))
}
