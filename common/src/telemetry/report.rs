//! All metrics of the server, from shared memory: any process that maps it can write them, also while the master and all
//! workers hang.
//!
//! Names and labels are OpenTelemetry's where its HTTP conventions have them, and `tine_…` elsewhere. All counters are read
//! from seats, which are never cleared: none goes backwards.

use super::count::{Count, CountFamily, Level};
use super::exposition::{Exposition, Format, Kind, Number, label_text};
use super::requests::BOUNDS_NS;
use super::{Latency, RequestSet, Telemetry, log_linear};
use crate::gauges::{LimitState, Resource};
use crate::limit_status::{ClientsStatus, LimitsStatus, StoreStatus};
use crate::metric::Metric;
use crate::resident;
use crate::roster::Roster;
use crate::scoreboard::Scoreboard;
use crate::status::WorkerState;
use crate::throttle::{Cause, Count as ThrottleCount};
use std::time::Instant;

/// The bounds of the time to the first byte, powers of two of a nanosecond: 131 us to 34 s.
const FIRST_BYTE_POWERS: std::ops::RangeInclusive<u32> = 17..=35;

/// The text of all metrics. `roster`: what the master has published of the processes; without it, what is known of them is
/// left out.
pub fn report(scoreboard: &Scoreboard, roster: Option<&Roster>, format: Format, now: Instant) -> String {
    let telemetry = scoreboard.telemetry();
    let mut out = Exposition::new(format);
    requests(&mut out, &telemetry, scoreboard);
    counts(&mut out, &telemetry);
    levels(&mut out, &telemetry, scoreboard);
    limits(&mut out, scoreboard, now);
    store(&mut out, scoreboard, now);
    if let Some(roster) = roster {
        server(&mut out, &telemetry, scoreboard, roster, now);
        processes(&mut out, &telemetry, scoreboard, roster);
    }
    super::app::write(&mut out, &telemetry);
    out.finish()
}

fn requests(out: &mut Exposition, telemetry: &Telemetry, scoreboard: &Scoreboard) {
    let bounds = BOUNDS_NS.map(seconds);
    let mut family = out.family(
        "http_server_request_duration_seconds",
        Kind::Histogram,
        "Time from the complete head of a request to the last byte of its response in the kernel.",
    );
    for RequestSet { labels, buckets, sum_ns } in telemetry.request_sets() {
        let status = labels.status.map(|status| status.to_string()).unwrap_or_default();
        let text = label_text(&[
            ("http_request_method", labels.method.name()),
            ("http_response_status_code", &status),
            ("network_protocol_version", labels.protocol.name()),
        ]);
        family.histogram(&text, &bounds, &buckets, seconds(sum_ns));
    }
    out.single(
        "http_server_active_requests",
        Kind::Gauge,
        "Requests that are being answered.",
        scoreboard.totals()[Metric::InFlight],
    );
    let times = telemetry.latencies(Latency::FirstByte);
    let bounds: Vec<f64> = FIRST_BYTE_POWERS.map(|power| seconds(1 << power)).collect();
    let below: Vec<u64> = FIRST_BYTE_POWERS.map(|power| times.count_below(power)).chain([times.count()]).collect();
    let buckets: Vec<u64> =
        below.iter().enumerate().map(|(at, count)| count - if at > 0 { below[at - 1] } else { 0 }).collect();
    let mut family = out.family(
        "tine_time_to_first_byte_seconds",
        Kind::Histogram,
        "Time from the complete head of a request to the first byte of its response in the kernel.",
    );
    family.histogram("", &bounds, &buckets, seconds(telemetry.first_byte_ns()));
}

/// All that is counted at its event.
fn counts(out: &mut Exposition, telemetry: &Telemetry) {
    let mut all = Count::ALL.into_iter().peekable();
    while let Some(first) = all.next() {
        let (described, value) = first.describe();
        let CountFamily { name, help, label } = described;
        let mut family = out.family(name, Kind::Counter, help);
        let mut sample = |count: Count, value: &str| {
            let pairs = [(label, value)];
            family.sample(if label.is_empty() { &[] } else { &pairs }, telemetry.counted(count));
        };
        sample(first, value);
        while let Some(next) = all.next_if(|next| next.describe().0 == described) {
            sample(next, next.describe().1);
        }
    }
}

