//! The state of `tine top`: samples of the server, a short history, and the user's selection. No terminal.
use super::sampler::Sample;
use crate::ctl::Rates;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;
use tine_common::status::{Status, WorkerStatus};
use tine_common::telemetry::LogLinear;

/// Samples that are kept; more than any terminal is wide.
const HISTORY_MAX: usize = 512;
const PAGE: isize = 10;
/// Quantiles are of the time between this many samples.
const QUANTILE_SAMPLES: usize = 10;

/// The keys that change the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    NextSort,
    Reverse,
    NextBar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Slot,
    State,
    Age,
    Connections,
    InFlight,
    Rate,
    Cpu,
    Rss,
}

impl Sort {
    pub const ALL: [Sort; 8] =
        [Sort::Slot, Sort::State, Sort::Age, Sort::Connections, Sort::InFlight, Sort::Rate, Sort::Cpu, Sort::Rss];
}

/// What a worker's bar shows, as a share of the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bar {
    Connections,
    Rate,
    Cpu,
}

pub struct Model {
    pub status: Option<Status>,
    before: Option<Status>,
    /// Why the last sample failed; what is shown is older.
    pub trouble: Option<String>,
    pub rates: Rates,
    /// How long half of the requests took, and all but one of a hundred; of those of the last samples.
    pub quantiles: Option<(Duration, Duration)>,
    /// How long requests took until each of the last samples, the oldest first.
    durations: VecDeque<LogLinear>,
    /// The newest first.
    pub rate_history: VecDeque<u64>,
    pub cpu_history: VecDeque<u64>,
    pub sort: Sort,
    pub is_reversed: bool,
    pub bar: Bar,
    /// `None`: the first row, whichever it is.
    selected: Option<Selected>,
}

/// A process, or a slot without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Selected {
    slot: u64,
    pid: Option<u32>,
}

pub struct Row<'a> {
    pub worker: &'a WorkerStatus,
    pub rates: Rates,
}

impl Model {
    pub fn new() -> Self {
        Model {
            status: None,
            before: None,
            trouble: None,
            rates: Rates::default(),
            quantiles: None,
            durations: VecDeque::new(),
            rate_history: VecDeque::new(),
            cpu_history: VecDeque::new(),
            sort: Sort::Slot,
            is_reversed: false,
            bar: Bar::Connections,
            selected: None,
        }
    }

    pub fn on_sample(&mut self, sample: Sample) {
        match sample {
            Ok(status) => {
                self.trouble = None;
                if self.status.as_ref().is_some_and(|before| before.pid != status.pid) {
                    // Another server's.
                    self.durations.clear();
                }
                self.quantiles = self.quantiles_until(&status.durations);
                self.before = self.status.replace(status);
                self.rates = match (&self.before, &self.status) {
                    (Some(before), Some(after)) => Rates::of_server(before, after),
                    _ => Rates::default(),
                };
                let rates = [
                    (&mut self.rate_history, self.rates.requests_per_s),
                    (&mut self.cpu_history, self.rates.cpu_percent),
                ];
                for (history, value) in rates {
                    if let Some(value) = value {
                        history.push_front(value.round() as u64);
                        history.truncate(HISTORY_MAX);
                    }
                }
            }
            Err(why) => self.trouble = Some(why),
        }
    }

    fn quantiles_until(&mut self, now: &LogLinear) -> Option<(Duration, Duration)> {
        self.durations.push_back(now.clone());
        if self.durations.len() > QUANTILE_SAMPLES {
            self.durations.pop_front();
        }
        let recent = now.since(self.durations.front()?);
        Some((recent.quantile(0.5)?, recent.quantile(0.99)?))
    }

    pub fn on_key(&mut self, key: Key) {
        match key {
            Key::Up => self.step(-1),
            Key::Down => self.step(1),
            Key::PageUp => self.step(-PAGE),
            Key::PageDown => self.step(PAGE),
            Key::First => self.step(isize::MIN / 2),
            Key::Last => self.step(isize::MAX / 2),
            Key::NextSort => {
                let at = Sort::ALL.iter().position(|&sort| sort == self.sort).unwrap_or(0);
                self.sort = Sort::ALL[(at + 1) % Sort::ALL.len()];
            }
            Key::Reverse => self.is_reversed = !self.is_reversed,
            Key::NextBar => {
                self.bar = match self.bar {
                    Bar::Connections => Bar::Rate,
                    Bar::Rate => Bar::Cpu,
                    Bar::Cpu => Bar::Connections,
                }
            }
        }
    }

