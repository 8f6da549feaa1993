//! What the master does for HTTPS: it loads certificates and keys before it changes its user and forks, and again at each reload.

use nix::sys::prctl;
use nix::unistd::{AccessFlags, access};
use std::path::Path;
use tine_common::config::{MasterConfig, TlsConfig};
use tine_common::ticket_keys::TicketKeys;
use tine_worker::tls::{Acceptor, Loaded};

/// The files, loaded; nothing, if HTTPS is not served.
pub struct Certificates(Option<Loaded>);

impl Certificates {
    /// The error is one line that names the option and the file.
    pub fn load(config: &TlsConfig) -> Result<Certificates, String> {
        config.is_on().then(|| Loaded::load(config)).transpose().map(Certificates)
    }

    /// A line for each certificate that clients will not accept for long.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.0.iter().flat_map(|loaded| loaded.warnings().map(str::to_string))
    }

    /// What workers begin sessions with.
    pub fn acceptor(&self, tickets: TicketKeys) -> Option<Acceptor> {
        self.0.as_ref().map(|loaded| loaded.acceptor(tickets))
    }
}

/// As a start does, for `tine check`.
pub fn check_certificates(config: &MasterConfig) -> Result<(), String> {
    Certificates::load(&config.tls).map(drop)
}

/// A warning, if this process, with the user that it has now, could not load the files again.
pub fn unreadable_later(config: &TlsConfig) -> Option<String> {
    if !config.is_on() {
        return None;
    }
    let client_ca = config.client_ca.iter();
    let mut files = config.certificates.iter().chain(&config.keys).chain(&config.ocsp).chain(client_ca);
    let path: &Path = files.find(|path| access(path.as_path(), AccessFlags::R_OK).is_err())?;
    Some(format!(
        "{} is not readable for the user of the server any more: a reload will fail; let a group of that user read it, or pass it \
         by systemd's LoadCredential=",
        path.display()
    ))
}

/// No core dump, and no process of the same user that traces this one, gets the keys (prctl(2), PR_SET_DUMPABLE). What is forked inherits
/// that.
pub fn hide_memory() -> Result<(), String> {
    prctl::set_dumpable(false).map_err(|e| format!("PR_SET_DUMPABLE: {e}"))
}
