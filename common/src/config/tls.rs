//! What a server needs for HTTPS: where it listens for it, its certificates, and what it asks of clients.

use super::ListenAddress;
use crate::units::show_duration;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// HTTPS. Without an address to listen on, none of the others has an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// Addresses in addition to those of plain HTTP.
    pub listen: Vec<ListenAddress>,
    /// Files of certificates, each with its chain, in PEM.
    pub certificates: Vec<PathBuf>,
    /// The file of each certificate's key.
    pub keys: Vec<PathBuf>,
    /// OCSP responses, in DER, of the certificates at the same places.
    pub ocsp: Vec<PathBuf>,
    /// The lowest version that is accepted.
    pub min: TlsVersion,
    /// A file of certificates, in PEM, one of which must have issued a client's.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have a certificate.
    pub client_auth: ClientAuth,
    /// How long tickets are made with the same key; zero: no session is resumed.
    pub ticket_rotation: Duration,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    V12,
    /// TLS 1.3
    V13,
}

/// Whether a client has to show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Without one there is no connection.
    Required,
    /// It may; a wrong one is refused all the same.
    Optional,
}

impl Default for TlsConfig {
    fn default() -> TlsConfig {
        TlsConfig {
            listen: Vec::new(),
            certificates: Vec::new(),
            keys: Vec::new(),
            ocsp: Vec::new(),
            min: TlsVersion::V12,
            client_ca: None,
            client_auth: ClientAuth::Required,
            ticket_rotation: Duration::from_secs(6 * 3600),
        }
    }
}

impl TlsConfig {
    /// HTTPS is served.
    pub fn is_on(&self) -> bool {
        !self.listen.is_empty()
    }

    /// These options after a reload: sockets stay as they are.
    pub fn reloaded(&self, new: TlsConfig) -> TlsConfig {
        TlsConfig { listen: self.listen.clone(), ..new }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let (certificates, keys) = (self.certificates.len(), self.keys.len());
        if certificates != keys {
            return Err(format!(
                "there are {certificates} of --tls-cert and {keys} of --tls-key; give a key for each certificate, in the same order"
            ));
        }
        if self.ocsp.len() > certificates {
            return Err("there are more of --tls-ocsp than of --tls-cert; give at most one for each".to_string());
        }
        if self.is_on() && certificates == 0 {
            return Err("--tls-listen needs a certificate and its key; give --tls-cert FILE and --tls-key FILE, \
                        or make a pair for trying out with `tine cert`"
                .to_string());
        }
        let idle = [("--tls-cert", certificates > 0), ("--tls-client-ca", self.client_ca.is_some())];
        if let Some((option, _)) = idle.into_iter().find(|(_, is_given)| *is_given && !self.is_on()) {
            return Err(format!(
                "{option} has no effect without an address for HTTPS; give --tls-listen 127.0.0.1:8443"
            ));
        }
        Ok(())
    }

    pub(super) fn describe(&self) -> Vec<(&'static str, String)> {
        let list = |paths: &[PathBuf]| match paths {
            [] => "none".to_string(),
            paths => paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" "),
        };
        vec![
            ("tls-cert", list(&self.certificates)),
            ("tls-key", list(&self.keys)),
            ("tls-ocsp", list(&self.ocsp)),
            ("tls-min", self.min.to_string()),
            ("tls-client-ca", self.client_ca.as_ref().map_or("none".to_string(), |path| path.display().to_string())),
            ("tls-client-auth", self.client_auth.to_string()),
            ("tls-ticket-rotation", show_duration(self.ticket_rotation)),
        ]
    }
}

impl FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<TlsVersion, String> {
        match text {
            "1.2" => Ok(TlsVersion::V12),
            "1.3" => Ok(TlsVersion::V13),
            _ => Err("give 1.2 or 1.3; older versions are broken".to_string()),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsVersion::V12 => "1.2",
            TlsVersion::V13 => "1.3",
        })
    }
}

impl FromStr for ClientAuth {
    type Err = String;

    fn from_str(text: &str) -> Result<ClientAuth, String> {
        match text {
            "required" => Ok(ClientAuth::Required),
            "optional" => Ok(ClientAuth::Optional),
            _ => Err("give required or optional".to_string()),
        }
    }
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClientAuth::Required => "required",
            ClientAuth::Optional => "optional",
        })
    }
}