    /// The workers in the selected order: the largest first, but slots and states by their own order; equals by slot.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let Some(status) = &self.status else { return Vec::new() };
        let rates = |worker| {
            let of = |before| Rates::of_worker(before, status, worker);
            self.before.as_ref().map(of).unwrap_or_default()
        };
        let mut rows: Vec<Row<'_>> = status.workers.iter().map(|worker| Row { worker, rates: rates(worker) }).collect();
        rows.sort_by(|a, b| {
            let order = self.order(a, b);
            let order = if self.is_reversed { order.reverse() } else { order };
            order.then_with(|| by_slot(a).cmp(&by_slot(b)))
        });
        rows
    }

    fn order(&self, a: &Row<'_>, b: &Row<'_>) -> Ordering {
        let largest = |value: fn(&Row<'_>) -> f64| value(b).total_cmp(&value(a));
        match self.sort {
            Sort::Slot => by_slot(a).cmp(&by_slot(b)),
            Sort::State => (b.worker.state as u8).cmp(&(a.worker.state as u8)),
            Sort::Age => largest(|row| row.worker.age_s),
            Sort::Connections => largest(|row| row.worker.connections as f64),
            Sort::InFlight => largest(|row| row.worker.in_flight as f64),
            Sort::Rate => largest(|row| row.rates.requests_per_s.unwrap_or(-1.0)),
            Sort::Cpu => largest(|row| row.rates.cpu_percent.unwrap_or(-1.0)),
            Sort::Rss => largest(|row| row.worker.rss_bytes as f64),
        }
    }

    /// The selected row, or the first if none is selected or the selected worker has gone.
    pub fn selected_row(&self, rows: &[Row<'_>]) -> usize {
        let is_selected = |row: &Row<'_>| Some(identity(row.worker)) == self.selected;
        rows.iter().position(is_selected).unwrap_or(0)
    }

    fn step(&mut self, by: isize) {
        let rows = self.rows();
        let last = rows.len().saturating_sub(1) as isize;
        let at = (self.selected_row(&rows) as isize).saturating_add(by).clamp(0, last);
        self.selected = rows.get(at as usize).map(|row| identity(row.worker));
    }
}

/// The length of a row's bar relative to the largest one, 0 to 1.
pub fn share(row: &Row<'_>, rows: &[Row<'_>], bar: Bar) -> f64 {
    let value = |row: &Row<'_>| match bar {
        Bar::Connections => row.worker.connections as f64,
        Bar::Rate => row.rates.requests_per_s.unwrap_or(0.0),
        Bar::Cpu => row.rates.cpu_percent.unwrap_or(0.0),
    };
    let largest = match bar {
        Bar::Cpu => 100.0,
        _ => rows.iter().map(value).fold(0.0, f64::max),
    };
    if largest > 0.0 { (value(row) / largest).min(1.0) } else { 0.0 }
}

fn by_slot(row: &Row<'_>) -> (u64, u64) {
    (row.worker.slot, row.worker.generation)
}

