//! Pins each worker to a CPU of its own.

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use tine_common::privileges::Affinity;

/// Pins this process to the CPU of its worker's index. If that CPU has gone, the worker serves all the same.
pub fn pin(affinity: &Affinity, index: usize) {
    let Some(cpu) = affinity.cpu(index) else { return };
    let mut set = CpuSet::new();
    if let Err(e) = set.set(cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set)) {
        log::warn!("--cpu-affinity: cannot pin this worker to CPU {cpu}, running on any: {e}");
    }
}