fn levels(out: &mut Exposition, telemetry: &Telemetry, scoreboard: &Scoreboard) {
    let connections = scoreboard.totals()[Metric::Connections];
    let level = |level| telemetry.level(level);
    for (name, help, value) in [
        ("tine_connections", "Open connections of clients.", connections),
        ("tine_websockets", "Open WebSockets.", level(Level::WebSockets)),
        ("tine_buffered_bytes", "Bytes of responses that wait for their clients to read.", level(Level::BufferedBytes)),
        ("tine_connections_reading", "Connections with a part of a request's head.", level(Level::PartsOfHeads)),
        ("tine_app_memory_bytes", "Memory of the applications' Lua VMs.", level(Level::AppMemoryBytes)),
    ] {
        out.single(name, Kind::Gauge, help, value);
    }
    if let Some((at, succeeded)) = telemetry.last_reload() {
        let help = "When the last reload ended.";
        out.single("tine_last_reload_timestamp_seconds", Kind::Gauge, help, at);
        let help = "Whether the last reload succeeded.";
        out.single("tine_last_reload_success", Kind::Gauge, help, succeeded);
    }
}

fn limits(out: &mut Exposition, scoreboard: &Scoreboard, now: Instant) {
    let (throttle, gauges) = (scoreboard.throttle(), scoreboard.gauges());
    // From the next second on, the master measures.
    gauges.want(now);
    out.single("tine_requests_waiting", Kind::Gauge, "Requests that wait for a limit.", throttle.waiting().all);
    let counted = |count| throttle.counted(count);
    for (name, help, count) in [
        (
            "tine_requests_waited",
            "Requests that had to wait for a limit.",
            ThrottleCount::Waited as fn(Cause) -> ThrottleCount,
        ),
        ("tine_requests_refused", "Requests refused by a limit.", ThrottleCount::Refused),
        ("tine_requests_dry_run_refused", "Requests that a dry run would refuse.", ThrottleCount::WouldRefuse),
    ] {
        let mut family = out.family(name, Kind::Counter, help);
        Cause::ALL.into_iter().for_each(|cause| family.sample(&[("limit", cause.name())], counted(count(cause))));
    }
    let help = "Clients that a full table forgot while they owed, and requests that it did not count.";
    let mut family = out.family("tine_limit_clients_forgotten", Kind::Counter, help);
    for (cause, count) in [
        (Cause::ClientRate, ThrottleCount::ForgottenClient),
        (Cause::ClientConcurrency, ThrottleCount::NoPlaceForRequest),
    ] {
        family.sample(&[("limit", cause.name())], counted(count));
    }
    let of_state = [LimitState::Warning, LimitState::Violation];
    let mut family = out.family("tine_limit_changes", Kind::Counter, "How often a limit was near, or was exceeded.");
    for resource in Resource::ALL {
        for state in of_state {
            let labels = [("limit", resource.name()), ("state", &state.to_string())];
            family.sample(&labels, gauges.times(resource, state));
        }
    }
    let LimitsStatus { resources, clients, .. } = LimitsStatus::of(scoreboard, &[], now);
    let mut family = out.family("tine_limit", Kind::Gauge, "Each limit, in requests, bytes, percent or descriptors.");
    resources.iter().for_each(|one| family.sample(&[("limit", one.name.name())], Number(one.limit)));
    clients.iter().for_each(|one| family.sample(&[("limit", one.cause().name())], one.limit));
    let mut family = out.family("tine_limit_used", Kind::Gauge, "How much of each limit is used.");
    for resource in &resources {
        if let Some(used) = resource.used {
            family.sample(&[("limit", resource.name.name())], Number(used));
        }
    }
    for (name, help, value) in [
        (
            "tine_limit_clients",
            "Clients that use some of the limit that each of them has.",
            (|one| one.clients) as fn(&ClientsStatus) -> u64,
        ),
        ("tine_limit_clients_at_limit", "Clients that have nothing left of their limit.", |one| one.at_limit),
        ("tine_limit_busiest_client", "What the client that uses most of its limit uses of it.", |one| one.busiest),
    ] {
        let mut family = out.family(name, Kind::Gauge, help);
        clients.iter().for_each(|one| family.sample(&[("limit", one.cause().name())], value(one)));
    }
    let Some(measured) = gauges.read(now) else { return };
    let mut family = out.family("tine_limit_state", Kind::Gauge, "0: normal, 1: near its limit, 2: over it.");
    for resource in Resource::ALL {
        family.sample(&[("limit", resource.name())], measured.states.get(resource) as u64);
    }
    let help = "Open descriptors of the process that has the most.";
    out.single("tine_open_descriptors", Kind::Gauge, help, measured.descriptors);
    let help = "Descriptors that a process may have.";
    out.single("tine_max_descriptors", Kind::Gauge, help, measured.descriptors_max);
}

