//! Metrics of applications, exact over all workers: each worker counts in its own seat, and the reader adds up.
//!
//! ```
//! # fn main() -> Result<(), tine_common::telemetry::app::MetricError> {
//! # let metrics = tine_common::telemetry::app::AppMetrics::none();
//! let orders = metrics.counter("shop_orders_total", "Orders placed.", &["kind"])?;
//! orders.add(&["book"], 1.0)?;
//! # Ok(()) }
//! ```
//!
//! A handle is made once, when the application is built; making one looks through all metrics of the worker. What is
//! counted outlives its worker, also over a reload; gauges are gone with it. A worker has 32 KiB for all its metrics, some
//! 500 series. If there is no more room, each handle fails once, and what it could not count is counted
//! (`tine_app_metrics_dropped_total`).

mod area;
mod merge;
mod names;

pub(super) use area::{Area, LINES};
pub(super) use merge::write;

use super::exposition::{Kind, label_text};
use super::{Count, Level, Seat};
use area::{Block, Tag};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// The longest value of a label.
const VALUE_BYTES_MAX: usize = 256;

/// The bounds of a histogram of seconds, if the application has no better ones: OpenTelemetry's for requests.
pub const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Where an application declares its metrics.
#[derive(Clone, Copy)]
pub struct AppMetrics(Seat);

/// How the values of a gauge that several workers have set become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    Sum,
    Max,
    Min,
}

/// What a metric is, with what decides how it adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kinds {
    Counter,
    Gauge(Over),
    Histogram,
}

/// Why a metric cannot be declared or changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricError(String);

/// Only grows.
#[derive(Clone)]
pub struct Counter(Rc<Handle>);

/// Goes up and down.
#[derive(Clone)]
pub struct Gauge(Rc<Handle>);

/// Counts values by their size.
#[derive(Clone)]
pub struct Histogram(Rc<Handle>);

struct Handle {
    seat: Seat,
    /// `None`: nothing is counted outside of a worker.
    family: Option<Block>,
    name: String,
    labels: Vec<String>,
    bounds: Vec<f64>,
    kind: Kinds,
    /// By the values of their labels, each with a zero byte after it.
    series: RefCell<HashMap<String, Block>>,
    key: RefCell<String>,
    /// There was no room, and the application knows.
    is_full: Cell<bool>,
}

impl AppMetrics {
    pub fn of(seat: Seat) -> AppMetrics {
        AppMetrics(seat)
    }

    /// Outside of a worker: metrics can be declared and changed, and nothing is counted.
    pub fn none() -> AppMetrics {
        AppMetrics(Seat::NONE)
    }

    /// The application has failed, and has answered so itself: counts that (`tine_app_errors_total`).
    pub fn count_failure(self) {
        self.0.count(Count::AppErrors, 1);
    }

    /// What the application does outside of requests has failed: counts that (`tine_app_background_errors_total`).
    pub fn count_background_failure(self) {
        self.0.count(Count::BackgroundErrors, 1);
    }

    /// The memory that the application's own VM has allocated.
    pub fn set_memory(self, bytes: u64) {
        self.0.set_level(Level::AppMemoryBytes, bytes);
    }

    /// The name must end with `_total`.
    pub fn counter(self, name: &str, help: &str, labels: &[&str]) -> Result<Counter, MetricError> {
        Ok(Counter(self.declare(Kinds::Counter, name, help, labels, &[])?))
    }

    pub fn gauge(self, name: &str, help: &str, labels: &[&str], over: Over) -> Result<Gauge, MetricError> {
        Ok(Gauge(self.declare(Kinds::Gauge(over), name, help, labels, &[])?))
    }

    /// `bounds`: the upper bounds of the buckets, rising; for times see [`SECONDS`].
    pub fn histogram(self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> Result<Histogram, MetricError> {
        names::check_bounds(name, bounds)?;
        Ok(Histogram(self.declare(Kinds::Histogram, name, help, labels, bounds)?))
    }

    fn declare(
        self,
        kind: Kinds,
        name: &str,
        help: &str,
        labels: &[&str],
        bounds: &[f64],
    ) -> Result<Rc<Handle>, MetricError> {
        names::check(kind.of(), name, help, labels)?;
        let handle = Handle {
            seat: self.0,
            family: self.0.app().map(|area| declared(area, kind, name, help, labels, bounds)).transpose()?,
            name: name.to_string(),
            labels: labels.iter().map(|label| label.to_string()).collect(),
            bounds: bounds.to_vec(),
            kind,
            series: RefCell::default(),
            key: RefCell::default(),
            is_full: Cell::new(false),
        };
        // So that it is 0 before the first time. A gauge has no value until it is set.
        if labels.is_empty() {
            handle.change(&[], |_, _| {})?;
        }
        Ok(Rc::new(handle))
    }
}

/// Finds the family, or appends it.
fn declared(
    area: Area,
    kind: Kinds,
    name: &str,
    help: &str,
    labels: &[&str],
    bounds: &[f64],
) -> Result<Block, MetricError> {
    let text = format!("{name}\0{help}\0{}", labels.join(","));
    let bits: Vec<u64> = bounds.iter().map(|bound| bound.to_bits()).collect();
    let is_same = |block: &Block| {
        area.tag(*block) == Tag::Family(kind.code())
            && area.text(*block) == text
            && (0..area.values(*block)).map(|place| area.value(*block, place).load(Relaxed)).eq(bits.iter().copied())
    };
    let found = area.blocks().find(is_same).or_else(|| area.append(Tag::Family(kind.code()), &text, &bits));
    found.ok_or_else(|| MetricError(format!("there is no room for the metric {name:?}")))
}

impl Counter {
    /// One value for each label, in their order.
    pub fn add(&self, values: &[&str], number: f64) -> Result<(), MetricError> {
        if number.is_nan() || number < 0.0 {
            return Err(MetricError(format!("the counter {:?} cannot change by {number}", self.0.name)));
        }
        self.0.change(values, |area, block| add(area, block, 0, number))
    }
}

impl Gauge {
    pub fn set(&self, values: &[&str], number: f64) -> Result<(), MetricError> {
        self.0.change(values, |area, block| area.value(block, 0).store(number.to_bits(), Relaxed))
    }

