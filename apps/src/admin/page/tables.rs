//! The tables of the page: workers, requests in flight, events. Each is bounded, however large the server.

use crate::admin::snapshot::Snapshot;
use crate::html::escape;
use tine_common::figures::{age, bytes, count};
use tine_common::status::{RequestStatus, WorkerState, WorkerStatus};

const WORKERS_MAX: usize = 64;
const REQUESTS_MAX: usize = 40;
const EVENTS_MAX: usize = 40;

pub fn workers(snapshot: &Snapshot) -> String {
    let workers = &snapshot.status.workers;
    // With more than fit, those that need a look come first.
    let mut shown: Vec<&WorkerStatus> = workers.iter().collect();
    if shown.len() > WORKERS_MAX {
        shown.sort_by_key(|worker| (worker.state == WorkerState::Ready, std::cmp::Reverse(worker.in_flight)));
        shown.truncate(WORKERS_MAX);
    }
    let rows: String = shown.iter().map(|worker| worker_row(worker)).collect();
    let more = more(workers.len() - shown.len());
    format!(
        "<h2>Workers</h2>\n<table><thead><tr><th>Slot</th><th>State</th><th class=\"n less\">PID</th><th class=\"n\">Age</th>\
         <th class=\"n less\">Gen</th><th class=\"n\"><abbr title=\"Connections\">Conn</abbr></th><th class=\"n\">In flight</th>\
         <th class=\"n less\">Answered</th><th class=\"n less\">CPU time</th><th class=\"n less\">Memory</th></tr></thead>\
         <tbody>{rows}</tbody></table>{more}\n"
    )
}

fn worker_row(worker: &WorkerStatus) -> String {
    let class = match worker.state {
        WorkerState::Ready => "good",
        WorkerState::Booting | WorkerState::Waiting | WorkerState::Leaving => "busy",
        WorkerState::Hung | WorkerState::Unknown => "bad",
    };
    let state = match (worker.state, worker.beat_age_s, worker.starts_in_s) {
        (WorkerState::Hung, Some(still), _) => format!("hung for {}", age(still)),
        (WorkerState::Waiting, _, Some(seconds)) => format!("starts in {}", age(seconds)),
        (state, ..) => state.to_string(),
    };
    let elected = if worker.is_elected { ", elected" } else { "" };
    let slot = format!("<tr><td>{}</td><td><span class=\"state {class}\">{state}{elected}</span></td>", worker.slot);
    let Some(pid) = worker.pid else { return format!("{slot}<td colspan=\"8\"></td></tr>\n") };
    format!(
        "{slot}<td class=\"n less\">{pid}</td><td class=\"n\">{}</td><td class=\"n less\">{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n less\">{}</td><td class=\"n less\">{}</td><td class=\"n less\">{}</td></tr>\n",
        age(worker.age_s),
        worker.generation,
        count(worker.connections),
        count(worker.in_flight),
        count(worker.requests),
        age(worker.cpu_s),
        bytes(worker.rss_bytes),
    )
}

pub fn in_flight(snapshot: &Snapshot) -> String {
    let workers = &snapshot.status.workers;
    let of_worker = |worker: &'_ WorkerStatus| worker.in_flight_requests.len();
    let mut all: Vec<(&RequestStatus, &WorkerStatus)> = workers
        .iter()
        .flat_map(|worker| worker.in_flight_requests.iter().map(move |request| (request, worker)))
        .collect();
    all.sort_by(|(one, _), (other, _)| other.age_s.total_cmp(&one.age_s));
    let unlisted: u64 = workers.iter().map(|worker| worker.in_flight_not_shown).sum();
    let listed: usize = workers.iter().map(of_worker).sum();
    let rows: String = all.iter().take(REQUESTS_MAX).map(|(request, worker)| request_row(request, worker)).collect();
    if rows.is_empty() {
        return "<h2>In flight</h2>\n<p class=\"none\">No request is in flight for longer than a moment.</p>\n"
            .to_string();
    }
    let more = more(listed.saturating_sub(REQUESTS_MAX) + unlisted as usize);
    format!(
        "<h2>In flight<small>the oldest first</small></h2>\n<table><thead><tr><th class=\"n\">For</th><th>Method</th>\
         <th>Target</th><th class=\"n less\">Slot</th></tr></thead><tbody>{rows}</tbody></table>{more}\n"
    )
}

fn request_row(request: &RequestStatus, worker: &WorkerStatus) -> String {
    // What a hung worker hangs in.
    let is_cause = request.is_running && worker.state == WorkerState::Hung;
    let class = if is_cause { " class=\"bad\"" } else { "" };
    let mark = if is_cause { " <span class=\"bad\">the worker hangs in it</span>" } else { "" };
    format!(
        "<tr{class}><td class=\"n\">{}</td><td>{}</td><td class=\"wide\"><code>{}</code>{mark}</td>\
         <td class=\"n less\">{}</td></tr>\n",
        age(request.age_s),
        escape(&request.method),
        escape(&request.target),
        worker.slot,
    )
}

pub fn events(snapshot: &Snapshot) -> String {
    let row = |event: &tine_common::log::Event| {
        let (class, level) = match event.level.as_str() {
            "ERROR" => ("bad", "error"),
            "WARN" => ("busy", "warning"),
            _ => ("soft", "info"),
        };
        let ago = age(snapshot.unix_ms.saturating_sub(event.unix_ms) as f64 / 1000.0);
        // On a telephone, below the time.
        let small = if level == "info" { String::new() } else { format!("<small class=\"{class}\">{level}</small>") };
        format!(
            "<tr><td class=\"n when\">{ago} ago{small}</td><td class=\"{class} less\">{level}</td><td class=\"wide\">{}</td></tr>\n",
            escape(&event.text)
        )
    };
    let rows: String = snapshot.events.iter().rev().take(EVENTS_MAX).map(row).collect();
    if rows.is_empty() {
        return "<h2>Events</h2>\n<p class=\"none\">Nothing has happened yet.</p>\n".to_string();
    }
    format!("<h2>Events<small>the newest first</small></h2>\n<table><tbody>{rows}</tbody></table>\n")
}

/// What a table leaves out.
fn more(count: usize) -> String {
    if count == 0 { String::new() } else { format!("<p class=\"more\">and {count} more</p>") }
}
