//! The options of HTTPS.

use std::path::PathBuf;
use std::time::Duration;
use tine_common::config::{ClientAuth, ListenAddress, TlsConfig, TlsVersion};
use tine_common::units::parse_duration;

#[derive(clap::Args, Debug)]
pub struct TlsArgs {
    /// Address to listen on for HTTPS, beside those of plain HTTP: 127.0.0.1:8443, *:443 (IPv4) or unix:/path, with proxy: before it if connections begin with a header of the PROXY protocol; repeatable. Without
    /// another address, nothing else is listened on
    #[arg(
        long,
        value_name = "ADDR",
        env = "TINE_TLS_LISTEN",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    pub tls_listen: Vec<ListenAddress>,
    /// File with a certificate and its chain, in PEM; repeatable, with a key for each. A client gets the certificate that has the
    /// name it asks for, or else the first. A reload reads all files again
    #[arg(
        long,
        value_name = "FILE",
        env = "TINE_TLS_CERT",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    tls_cert: Vec<PathBuf>,
    /// File with the key of the certificate at the same place, in PEM
    #[arg(
        long,
        value_name = "FILE",
        env = "TINE_TLS_KEY",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    tls_key: Vec<PathBuf>,
    /// File with an OCSP response, in DER, that is stapled to the certificate at the same place
    #[arg(
        long,
        value_name = "FILE",
        env = "TINE_TLS_OCSP",
        hide_env = true,
        value_delimiter = ',',
        help_heading = "TLS"
    )]
    tls_ocsp: Vec<PathBuf>,
    /// Lowest version of TLS: 1.2 or 1.3
    #[arg(
        long,
        value_name = "VERSION",
        default_value = "1.2",
        env = "TINE_TLS_MIN",
        hide_env = true,
        help_heading = "TLS"
    )]
    tls_min: TlsVersion,
    /// Ask clients for a certificate that one of this file, in PEM, has issued
    #[arg(long, value_name = "FILE", env = "TINE_TLS_CLIENT_CA", hide_env = true, help_heading = "TLS")]
    tls_client_ca: Option<PathBuf>,
    /// Whether clients that are asked for a certificate have to show one: required or optional
    #[arg(
        long,
        value_name = "MODE",
        default_value = "required",
        env = "TINE_TLS_CLIENT_AUTH",
        hide_env = true,
        help_heading = "TLS"
    )]
    tls_client_auth: ClientAuth,
    /// How long session tickets are made with the same key, and accepted at least; 0: no session is resumed
    #[arg(long, value_name = "TIME", default_value = "6h", env = "TINE_TLS_TICKET_ROTATION", hide_env = true,
          value_parser = parse_duration, help_heading = "TLS")]
    tls_ticket_rotation: Duration,
}

impl TlsArgs {
    pub fn config(self) -> TlsConfig {
        TlsConfig {
            listen: self.tls_listen,
            certificates: self.tls_cert,
            keys: self.tls_key,
            ocsp: self.tls_ocsp,
            min: self.tls_min,
            client_ca: self.tls_client_ca,
            client_auth: self.tls_client_auth,
            ticket_rotation: self.tls_ticket_rotation,
        }
    }
}
