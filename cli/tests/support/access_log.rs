//! A server with an access log.

use super::site::Site;
use super::{Server, eventually};
use std::fs;
use std::path::PathBuf;

pub struct Logged {
    pub server: Server,
    pub path: PathBuf,
    _site: Site,
}

impl Logged {
    /// Of one worker unless the options say otherwise, with the log in a directory of its own.
    pub fn start(options: &[&str]) -> Logged {
        let site = Site::of(&[]);
        let path = site.path("access.log");
        let file = path.to_str().expect("a path in UTF-8");
        let workers: &[&str] = if options.contains(&"--workers") { &[] } else { &["--workers", "1"] };
        let server = Server::start(&[workers, &["--access-log", file], options].concat());
        Logged { server, path, _site: site }
    }

    pub fn text(&self) -> String {
        fs::read_to_string(&self.path).unwrap_or_default()
    }

    /// The lines, once there are this many.
    #[track_caller]
    pub fn lines(&self, count: usize) -> Vec<String> {
        let lines = eventually(&format!("{count} lines in the access log"), || {
            let lines: Vec<String> = self.text().lines().map(str::to_string).collect();
            (lines.len() >= count).then_some(lines)
        });
        assert_eq!(lines.len(), count, "{lines:?}");
        lines
    }
}
