//! A server that is started with listening sockets, as by systemd or by a previous master.

use super::{Server, TINE, scratch_folder};
use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::path::Path;
use tine_common::sys::exec::{self, Program};

/// `tine` with these arguments and variables, and with these sockets under their names; does not wait.
pub fn spawn(sockets: &[(BorrowedFd<'_>, &str)], arguments: &[&str], environment: &[(&str, &str)]) -> Server {
    let folder = scratch_folder();
    // In a group of its own, and still the process that the sockets are meant for.
    let script = format!("exec setsid {TINE} \"$@\" > '{0}/stdout' 2> '{0}/log' < /dev/null", folder.display());
    let arguments: Vec<OsString> = ["sh", "-c", &script, "sh"].iter().chain(arguments).map(OsString::from).collect();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, Some(value.into()))).collect();
    let descriptors: Vec<_> = sockets.iter().map(|(fd, name)| (*fd, name.to_string())).collect();
    let program = Program {
        path: Path::new("/bin/sh"),
        arguments: &arguments,
        directory: &std::env::current_dir().expect("a folder"),
        environment: &environment,
        descriptors: &descriptors,
    };
    Server::of(exec::start(&program).expect("a shell").as_raw(), folder)
}

/// As [`spawn`], once all its workers are ready.
pub fn start(sockets: &[(BorrowedFd<'_>, &str)], arguments: &[&str]) -> Server {
    let mut server = spawn(sockets, arguments, &[]);
    server.wait_ready();
    server
}
