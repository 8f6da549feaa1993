//! The binary `tine`: the server for Lua applications and files, with its built-in test origin.
#![forbid(unsafe_code)]

mod choice;
mod lua_args;
mod origin_args;
mod static_args;

use std::process::ExitCode;

fn main() -> ExitCode {
    tine_cli::serve_with(tine_cli::Operands::AppAndPort, choice::choose)
}
