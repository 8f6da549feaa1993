//! hey, a load generator that judges for itself: the statuses and errors in its report.

use super::Server;
use nix::sys::signal::Signal;
use std::process::{Command, Stdio};

/// Connections at a time.
const CONNECTIONS: &str = "100";
/// It is stopped earlier; this is for a test that dies.
const SECONDS_MAX: &str = "600s";

pub struct Hey {
    process: Server,
}

#[derive(Debug)]
pub struct Verdict {
    pub answered: u64,
    /// Statuses other than 200, and errors, in hey's words.
    pub complaints: Vec<String>,
}

impl Hey {
    /// Requests `url` again and again over a hundred connections.
    pub fn start(url: &str, keep_alive: bool) -> Hey {
        let mut command = Command::new("hey");
        command.args(["-c", CONNECTIONS, "-z", SECONDS_MAX]);
        if url.starts_with("https:") {
            // As the name of the server (SNI) it would send `127.0.0.1:PORT`, which TLS forbids.
            command.args(["-host", "localhost"]);
        }
        if !keep_alive {
            command.arg("-disable-keepalive");
        }
        Hey { process: Server::spawn(command.arg(url).stdin(Stdio::null())) }
    }

    /// Ends it: every request that was begun is waited for.
    #[track_caller]
    pub fn stop(mut self) -> Verdict {
        self.process.stop(Signal::SIGINT);
        let report = self.process.stdout();
        let section = |title: &str| {
            let lines = report.lines().skip_while(|line| !line.starts_with(title)).skip(1);
            lines.map(str::trim).take_while(|line| !line.is_empty()).map(str::to_string).collect::<Vec<_>>()
        };
        let (ok, mut complaints): (Vec<String>, Vec<String>) =
            section("Status code distribution:").into_iter().partition(|line| line.starts_with("[200]"));
        complaints.extend(section("Error distribution:"));
        let count = |line: &String| line.split_whitespace().nth(1)?.parse::<u64>().ok();
        let answered = ok.iter().filter_map(count).sum();
        assert!(answered > 0, "hey's report was parsed wrongly, or no request was answered:\n{report}");
        Verdict { answered, complaints }
    }
}
