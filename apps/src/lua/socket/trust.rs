//! Which servers an app's TLS trusts: what rustls is configured with, once for each choice, and why a handshake has failed, in
//! plain words. A session is resumed only by the choice that it was begun with, so that none escapes its verification.

use super::table::CLOSED;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore};
use rustls::{OtherError, SignatureScheme};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of files that an app names; a further one takes the place of all.
const CONFIGS_MAX: usize = 64;
/// Of a certificate, in an error.
const NAMES_SHOWN_MAX: usize = 3;

/// By which certificates a server's may be issued.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trust {
    /// It is not verified.
    Unverified,
    /// Those of the system's store, or of the variables SSL_CERT_FILE and SSL_CERT_DIR.
    System,
    /// Those of a file in PEM, or its own is in it.
    File(PathBuf),
}

/// What is made at the first handshake of each choice, and kept as long as the worker.
#[derive(Default)]
pub struct Configs(HashMap<Trust, Arc<ClientConfig>>);

impl Configs {
    /// Reads the certificates, if that was not done before; they are never changed.
    pub fn of(&mut self, trust: &Trust) -> Result<Arc<ClientConfig>, Cow<'static, str>> {
        if let Some(config) = self.0.get(trust) {
            return Ok(config.clone());
        }
        let provider = Arc::new(tine_worker::tls::provider());
        let verifier = Arc::new(Verifier::of(trust, &provider)?);
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| words_of(&e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        let config = Arc::new(config);
        if self.0.len() >= CONFIGS_MAX {
            self.0.clear();
        }
        self.0.insert(trust.clone(), config.clone());
        Ok(config)
    }
}

/// What rustls does, but for a server that is not verified, and for one whose own certificate is in the file.
#[derive(Debug)]
struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// `None`: any certificate will do.
    chains: Option<Arc<WebPkiServerVerifier>>,
    own: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn of(trust: &Trust, provider: &Arc<CryptoProvider>) -> Result<Verifier, Cow<'static, str>> {
        let algorithms = provider.signature_verification_algorithms;
        let mut roots = RootCertStore::empty();
        let own = match trust {
            Trust::Unverified => return Ok(Verifier { algorithms, chains: None, own: Vec::new() }),
            Trust::System => {
                // A store may have some that cannot be read, as all clients that use it know.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                Vec::new()
            }
            Trust::File(path) => {
                let own = certificates_of(path)?;
                roots.add_parsable_certificates(own.iter().cloned());
                own
            }
        };
        if roots.is_empty() {
            return Err(match trust {
                Trust::File(path) => format!("{}: no certificate in it can be used", path.display()).into(),
                _ => "this system trusts no authority: install ca-certificates, or give a file".into(),
            });
        }
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let chains = chains.map_err(|e| Cow::Owned(e.to_string()))?;
        Ok(Verifier { algorithms, chains: Some(chains), own })
    }
}

fn certificates_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, Cow<'static, str>> {
    let at = |why: &dyn std::fmt::Display| Cow::Owned(format!("{}: {why}", path.display()));
    // What is not a file could block.
    if !fs::metadata(path).map_err(|e| at(&e))?.is_file() {
        return Err(at(&"it has to be a regular file"));
    }
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    all.map_err(|e| at(&format!("not in PEM: {e}")))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        above: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chains) = &self.chains else { return Ok(ServerCertVerified::assertion()) };
        match chains.verify_server_cert(certificate, above, name, ocsp, now) {
            // As `openssl req -x509` makes it. Its dates were checked before.
            Err(Error::InvalidCertificate(error)) if is_of_authority(&error) && self.own.contains(certificate) => {
                verify_server_name(&ParsedCertificate::try_from(certificate)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// It was issued for an authority, and not for a server. The error is webpki's, which rustls does not export.
fn is_of_authority(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(OtherError(error)) if error.to_string() == "CaUsedAsEndEntity")
}

/// Why TLS has failed.
pub fn words_of(error: &Error) -> Cow<'static, str> {
    match error {
        Error::InvalidCertificate(error) => words_of_certificate(error),
        Error::AlertReceived(AlertDescription::CloseNotify) => CLOSED.into(),
        Error::AlertReceived(alert) => format!("the peer has sent the TLS alert {alert:?}").into(),
        error => format!("TLS: {error}").into(),
    }
}

fn words_of_certificate(error: &CertificateError) -> Cow<'static, str> {
    use CertificateError::*;
    match error {
        Expired | ExpiredContext { .. } => "the certificate has expired".into(),
        NotValidYet | NotValidYetContext { .. } => "the certificate is not valid yet".into(),
        UnknownIssuer => "the certificate is not trusted: its issuer is unknown".into(),
        BadSignature => "the certificate is not trusted: its issuer has not signed it".into(),
        error if is_of_authority(error) => "the certificate is not trusted: it is self-signed".into(),
        NotValidForName => "the certificate is for another name".into(),
        NotValidForNameContext { expected, presented } => {
            let names: Vec<String> = presented.iter().take(NAMES_SHOWN_MAX).map(|name| name_of(name)).collect();
            let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
            let more = if presented.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
            format!("the certificate is not for {} but for {names}{more}", expected.to_str()).into()
        }
        error => format!("the certificate cannot be used: {error}").into(),
    }
}

/// webpki shows names as Rust does: `DnsName("a.example")`.
fn name_of(shown: &str) -> String {
    shown.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(shown).trim_matches('"').to_string()
}
