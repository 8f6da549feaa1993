//! What the limits of this process and the settings of the kernel mean for the sockets, before any is bound.

use std::fs;
use tine_common::config::{AcceptMode, Address, ControlAt, MasterConfig, RECEIVE_BUFFER_BYTES};
use tine_common::units::show_size;

/// The most descriptors that the master holds: standard streams, poll and signals, a channel for each worker, listeners, the
/// control socket and its clients.
pub fn descriptors_needed(config: &MasterConfig) -> u64 {
    const OWN: usize = 16;
    let sockets = |address: &Address| match (address, config.worker.accept) {
        // Each with its waker.
        (Address::Tcp(_), AcceptMode::PerWorker) => 2 * config.workers,
        _ => 1,
    };
    let control = if config.control == ControlAt::Nowhere { 0 } else { crate::control::DESCRIPTORS };
    // With the channel of its process.
    let admin = if config.admin.is_some() { 2 } else { 0 };
    (OWN + control + admin + config.workers + config.addresses().map(|one| sockets(one.address)).sum::<usize>()) as u64
}

/// A warning of one line for each option that the kernel's settings limit.
pub fn warnings(config: &MasterConfig) -> Vec<String> {
    const SOMAXCONN: &str = "/proc/sys/net/core/somaxconn";
    const FASTOPEN: &str = "/proc/sys/net/ipv4/tcp_fastopen";
    /// The bit of ip-sysctl's tcp_fastopen that TCP_FASTOPEN on a listener requires.
    const FASTOPEN_SERVER: u32 = 2;
    const RECEIVE: &str = "/proc/sys/net/core/rmem_max";
    let read = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u32>().ok();
    let mut lines: Vec<String> = config.admin.iter().filter_map(warn_of_open_admin).collect();
    let backlog = config.backlog;
    if let Some(most) = read(SOMAXCONN).filter(|&most| most < backlog) {
        lines.push(format!("--backlog {backlog} is limited to {most} by the kernel; raise {SOMAXCONN}"));
    }
    let receive = config.receive_buffer_bytes.filter(|&bytes| bytes != RECEIVE_BUFFER_BYTES);
    if let (Some(bytes), Some(most)) = (receive, read(RECEIVE))
        && bytes / 2 > most as usize
    {
        let (given, most) = (show_size(bytes as u64), show_size(2 * u64::from(most)));
        lines.push(format!("--receive-buffer {given} is limited to {most} by the kernel; raise {RECEIVE}"));
    }
    if config.tcp_fastopen
        && let Some(bits) = read(FASTOPEN).filter(|bits| bits & FASTOPEN_SERVER == 0)
    {
        let with = bits | FASTOPEN_SERVER;
        lines.push(format!(
            "--tcp-fastopen has no effect, the kernel disables it for servers; write {with} to {FASTOPEN}"
        ));
    }
    lines
}

/// There is no password.
fn warn_of_open_admin(address: &Address) -> Option<String> {
    let Address::Tcp(tcp) = address else { return None };
    let is_open = !tcp.ip().to_canonical().is_loopback();
    is_open.then(|| {
        format!(
            "--admin {tcp} has no authentication: whoever reaches it reads the targets of requests in flight; let a \
                 firewall or a proxy guard it"
        )
    })
}
