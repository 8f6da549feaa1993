//! A certificate with its chain, and its key: read from two files, and checked as far as that can be done without a client.

use crate::net::tls_crypto;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// A larger file has no certificate.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// A certificate that ends within this time is warned of.
const EXPIRES_SOON_S: i64 = 7 * 24 * 3600;

pub struct Pair {
    pub certified: CertifiedKey,
    /// The DNS names that it has, `*.example.org` among them.
    pub names: Vec<String>,
    /// A line for the log.
    pub warning: Option<String>,
}

impl Pair {
    /// `ocsp`: the file of a response that is stapled. The error is one line that names the file.
    pub fn load(certificate: &Path, key: &Path, ocsp: Option<&Path>) -> Result<Pair, String> {
        let chain = chain_of(certificate)?;
        let private = key_of(key)?;
        let at = |why: String| format!("--tls-cert {}: {why}", certificate.display());
        let (names, warning) = check_chain(&chain).map_err(at)?;
        let mut certified = CertifiedKey::from_der(chain, private, &tls_crypto::provider()).map_err(|e| match e {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "--tls-key {} is not the key of --tls-cert {}; give the two files of one pair",
                key.display(),
                certificate.display()
            ),
            e => format!("--tls-key {}: the key cannot be used: {e}; RSA, ECDSA and Ed25519 can", key.display()),
        })?;
        if let Some(path) = ocsp {
            certified.ocsp = Some(ocsp_of(path, &certified.cert[0])?);
        }
        let warning = warning.map(at);
        Ok(Pair { certified, names, warning })
    }
}

/// The certificates of a file, in PEM.
pub fn chain_of(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text = read(path).map_err(|e| format!("--tls-cert {shown}: {}", explained(&e)))?;
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(format!(
            "--tls-cert {shown}: there is no certificate in it; give a file in PEM (-----BEGIN CERTIFICATE-----)"
        )),
        Ok(chain) => Ok(chain),
        Err(e) => Err(format!("--tls-cert {shown}: not in PEM: {e}")),
    }
}

fn key_of(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let text = read(path).map_err(|e| format!("--tls-key {shown}: {}", explained(&e)))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|e| match e {
        pem::Error::NoItemsFound if text.windows(9).any(|word| word == b"ENCRYPTED") => {
            format!("--tls-key {shown}: the key is encrypted; write it without a password, readable only by the server")
        }
        pem::Error::NoItemsFound => {
            format!(
                "--tls-key {shown}: there is no private key in it; give a file in PEM (-----BEGIN PRIVATE KEY-----)"
            )
        }
        e => format!("--tls-key {shown}: not in PEM: {e}"),
    })
}

pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    // What is not a file could block, or be gone when a reload reads it again.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it has to be a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

pub fn explained(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_string(),
        io::ErrorKind::PermissionDenied => "this user may not read it".to_string(),
        _ => format!("it cannot be read: {error}"),
    }
}

/// The names of the first certificate, and a warning. The error: no client would accept it.
fn check_chain(chain: &[CertificateDer<'_>]) -> Result<(Vec<String>, Option<String>), String> {
    let parsed: Result<Vec<_>, _> = chain.iter().map(|der| X509Certificate::from_der(der)).collect();
    let parsed = parsed.map_err(|e| format!("a certificate cannot be read: {e}"))?;
    for (place, pair) in parsed.windows(2).enumerate() {
        let ((_, below), (_, above)) = (&pair[0], &pair[1]);
        if below.issuer() != above.subject() {
            return Err(format!(
                "the chain is out of order: certificate {} was issued by {}, and the next one is of {}; \
                 put the server's own first, then each one's issuer",
                place + 1,
                below.issuer(),
                above.subject()
            ));
        }
    }
    let (_, leaf) = &parsed[0];
    if leaf.is_ca() && parsed.len() > 1 {
        return Err("the first certificate is one of an authority; put the server's own first".to_string());
    }
    let validity = leaf.validity();
    let (now, ends) = (now_s(), validity.not_after.timestamp());
    if ends < now {
        return Err(format!("it expired on {}; renew it", validity.not_after));
    }
    let warning = if validity.not_before.timestamp() > now {
        Some(format!("it is not valid before {}; clients will refuse it until then", validity.not_before))
    } else if ends < now + EXPIRES_SOON_S {
        Some(format!("it expires on {}; renew it and reload", validity.not_after))
    } else {
        None
    };
    let dns = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_string()),
        _ => None,
    };
    Ok((alternative_names(leaf, dns), warning))
}

/// The subject alternative names that `shown` has a text for.
pub fn alternative_names(
    certificate: &X509Certificate<'_>,
    shown: impl Fn(&GeneralName<'_>) -> Option<String>,
) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.map_or(Vec::new(), |names| names.value.general_names.iter().filter_map(shown).collect())
}

fn now_s() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

/// An OCSP response (RFC 6960, 4.2.1) that says "successful" and has the serial number of this certificate.
fn ocsp_of(path: &Path, leaf: &[u8]) -> Result<Vec<u8>, String> {
    let shown = path.display();
    let response = read(path).map_err(|e| format!("--tls-ocsp {shown}: {}", explained(&e)))?;
    let body = match response.as_slice() {
        [0x30, length, ..] if *length < 0x80 => response.get(2..),
        [0x30, length, ..] => response.get(2 + usize::from(length & 0x7f)..),
        _ => None,
    };
    match body {
        Some([0x0a, 0x01, 0x00, ..]) => {}
        Some([0x0a, 0x01, status, ..]) => {
            return Err(format!("--tls-ocsp {shown}: the responder has failed, with status {status}; fetch it again"));
        }
        _ => {
            return Err(format!("--tls-ocsp {shown}: not an OCSP response; give one in DER (openssl ocsp -respout)"));
        }
    }
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|e| format!("--tls-ocsp {shown}: {e}"))?;
    let serial = leaf.raw_serial();
    if !response.windows(serial.len().max(1)).any(|bytes| bytes == serial) {
        return Err(format!("--tls-ocsp {shown}: the response is of another certificate"));
    }
    Ok(response)
}
