//! Chaos, at random and under load: workers are killed, stopped, frozen, terminated and starved of descriptors; the
//! master has to reload, upgrade, rest, grow and shrink; apps fail. No request fails except those of a killed worker,
//! and at the end everything is as it was. `scripts/chaos` runs it for longer, and can repeat a seed.

use crate::support::chaos::Chaos;
use std::time::Duration;

/// A fixed seed, so that a failure here can be reproduced; other seeds are for scripts/chaos.
const SEED: u64 = 20_261_121;

fn briefly(accept: &'static str) {
    Chaos { seed: SEED, lasts: Duration::from_secs(8), accept, is_verbose: false }.run();
}

#[test]
fn with_a_shared_queue() {
    briefly("shared");
}

#[test]
fn with_queues_per_worker() {
    briefly("per-worker");
}

/// Run by scripts/chaos, which sets the parameters by environment variables.
#[test]
#[ignore = "takes as long as it is told; scripts/chaos runs it"]
fn as_scripts_chaos_asks() {
    let variable = |name: &str| std::env::var(name).ok();
    let seed = variable("CHAOS_SEED").and_then(|text| text.parse().ok()).unwrap_or(SEED);
    let seconds = variable("CHAOS_SECONDS").and_then(|text| text.parse().ok()).unwrap_or(60);
    let accept = if variable("CHAOS_ACCEPT").as_deref() == Some("per-worker") { "per-worker" } else { "shared" };
    Chaos { seed, lasts: Duration::from_secs(seconds), accept, is_verbose: true }.run();
}
