//! The TLS session of a client, with this server or with a proxy that has announced it, as an application sees it.

pub use crate::tls::ClientCertificate;

use std::borrow::Cow;

/// What client and server have agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`; of a session with a proxy, as that names it.
    pub version: Cow<'static, str>,
    /// The cipher suite's name in IANA's registry: `TLS_AES_256_GCM_SHA384`; of a session with a proxy, as that names it.
    pub cipher: Cow<'static, str>,
    /// The name that the client asked for (SNI).
    pub server_name: Option<String>,
    /// The session goes on from an earlier connection.
    pub is_resumed: bool,
    /// The certificate that the client has shown; it was checked (`--tls-client-ca`, or by the proxy).
    pub client: Option<ClientCertificate>,
}
