//! A server with a Lua application that the test writes.

use super::{Server, TINE, scratch_folder};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// A folder with these files.
pub fn folder_with(files: &[(&str, &str)]) -> PathBuf {
    let folder = scratch_folder();
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the scratch folder");
        fs::write(path, text).expect("a file in the scratch folder");
    }
    folder
}

/// Serves `app`, the source of a function `app(environ, start_response)`, with one worker unless `options` say otherwise.
pub fn serve(app: &str, options: &[&str]) -> Server {
    let folder = folder_with(&[("app.lua", app)]);
    serve_file(folder.join("app.lua").to_str().expect("a path in UTF-8"), options)
}

/// Serves the application in a file.
pub fn serve_file(path: &str, options: &[&str]) -> Server {
    let mut command = Command::new(TINE);
    command.args(["run", path, "0"]);
    if !options.contains(&"--workers") {
        command.args(["--workers", "1"]);
    }
    Server::start_command(command.args(options))
}
