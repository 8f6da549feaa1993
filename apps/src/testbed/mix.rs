//! `/mix?p50=20&p99=200&max=1000`: responds after a delay drawn from a distribution that the query defines by
//! quantiles.
//!
//! The draw is a [`Draw`], so the n-th response of a seed always has the same delay. docs/origin.md tells clients how
//! to compute it; the operations here are the same, in the same order, on IEEE 754 doubles.

use super::delay::DELAY_MS_MAX;
use super::draw::Draw;
use super::query;
use std::time::{Duration, Instant};
use tine_worker::app::{Answer, AppError, Cx, Exchange, Out, Pull};
use tine_worker::http::{Head, Request, Response, StatusCode};

pub fn answer(request: &Request<'_>, cx: &Cx<'_>) -> Answer {
    match Quantiles::parse(request.query().unwrap_or(""))
        .and_then(|quantiles| Ok((quantiles, Draw::asked_by(request)?)))
    {
        Ok((quantiles, draw)) => {
            let delay_ms = quantiles.delay_ms(draw.unit());
            let json = format!(r#"{{"n":{},"seed":{},"delay_ms":{delay_ms}}}"#, draw.n, draw.seed);
            Answer::exchange(Mix { answers_at: cx.now() + Duration::from_millis(delay_ms), json })
        }
        Err(text) => Response::text(StatusCode::BAD_REQUEST, text).into(),
    }
}

/// A distribution of delays, by points of its quantile function, which is linear between them.
#[derive(Debug, PartialEq)]
struct Quantiles(Vec<Point>);

/// This share of the answers is not later. In ascending order, from share 0 to share 1, and no point is below the one
/// before it.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    name: String,
    per_mille: u64,
    ms: u64,
}

const NO_MAX: &str = "Please specify max and any quantiles between: /mix?p50=20&p99=200&max=1000 (milliseconds; min=, \
                      seed= and n= may be given)\n";

impl Quantiles {
    fn parse(query: &str) -> Result<Quantiles, String> {
        let mut points = Vec::new();
        for (name, ms) in query::pairs(query) {
            let Some(per_mille) = per_mille(&name)? else { continue };
            let ms = query::number_of(&name, &ms, 0..=DELAY_MS_MAX)?;
            points.push(Point { name: name.into_owned(), per_mille, ms });
        }
        if !points.iter().any(|point| point.per_mille == 0) {
            points.push(Point { name: "min".into(), per_mille: 0, ms: 0 });
        }
        if !points.iter().any(|point| point.per_mille == 1000) {
            return Err(NO_MAX.into());
        }
        points.sort_by_key(|point| point.per_mille);
        for pair in points.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            if before.per_mille == after.per_mille {
                return Err(format!("{} and {} are the same point of the distribution\n", before.name, after.name));
            }
            if before.ms > after.ms {
                return Err(format!(
                    "delays must not decrease from min to max: {}={} is more than {}={}\n",
                    before.name, before.ms, after.name, after.ms
                ));
            }
        }
        Ok(Quantiles(points))
    }

    /// The delay below which a share of `unit` of all responses lie.
    fn delay_ms(&self, unit: f64) -> u64 {
        let share = |point: &Point| point.per_mille as f64 / 1000.0;
        let after = self.0.partition_point(|point| share(point) <= unit).min(self.0.len() - 1);
        let (low, high) = (&self.0[after - 1], &self.0[after]);
        let part = (unit - share(low)) / (share(high) - share(low));
        let ms = low.ms as f64 + (high.ms - low.ms) as f64 * part;
        (ms + 0.5).floor() as u64
    }
}

/// The share of responses, in thousandths, that a parameter's name stands for: `p5` 5 %, `p50` 50 %, `p999` 99.9 %.
/// `None`: the parameter is not a quantile.
fn per_mille(name: &str) -> Result<Option<u64>, String> {
    let digits = match name {
        "min" => return Ok(Some(0)),
        "max" => return Ok(Some(1000)),
        _ => name.strip_prefix('p').unwrap_or(""),
    };
    // Only names that cannot be meant as quantiles are ignored as parameters of some other program.
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(None);
    }
    match (digits.len(), query::digits(digits)) {
        (1 | 2, Some(percent @ 1..)) => Ok(Some(percent * 10)),
        (3, Some(per_mille)) if per_mille != 0 && per_mille != 100 => Ok(Some(per_mille)),
        _ => Err(format!(
            "{name} is not a quantile: p1 to p99 are percent, p001 to p999 tenths of a percent (except p100, which \
             could mean either), and the ends are min and max\n"
        )),
    }
}

