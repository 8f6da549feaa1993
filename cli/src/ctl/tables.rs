//! The output of `tine ctl status` and `tine ctl workers`, in 80 columns.

use super::show::{age, bytes, count, fit, percent, rate, width};
use super::{Rates, limits};
use tine_common::metric::Metric;
use tine_common::status::{RequestStatus, Status, WorkerState, WorkerStatus};
use tine_common::units::counted;

const COLUMNS: usize = 80;
/// Column of the values of `status`.
const INDENT: usize = 14;

pub fn status(status: &Status) -> String {
    let mut text = format!("{}\n", fit(&format!("tine {} serves {}", status.version, status.name), COLUMNS));
    let mut line = |name: &str, value: String| {
        for (i, part) in wrapped(&value, COLUMNS - INDENT).iter().enumerate() {
            let name = if i == 0 { name } else { "" };
            text.push_str(&format!("  {name:<width$}{part}\n", width = INDENT - 2));
        }
    };
    for url in &status.listen {
        line("listens on", url.clone());
    }
    line("state", format!("{}, {}", status.state, generations(status)));
    line("master", format!("process {}, for {}", status.pid, age(status.uptime_s)));
    line("workers", format!("{} ready of {}", status.workers_ready, status.workers_wanted));
    line(
        "connections",
        format!("{}, of {} accepted", status.totals[Metric::Connections], status.totals[Metric::Accepted]),
    );
    line("in flight", status.totals[Metric::InFlight].to_string());
    let cut = status.totals[Metric::ResponsesCut];
    line(
        "answered",
        format!("{}, {} cut", counted(status.totals[Metric::Requests], "request"), counted(cut, "response")),
    );
    line("refused", format!("{} with 503", counted(status.totals[Metric::Refused], "connection")));
    line("cut", format!("{} in use", counted(status.totals[Metric::Cut], "connection")));
    line("memory", status.memory_bytes.map_or("unknown".to_string(), bytes));
    if let Some(limits) = status.limits.as_ref().filter(|limits| limits.is_any()) {
        let of_server = limits.resources.iter().map(|resource| limits::line(resource, limits));
        let of_clients = limits.clients.iter().map(|clients| limits.line_of(clients));
        for (i, text) in of_server.chain(of_clients).enumerate() {
            line(if i == 0 { "limits" } else { "" }, text);
        }
        line("held back", limits.held_back());
        limits.store.iter().for_each(|store| line("limit store", store.line()));
    }
    if let Some(reload) = &status.reload {
        line("last change", reload.clone());
    }
    if let Some(cause) = &status.last_cause {
        line("last death", cause_with_age(cause, status.last_cause_age_s));
    }
    text
}

/// `generation 3`, or `generations 3, 4`.
pub fn generations(status: &Status) -> String {
    let all: Vec<String> = status.generations.iter().map(u64::to_string).collect();
    match all.len() {
        0 | 1 => format!("generation {}", status.generation),
        _ => format!("generations {}", all.join(", ")),
    }
}

/// Why the last worker died, and when.
pub fn cause_with_age(cause: &str, age_s: Option<f64>) -> String {
    age_s.map_or(cause.to_string(), |seconds| format!("{} ago: {cause}", age(seconds)))
}

/// `before` is an earlier sample of the same server, for the rates.
pub fn workers(before: &Status, after: &Status) -> String {
    let mut text = format!(
        "{:>4} {:>7} {:>3} {:<7} {:>6} {:>6} {:>6} {:>8} {:>6} {:>4} {:>5}\n",
        "SLOT", "PID", "GEN", "STATE", "AGE", "CONNS", "FLIGHT", "ANSWERED", "REQ/S", "CPU", "RSS"
    );
    for worker in &after.workers {
        text.push_str(&row(worker, Rates::of_worker(before, after, worker)));
        text.extend(worker.in_flight_requests.iter().map(|one| request(one, COLUMNS) + "\n"));
        if worker.in_flight_not_shown > 0 {
            text.push_str(&format!("       and {} more\n", worker.in_flight_not_shown));
        }
    }
    text
}

