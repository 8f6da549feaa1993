//! Certificates of clients: which are accepted, and what an application learns of one.

use super::pair::{alternative_names, chain_of, explained, read};
use crate::net::tls_crypto;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use std::path::Path;
use std::sync::Arc;
use tine_common::config::ClientAuth;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Accepts the certificates that those of the file have issued. Also a hash of what is asked.
pub fn verifier(ca: &Path, auth: ClientAuth) -> Result<(Arc<dyn ClientCertVerifier>, [u8; 32]), String> {
    let at = |why: String| format!("--tls-client-ca {}: {why}", ca.display());
    let bytes = read(ca).map_err(|e| at(explained(&e)))?;
    let mut roots = RootCertStore::empty();
    for certificate in chain_of(ca).map_err(|line| line.replacen("--tls-cert", "--tls-client-ca", 1))? {
        roots.add(certificate).map_err(|e| at(format!("a certificate cannot be used: {e}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(tls_crypto::provider()));
    let builder = match auth {
        ClientAuth::Required => builder,
        ClientAuth::Optional => builder.allow_unauthenticated(),
    };
    let verifier = builder.build().map_err(|e| at(e.to_string()))?;
    let asked = [bytes.as_slice(), auth.to_string().as_bytes()].concat();
    Ok((verifier, tls_crypto::sha256(&asked)))
}

/// What a certificate says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// `CN=alice, O=Example`, as it is printed. All others are empty if a proxy has told only this.
    pub subject: String,
    /// `CN=Example CA`
    pub issuer: String,
    /// In hexadecimal digits.
    pub serial: String,
    /// The alternative names: `DNS:a.example`, `email:alice@example.org`, `URI:spiffe://…`, separated by `, `.
    pub names: String,
    /// The SHA-256 of the whole, in lower-case hexadecimal digits.
    pub fingerprint: String,
}

impl ClientCertificate {
    /// `None`: it cannot be read, although it was accepted.
    pub(crate) fn of(der: &[u8]) -> Option<ClientCertificate> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let shown = |name: &GeneralName<'_>| match name {
            GeneralName::DNSName(name) => Some(format!("DNS:{name}")),
            GeneralName::RFC822Name(name) => Some(format!("email:{name}")),
            GeneralName::URI(uri) => Some(format!("URI:{uri}")),
            GeneralName::IPAddress([a, b, c, d]) => Some(format!("IP:{a}.{b}.{c}.{d}")),
            _ => None,
        };
        Some(ClientCertificate {
            subject: printable(&parsed.subject().to_string()),
            issuer: printable(&parsed.issuer().to_string()),
            serial: parsed.raw_serial().iter().map(|byte| format!("{byte:02X}")).collect(),
            names: printable(&alternative_names(&parsed, shown).join(", ")),
            fingerprint: tls_crypto::sha256(der).iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }
}

impl ClientCertificate {
    /// Of which a proxy has told the common name, and nothing else.
    pub(crate) fn named(common_name: &str) -> ClientCertificate {
        let mut subject = "CN=".to_string();
        for c in printable(common_name).chars() {
            // As in RFC 4514: it stays one name.
            if ",+=\"\\<>;".contains(c) {
                subject.push('\\');
            }
            subject.push(c);
        }
        let none = String::new;
        ClientCertificate { subject, issuer: none(), serial: none(), names: none(), fingerprint: none() }
    }
}

/// Without bytes that would break a line.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
