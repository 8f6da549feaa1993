//! What a server prints once it serves: where it listens and what to try.

use std::os::fd::AsFd;
use tine_common::VERSION;
use tine_common::sys::output::Output;

pub struct Banner<'a> {
    /// What is served.
    pub name: &'a str,
    /// What serves it: `2 workers`.
    pub by: &'a str,
    /// Where clients find it.
    pub urls: &'a [String],
    /// What is served besides; a line each.
    pub also: &'a [String],
    /// A command to try first, with `URL` in it.
    pub try_next: &'a str,
    /// The process that a signal stops.
    pub pid: u32,
    pub is_quiet: bool,
}

impl Banner<'_> {
    /// To the log, and to standard output unless `--quiet` is given.
    pub fn show(&self) {
        let Banner { name, by, urls, also, try_next, pid, is_quiet } = *self;
        log::info!("serving {name} with {by}: {}", urls.join(", "));
        if is_quiet {
            return;
        }
        let mut text = format!("tine {VERSION} serves {name} with {by} on\n");
        for url in urls {
            text.push_str(&format!("  {url}\n"));
        }
        for line in also {
            text.push_str(&format!("Also: {line}\n"));
        }
        let first = urls.first().map_or("", String::as_str);
        let (proxy, first) = match first.strip_prefix("proxy:") {
            Some(rest) => ("--haproxy-protocol ", rest),
            None => ("", first),
        };
        let try_next = match first.strip_prefix("unix:") {
            Some(path) => try_next.replace("URL", &format!("{proxy}--unix-socket {path} http://localhost")),
            None => try_next.replace("URL", &format!("{proxy}{first}")),
        };
        text.push_str(&format!("Try:  {try_next}\nStop: Ctrl-C, or kill {pid} (finishes requests in flight)\n"));
        // Clients do not wait for a standard output that is full or closed.
        let _ = Output::of(std::io::stdout().as_fd()).write_line(text.as_bytes());
    }
}
