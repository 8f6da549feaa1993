//! Why an address cannot be bound, and what to do.

use crate::holder::Holders;
use std::fs;
use std::io;
use std::net::SocketAddr;
use tine_common::config::Address;

/// The first port that does not need a privilege (ip-sysctl's ip_unprivileged_port_start).
fn first_free_port() -> u16 {
    const START: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
    fs::read_to_string(START).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

pub fn explain_tcp(address: SocketAddr, error: &io::Error) -> String {
    let (why, what) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let next = address.port().checked_add(1).unwrap_or(8080);
            let holders = Holders::of(&Address::Tcp(address));
            let (advice, note) = (holders.advice(), holders.note());
            (holders.describe(), format!("{advice} or choose another port, such as {next}{note}"))
        }
        io::ErrorKind::PermissionDenied => {
            let first = first_free_port();
            let what = match address.port() < first {
                true => format!("ports below {first} need root or CAP_NET_BIND_SERVICE; choose one from {first}"),
                false => "a policy of this system forbids it (SELinux, AppArmor, seccomp, container or unit); \
                    allow it there or choose another port"
                    .to_string(),
            };
            ("permission denied".to_string(), what)
        }
        io::ErrorKind::AddrNotAvailable => (
            "this machine does not have that address".to_string(),
            "choose 127.0.0.1, 0.0.0.0 or one of its own".to_string(),
        ),
        _ => (error.to_string(), "check the address and the limits of this process".to_string()),
    };
    format!("cannot listen on {address}: {why}; {what}")
}