fn row(worker: &WorkerStatus, rates: Rates) -> String {
    let slot = worker.slot;
    let unknown = || "-".to_string();
    if worker.state == WorkerState::Waiting {
        let when = worker.starts_in_s.map_or("soon".to_string(), |seconds| format!("in {}", age(seconds)));
        return format!("{slot:>4} {:>7} {:>3} {}, starts {when}\n", "-", worker.generation, worker.state);
    }
    let line = format!(
        "{slot:>4} {:>7} {:>3} {:<7} {:>6} {:>6} {:>6} {:>8} {:>6} {:>4} {:>5}\n",
        worker.pid.map_or_else(unknown, |pid| pid.to_string()),
        worker.generation,
        worker.state.to_string(),
        age(worker.age_s),
        count(worker.connections),
        count(worker.in_flight),
        count(worker.requests),
        rates.requests_per_s.map_or_else(unknown, rate),
        rates.cpu_percent.map_or_else(unknown, percent),
        bytes(worker.rss_bytes),
    );
    let still = worker.beat_age_s.filter(|_| worker.state == WorkerState::Hung);
    let notes = [
        worker.is_elected.then(|| "elected".to_string()),
        still.map(|seconds| format!("no sign of life for {}", age(seconds))),
    ];
    match notes.into_iter().flatten().reduce(|one, other| format!("{one}, {other}")) {
        Some(notes) => format!("{line}     {notes}\n"),
        None => line,
    }
}

/// `*` marks the request that the worker is running.
pub fn request(request: &RequestStatus, columns: usize) -> String {
    let mark = if request.is_running { '*' } else { ' ' };
    let what = format!("{} {}", request.method, request.target);
    format!("     {mark} {:>6}  {}", age(request.age_s), fit(&what, columns.saturating_sub(15)))
}

/// The text in lines of at most this many columns, broken at spaces if there are some; at least one line.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let text = fit(text, columns * 6);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let line = lines.last_mut().expect("there is one line at least");
            let gap = usize::from(!line.is_empty());
            if width(line) + gap + width(word) <= columns {
                line.push_str(&" ".repeat(gap));
                line.push_str(word);
                break;
            }
            if line.is_empty() {
                let (head, rest) = split_at_column(word, columns);
                line.push_str(head);
                word = rest;
            }
            lines.push(String::new());
        }
    }
    lines
}

