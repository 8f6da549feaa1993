//! curl, as a user types it, without the user's own settings.

use super::{Transport, tls};
use std::process::Command;

pub struct Curl {
    /// curl's exit status: 0, or the error (curl(1), EXIT CODES).
    pub status: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

/// Runs curl to its end; it has twenty seconds.
#[track_caller]
pub fn curl(arguments: &[&str]) -> Curl {
    let mut command = Command::new("curl");
    // No .curlrc (the option has to come first), and no proxy from the environment.
    command.args(["-q", "-sS", "--noproxy", "*", "--max-time", "20"]).args(trust()).args(arguments);
    let output = command.output().unwrap_or_else(|e| panic!("curl cannot be run ({e}); scripts/test installs it"));
    let status = output.status.code().expect("curl is not killed");
    Curl { status, stdout: output.stdout, stderr: String::from_utf8_lossy(&output.stderr).into_owned() }
}

/// Options by which curl trusts the servers of this test program.
pub fn trust() -> Vec<&'static str> {
    match crate::TRANSPORT {
        Transport::Plain => Vec::new(),
        Transport::Tls => vec!["--cacert", tls::text(&tls::pair_of_all().cert)],
    }
}

/// Its version, such as `7.88.1`.
pub fn curl_version() -> String {
    // "curl 7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 ...".
    let said = curl(&["--version"]).text();
    said.split(' ').nth(1).unwrap_or_else(|| panic!("no version in {said:?}")).to_string()
}

impl Curl {
    /// The body of the answer; fails if curl reports an error.
    #[track_caller]
    pub fn body(self) -> Vec<u8> {
        assert_eq!(self.status, 0, "curl reports: {}", self.stderr);
        self.stdout
    }

    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8_lossy(&self.body()).into_owned()
    }
}
