//! A worker sleeps while a client neither sends the body that it announced nor reads the answer that is made meanwhile.

use crate::support::{Server, cpu_ticks, eventually};
use std::time::{Duration, Instant};

#[test]
fn a_body_that_never_comes_costs_no_cpu() {
    let server = Server::start(&["--workers", "1", "--body-timeout", "100ms"]);
    let mut client = server.connect_narrow();
    client.send("POST /bin/10G HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\n");
    let worker = server.workers()[0];
    // Long after the body timeout.
    let started = Instant::now();
    eventually("the timeout is over", || (started.elapsed() >= Duration::from_millis(300)).then_some(()));
    let (before, watched) = (cpu_ticks(worker), Instant::now());
    eventually("a second has passed", || (watched.elapsed() >= Duration::from_secs(1)).then_some(()));
    let share = (cpu_ticks(worker) - before) as f64 / 100.0 / watched.elapsed().as_secs_f64();
    assert!(share < 0.25, "{:.0} % of a CPU while there is nothing to do", share * 100.0);
}
