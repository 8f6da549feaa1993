//! `tine check`: what `run` with the same options would do, each value with its source.

use crate::given::{Given, Source};
use crate::serve::Served;
use tine::for_cli::{check_certificates, rehearse};
use tine_common::config::{Address, MasterConfig};

/// Describes what would run, with the warnings of `run`. After a preflight nothing is bound, so that an app can be checked
/// beside the server that runs it. Otherwise prepares as `run` does and releases it again, so that a port in use or a missing
/// permission is reported. Inherited sockets are named and left as they are.
pub fn describe(served: &Served, config: &MasterConfig, given: &Given, lent: &[Address]) -> Result<String, String> {
    let mut text = format!("tine {} would serve {}", tine_common::VERSION, served.about.name);
    let own = config.addresses().filter(|one| !lent.contains(one.address)).map(|one| one.to_string());
    let listen = lent.iter().map(|address| format!("{address} (inherited)")).chain(own);
    if served.has_preflight {
        check_certificates(config)?;
        text.push_str(&format!(" with\n  {:<27} {}\n", "addresses", listen.collect::<Vec<_>>().join(", ")));
    } else {
        rehearse(config, lent)?;
        text.push_str(" on\n");
        text.extend(listen.map(|address| format!("  {address}\n")));
        text.push_str("with\n");
    }
    // Operands and addresses only if they were given: what they come to is above.
    text.extend(["config", "app", "port", "host", "listen", "grpc", "tls-listen"].iter().filter_map(|name| {
        let source = Some(given.source(name)).filter(|&source| source != Source::Default || *name == "config")?;
        Some(row(name, &given.value(name).unwrap_or("none".to_string()), source))
    }));
    let options = config.describe();
    text.extend(options.iter().chain(&served.options).map(|(name, value)| row(name, value, given.source(name))));
    text.extend(served.about.also.iter().map(|line| format!("also {line}\n")));
    for line in served.warnings.iter().chain(&tine::for_cli::warnings(config)) {
        text.push_str(&format!("warning: {line}\n"));
    }
    Ok(text)
}

/// A line of `check`; one with a value of usual length fits 80 columns.
fn row(name: &str, value: &str, source: Source) -> String {
    format!("  {name:<27} {value:<20} {source}\n")
}