fn identity(worker: &WorkerStatus) -> Selected {
    Selected { slot: worker.slot, pid: worker.pid }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tine_common::metric::Metric;
    use tine_common::status::WorkerState;

    fn status(uptime_s: f64, workers: &[(u64, u64, u64)]) -> Status {
        let worker = |&(slot, connections, requests): &(u64, u64, u64)| WorkerStatus {
            slot,
            pid: Some(100 + slot as u32),
            state: WorkerState::Ready,
            connections,
            requests,
            cpu_s: requests as f64 / 1000.0,
            ..WorkerStatus::default()
        };
        let requests = workers.iter().map(|worker| worker.2).sum();
        Status {
            pid: 1,
            uptime_s,
            totals: [(Metric::Requests, requests)].into(),
            workers: workers.iter().map(worker).collect(),
            ..Status::default()
        }
    }

    fn slots(model: &Model) -> Vec<u64> {
        model.rows().iter().map(|row| row.worker.slot).collect()
    }

    #[test]
    fn samples_come_to_rates_and_history() {
        let mut model = Model::new();
        model.on_sample(Ok(status(10.0, &[(0, 1, 100), (1, 2, 100)])));
        assert!(model.rate_history.is_empty() && model.rates.requests_per_s.is_none());
        model.on_sample(Ok(status(12.0, &[(0, 1, 300), (1, 2, 500)])));
        assert_eq!(model.rates.requests_per_s, Some(300.0));
        model.on_sample(Err("the server is gone".to_string()));
        assert_eq!(model.trouble.as_deref(), Some("the server is gone"));
        assert_eq!(slots(&model), [0, 1], "what was last known stays");
        // Another server: the requests of its whole life are not a rate.
        model.on_sample(Ok(Status { pid: 9, ..status(1.0, &[(0, 1, 90_000)]) }));
        assert_eq!((model.rates.requests_per_s, model.trouble.is_none()), (None, true));
        assert_eq!((&model.rate_history, &model.cpu_history), (&VecDeque::from([300]), &VecDeque::from([30])));
        for i in 0..1000 {
            model.on_sample(Ok(Status { pid: 9, ..status(2.0 + f64::from(i), &[(0, 1, 90_000)]) }));
        }
        assert_eq!(model.rate_history.len(), HISTORY_MAX);
    }

    #[test]
    fn quantiles_are_of_the_last_samples_of_one_server() {
        let (mut model, mut times) = (Model::new(), LogLinear::default());
        let mut sample = |model: &mut Model, pid: u32, ms: u64| {
            times.record(Duration::from_millis(ms));
            model.on_sample(Ok(Status { pid, durations: times.clone(), ..Status::default() }));
            model.quantiles.map(|(p50, p99)| (p50.as_millis(), p99.as_millis()))
        };
        assert_eq!(sample(&mut model, 1, 900), None, "of the server's whole life");
        assert_eq!(sample(&mut model, 1, 10), Some((10, 10)));
        assert_eq!(sample(&mut model, 1, 500), Some((10, 503)));
        for _ in 0..QUANTILE_SAMPLES {
            sample(&mut model, 1, 2);
        }
        assert_eq!(model.quantiles.map(|(_, p99)| p99.as_millis()), Some(2));
        assert_eq!(sample(&mut model, 9, 2), None);
    }

    #[test]
    fn rows_are_sorted_and_the_selected_worker_stays_selected() {
        let mut model = Model::new();
        model.on_sample(Ok(status(10.0, &[(0, 5, 0), (1, 9, 0), (2, 7, 0)])));
        model.on_sample(Ok(status(11.0, &[(0, 5, 10), (1, 9, 30), (2, 7, 20)])));
        assert_eq!((slots(&model), model.selected_row(&model.rows())), (vec![0, 1, 2], 0));
        model.on_key(Key::Down);
        while model.sort != Sort::Connections {
            model.on_key(Key::NextSort);
        }
        assert_eq!((slots(&model), model.selected_row(&model.rows())), (vec![1, 2, 0], 0), "it is still worker 1");
        model.on_key(Key::Reverse);
        assert_eq!((slots(&model), model.selected_row(&model.rows())), (vec![0, 2, 1], 2));
        for (key, at) in
            [(Key::Down, 2), (Key::First, 0), (Key::Up, 0), (Key::PageDown, 2), (Key::PageUp, 0), (Key::Last, 2)]
        {
            model.on_key(key);
            assert_eq!(model.selected_row(&model.rows()), at, "{key:?}");
        }
        for _ in 0..Sort::ALL.len() {
            model.on_key(Key::NextSort);
        }
        assert_eq!(model.sort, Sort::Connections);
        // The selected worker has died: the first row is selected.
        model.on_sample(Ok(status(12.0, &[(0, 5, 10)])));
        assert_eq!(model.selected_row(&model.rows()), 0);
    }

    #[test]
    fn bars_are_shares_of_the_largest() {
        let mut model = Model::new();
        model.on_sample(Ok(status(10.0, &[(0, 5, 0), (1, 10, 0)])));
        model.on_sample(Ok(status(11.0, &[(0, 5, 500), (1, 10, 50)])));
        let shares = |model: &Model| {
            let rows = model.rows();
            rows.iter().map(|row| (share(row, &rows, model.bar) * 100.0).round() as u64).collect::<Vec<_>>()
        };
        for expected in [[50, 100], [100, 10], [50, 5], [50, 100]] {
            assert_eq!(shares(&model), expected, "{:?}", model.bar);
            model.on_key(Key::NextBar);
        }
        let empty = Model::new();
        assert!(empty.rows().is_empty());
    }

    #[test]
    fn keys_before_the_first_sample_do_no_harm() {
        let mut model = Model::new();
        for key in [Key::Up, Key::Down, Key::First, Key::Last, Key::PageUp, Key::NextSort, Key::Reverse, Key::NextBar] {
            model.on_key(key);
        }
        assert_eq!(model.selected_row(&model.rows()), 0);
    }
}
