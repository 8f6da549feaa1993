//! What `--admin` serves: the status page, metrics and probes. An application like any other, in a process of its own, so that
//! it answers while no worker does.
//!
//! It only reads: shared memory, and /proc. No request changes anything, so that it matters little where it is from. What it
//! says of the master comes from the bulletin, not from asking: the master may be busy or stopped.

mod history;
mod latency;
mod metrics;
mod page;
mod probes;
mod snapshot;
mod sparkline;

use history::History;
use latency::Latencies;
use probes::Verdict;
use snapshot::{Known, Snapshot};
use std::io;
use std::time::Instant;
use tine_common::bulletin::Bulletin;
use tine_common::metric::Metric;
use tine_common::roster::Roster;
use tine_common::scoreboard::Scoreboard;
use tine_common::telemetry::Level;
use tine_worker::app::{Answer, App, AppFactory, Cx};
use tine_worker::http::{Request, Response, StatusCode};

const INDEX: &str = "\
/status       the status page, for people
/status.json  the same as JSON
/metrics      for Prometheus: its text format, or OpenMetrics if Accept prefers that
/stub_status  as nginx's
/livez        200 while the master responds, else 503
/readyz       200 while a worker serves and no stop was ordered, else 503
";

/// Where it reads. All of it is shared memory, which outlives the process that serves it.
#[derive(Clone, Copy)]
pub struct Sources {
    /// The scoreboard of the workers.
    pub server: Scoreboard,
    /// Where the master posts its roster.
    pub bulletin: Bulletin,
    history: History,
}

impl Sources {
    pub fn new(server: Scoreboard, bulletin: Bulletin) -> io::Result<Sources> {
        Ok(Sources { server, bulletin, history: History::new()? })
    }

    #[cfg(test)]
    fn of_nothing() -> Sources {
        let memory = "shared memory";
        Sources::new(Scoreboard::new(2).expect(memory), Bulletin::new().expect(memory)).expect(memory)
    }

    /// What the master has posted last.
    fn roster(&self) -> Option<Roster> {
        serde_json::from_slice(&self.bulletin.read()?).ok()
    }

    pub fn factory(self) -> AppFactory {
        Box::new(move |_| Ok(Box::new(Admin::new(self))))
    }
}

struct Admin {
    sources: Sources,
    latencies: Latencies,
}

impl App for Admin {
    fn call(&mut self, request: &Request<'_>, cx: &Cx<'_>) -> Answer {
        let response = match (self.answer(request, cx.now()), request.method()) {
            (None, _) => Response::text(StatusCode::NOT_FOUND, format!("there is no such page; there are\n{INDEX}")),
            (Some(response), "GET" | "HEAD") => response,
            (Some(_), _) => {
                let text = "only GET and HEAD: nothing can be changed here\n";
                Response::text(StatusCode::METHOD_NOT_ALLOWED, text).header("Allow", "GET, HEAD")
            }
        };
        // What it shows is true now; and of no use to other sites.
        response
            .header("Cache-Control", "no-store")
            .header("X-Content-Type-Options", "nosniff")
            .header("Cross-Origin-Resource-Policy", "same-origin")
            .into()
    }

    fn each_second(&mut self, now: Instant) {
        let Sources { server, history, .. } = &self.sources;
        let gauges = server.gauges();
        gauges.want(now);
        let last = self.latencies.take(server, now);
        history.take(server, gauges.read(now).as_ref(), last, now);
    }
}

impl Admin {
    fn new(sources: Sources) -> Admin {
        Admin { sources, latencies: Latencies::default() }
    }

    /// `None`: there is no such path.
    fn answer(&mut self, request: &Request<'_>, now: Instant) -> Option<Response> {
        let sources = &self.sources;
        let known = || Known::new(sources, now);
        let snapshot = || Snapshot::new(sources, self.latencies.of_minute(&sources.server), now);
        Some(match request.path() {
            "/" => Response::text(StatusCode::OK, INDEX),
            "/status" => match request.query() {
                Some("fragment") => page::fragment(&snapshot()),
                _ => page::whole(&snapshot()),
            },
            "/status.css" => page::style(),
            "/status.js" => page::script(),
            "/status.json" => json(&snapshot()),
            "/metrics" => metrics::answer(sources, request.headers(), now),
            "/stub_status" => Response::text(StatusCode::OK, stub_status(&sources.server)),
            "/livez" => verdict(probes::livez(&known())),
            "/readyz" => verdict(probes::readyz(&known())),
            _ => return None,
        })
    }
}

fn stub_status(server: &Scoreboard) -> String {
    let (totals, telemetry) = (server.totals(), server.telemetry());
    let handled = totals[Metric::Accepted].saturating_sub(totals[Metric::Refused]);
    probes::stub_status(&totals, telemetry.handled_at_least(handled), telemetry.level(Level::PartsOfHeads))
}

fn json(snapshot: &Snapshot) -> Response {
    match serde_json::to_vec(snapshot) {
        Ok(text) => Response::json(StatusCode::OK, text),
        Err(e) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{e}\n")),
    }
}

fn verdict(verdict: Verdict) -> Response {
    match verdict {
        Ok(why) => Response::text(StatusCode::OK, format!("ok: {why}\n")),
        Err(why) => Response::text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tine_worker::testing::Client;

    #[test]
    fn before_the_first_post_it_answers_and_is_not_ready() {
        let mut client = Client::new(Admin::new(Sources::of_nothing()));
        for (path, status) in [
            ("/", 200),
            ("/status", 200),
            ("/status?fragment", 200),
            ("/status.json", 200),
            ("/status.css", 200),
            ("/status.js", 200),
            ("/metrics", 200),
            ("/stub_status", 200),
            ("/readyz", 503),
            ("/livez", 200),
            ("/favicon.ico", 404),
        ] {
            let response = client.get(path);
            assert_eq!(response.status, status, "{path}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{path}");
        }
        assert_eq!(client.get("/readyz").text(), "the server is starting\n");
        assert_eq!(client.request("POST", "/status", &[], b"x").status, 405);
    }
}