/// Splits the text after the characters that take this many columns.
fn split_at_column(text: &str, columns: usize) -> (&str, &str) {
    let ends = text.char_indices().map(|(at, c)| at + c.len_utf8());
    // At least one character, however wide.
    let end = ends.enumerate().take_while(|&(i, end)| i == 0 || width(&text[..end]) <= columns).last();
    text.split_at(end.map_or(text.len(), |(_, end)| end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tine_common::status::ServerState;

    fn server() -> Status {
        let worker = |slot: u64, state, requests, cpu_s| WorkerStatus {
            slot,
            pid: Some(1000 + slot as u32),
            generation: 3,
            state,
            age_s: 7384.0,
            beat_age_s: Some(31.5),
            connections: 12,
            requests,
            cpu_s,
            rss_bytes: 24_222_106,
            ..WorkerStatus::default()
        };
        let request = |method: &str, target: &str, age_s, is_running| RequestStatus {
            method: method.to_string(),
            target: target.to_string(),
            age_s,
            is_running,
        };
        let mut workers = vec![
            worker(0, WorkerState::Ready, 52_013, 10.0),
            worker(1, WorkerState::Hung, 7, 2.0),
            WorkerStatus { slot: 2, state: WorkerState::Waiting, starts_in_s: Some(3.24), ..WorkerStatus::default() },
        ];
        workers[0].is_elected = true;
        workers[1].in_flight = 9;
        workers[1].in_flight_requests =
            vec![request("GET", "/spin?for=ever", 31.5, true), request("POST", &"/long".repeat(60), 0.2, false)];
        workers[1].in_flight_not_shown = 7;
        Status {
            version: "0.1.0".to_string(),
            pid: 999,
            uptime_s: 7385.0,
            name: "docs.app:app".to_string(),
            listen: vec!["http://127.0.0.1:8080".to_string(), "unix:/run/tine.sock".to_string()],
            generation: 3,
            state: ServerState::Serving,
            workers_wanted: 3,
            workers_ready: 1,
            totals: [
                (Metric::Connections, 24),
                (Metric::InFlight, 9),
                (Metric::Requests, 52_020),
                (Metric::Accepted, 130),
            ]
            .into(),
            memory_bytes: Some(24_222_106),
            last_cause: Some(format!("worker 2 (pid 7) was killed by SIGSEGV (11){}", " and so on".repeat(80))),
            workers,
            ..Status::default()
        }
    }

    #[track_caller]
    fn fits(text: &str) {
        for line in text.lines() {
            assert!(line.chars().count() <= COLUMNS, "{} columns: {line}", line.chars().count());
        }
    }

    #[test]
    fn the_status_in_words() {
        let text = status(&server());
        fits(&text);
        let head = "\
tine 0.1.0 serves docs.app:app
  listens on  http://127.0.0.1:8080
  listens on  unix:/run/tine.sock
  state       serving, generation 3
  master      process 999, for 2h03m
  workers     1 ready of 3
  connections 24, of 130 accepted
  in flight   9
  answered    52020 requests, 0 responses cut
  refused     0 connections with 503
  cut         0 connections in use
  memory      23.1M
  last death  worker 2 (pid 7) was killed by SIGSEGV (11) and so on and so on
              and so on";
        assert!(text.starts_with(head), "{text}");
    }

    #[test]
    fn the_workers_in_a_table() {
        let after = server();
        let mut before = after.clone();
        before.uptime_s -= 1.0;
        before.workers[0].requests -= 1234;
        before.workers[0].cpu_s -= 0.25;
        before.workers[1].pid = Some(77); // another one
        let text = workers(&before, &after);
        fits(&text);
        let expected = "\
SLOT     PID GEN STATE      AGE  CONNS FLIGHT ANSWERED  REQ/S  CPU   RSS
   0    1000   3 ready    2h03m     12      0    52013   1.2k  25% 23.1M
     elected
   1    1001   3 hung     2h03m     12      9        7      -    - 23.1M
     no sign of life for 31s
     *    31s  GET /spin?for=ever
         0.2s  POST /long/long/long/long/long/long/long/long/long/long/long/lon~
       and 7 more
   2       -   0 waiting, starts in 3.2s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_largest_of_everything_fits() {
        let mut after = server();
        for worker in &mut after.workers {
            *worker = WorkerStatus {
                slot: 1023,
                pid: Some(4_194_304),
                generation: 999,
                state: WorkerState::Leaving,
                age_s: 86_400.0 * 999.0,
                connections: u64::MAX,
                in_flight: u64::MAX,
                requests: u64::MAX,
                cpu_s: 1e9,
                rss_bytes: u64::MAX,
                is_elected: true,
                ..worker.clone()
            };
        }
        let mut before = after.clone();
        before.uptime_s -= 0.5;
        before.workers.iter_mut().for_each(|worker| worker.requests -= 499_999_999);
        fits(&workers(&before, &after));
        after.name = "x".repeat(300);
        after.listen = vec!["unix:/".to_string() + &"x".repeat(107)];
        fits(&status(&after));
    }

    #[test]
    fn long_texts_are_broken_at_spaces() {
        for (text, expected) in [
            ("", &[""][..]),
            ("abc def", &["abc def"]),
            ("abc defgh", &["abc", "defgh"]),
            ("abcdefghijklmnop", &["abcdefgh", "ijklmnop"]),
            ("ab abcdefghijk", &["ab", "abcdefgh", "ijk"]),
        ] {
            assert_eq!(wrapped(text, 8), expected, "{text:?}");
        }
    }
}
