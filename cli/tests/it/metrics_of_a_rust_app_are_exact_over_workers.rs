//! What a Rust application counts, by the metrics of its worker or of a request's `Cx`, is added up over all workers, and a counter
//! outlives them.

use crate::apps::serve;
use crate::support::admin::{admin_of, samples, workers_of};
use crate::support::{eventually, send_signal};
use nix::sys::signal::Signal;

#[test]
fn sums_are_exact_and_counters_outlive_their_workers() {
    let server = serve("counting", &["--workers", "3", "--admin", "0"]);
    let admin = admin_of(&server);
    let ask = |path: &str, count: usize| (0..count).for_each(|_| assert_eq!(server.get(path).status, 200));
    let is = |name: &str, value: f64| eventually(name, || (samples(admin).get(name) == Some(&value)).then_some(()));
    ask("/a", 20);
    ask("/open", 10);
    is("counting_requests_total{path=\"/a\"}", 20.0);
    is("counting_open", 10.0);
    for (bound, count) in [("5", 30.0), ("10", 30.0), ("+Inf", 30.0)] {
        is(&format!("counting_path_bytes_bucket{{le=\"{bound}\"}}"), count);
    }
    let workers = workers_of(server.pid());
    workers.iter().for_each(|&worker| send_signal(worker, Signal::SIGKILL));
    server.wait_gone(&workers);
    eventually("there are three again", || (samples(admin)["tine_workers{state=\"ready\"}"] == 3.0).then_some(()));
    ask("/a", 5);
    is("counting_requests_total{path=\"/a\"}", 25.0);
    is("counting_path_bytes_count", 35.0);
    assert_eq!(samples(admin).get("counting_open").copied().unwrap_or(0.0), 0.0, "a gauge goes with its worker");
}
