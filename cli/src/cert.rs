//! `tine cert`: a self-signed certificate and its key, for trying out HTTPS. One for a server in public comes from an authority, by
//! certbot, lego or the like.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

/// Clients refuse certificates that are valid for longer.
const DAYS: u64 = 397;
/// Only its owner may read a key.
const KEY_MODE: u32 = 0o600;

#[derive(clap::Args, Debug)]
pub struct CertArgs {
    /// Names and IP addresses of the server, such as app.example.org or *.example.org
    #[arg(value_name = "NAME", default_values = ["localhost", "127.0.0.1", "::1"])]
    names: Vec<String>,
    /// File for the certificate
    #[arg(long, value_name = "FILE", default_value = "cert.pem")]
    cert: PathBuf,
    /// File for the key
    #[arg(long, value_name = "FILE", default_value = "key.pem")]
    key: PathBuf,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

pub fn run(args: CertArgs) -> ExitCode {
    let (cert, key) = (args.cert.display().to_string(), args.key.display().to_string());
    let made = make(&args.names).and_then(|pair| {
        write(&args.key, &pair.key, KEY_MODE, args.force)?;
        write(&args.cert, &pair.certificate, 0o644, args.force)
    });
    match made {
        Ok(()) => crate::output::say(
            &format!(
                "{cert} and {key} are for {}, for {DAYS} days. No authority has signed it: clients have to be told to trust it.\n\
                 Try:  tine run --tls-listen 127.0.0.1:8443 --tls-cert {cert} --tls-key {key}\n      \
                 curl --cacert {cert} https://localhost:8443/\n",
                args.names.join(", ")
            ),
            0,
        ),
        Err(line) => crate::output::complain(&line, 1),
    }
}

struct Pair {
    certificate: String,
    key: String,
}

/// P-256, which every client has.
fn make(names: &[String]) -> Result<Pair, String> {
    let failed = |e: rcgen::Error| {
        format!("the certificate cannot be made for {}: {e}; give names such as app.example.org", names.join(", "))
    };
    let mut params = CertificateParams::new(names).map_err(failed)?;
    let now = SystemTime::now();
    // A client whose clock is slow accepts it, too.
    params.not_before = (now - Duration::from_secs(3600)).into();
    params.not_after = (now + Duration::from_secs(DAYS * 24 * 3600)).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, names.first().map_or("localhost", String::as_str));
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok(Pair { certificate: certificate.pem(), key: key.serialize_pem() })
}

fn write(path: &Path, text: &str, mode: u32, is_forced: bool) -> Result<(), String> {
    let shown = path.display();
    if is_forced {
        // A file that is there would keep its mode.
        std::fs::remove_file(path)
            .or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
            .map_err(|e| format!("{shown} cannot be replaced: {e}"))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => format!("{shown} exists; give another name, or --force to replace it"),
        _ => format!("{shown} cannot be written: {e}"),
    })
}
