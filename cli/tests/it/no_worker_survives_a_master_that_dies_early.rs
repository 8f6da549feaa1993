//! A master that is killed while its workers boot leaves no worker running: neither those that had just reported ready
//! nor those that were only just forked.

use crate::support::{Server, TINE, eventually, group_members};
use nix::sys::signal::Signal;
use std::process::Command;
use std::time::{Duration, Instant};

#[test]
fn no_worker_survives_a_master_that_dies_early() {
    for delay_ms in [5, 15, 30, 60] {
        let mut server = Server::spawn(Command::new(TINE).args(["run", "0", "--workers", "60"]));
        // Which moment of the boot each delay hits depends on the machine: the claim has to hold for all of them.
        let at = Instant::now() + Duration::from_millis(delay_ms);
        eventually("some are forked", || (Instant::now() >= at && !server.workers().is_empty()).then_some(()));
        server.stop(Signal::SIGKILL);
        eventually("no process is left", || group_members(server.pid()).is_empty().then_some(()));
    }
}
