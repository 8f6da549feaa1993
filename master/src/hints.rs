//! What people type who know other servers, or who type it for the first time, and what they mean by it here.

use crate::ctl::COMMANDS;
use std::path::Path;

/// Options that there are not, by the names that gunicorn, nginx, uWSGI and others give them, and what would do.
const OPTIONS: &[(&[&str], &str)] = &[
    (
        &["--access-log", "--access-logfile", "--accesslog"],
        "there is no access log; a proxy in front can keep one, --log-file PATH is the server's own log",
    ),
    (&["--error-log", "--error-logfile", "--errorlog", "--logto", "-e"], "the server's log goes to --log-file PATH"),
    (&["--bind", "--address", "--addr"], "that is --listen ADDR, or -b ADDR"),
    (&["--port", "--http", "-P"], "give the port by itself, as in `tine run 8080`"),
    (&["-p"], "a port is given by itself, as in `tine run 8080`; the file for the process number is --pidfile PATH"),
    (&["--pid", "--pid-file"], "that is --pidfile PATH"),
    (
        &["--timeout"],
        "a worker that hangs is replaced after --worker-timeout, a request of a Lua app ends after --request-timeout, a \
         stop after --graceful-timeout",
    ),
    (&["-t"], "`tine check` with the same options tries them; gunicorn's timeout is --worker-timeout TIME"),
    (&["--keep-alive", "--keepalive", "--keep-alive-timeout", "--keepalive-timeout"], "that is --idle-timeout TIME"),
    (&["--processes", "--num-workers", "--worker-processes"], "that is --workers N, or -w N"),
    (
        &["--threads", "--worker-class", "-k"],
        "a worker is one thread, which serves all of its connections; --workers N says how many there are",
    ),
    (&["--worker-connections", "--max-clients", "--maxconn"], "that is --max-connections N, of the whole server"),
    (&["-v", "--verbose"], "--log-level debug says more; `tine --version` says which version this is"),
    (&["--level", "--loglevel", "-l"], "that is --log-level LEVEL"),
    (
        &["-c", "--config", "--conf", "--config-file", "--ini"],
        "there is no configuration file; each option is a variable of the environment, too: --idle-timeout is \
         TINE_IDLE_TIMEOUT",
    ),
    (
        &["-D", "-d", "--daemon", "--daemonize", "--background"],
        "it stays in the foreground; deploy/tine.service runs it under systemd",
    ),
    (&["-s", "--signal"], "`tine ctl` orders a running server: `tine ctl stop`, `tine ctl reload`"),
    (&["--reload"], "`tine ctl reload` has a running server load its app anew"),
    (&["--preload", "--preload-app"], "each worker builds the app for itself, and a reload loads it anew"),
    (&["-u"], "that is --user NAME"),
    (&["-g"], "that is --group NAME"),
    (&["--pythonpath", "--app-path", "-I"], "that is --app-dir DIR"),
    (&["--root", "--directory", "--dir", "--docroot", "--static-dir", "-r"], "files are served by --static DIR"),
    (
        &["--certfile", "--keyfile", "--cert", "--key", "--tls", "--ssl", "--https"],
        "it does not speak TLS; put a proxy in front of it",
    ),
    (&["--limit-request-line"], "that is --request-line-max SIZE"),
    (&["--limit-request-fields"], "that is --header-count-max N"),
    (&["--limit-request-field_size"], "that is --header-max SIZE, of all lines together"),
];

/// What would do for an option that there is not.
pub fn for_option(option: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(names, _)| names.contains(&option)).map(|(_, hint)| *hint)
}

/// What would do for a command that there is not.
pub fn for_command(word: &str) -> Option<String> {
    if COMMANDS.contains(&word) {
        return Some(format!("`tine ctl {word}` orders a running server"));
    }
    match word {
        "start" | "serve" | "server" | "up" => {
            return Some("`tine run` starts a server, `tine run --help` lists its options".to_string());
        }
        "restart" | "graceful" => {
            return Some("`tine ctl reload` loads the app anew, `tine ctl upgrade` a new binary".to_string());
        }
        "quit" | "kill" | "down" | "shutdown" => return Some("`tine ctl stop` stops a running server".to_string()),
        "reopen" => return Some("`tine ctl reopen-logs` orders a running server".to_string()),
        "test" | "configtest" => return Some("`tine check` tries the options and the app".to_string()),
        _ => {}
    }
    let is_port = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    if is_port {
        return Some(format!("`tine run {word}` listens on that port"));
    }
    if word == "builtin" || word.ends_with(".lua") || word.contains([':', '.']) {
        return Some(format!("`tine run {word}` serves it"));
    }
    Path::new(word).is_dir().then(|| format!("`tine run --static {word}` serves the files in it"))
}

/// Variables whose names begin as ours and mean nothing: a line each, with the nearest one that does. `known`: all that do.
pub fn unknown_variables(names: impl Iterator<Item = String>, known: &[String]) -> Vec<String> {
    // Kubernetes sets these for a service that is named tine.
    let is_of_kubernetes = |name: &str| name.starts_with("TINE_SERVICE_") || name.starts_with("TINE_PORT_");
    let unknown = names.filter(|name| name.starts_with("TINE_") && !known.contains(name) && !is_of_kubernetes(name));
    let mut lines: Vec<String> = unknown
        .map(|name| {
            let distance = |known: &&String| strsim::damerau_levenshtein(&name, known);
            let nearest = known.iter().min_by_key(distance).filter(|known| distance(known) <= 3);
            let tip = nearest.map_or(String::new(), |nearest| format!("; the nearest that has is {nearest}"));
            format!("the variable {} has no meaning here{tip}", tine_common::log::one_line(&name))
        })
        .collect();
    lines.sort();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_hint() {
        let names: Vec<&str> = OPTIONS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
        for (i, name) in names.iter().enumerate() {
            assert!(name.starts_with('-') && !names[..i].contains(name), "{name}");
        }
    }

    #[test]
    fn variables_that_mean_nothing_are_told_with_the_nearest() {
        let known: Vec<String> = ["TINE_WORKERS", "TINE_LOG", "TINE_APP"].map(str::to_string).into();
        let told = |names: &[&str]| unknown_variables(names.iter().map(|name| name.to_string()), &known);
        assert!(told(&["TINE_WORKERS", "HOME", "TINE_SERVICE_HOST", "TINE_PORT_80_TCP_ADDR", "MY_TINE_X"]).is_empty());
        assert_eq!(
            told(&["TINE_WROKER", "TINE_COLOUR_OF_THE_SKY"]),
            [
                "the variable TINE_COLOUR_OF_THE_SKY has no meaning here",
                "the variable TINE_WROKER has no meaning here; the nearest that has is TINE_WORKERS"
            ]
        );
    }
}
