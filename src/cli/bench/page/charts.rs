//! The drawings of a page, as SVG. Colours are classes of the style sheet.

use std::fmt::Write as _;

use super::milliseconds;
use crate::cli::bench::report::percentile;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
/// Room for labels: left, right, top, bottom.
const MARGIN: [f64; 4] = [56.0, 16.0, 26.0, 28.0];
/// Bars of the histogram.
const BINS: usize = 60;
/// Points of the line.
const POINTS: usize = 240;

/// From data to the drawing.
struct Frame {
    x: [f64; 2],
    y: [f64; 2],
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        let [left, right, ..] = MARGIN;
        left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (WIDTH - left - right)
    }

    fn y(&self, value: f64) -> f64 {
        let [_, _, top, bottom] = MARGIN;
        HEIGHT - bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (HEIGHT - top - bottom)
    }

    /// An SVG with grid lines at the ticks of y, labels of both axes, and `body` over it.
    fn svg(&self, label: &str, x_labels: &[(f64, String)], y_labels: &[(f64, String)], body: &str) -> String {
        let mut text = format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">\n");
        let [left, right, ..] = MARGIN;
        for (value, label) in y_labels {
            let y = self.y(*value);
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "<line class=\"grid\" x1=\"{left}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                WIDTH - right,
                left - 8.0,
                y + 4.0
            );
        }
        for (value, label) in x_labels {
            let _ = writeln!(
                text,
                "<text class=\"middle\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                self.x(*value),
                HEIGHT - 8.0
            );
        }
        text + body + "</svg>\n"
    }
}

/// Round numbers that divide `range` into about `count` parts.
fn ticks(range: [f64; 2], count: f64) -> Vec<f64> {
    let rough = (range[1] - range[0]) / count;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough).unwrap_or(rough);
    let first = (range[0] / step).ceil() as i64;
    (first..).map(|index| index as f64 * step).take_while(|tick| *tick <= range[1] + step * 1e-6).take(50).collect()
}

fn tick_labels(range: [f64; 2], count: f64) -> Vec<(f64, String)> {
    let ticks = ticks(range, count);
    let step = if ticks.len() > 1 { ticks[1] - ticks[0] } else { 1.0 };
    let places = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
    ticks.into_iter().map(|tick| (tick, format!("{tick:.places$}"))).collect()
}

/// How many of the sorted samples lie in each of [`BINS`] ranges; those beyond the last, the slowest of a thousand, are left
/// out and counted.
pub fn histogram(sorted: &[f64]) -> String {
    let low = sorted[0];
    let high = percentile(sorted, 99.5).max(low * 1.0001);
    let room = (high - low) * 0.02;
    let x = [low - room, high + room];
    let mut bins = [0usize; BINS];
    let shown = sorted.iter().take_while(|sample| **sample <= x[1]);
    let mut count = 0;
    for sample in shown {
        let bin = ((sample - x[0]) / (x[1] - x[0]) * BINS as f64) as usize;
        bins[bin.min(BINS - 1)] += 1;
        count += 1;
    }
    let most = bins.iter().copied().max().unwrap_or(1).max(1) as f64;
    let frame = Frame { x, y: [0.0, most * 1.08] };
    let mut body = String::new();
    let width = (x[1] - x[0]) / BINS as f64;
    for (index, bin) in bins.iter().enumerate().filter(|(_, bin)| **bin > 0) {
        let from = x[0] + index as f64 * width;
        let (left, right, top) = (frame.x(from), frame.x(from + width), frame.y(*bin as f64));
        let _ = writeln!(
            body,
            "<rect class=\"sample\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{bin} of {} between {} and \
             {} ms</title></rect>",
            left + 0.5,
            (right - left - 1.0).max(0.5),
            frame.y(0.0) - top,
            sorted.len(),
            milliseconds(from),
            milliseconds(from + width),
        );
    }
    body += &markers(&frame, sorted);
    let counts: Vec<(f64, String)> =
        tick_labels(frame.y, 4.0).into_iter().filter(|(tick, _)| tick.fract() == 0.0).collect();
    let chart = frame.svg("histogram of latencies", &units(tick_labels(x, 8.0)), &counts, &body);
    let beyond = sorted.len() - count;
    let note = match beyond {
        0 => String::new(),
        _ => format!(
            "<p class=\"note\">{beyond} slower one{} up to {} ms {} not drawn.</p>\n",
            if beyond == 1 { "" } else { "s" },
            milliseconds(sorted[sorted.len() - 1]),
            if beyond == 1 { "is" } else { "are" },
        ),
    };
    chart + &note
}

