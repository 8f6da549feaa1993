//! Adds up what the applications of all workers have counted, those included that have exited.

use super::area::{Area, Tag};
use super::{Kinds, Over};
use crate::telemetry::Telemetry;
use crate::telemetry::exposition::{Exposition, Kind};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

/// A metric as one worker has declared it.
#[derive(Debug, Clone, PartialEq)]
struct Declared {
    kind: Kinds,
    help: String,
    bounds: Vec<f64>,
}

/// A metric over all workers.
struct Merged {
    declared: Declared,
    /// By their labels.
    series: BTreeMap<String, Values>,
}

enum Values {
    Number(f64),
    Histogram { buckets: Vec<u64>, sum: f64 },
}

pub fn write(out: &mut Exposition, telemetry: &Telemetry) {
    let mut all: BTreeMap<String, Merged> = BTreeMap::new();
    for area in telemetry.all().filter_map(|seat| seat.app()) {
        add(&mut all, area);
    }
    for (name, Merged { declared, series }) in all {
        let name = name.strip_suffix("_total").unwrap_or(&name);
        let mut family = out.family(name, declared.kind.of(), &declared.help);
        for (labels, values) in series {
            match values {
                Values::Number(value) => family.sample_of(&labels, value),
                Values::Histogram { buckets, sum } => family.histogram(&labels, &declared.bounds, &buckets, sum),
            }
        }
    }
}

fn add(all: &mut BTreeMap<String, Merged>, area: Area) {
    // The families of this area, by their positions.
    let mut families: BTreeMap<usize, (String, Declared)> = BTreeMap::new();
    for block in area.blocks() {
        match area.tag(block) {
            Tag::Family(code) => {
                let text = area.text(block);
                let mut parts = text.splitn(3, '\0');
                let (Some(name), Some(help), Some(kind)) = (parts.next(), parts.next(), Kinds::of_code(code)) else {
                    continue;
                };
                let bound = |place| f64::from_bits(area.value(block, place).load(Relaxed));
                let bounds = (0..area.values(block)).map(bound).collect();
                let declared = Declared { kind, help: help.to_string(), bounds };
                families.insert(block.position(), (name.to_string(), declared));
            }
            Tag::Series(family) => {
                let Some((name, declared)) = families.get(&family) else { continue };
                let values: Vec<u64> =
                    (0..area.values(block)).map(|place| area.value(block, place).load(Relaxed)).collect();
                let Some(values) = Values::of(declared, &values) else { continue };
                let merged = all
                    .entry(name.clone())
                    .or_insert_with(|| Merged { declared: declared.clone(), series: BTreeMap::new() });
                // An application that a reload has changed may have another metric of this name.
                if (merged.declared.kind, &merged.declared.bounds) == (declared.kind, &declared.bounds) {
                    let labels = area.text(block);
                    match merged.series.get_mut(&labels) {
                        Some(sum) => sum.add(values, declared.kind),
                        None => drop(merged.series.insert(labels, values)),
                    }
                }
            }
        }
    }
}

impl Values {
    /// `None`: the gauge's worker has exited, or has not set it.
    fn of(declared: &Declared, words: &[u64]) -> Option<Values> {
        match declared.kind.of() {
            Kind::Counter | Kind::Gauge => {
                let value = f64::from_bits(*words.first()?);
                (!value.is_nan()).then_some(Values::Number(value))
            }
            Kind::Histogram => {
                let (sum, buckets) = words.split_last()?;
                Some(Values::Histogram { buckets: buckets.to_vec(), sum: f64::from_bits(*sum) })
            }
        }
    }

    fn add(&mut self, other: Values, kind: Kinds) {
        match (self, other) {
            (Values::Number(sum), Values::Number(other)) => match kind {
                Kinds::Gauge(Over::Max) => *sum = sum.max(other),
                Kinds::Gauge(Over::Min) => *sum = sum.min(other),
                _ => *sum += other,
            },
            (Values::Histogram { buckets, sum }, Values::Histogram { buckets: others, sum: other }) => {
                buckets.iter_mut().zip(others).for_each(|(count, other)| *count += other);
                *sum += other;
            }
            _ => {}
        }
    }
}
