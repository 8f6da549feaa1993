//! A small picture of the last minutes: a line and the area below it, in an SVG that takes the width that it gets.

use std::fmt::Write;

const HEIGHT: f64 = 40.0;
/// The line is not cut at the top.
const TOP: f64 = 1.5;

/// `values`: the newest last, at equal distances. A value that is missing leaves a gap. `what` names it for those who do not
/// see it.
pub fn svg(values: &[Option<f64>], what: &str) -> String {
    let width = values.len().saturating_sub(1).max(1);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let y = |value: f64| match most {
        0.0 => HEIGHT,
        _ => TOP + (HEIGHT - TOP) * (1.0 - value / most),
    };
    let (mut line, mut area) = (String::new(), String::new());
    for (first, run) in runs(values) {
        for (at, value) in run.iter().enumerate() {
            let command = if at == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail, here and below.
            let _ = write!(line, "{command}{} {:.1}", first + at, y(*value));
        }
        if let [only] = run[..] {
            // A point alone has no line.
            let _ = write!(line, "L{} {:.1}", first as f64 + 0.5, y(only));
        }
        let _ = write!(area, "M{first} {HEIGHT}");
        run.iter().enumerate().for_each(|(at, value)| _ = write!(area, "L{} {:.1}", first + at, y(*value)));
        let _ = write!(area, "L{} {HEIGHT}Z", first + run.len() - 1);
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{what}\"><path class=\"area\" d=\"{area}\"/><path class=\"line\" d=\"{line}\"/></svg>"
    )
}

/// The values between the gaps, and where each begins.
fn runs(values: &[Option<f64>]) -> Vec<(usize, Vec<f64>)> {
    let mut runs: Vec<(usize, Vec<f64>)> = Vec::new();
    let mut is_open = false;
    for (at, value) in values.iter().enumerate() {
        match (value, runs.last_mut().filter(|_| is_open)) {
            (Some(value), Some((_, run))) => run.push(*value),
            (Some(value), None) => runs.push((at, vec![*value])),
            (None, _) => {}
        }
        is_open = value.is_some();
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_interrupts_the_line() {
        let values = [None, Some(1.0), Some(2.0), None, Some(4.0)];
        assert_eq!(runs(&values), [(1, vec![1.0, 2.0]), (4, vec![4.0])]);
        let svg = svg(&values, "requests");
        assert!(svg.contains(r#"class="line" d="M1 30.4L2 20.8M4 1.5L4.5 1.5""#), "{svg}");
        assert!(svg.contains(r#"class="area" d="M1 40L1 30.4L2 20.8L2 40ZM4 40L4 1.5L4 40Z""#), "{svg}");
    }

    #[test]
    fn nothing_and_zero_are_drawn_as_well() {
        assert!(svg(&[], "x").contains("viewBox=\"0 0 1 40\""));
        assert!(svg(&[None, None], "x").contains("class=\"line\" d=\"\""));
        assert!(svg(&[Some(0.0), Some(0.0)], "x").contains("M0 40.0L1 40.0"));
    }
}
