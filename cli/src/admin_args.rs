//! The option of the status page and the metrics.

use tine_common::config::Address;

#[derive(clap::Args, Debug)]
pub struct AdminArgs {
    /// Serve the status page, metrics and probes here, for this machine only unless an address is written out: 9145, 10.0.0.1:9145 or unix:/path; none
    #[arg(long, value_name = "ADDR", default_value = "none", env = "TINE_ADMIN", hide_env = true,
          value_parser = address, help_heading = "Observing")]
    admin: At,
}

/// `None`: nowhere.
type At = Option<Address>;

impl AdminArgs {
    pub fn at(&self) -> Option<Address> {
        self.admin.clone()
    }
}

fn address(text: &str) -> Result<At, String> {
    match text {
        "none" => Ok(None),
        // To all of the network only if that is said.
        _ if text.starts_with(':') => {
            let port = &text[1..];
            Err(format!("give {port} for this machine only, or *:{port} for every network that it is in"))
        }
        _ => text.parse().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_loopback_unless_another_is_written_out() {
        for (text, expected) in [
            ("none", None),
            ("9145", Some("127.0.0.1:9145")),
            ("localhost:9145", Some("127.0.0.1:9145")),
            ("*:9145", Some("0.0.0.0:9145")),
            ("[::1]:9145", Some("[::1]:9145")),
            ("unix:/run/tine/admin", Some("unix:/run/tine/admin")),
        ] {
            assert_eq!(address(text).map(|at| at.map(|at| at.to_string())), Ok(expected.map(str::to_string)), "{text}");
        }
        assert!(address(":9145").expect_err("of which machine").contains("*:9145"));
        assert!(address("nine").is_err());
    }
}
