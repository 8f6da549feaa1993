//! The numbers at the top of the page, each with its last minutes.

use crate::admin::history::{self, Word};
use crate::admin::snapshot::Snapshot;
use crate::admin::sparkline;
use tine_common::figures::{self, bytes, count, percent, rate};
use tine_common::metric::Metric;

const UNKNOWN: &str = "–";

/// A number, and what is beside it.
struct Tile {
    name: &'static str,
    value: String,
    /// In small type below the value.
    beside: String,
    values: Vec<Option<f64>>,
    show: fn(f64) -> String,
}

impl Tile {
    fn html(&self) -> String {
        let Tile { name, value, beside, values, show } = self;
        let most = values.iter().flatten().copied().reduce(f64::max);
        let most = most.map_or(String::new(), |most| format!("<span>5 min: up to {}</span>", show(most)));
        let picture = sparkline::svg(values, &format!("{name} in the last minutes"));
        format!(
            "<section class=\"tile\"><h3>{name}{most}</h3><p>{value}</p><small>{beside}</small>{picture}</section>\n"
        )
    }
}

/// A page has the letter that a terminal may not have.
fn duration(seconds: f64) -> String {
    figures::duration(seconds).replace("us", "µs")
}

pub fn tiles(snapshot: &Snapshot) -> String {
    let (totals, seconds) = (&snapshot.status.totals, &snapshot.seconds);
    let known = |value: Option<f64>, show: fn(f64) -> String| value.map_or(UNKNOWN.to_string(), show);
    let whole: fn(f64) -> String = |value| count(value as u64);
    let size: fn(f64) -> String = |value| bytes(value as u64);
    let tiles = [
        Tile {
            name: "Requests a second",
            value: known(snapshot.rates.requests_per_s, rate),
            beside: format!("{} in all", count(totals[Metric::Requests])),
            values: history::rates(seconds, Word::Requests),
            show: rate,
        },
        Tile {
            name: "Duration",
            value: known(snapshot.latency.map(|latency| latency.p50_s), duration),
            beside: snapshot.latency.map_or("of half of the requests".to_string(), |latency| {
                format!("p90 {} · p99 {}", duration(latency.p90_s), duration(latency.p99_s))
            }),
            values: history::gauges(seconds, Word::P99).iter().map(|us| us.map(|us| us / 1e6)).collect(),
            show: duration,
        },
        Tile {
            name: "In flight",
            value: count(totals[Metric::InFlight]),
            beside: "requests".to_string(),
            values: history::gauges(seconds, Word::InFlight),
            show: whole,
        },
        Tile {
            name: "Connections",
            value: count(totals[Metric::Connections]),
            beside: format!("{} a second", known(snapshot.rates.accepted_per_s, rate)),
            values: history::gauges(seconds, Word::Connections),
            show: whole,
        },
        Tile {
            name: "CPU",
            value: known(snapshot.cpu_percent, percent),
            beside: "100 % is one CPU".to_string(),
            values: history::gauges(seconds, Word::Cpu).iter().map(|cpu| cpu.map(|cpu| cpu / 1000.0)).collect(),
            show: percent,
        },
        Tile {
            name: "Memory",
            value: known(snapshot.status.memory_bytes.map(|bytes| bytes as f64), size),
            beside: "all processes".to_string(),
            values: history::gauges(seconds, Word::Memory),
            show: size,
        },
    ];
    format!("<div class=\"tiles\">{}</div>\n", tiles.iter().map(Tile::html).collect::<String>())
}
