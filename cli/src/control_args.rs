//! `--control`: for a server, the path of its socket; for `tine ctl` and `tine top`, which server to connect to.

use std::path::PathBuf;
use tine::for_cli::control::Wanted;
use tine_common::config::ControlAt;

#[derive(clap::Args, Debug)]
pub struct ControlArgs {
    /// Control socket for `tine ctl` and `tine top`: a path, auto (in the runtime directory, named after the port) or none
    #[arg(long, value_name = "PATH|auto|none", default_value = "auto", env = "TINE_CONTROL", hide_env = true,
          value_parser = control_at, help_heading = "Processes")]
    control: ControlAt,
}

impl ControlArgs {
    pub fn at(self) -> ControlAt {
        self.control
    }
}

#[derive(clap::Args, Debug)]
pub struct WhereArgs {
    /// Server to connect to: the path of its control socket, or its port; auto: the only one that is running
    #[arg(long, value_name = "PATH|PORT|auto", default_value = "auto", env = "TINE_CONTROL", hide_env = true,
          value_parser = wanted, global = true)]
    control: Wanted,
}

impl WhereArgs {
    pub fn wanted(&self) -> &Wanted {
        &self.control
    }
}

fn control_at(text: &str) -> Result<ControlAt, String> {
    match text {
        "" => Err("give a path, auto or none".to_string()),
        "auto" => Ok(ControlAt::Auto),
        "none" => Ok(ControlAt::Nowhere),
        path => Ok(ControlAt::Path(PathBuf::from(path))),
    }
}

fn wanted(text: &str) -> Result<Wanted, String> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match text {
        "" => Err("give a path, a port or auto".to_string()),
        "auto" => Ok(Wanted::Only),
        "none" => Err("a server without a control socket cannot be reached; give a path, a port or auto".to_string()),
        port if is_number => port.parse().map(Wanted::Port).map_err(|_| "a port is at most 65535".to_string()),
        path => Ok(Wanted::At(PathBuf::from(path))),
    }
}
