//! The options of `tine run`, as its help lists them, for claims about all of them.

use super::run_to_end;

/// The long names, without `help`.
pub fn names() -> Vec<String> {
    let help = String::from_utf8(run_to_end(&["run", "--help"]).stdout).expect("UTF-8");
    let option = |line: &str| {
        let line = line.trim_start();
        let line = line.split_once(", ").filter(|(short, _)| short.len() == 2).map_or(line, |(_, long)| long);
        let name = line.strip_prefix("--")?.split([' ', '=']).next()?;
        Some(name.to_string()).filter(|name| name != "help")
    };
    help.lines().filter_map(option).collect()
}

/// Not a number, size, duration, mode, address, boolean or directory, nor a file that could be written. Options whose value
/// is a path itself, of a socket or of a URL, get another wrong value.
pub fn wrong_value(name: &str) -> &'static str {
    match name {
        "listen" | "grpc" => "no address",
        "health-path" | "root-path" => "no slash",
        "limit-exempt" => "no path",
        _ => "/no/such/folder/x",
    }
}

/// The exit status for that value: the system refuses a path, the option's parser anything else.
pub fn status_of_wrong_value(name: &str) -> i32 {
    if ["pidfile", "log-file", "access-log", "control", "admin"].contains(&name) { 1 } else { 2 }
}
