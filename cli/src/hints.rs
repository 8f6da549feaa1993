//! Hints for users who type the options and commands of other servers: what the same thing is called here.

use crate::ctl::Word;
use clap::Subcommand;
use std::path::Path;

/// Options of gunicorn, nginx, uWSGI and others that do not exist here, and the hint for each.
const OPTIONS: &[(&[&str], &str)] = &[
    (&["--access-logfile", "--accesslog", "--req-logger"], "that is --access-log FILE, or - for standard output"),
    (&["--access-logformat", "--logformat"], "that is --access-log-format FORMAT"),
    (&["--error-log", "--error-logfile", "--errorlog", "--logto", "-e"], "the server's log goes to --log-file PATH"),
    (&["--bind", "--address", "--addr"], "that is --listen ADDR, or -b ADDR"),
    (&["--port", "--http", "-P"], "give the port by itself, as in `tine run 8080`"),
    (&["-p"], "a port is given by itself, as in `tine run 8080`; the file for the process ID is --pidfile PATH"),
    (&["--http-socket", "--socket"], "that is --listen ADDR, or -b ADDR, which speaks HTTP"),
    (&["--reuse-port"], "that is --accept per-worker"),
    (&["--pid", "--pid-file"], "that is --pidfile PATH"),
    (
        &["--timeout", "--harakiri"],
        "--worker-timeout limits a worker that hangs, --request-timeout a request of a Lua app, --graceful-timeout a stop",
    ),
    (&["-t"], "`tine check` validates the options; gunicorn's timeout is --worker-timeout TIME"),
    (
        &["--keep-alive", "--keepalive", "--keep-alive-timeout", "--keepalive-timeout", "--http-keepalive"],
        "that is --idle-timeout TIME",
    ),
    (&["--processes", "--num-workers", "--worker-processes"], "that is --workers N, or -w N"),
    (
        &["--threads", "--worker-class", "-k"],
        "each worker is one thread that serves all of its connections; --workers N sets the number of workers",
    ),
    (
        &["--worker-connections", "--max-clients", "--maxconn", "--http-max-connections"],
        "that is --max-connections N, of the whole server",
    ),
    (&["-v", "--verbose"], "--log-level debug logs more; `tine --version` prints the version"),
    (&["--level", "--loglevel", "-l"], "that is --log-level LEVEL"),
    (&["-c", "--conf", "--config-file", "--ini"], "that is --config PATH, a file with the same options"),
    (
        &["-D", "-d", "--daemon", "--daemonize", "--background"],
        "the server stays in the foreground; deploy/tine.service runs it under systemd",
    ),
    (&["-s", "--signal"], "`tine ctl` controls a running server: `tine ctl stop`, `tine ctl reload`"),
    (&["--py-autoreload", "--lua-autoreload"], "that is --reload, for development"),
    (
        &["--touch-reload"],
        "`tine ctl reload` reloads the app of a running server; --reload reloads it when its files change",
    ),
    (&["--reload-extra-file", "--reload-extra-files"], "--reload-dir DIR and --reload-include GLOB name further files"),
    (&["--reload-delay"], "--reload waits until the files are quiet for 60 ms"),
    (&["--worker-reload-mercy"], "that is --graceful-timeout TIME"),
    (&["--check-config"], "`tine check` with the options of `tine run` validates them"),
    (&["--max-worker-lifetime"], "that is --max-lifetime TIME"),
    (&["--reload-on-rss"], "that is --max-rss SIZE"),
    (&["--cheaper"], "the number of workers is --workers N until `tine ctl scale N` changes it"),
    (
        &["--master", "--vacuum", "--die-on-term", "--lazy-apps", "--single-interpreter", "--need-app"],
        "the server always does what this asks for",
    ),
    (&["--stats", "--statsd-host"], "--admin ADDR serves status and metrics"),
    (&["--lua"], "the app is given by itself, as in `tine run app.lua`"),
    (&["--preload", "--preload-app"], "each worker loads the app itself, and a reload loads it again"),
    (&["-u", "--uid"], "that is --user NAME"),
    (&["-g", "--gid"], "that is --group NAME"),
    (&["--pythonpath", "--app-path", "-I"], "that is --app-dir DIR"),
    (&["--root", "--directory", "--dir", "--docroot", "--static-dir", "-r"], "files are served by --static DIR"),
    (
        &["--certfile", "--keyfile", "--cert", "--key", "--tls", "--ssl", "--https"],
        "HTTPS is served on --tls-listen ADDR, with --tls-cert FILE and --tls-key FILE",
    ),
    (&["--static-map", "--check-static"], "that is --static DIR with --static-url URL"),
    (
        &["--forwarded-allow-ips", "--proxy-allow-from", "--proxy-headers", "--set-real-ip-from", "--real-ip-from"],
        "that is --trusted-proxies CIDR, such as 10.0.0.0/8",
    ),
    (&["--secure-scheme-headers", "--real-ip-header"], "that is --forwarded-header NAME, with --trusted-proxies CIDR"),
    (
        &["--proxy-protocol", "--accept-proxy", "--enable-proxy-protocol", "--haproxy-protocol"],
        "that is proxy: before an address, as in --listen proxy:127.0.0.1:8080",
    ),
    (
        &["--script-name", "--mount", "--manage-script-name", "--prefix", "--base-path"],
        "that is --root-path PATH, such as /shop",
    ),
    (&["--limit-request-line"], "that is --request-line-max SIZE"),
    (&["--limit-request-fields"], "that is --header-count-max N"),
    (&["--limit-request-field_size"], "that is --header-max SIZE, of all lines together"),
];

