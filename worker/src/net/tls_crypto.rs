//! The cryptography that is used beside rustls: AWS-LC, or *ring*, whose interface is the same.

#[cfg(not(any(feature = "aws-lc", feature = "ring")))]
compile_error!("TLS needs cryptography: add the feature aws-lc, or ring");

#[cfg(not(feature = "ring"))]
use aws_lc_rs as library;
#[cfg(feature = "ring")]
use ring as library;
#[cfg(not(feature = "ring"))]
use rustls::crypto::aws_lc_rs::default_provider;
#[cfg(feature = "ring")]
use rustls::crypto::ring::default_provider;

use library::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

pub const NONCE_BYTES: usize = 12;

/// The library's suites, of each version those of AES with 128 bits first: they take a quarter less time than 256 bits.
pub fn provider() -> CryptoProvider {
    let mut provider = default_provider();
    let is_short = |suite| {
        matches!(
            suite,
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    };
    provider.cipher_suites.sort_by_key(|suite| !is_short(suite.suite()));
    provider
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = library::digest::digest(&library::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// Seals `bytes` in place; its tag follows them. No nonce may be used twice with a key.
pub fn seal(key: &[u8; 32], nonce: [u8; NONCE_BYTES], context: &[u8], bytes: &mut Vec<u8>) -> Option<()> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), bytes).ok()
}

/// The opposite; returns how many bytes are plain. `None`: it was not sealed with this key, nonce and context.
pub fn open(key: &[u8; 32], nonce: [u8; NONCE_BYTES], context: &[u8], bytes: &mut [u8]) -> Option<usize> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
    Some(key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(context), bytes).ok()?.len())
}
