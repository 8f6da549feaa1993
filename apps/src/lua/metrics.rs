//! What the driver's `tine.metrics` calls: declares a metric, and changes it. Errors are returned as texts, which the driver
//! raises in the app.

use mlua::{Function, Lua, String, Table, Value};
use tine_worker::app::metrics::{AppMetrics, Counter, Gauge, Histogram, MetricError, Over, SECONDS};

enum Metric {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
}

/// `declare(kind, name, help, labels, more)` returns the function that changes the metric, or nil and the error.
pub fn declare(lua: &Lua, metrics: AppMetrics) -> mlua::Result<Function> {
    type Arguments = (String, String, String, Value, Value);
    lua.create_function(move |lua, (kind, name, help, labels, more): Arguments| {
        let declared = declared(metrics, &kind.to_string_lossy(), &name, &help, &labels, &more);
        match declared {
            Ok(metric) => {
                Ok((Some(lua.create_function(move |_, arguments| Ok(change(&metric, arguments).err()))?), None))
            }
            Err(why) => Ok((None, Some(why))),
        }
    })
}

fn declared(
    metrics: AppMetrics,
    kind: &str,
    name: &String,
    help: &String,
    labels: &Value,
    more: &Value,
) -> Result<Metric, std::string::String> {
    let (name, help) = (name.to_string_lossy(), help.to_string_lossy());
    let labels = texts(labels).ok_or_else(|| format!("the labels of the metric {name:?} must be a list of names"))?;
    let labels: Vec<&str> = labels.iter().map(std::string::String::as_str).collect();
    let declared = match kind {
        "counter" => metrics.counter(&name, &help, &labels).map(Metric::Counter),
        "gauge" => {
            let over = match more {
                Value::Nil => Some(Over::Sum),
                Value::String(over) if over == "sum" => Some(Over::Sum),
                Value::String(over) if over == "max" => Some(Over::Max),
                Value::String(over) if over == "min" => Some(Over::Min),
                _ => None,
            };
            let over =
                over.ok_or_else(|| format!("the gauge {name:?} is the sum, the max or the min of its workers"))?;
            metrics.gauge(&name, &help, &labels, over).map(Metric::Gauge)
        }
        _ => {
            let bounds = match more {
                Value::Nil => SECONDS.to_vec(),
                Value::Table(list) => numbers(list),
                _ => Vec::new(),
            };
            metrics.histogram(&name, &help, &labels, &bounds).map(Metric::Histogram)
        }
    };
    declared.map_err(|error| error.to_string())
}

fn change(metric: &Metric, (how, number, values): (String, Value, Value)) -> Result<(), std::string::String> {
    let number = match number {
        Value::Integer(number) => number as f64,
        Value::Number(number) => number,
        _ => return Err("a metric changes by a number".into()),
    };
    let values = texts(&values).ok_or("the values of the labels must be a list of strings or numbers")?;
    let values: Vec<&str> = values.iter().map(std::string::String::as_str).collect();
    let changed: Result<(), MetricError> = match metric {
        Metric::Counter(counter) => counter.add(&values, number),
        Metric::Gauge(gauge) if how == "set" => gauge.set(&values, number),
        Metric::Gauge(gauge) => gauge.add(&values, number),
        Metric::Histogram(histogram) => histogram.observe(&values, number),
    };
    changed.map_err(|error| error.to_string())
}

/// The texts of a list, which may be nil; `None`: it is something else.
fn texts(list: &Value) -> Option<Vec<std::string::String>> {
    match list {
        Value::Nil => Some(Vec::new()),
        Value::Table(list) => (1..=list.raw_len()).map(|place| text(list.raw_get(place).ok()?)).collect(),
        _ => None,
    }
}

fn text(value: Value) -> Option<std::string::String> {
    match value {
        Value::String(text) => Some(text.to_string_lossy()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Number(number) => Some(number.to_string()),
        Value::Boolean(is) => Some(is.to_string()),
        _ => None,
    }
}

/// What is not a number becomes NaN, which is refused.
fn numbers(list: &Table) -> Vec<f64> {
    (1..=list.raw_len()).map(|place| list.raw_get::<f64>(place).unwrap_or(f64::NAN)).collect()
}