/// Only with `--limit-store`.
fn store(out: &mut Exposition, scoreboard: &Scoreboard, now: Instant) {
    let Some(store) = StoreStatus::of(scoreboard.throttle(), now) else { return };
    let help = "Whether the store of the limits that servers share answers.";
    out.single("tine_limit_store_reachable", Kind::Gauge, help, u64::from(store.reachable));
    if let Some(age) = store.contact_age_s {
        let help = "Time since the store last answered.";
        out.single("tine_limit_store_contact_age_seconds", Kind::Gauge, help, age);
    }
    let help = "Servers that were in contact with the store then.";
    out.single("tine_limit_store_servers", Kind::Gauge, help, store.servers);
    for (name, help, values) in [
        ("tine_limit_share", "What this server admits of a limit that servers share.", store.shares),
        ("tine_limit_shared", "The limit of all servers together.", store.limits),
    ] {
        let mut family = out.family(name, Kind::Gauge, help);
        values.into_iter().for_each(|(limit, value)| family.sample(&[("limit", &limit)], value));
    }
}

fn server(out: &mut Exposition, telemetry: &Telemetry, scoreboard: &Scoreboard, roster: &Roster, now: Instant) {
    let status = roster.status(scoreboard, true, now);
    out.family("tine_build_info", Kind::Gauge, "The version.").sample(&[("version", &status.version)], 1);
    let help = "When the master started.";
    out.single("tine_start_time_seconds", Kind::Gauge, help, roster.began_unix_s);
    let help = "Workers that the server should have.";
    out.single("tine_workers_wanted", Kind::Gauge, help, status.workers_wanted);
    let mut family = out.family("tine_workers", Kind::Gauge, "Worker processes, and places without one (waiting).");
    for (state, name) in [
        (WorkerState::Waiting, "waiting"),
        (WorkerState::Booting, "booting"),
        (WorkerState::Ready, "ready"),
        (WorkerState::Leaving, "leaving"),
        (WorkerState::Hung, "hung"),
    ] {
        let count = status.workers.iter().filter(|worker| worker.state == state).count();
        family.sample(&[("state", name)], count);
    }
    let mut family =
        out.family("tine_accept_queue", Kind::Gauge, "Connections that wait to be accepted, of TCP listeners.");
    for (listener, count) in
        roster.listen.iter().zip(telemetry.accept_queues()).filter(|(url, _)| !url.contains("unix"))
    {
        family.sample(&[("listener", listener)], count);
    }
    let mut family = out.family("tine_worker_resident_memory_bytes", Kind::Gauge, "Resident memory of each worker.");
    // While a worker is replaced, two have its number, one after the other.
    for workers in status.workers.chunk_by(|one, other| one.slot == other.slot) {
        let bytes: u64 = workers.iter().map(|worker| worker.rss_bytes).sum();
        family.sample(&[("worker", &workers[0].slot.to_string())], bytes);
    }
}

fn processes(out: &mut Exposition, telemetry: &Telemetry, scoreboard: &Scoreboard, roster: &Roster) {
    let exited = telemetry.exited_cpu_us();
    // Over an upgrade, those of the other master belong to the server, too.
    let pids: Vec<u32> = roster.pids().chain(scoreboard.other_pids()).collect();
    let living: f64 = pids.iter().copied().filter_map(resident::cpu_seconds).sum();
    let all = telemetry.cpu_us_at_least(exited + (living * 1e6) as u64);
    let help = "CPU time of all processes of the server, those included that have exited.";
    out.single("tine_cpu_seconds", Kind::Counter, help, Number(all as f64 / 1e6));
    if let Some(bytes) = resident::together(pids.into_iter()) {
        let help = "Memory of all processes of the server, each page once.";
        out.single("tine_memory_bytes", Kind::Gauge, help, bytes);
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

const _: () = assert!(*log_linear::POWERS.start() <= 17 && *log_linear::POWERS.end() >= 35);