struct Mix {
    answers_at: Instant,
    json: String,
}

impl Exchange for Mix {
    fn pull(&mut self, out: &mut Out<'_>, cx: &Cx<'_>) -> Result<Pull, AppError> {
        if cx.now() < self.answers_at {
            return Ok(Pull::NotBefore(self.answers_at));
        }
        if !out.has_head() {
            out.head(Head::new(StatusCode::OK).content_type("application/json").length(self.json.len() as u64))?;
        }
        if !out.has_room() {
            return Ok(Pull::More);
        }
        out.write(self.json.as_bytes())?;
        Ok(Pull::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_lie_on_straight_lines_between_the_points() {
        for (query, delays) in [
            ("max=1000", vec![(0.0, 0), (0.25, 250), (0.9994, 999), (0.9995, 1000), (0.9999, 1000)]),
            ("min=100&max=200", vec![(0.0, 100), (0.5, 150), (0.999, 200)]),
            ("max=0", vec![(0.0, 0), (0.999, 0)]),
            ("min=7&max=7&p50=7", vec![(0.0, 7), (0.5, 7), (0.999, 7)]),
            (
                "p50=20&p99=200&max=1000",
                vec![(0.0, 0), (0.25, 10), (0.49, 20), (0.5, 20), (0.745, 110), (0.99, 200), (0.995, 600)],
            ),
            // In any order, with other parameters between.
            ("seed=3&p999=500&x&max=900&p5=10&n=2&p50=20", vec![(0.05, 10), (0.5, 20), (0.999, 500), (0.9995, 700)]),
            // A step: two points of the same delay, and a jump from one to the next.
            ("p50=10&p51=500&p99=500&max=500", vec![(0.5, 10), (0.505, 255), (0.51, 500), (0.99, 500)]),
            ("p005=5&p01=10&max=86400000", vec![(0.005, 5), (0.0075, 8), (0.01, 10)]),
        ] {
            let quantiles = Quantiles::parse(query).unwrap();
            for (unit, ms) in delays {
                assert_eq!(quantiles.delay_ms(unit), ms, "{query} at {unit}");
            }
            assert!(quantiles.delay_ms(1.0 - f64::EPSILON / 2.0) <= quantiles.0.last().unwrap().ms, "{query}");
        }
    }

    #[test]
    fn what_is_no_distribution_is_explained() {
        for (query, text) in [
            ("", NO_MAX),
            ("p50=20", NO_MAX),
            ("p50=20&Max=20", NO_MAX),
            ("p50=200&p99=20&max=300", "delays must not decrease from min to max: p50=200 is more than p99=20\n"),
            ("p50=200&max=100", "delays must not decrease from min to max: p50=200 is more than max=100\n"),
            ("min=1&p1=0&max=9", "delays must not decrease from min to max: min=1 is more than p1=0\n"),
            ("p50=1&p50=2&max=9", "p50 and p50 are the same point of the distribution\n"),
            ("max=1&max=1", "max and max are the same point of the distribution\n"),
            ("p5=1&p050=2&max=9", "p5 and p050 are the same point of the distribution\n"),
            ("p50=x&max=9", "p50 must be a whole number from 0 to 86400000, not \"x\"\n"),
            ("p50&max=9", "p50 must be a whole number from 0 to 86400000, not \"\"\n"),
            ("max=86400001", "max must be a whole number from 0 to 86400000, not \"86400001\"\n"),
            ("max=-1", "max must be a whole number from 0 to 86400000, not \"-1\"\n"),
        ] {
            assert_eq!(Quantiles::parse(query).unwrap_err(), text, "{query}");
        }
        for name in [
            "p0",
            "p00",
            "p000",
            "p100",
            "p1000",
            "p9999",
            "p0000000000000001",
            "p99.9",
            "p5x",
            "p99999999999999999999999",
        ] {
            let error = Quantiles::parse(&format!("{name}=5&max=9")).unwrap_err();
            assert!(error.starts_with(&format!("{name} is not a quantile: ")), "{error}");
        }
        assert_eq!(Quantiles::parse("%7050=%35&max=9"), Quantiles::parse("p50=5&max=9"), "decoded");
        for name in ["p", "px", "P50", "q50", "page", "%2570"] {
            assert_eq!(Quantiles::parse(&format!("{name}=5&max=9")), Quantiles::parse("max=9"), "{name}");
        }
    }
}