/// The hint for an option that does not exist.
pub fn for_option(option: &str) -> Option<&'static str> {
    OPTIONS.iter().find(|(names, _)| names.contains(&option)).map(|(_, hint)| *hint)
}

/// The hint for a command that does not exist.
pub fn for_command(word: &str) -> Option<String> {
    if Word::has_subcommand(word) {
        return Some(format!("`tine ctl {word}` is for a running server"));
    }
    match word {
        "start" | "serve" | "server" | "up" => {
            return Some("`tine run` starts a server, `tine run --help` lists its options".to_string());
        }
        "restart" | "graceful" => {
            return Some("`tine ctl reload` reloads the app, `tine ctl upgrade` starts a new binary".to_string());
        }
        "quit" | "kill" | "down" | "shutdown" => return Some("`tine ctl stop` stops a running server".to_string()),
        "reopen" => return Some("`tine ctl reopen-logs` reopens the log file of a running server".to_string()),
        "test" | "configtest" => return Some("`tine check` validates the options and the app".to_string()),
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

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &str| strsim::damerau_levenshtein(name, known);
    known.min_by_key(|known| distance(known)).filter(|known| distance(known) <= 3)
}

/// One line for each variable with our prefix that is not among the `known`, with the nearest known one.
pub fn unknown_variables(names: impl Iterator<Item = String>, known: &[String]) -> Vec<String> {
    // Kubernetes sets these for a service that is named tine.
    let is_of_kubernetes = |name: &str| name.starts_with("TINE_SERVICE_") || name.starts_with("TINE_PORT_");
    let unknown = names.filter(|name| name.starts_with("TINE_") && !known.contains(name) && !is_of_kubernetes(name));
    let mut lines: Vec<String> = unknown
        .map(|name| {
            let nearest = nearest(&name, known.iter().map(String::as_str));
            let tip = nearest.map_or(String::new(), |nearest| format!("; did you mean {nearest}?"));
            format!("unknown environment variable {}{tip}", tine_common::log::one_line(&name))
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
                "unknown environment variable TINE_COLOUR_OF_THE_SKY",
                "unknown environment variable TINE_WROKER; did you mean TINE_WORKERS?"
            ]
        );
    }
}
