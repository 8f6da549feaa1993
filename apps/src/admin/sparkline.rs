//! A small picture of the last minutes: a line and the area below it, in an SVG that takes the width that it gets.

use std::fmt::Write;

const HEIGHT: f64 = 40.0;
/// The line is not cut at the top.
const TOP: f64 = 1.5;

/// `values`: the newest last, at equal distances. Two or more in a row that are missing leave a gap. `what` names it for
/// readers that see no picture.
pub fn svg(values: &[Option<f64>], what: &str) -> String {
    let width = values.len().saturating_sub(1).max(1);
    let most = values.iter().flatten().copied().fold(0.0, f64::max);
    let y = |value: f64| match most {
        0.0 => HEIGHT,
        _ => TOP + (HEIGHT - TOP) * (1.0 - value / most),
    };
    let (mut line, mut area) = (String::new(), String::new());
    for run in runs(values) {
        let (Some((first, only)), Some((last, _))) = (run.first(), run.last()) else { continue };
        // Writing to a string cannot fail, here and below.
        let _ = write!(area, "M{first} {HEIGHT}");
        for (at, value) in &run {
            let command = if at == first { 'M' } else { 'L' };
            let _ = write!(line, "{command}{at} {:.1}", y(*value));
            let _ = write!(area, "L{at} {:.1}", y(*value));
        }
        let _ = write!(area, "L{last} {HEIGHT}Z");
        if run.len() == 1 {
            // A point alone has no line.
            let _ = write!(line, "L{} {:.1}", *first as f64 + 0.5, y(*only));
        }
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {width} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{what}\"><path class=\"area\" d=\"{area}\"/><path class=\"line\" d=\"{line}\"/></svg>"
    )
}

/// The values between the gaps, each with its place.
fn runs(values: &[Option<f64>]) -> Vec<Vec<(usize, f64)>> {
    let known: Vec<(usize, f64)> = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?))).collect();
    // A single one is missing now and then, as a sample is taken a little later each second.
    known.chunk_by(|(one, _), (next, _)| next - one <= 2).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_interrupts_the_line() {
        let values = [None, Some(1.0), Some(2.0), None, None, Some(4.0)];
        assert_eq!(runs(&values), [vec![(1, 1.0), (2, 2.0)], vec![(5, 4.0)]]);
        assert_eq!(runs(&[Some(1.0), None, Some(2.0)]), [[(0, 1.0), (2, 2.0)]], "one that is missing is passed over");
        let svg = svg(&values, "requests");
        assert!(svg.contains(r#"class="line" d="M1 30.4L2 20.8M5 1.5L5.5 1.5""#), "{svg}");
        assert!(svg.contains(r#"class="area" d="M1 40L1 30.4L2 20.8L2 40ZM5 40L5 1.5L5 40Z""#), "{svg}");
    }

    #[test]
    fn nothing_and_zero_are_drawn_as_well() {
        assert!(svg(&[], "x").contains("viewBox=\"0 0 1 40\""));
        assert!(svg(&[None, None], "x").contains("class=\"line\" d=\"\""));
        assert!(svg(&[Some(0.0), Some(0.0)], "x").contains("M0 40.0L1 40.0"));
    }
}
