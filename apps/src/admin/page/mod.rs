//! `/status`: the page for people. It works without JavaScript; with it, the page fetches its changing part ([`fragment`])
//! every two seconds.
//!
//! Everything that comes from clients, applications or options goes through [`escape`]. The page loads its style and its
//! script from beside it, and the policy allows nothing else, so that nothing in the page itself would run.

mod limits;
mod tables;
mod tiles;

use super::snapshot::Snapshot;
use crate::html::escape;
use tine_common::figures::age;
use tine_common::status::{ServerState, Status, WorkerState};
use tine_worker::http::{Response, StatusCode};

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// The master is alive once a second; without it for this long the page says so.
const STILL_S: f64 = 5.0;

pub fn whole(snapshot: &Snapshot) -> Response {
    let title = format!("{} · {}", snapshot.status.name, snapshot.status.state);
    let (before, after) = FRAME.split_once("{{live}}").expect("the frame has a place for what changes");
    let html = [&before.replace("{{title}}", &escape(&title)), live(snapshot).as_str(), after].concat();
    html_response(html).header("Content-Security-Policy", POLICY).header("Referrer-Policy", "no-referrer")
}

/// The part that changes.
pub fn fragment(snapshot: &Snapshot) -> Response {
    html_response(live(snapshot))
}

pub fn style() -> Response {
    Response::new(StatusCode::OK).content_type("text/css; charset=utf-8").body(STYLE)
}

pub fn script() -> Response {
    Response::new(StatusCode::OK).content_type("text/javascript; charset=utf-8").body(SCRIPT)
}

fn html_response(html: String) -> Response {
    Response::new(StatusCode::OK).content_type("text/html; charset=utf-8").body(html)
}

fn live(snapshot: &Snapshot) -> String {
    let parts = [
        head(&snapshot.status),
        alert(snapshot),
        tiles::tiles(snapshot),
        limits::limits(snapshot),
        tables::workers(snapshot),
        tables::in_flight(snapshot),
        tables::events(snapshot),
    ];
    parts.concat()
}

/// What is served, where, and in which state.
fn head(status: &Status) -> String {
    let responding = status.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count();
    let (class, state) = match status.state {
        // As /readyz.
        ServerState::Serving if responding == 0 => ("bad", "no worker responds".to_string()),
        ServerState::Serving => ("good", status.state.to_string()),
        ServerState::Reloading | ServerState::Upgrading | ServerState::Starting => ("busy", status.state.to_string()),
        ServerState::Draining | ServerState::Resting | ServerState::Unknown => ("bad", status.state.to_string()),
    };
    let workers = format!("{responding} of {} workers", status.workers_wanted);
    let generation = format!("generation {}", status.generation);
    let facts = [
        status.listen.join(", "),
        workers,
        generation,
        format!("up {}", age(status.uptime_s)),
        format!("tine {}", status.version),
        format!("pid {}", status.pid),
    ];
    let facts: String = facts.iter().map(|fact| format!("<li>{}</li>", escape(fact))).collect();
    // How a reload went that is over is among the events.
    let reload = status.reload.as_ref().filter(|text| class != "good" || text.starts_with("the last"));
    let reload = reload.map_or(String::new(), |text| format!("<p>{}</p>", escape(text)));
    format!(
        "<header><h1>{}</h1><p class=\"state {class}\">{}</p><ul class=\"facts\">{facts}</ul>{reload}</header>\n",
        escape(&status.name),
        state
    )
}

/// What makes the rest of the page less true than it looks.
fn alert(snapshot: &Snapshot) -> String {
    match snapshot.master_still_s {
        still if still >= STILL_S => format!(
            "<p class=\"alert\">The master has not responded for {}. It replaces no worker while it is stopped or hangs; \
             what is said about it below is as old.</p>\n",
            age(still)
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tine_common::log::Event;
    use tine_common::status::{RequestStatus, WorkerStatus};

    /// A server in which every text is hostile.
    fn hostile() -> Snapshot {
        let evil = || "<script>alert('\"&')</script>".to_string();
        let request = RequestStatus { method: evil(), target: evil(), age_s: 2.0, is_running: true };
        let worker = WorkerStatus {
            pid: Some(7),
            state: WorkerState::Ready,
            in_flight_requests: vec![request],
            ..WorkerStatus::default()
        };
        let status = Status {
            name: evil(),
            version: evil(),
            listen: vec![evil()],
            reload: Some(evil()),
            workers: vec![worker],
            ..Status::default()
        };
        let event = Event { unix_ms: 1, level: "WARN".to_string(), text: evil() };
        Snapshot { status, events: vec![event], ..Snapshot::default() }
    }

    #[test]
    fn nothing_hostile_reaches_the_page_unescaped() {
        let html = live(&hostile());
        assert_eq!(html.matches("<script").count(), 0, "{html}");
        assert_eq!(html.matches("&lt;script&gt;alert(&#39;&quot;&amp;&#39;)&lt;/script&gt;").count(), 7, "{html}");
    }

    #[test]
    fn the_frame_has_its_places_and_loads_nothing_from_elsewhere() {
        assert!(["{{title}}", "{{live}}"].iter().all(|place| FRAME.matches(place).count() == 1));
        assert!(FRAME.contains("http-equiv=\"refresh\""), "without JavaScript it loads itself again");
        for text in [FRAME, STYLE, SCRIPT] {
            assert!(["//cdn", "http:", "https:", "@import", "url("].iter().all(|outside| !text.contains(outside)));
        }
    }
}
