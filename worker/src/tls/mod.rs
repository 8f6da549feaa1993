//! What TLS sessions are made of: certificates with their keys, the tickets of sessions, certificates of clients. The master loads it,
//! before it changes its user and before any fork; workers have it as it is.

mod client;
mod names;
mod pair;
mod tickets;

pub use crate::net::tls_crypto::provider;
pub use client::ClientCertificate;
pub use pair::Pair;

use crate::net::tls::Session;
use crate::net::tls_crypto;
use names::Names;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{Error, ServerConfig};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tickets::Tickets;
use tine_common::config::{TlsConfig, TlsVersion};
use tine_common::ticket_keys::TicketKeys;

/// What was read from files, and checked.
pub struct Loaded {
    config: ServerConfig,
    names: Arc<Names>,
    ticket_rotation: Duration,
    /// A hash of what is asked of clients.
    of_clients: [u8; 32],
    warnings: Vec<String>,
}

/// Begins sessions. Cheap to clone.
#[derive(Clone)]
pub struct Acceptor {
    serving: Arc<ServerConfig>,
    /// For connections that are refused, and without HTTP/2: they get an answer of HTTP/1.1.
    http1_only: Arc<ServerConfig>,
    names: Arc<Names>,
}

impl Loaded {
    /// The error is one line that names the file.
    pub fn load(config: &TlsConfig) -> Result<Loaded, String> {
        let mut pairs = Vec::new();
        for (place, (certificate, key)) in config.certificates.iter().zip(&config.keys).enumerate() {
            pairs.push(Pair::load(certificate, key, config.ocsp.get(place).map(|path| path.as_path()))?);
        }
        let warnings = pairs.iter_mut().filter_map(|pair| pair.warning.take()).collect();
        let versions: &[_] = match config.min {
            TlsVersion::V12 => &[&TLS13, &TLS12],
            TlsVersion::V13 => &[&TLS13],
        };
        let (verifier, of_clients) = match &config.client_ca {
            Some(ca) => client::verifier(ca, config.client_auth)?,
            None => (WebPkiClientVerifier::no_client_auth(), [0; 32]),
        };
        let names = Arc::new(Names::new(pairs));
        let mut serving = ServerConfig::builder_with_provider(Arc::new(tls_crypto::provider()))
            .with_protocol_versions(versions)
            .map_err(|e| format!("TLS cannot be set up: {e}"))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(names.clone());
        // All of them are good, so that the cheapest is taken; the client's order would be mostly that of its library.
        serving.ignore_client_order = true;
        // Kept in one process, a session could be resumed only there.
        serving.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Loaded { config: serving, names, ticket_rotation: config.ticket_rotation, of_clients, warnings })
    }

    /// A line for each certificate that clients will not accept for long, or not yet.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// What workers begin sessions with, whose tickets have these keys.
    pub fn acceptor(&self, keys: TicketKeys) -> Acceptor {
        let mut config = self.config.clone();
        if self.ticket_rotation.is_zero() {
            config.send_tls13_tickets = 0;
        } else {
            config.ticketer = Arc::new(Tickets::new(keys, self.ticket_rotation, self.of_clients));
        }
        let with = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
            Arc::new(config)
        };
        let (serving, http1_only) = (with(&[b"h2", b"http/1.1"]), with(&[b"http/1.1"]));
        Acceptor { serving, http1_only, names: self.names.clone() }
    }
}

impl Acceptor {
    pub(crate) fn begin(&self, has_http2: bool, now: Instant) -> Result<Session, Error> {
        Session::new(if has_http2 { &self.serving } else { &self.http1_only }, now)
    }

    /// Whether a certificate has the name of a request's host.
    pub(crate) fn covers(&self, host: &str) -> bool {
        self.names.cover(host)
    }
}
