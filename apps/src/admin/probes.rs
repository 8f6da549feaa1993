//! What machines ask that only want to know whether it runs: probes of Kubernetes and of load balancers, and nginx's
//! stub_status.

use super::snapshot::Known;
use std::fmt::Write;
use std::time::Duration;
use tine_common::metric::{Metric, Metrics};
use tine_common::status::ServerState;

/// The master turns at least once a second. One that has not for this long is stopped or hangs, and replaces no worker.
const MASTER_STILL: Duration = Duration::from_secs(30);

/// Why not, or that it is so.
pub type Verdict = Result<String, String>;

/// Whether the server would recover without a restart.
pub fn livez(known: &Known) -> Verdict {
    let still = known.master_still;
    match still >= MASTER_STILL {
        true => Err(format!("the master has not responded for {} s", still.as_secs())),
        false => Ok("the master responds".to_string()),
    }
}

/// Whether it should get requests: not before a worker serves, and not from the moment on at which a stop is ordered.
pub fn readyz(known: &Known) -> Verdict {
    let (ready, wanted) = (known.responding, known.roster.workers_wanted);
    match known.roster.state {
        ServerState::Draining => Err("the server is stopping".to_string()),
        ServerState::Resting => Err("the workers were told to leave".to_string()),
        ServerState::Starting | ServerState::Unknown if ready == 0 => Err("the server is starting".to_string()),
        _ if ready == 0 => Err(format!("none of {wanted} workers responds")),
        _ => Ok(format!("{ready} of {wanted} workers respond")),
    }
}

/// The text of nginx's ngx_http_stub_status_module, to the byte. `reading`: connections with a part of a head.
pub fn stub_status(totals: &Metrics, handled: u64, reading: u64) -> String {
    let get = |metric: Metric| totals[metric];
    let (active, writing) = (get(Metric::Connections), get(Metric::InFlight));
    let mut text = format!("Active connections: {active} \nserver accepts handled requests\n");
    // Writing to a string cannot fail.
    let _ = writeln!(text, " {} {handled} {} ", get(Metric::Accepted), get(Metric::Requests));
    let waiting = active.saturating_sub(writing + reading);
    let _ = writeln!(text, "Reading: {reading} Writing: {writing} Waiting: {waiting} ");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use tine_common::roster::Roster;

    fn known(state: ServerState, responding: usize, still_s: u64) -> Known {
        let roster = Roster { state, workers_wanted: 4, ..Roster::default() };
        Known { roster, responding, master_still: Duration::from_secs(still_s) }
    }

    #[test]
    fn it_is_ready_while_a_worker_responds_and_no_stop_was_ordered() {
        use ServerState::{Draining, Reloading, Resting, Serving, Starting, Unknown, Upgrading};
        for (state, responding, expected) in [
            (Serving, 4, Ok("4 of 4 workers respond")),
            (Serving, 1, Ok("1 of 4 workers respond")),
            (Serving, 0, Err("none of 4 workers responds")),
            (Reloading, 3, Ok("3 of 4 workers respond")),
            (Upgrading, 0, Err("none of 4 workers responds")),
            (Starting, 0, Err("the server is starting")),
            (Starting, 1, Ok("1 of 4 workers respond")),
            (Unknown, 0, Err("the server is starting")),
            (Draining, 4, Err("the server is stopping")),
            (Resting, 2, Err("the workers were told to leave")),
        ] {
            let expected = expected.map(str::to_string).map_err(str::to_string);
            assert_eq!(readyz(&known(state, responding, 0)), expected, "{state} {responding}");
        }
    }

    #[test]
    fn it_lives_while_the_master_does() {
        assert!(livez(&known(ServerState::Serving, 0, 29)).is_ok(), "hung workers are the master's to replace");
        assert_eq!(
            livez(&known(ServerState::Serving, 4, 31)),
            Err("the master has not responded for 31 s".to_string())
        );
    }

    #[test]
    fn stub_status_is_nginxs() {
        let totals = Metrics::from([
            (Metric::Connections, 291),
            (Metric::Accepted, 16_630_950),
            (Metric::Requests, 31_070_465),
            (Metric::InFlight, 179),
        ]);
        assert_eq!(
            stub_status(&totals, 16_630_948, 6),
            "Active connections: 291 \nserver accepts handled requests\n 16630950 16630948 31070465 \n\
             Reading: 6 Writing: 179 Waiting: 106 \n"
        );
    }
}
