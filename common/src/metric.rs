//! What each worker publishes about itself, in one table: a number's place in the worker's slot, its name in JSON, what it means.

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::ops::{Index, IndexMut};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    Connections,
    InFlight,
    Requests,
    Accepted,
    Refused,
    Cut,
    ResponsesCut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down; gone with its worker.
    Gauge,
    /// Only grows; the server keeps what a worker that has exited counted.
    Counter,
}

impl Metric {
    /// In the order of the variants.
    pub const ALL: [Metric; 7] = [
        Metric::Connections,
        Metric::InFlight,
        Metric::Requests,
        Metric::Accepted,
        Metric::Refused,
        Metric::Cut,
        Metric::ResponsesCut,
    ];

    /// Its name in JSON, its kind, and what it counts.
    pub fn describe(self) -> (&'static str, Kind, &'static str) {
        match self {
            Metric::Connections => ("connections", Kind::Gauge, "Open client connections"),
            Metric::InFlight => ("in_flight", Kind::Gauge, "Requests that are being answered"),
            Metric::Requests => ("requests", Kind::Counter, "Requests answered"),
            Metric::Accepted => ("accepted", Kind::Counter, "Connections accepted"),
            Metric::Refused => ("refused", Kind::Counter, "Connections answered with 503"),
            Metric::Cut => ("cut", Kind::Counter, "Connections cut while in use"),
            Metric::ResponsesCut => ("responses_cut", Kind::Counter, "Responses that could not be completed"),
        }
    }

    pub fn name(self) -> &'static str {
        self.describe().0
    }

    pub fn kind(self) -> Kind {
        self.describe().1
    }
}

/// A value of each metric: of one worker, or summed over all.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Metrics([u64; Metric::ALL.len()]);

impl<const N: usize> From<[(Metric, u64); N]> for Metrics {
    /// The others are 0.
    fn from(values: [(Metric, u64); N]) -> Self {
        let mut metrics = Metrics::default();
        values.into_iter().for_each(|(metric, value)| metrics[metric] = value);
        metrics
    }
}

impl Index<Metric> for Metrics {
    type Output = u64;

    fn index(&self, metric: Metric) -> &u64 {
        &self.0[metric as usize]
    }
}

impl IndexMut<Metric> for Metrics {
    fn index_mut(&mut self, metric: Metric) -> &mut u64 {
        &mut self.0[metric as usize]
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Metric::ALL.len()))?;
        for metric in Metric::ALL {
            map.serialize_entry(metric.name(), &self[metric])?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metrics {
    /// Names that this version does not have are skipped, and metrics that are missing are 0.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Named;

        impl<'de> Visitor<'de> for Named {
            type Value = Metrics;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("numbers by their names")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Metrics, M::Error> {
                let mut metrics = Metrics::default();
                while let Some(name) = map.next_key::<String>()? {
                    match Metric::ALL.into_iter().find(|metric| metric.name() == name) {
                        Some(metric) => metrics[metric] = map.next_value()?,
                        None => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(metrics)
            }
        }

        deserializer.deserialize_map(Named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_at_its_place_and_has_a_name_of_its_own() {
        for (place, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, place);
            assert_eq!(Metric::ALL.into_iter().filter(|other| other.name() == metric.name()).count(), 1);
        }
    }

    #[test]
    fn json_has_all_names_and_takes_others() {
        let metrics = Metrics::from([(Metric::Requests, 7), (Metric::ResponsesCut, 1)]);
        let json = serde_json::to_string(&metrics).expect("JSON");
        assert_eq!(
            json,
            "{\"connections\":0,\"in_flight\":0,\"requests\":7,\"accepted\":0,\"refused\":0,\"cut\":0,\"responses_cut\":1}"
        );
        assert_eq!(serde_json::from_str::<Metrics>(&json).expect("the same"), metrics);
        let other = serde_json::from_str::<Metrics>("{\"requests\":7,\"new\":[1],\"responses_cut\":1}");
        assert_eq!(other.expect("of another version"), metrics);
    }
}