/// Lines at the percentiles, their names above each other where they are close.
fn markers(frame: &Frame, sorted: &[f64]) -> String {
    let mut text = String::new();
    let mut last = f64::NEG_INFINITY;
    for (p, name) in [(50.0, "median"), (90.0, "p90"), (99.0, "p99")] {
        let x = frame.x(percentile(sorted, p));
        let label = x.max(last + 52.0).min(WIDTH - 24.0);
        last = label;
        let _ = writeln!(
            text,
            "<line class=\"marker\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>\
             <text class=\"middle strong\" x=\"{label:.1}\" y=\"14\">{name}</text>",
            MARGIN[2] - 6.0,
            HEIGHT - MARGIN[3],
        );
    }
    text
}

/// Medians of successive samples in their order, with the range from the fastest to the ninetieth percentile around them.
pub fn over_time(samples: &[f64]) -> String {
    let groups = POINTS.min(samples.len());
    let start = |group: usize| samples.len() * group / groups;
    let rows: Vec<[f64; 3]> = (0..groups)
        .map(|group| {
            let mut of = samples[start(group)..start(group + 1)].to_vec();
            of.sort_by(f64::total_cmp);
            [0.0, 50.0, 90.0].map(|p| percentile(&of, p))
        })
        .collect();
    let mut highs: Vec<f64> = rows.iter().map(|row| row[2]).collect();
    highs.sort_by(f64::total_cmp);
    let low = rows.iter().map(|row| row[0]).fold(f64::INFINITY, f64::min);
    let high = percentile(&highs, 98.0).max(low * 1.0001);
    let room = (high - low) * 0.08;
    let frame = Frame { x: [0.0, samples.len() as f64], y: [(low - room).max(0.0), high + room] };
    let point = |group: usize, value: f64| {
        let x = frame.x((start(group) + start(group + 1)) as f64 / 2.0);
        format!("{x:.1},{:.1} ", frame.y(value.min(frame.y[1])))
    };
    let line: String = rows.iter().enumerate().map(|(group, row)| point(group, row[1])).collect();
    let upper = rows.iter().enumerate().map(|(group, row)| point(group, row[2]));
    let lower = rows.iter().enumerate().rev().map(|(group, row)| point(group, row[0]));
    let band: String = upper.chain(lower).collect();
    let body = format!(
        "<polygon class=\"band\" points=\"{}\"/>\n<polyline class=\"line\" points=\"{}\"/>\n",
        band.trim_end(),
        line.trim_end()
    );
    let counts = ticks(frame.x, 8.0).into_iter().map(|tick| (tick, format!("{tick:.0}"))).collect::<Vec<_>>();
    frame.svg("latencies in the order of the inferences", &counts, &units(tick_labels(frame.y, 4.0)), &body)
}

/// The unit stands behind the last label.
fn units(mut labels: Vec<(f64, String)>) -> Vec<(f64, String)> {
    if let Some((_, label)) = labels.last_mut() {
        label.push_str(" ms");
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(
            tick_labels([0.0, 10.0], 5.0).into_iter().map(|(_, label)| label).collect::<Vec<_>>(),
            ["0", "2", "4", "6", "8", "10"]
        );
        assert_eq!(
            tick_labels([0.061, 0.079], 4.0).into_iter().map(|(_, label)| label).collect::<Vec<_>>(),
            ["0.065", "0.070", "0.075"]
        );
    }

    #[test]
    fn the_histogram_counts_every_sample_that_it_draws() {
        let sorted: Vec<f64> = (0..1000).map(|i| 1.0 + f64::from(i) * 1e-4).chain([50.0]).collect();
        let svg = histogram(&sorted);
        let drawn: usize =
            svg.split("<title>").skip(1).map(|rest| rest.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        let left_out: usize =
            svg.split("<p class=\"note\">").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(drawn + left_out, 1001);
        assert!(left_out <= 6, "{left_out}");
    }
}