    /// As if it were 0 before it is set.
    pub fn add(&self, values: &[&str], number: f64) -> Result<(), MetricError> {
        self.0.change(values, |area, block| {
            let before = f64::from_bits(area.value(block, 0).load(Relaxed));
            let before = if before.is_nan() { 0.0 } else { before };
            area.value(block, 0).store((before + number).to_bits(), Relaxed);
        })
    }
}

impl Histogram {
    pub fn observe(&self, values: &[&str], number: f64) -> Result<(), MetricError> {
        if number.is_nan() {
            return Err(MetricError(format!("the histogram {:?} cannot take NaN", self.0.name)));
        }
        let bounds = &self.0.bounds;
        self.0.change(values, |area, block| {
            let bucket = bounds.iter().position(|&bound| number <= bound).unwrap_or(bounds.len());
            let word = area.value(block, bucket);
            word.store(word.load(Relaxed) + 1, Relaxed);
            add(area, block, bounds.len() + 1, number);
        })
    }
}

fn add(area: Area, block: Block, place: usize, number: f64) {
    let word = area.value(block, place);
    word.store((f64::from_bits(word.load(Relaxed)) + number).to_bits(), Relaxed);
}

impl Handle {
    /// Changes the series of these labels, which may be new.
    fn change(&self, values: &[&str], change: impl FnOnce(Area, Block)) -> Result<(), MetricError> {
        if values.len() != self.labels.len() {
            let (name, most, count) = (&self.name, self.labels.len(), values.len());
            return Err(MetricError(format!("the metric {name:?} has {most} labels, and was given {count} values")));
        }
        let Some((area, family)) = self.seat.app().zip(self.family) else { return Ok(()) };
        let mut key = self.key.borrow_mut();
        key.clear();
        for value in values {
            key.push_str(value);
            key.push('\0');
        }
        let found = self.series.borrow().get(key.as_str()).copied();
        match found.or_else(|| self.find(area, family, values, &key)) {
            Some(block) => change(area, block),
            None => {
                self.seat.count(Count::AppMetricsDropped, 1);
                if !self.is_full.replace(true) {
                    return Err(MetricError(format!(
                        "there is no room for another series of the metric {:?}, or a value of a label is longer than \
                         {VALUE_BYTES_MAX} bytes",
                        self.name
                    )));
                }
            }
        }
        Ok(())
    }

    /// The series of an earlier worker of this slot, or a new one.
    fn find(&self, area: Area, family: Block, values: &[&str], key: &str) -> Option<Block> {
        // Without room, each new value would cost a search.
        if self.is_full.get() || values.iter().any(|value| value.len() > VALUE_BYTES_MAX) {
            return None;
        }
        let pairs: Vec<(&str, &str)> = self.labels.iter().map(String::as_str).zip(values.iter().copied()).collect();
        let (text, tag) = (label_text(&pairs), Tag::Series(family.position()));
        let found = area.blocks().find(|&block| area.tag(block) == tag && area.text(block) == text);
        let block = found.or_else(|| {
            let unset = matches!(self.kind, Kinds::Gauge(_)).then_some(f64::NAN.to_bits());
            let count = if self.kind == Kinds::Histogram { self.bounds.len() + 2 } else { 1 };
            area.append(tag, &text, &vec![unset.unwrap_or(0); count])
        })?;
        self.series.borrow_mut().insert(key.to_string(), block);
        Some(block)
    }
}

/// The worker of this area has exited: its gauges have no value any more.
pub(super) fn retire(area: Area) {
    let is_gauge = |family: usize| {
        area.blocks().find(|block| block.position() == family).is_some_and(|block| {
            matches!(area.tag(block), Tag::Family(code) if matches!(Kinds::of_code(code), Some(Kinds::Gauge(_))))
        })
    };
    for block in area.blocks() {
        if let Tag::Series(family) = area.tag(block)
            && is_gauge(family)
        {
            area.value(block, 0).store(f64::NAN.to_bits(), Relaxed);
        }
    }
}

impl Kinds {
    const ALL: [Kinds; 5] =
        [Kinds::Counter, Kinds::Gauge(Over::Sum), Kinds::Gauge(Over::Max), Kinds::Gauge(Over::Min), Kinds::Histogram];

    fn code(self) -> u8 {
        Kinds::ALL.iter().position(|&kind| kind == self).map_or(0, |place| place as u8)
    }

    fn of_code(code: u8) -> Option<Kinds> {
        Kinds::ALL.get(usize::from(code)).copied()
    }

    fn of(self) -> Kind {
        match self {
            Kinds::Counter => Kind::Counter,
            Kinds::Gauge(_) => Kind::Gauge,
            Kinds::Histogram => Kind::Histogram,
        }
    }
}

impl fmt::Debug for AppMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppMetrics")
    }
}

impl fmt::Display for MetricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MetricError {}

#[cfg(test)]
#[path = "app/tests.rs"]
mod tests;
