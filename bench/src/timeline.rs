//! Plots over time, one below the other, as SVG: the same axis of time for all, and a linear one from zero for each.

use std::fmt::Write;

use crate::plot::{COLOURS, LEFT, WIDTH};

/// A plot.
#[derive(Debug)]
pub struct Panel {
    /// What it shows, with the unit.
    pub title: &'static str,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// A line.
#[derive(Debug)]
pub struct Line {
    /// What it is called.
    pub title: &'static str,
    /// Minutes and values, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// What happened meanwhile, in minutes.
#[derive(Debug, Default)]
pub struct Events {
    /// Moments that are marked.
    pub marks: Vec<f64>,
    /// Stretches that are shaded: start and end.
    pub shades: Vec<(f64, f64)>,
}

const RIGHT: f64 = 24.0;
const TOP: f64 = 34.0;
/// Of one panel, its title included.
const PANEL: f64 = 170.0;
/// Of a panel's title.
const TITLE: f64 = 30.0;
const BOTTOM: f64 = 40.0;
/// About how many lines of a grid there are.
const TICKS: f64 = 5.0;

/// One panel's place, and what its axes reach to.
#[derive(Debug, Copy, Clone)]
struct Frame {
    top: f64,
    bottom: f64,
    minutes: f64,
    highest: f64,
}

impl Frame {
    fn x(self, minute: f64) -> f64 {
        LEFT + minute / self.minutes * (WIDTH - LEFT - RIGHT)
    }

    fn y(self, value: f64) -> f64 {
        self.bottom - value / self.highest * (self.bottom - self.top)
    }
}

/// Draws the panels.
pub fn svg(title: &str, panels: &[Panel], events: &Events) -> String {
    let points = || panels.iter().flat_map(|panel| &panel.lines).flat_map(|line| &line.points);
    let minutes = points().map(|point| point.0).fold(1e-3, f64::max);
    let height = TOP + PANEL * panels.len() as f64 + BOTTOM;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for (number, panel) in panels.iter().enumerate() {
        let top = TOP + PANEL * number as f64 + TITLE;
        let values = panel.lines.iter().flat_map(|line| &line.points).map(|point| point.1);
        let highest = values.fold(0.0, f64::max).max(1e-3) * 1.05;
        let frame = Frame { top, bottom: TOP + PANEL * (number + 1) as f64, minutes, highest };
        draw_events(&mut out, frame, events);
        draw_axes(&mut out, frame, panel.title, number + 1 == panels.len());
        draw_lines(&mut out, frame, &panel.lines);
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">minutes</text>\n</svg>",
        WIDTH / 2.0,
        height - 6.0
    );
    out
}

fn draw_events(out: &mut String, frame: Frame, events: &Events) {
    let Frame { top, bottom, .. } = frame;
    for &(start, end) in &events.shades {
        let (x, width) = (frame.x(start), frame.x(end) - frame.x(start));
        let height = bottom - top;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height}\" fill=\"#eeeeee\"/>"
        );
    }
    for &mark in &events.marks {
        let x = frame.x(mark);
        let _ =
            writeln!(out, "<path d=\"M{x:.1} {bottom} V{top}\" stroke=\"black\" stroke-dasharray=\"3 3\"/>");
    }
}

fn draw_axes(out: &mut String, frame: Frame, title: &str, is_last: bool) {
    let _ = writeln!(out, "<text x=\"{LEFT}\" y=\"{}\">{title}</text>", frame.top - 8.0);
    for tick in ticks(frame.highest) {
        let y = frame.y(tick);
        let _ = writeln!(out, "<path d=\"M{LEFT} {y:.1} H{}\" stroke=\"#dddddd\"/>", WIDTH - RIGHT);
        let (x, y) = (LEFT - 6.0, y + 4.0);
        let _ = writeln!(out, "<text x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", short(tick));
    }
    for tick in ticks(frame.minutes).filter(|_| is_last) {
        let (x, y) = (frame.x(tick), frame.bottom + 16.0);
        let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", short(tick));
    }
}

fn draw_lines(out: &mut String, frame: Frame, lines: &[Line]) {
    let mut right = WIDTH - RIGHT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let places = line
            .points
            .iter()
            .map(|&(x, y)| format!("{:.1},{:.1}", frame.x(x), frame.y(y)))
            .collect::<Vec<_>>();
        let path = places.join(" ");
        let _ = writeln!(
            out,
            "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>"
        );
        if lines.len() > 1 {
            let y = frame.top - 8.0;
            let _ = writeln!(
                out,
                "<text x=\"{right}\" y=\"{y}\" text-anchor=\"end\" fill=\"{colour}\">{}</text>",
                line.title
            );
            right -= 7.0 * line.title.len() as f64 + 14.0;
        }
    }
}

/// Round numbers from zero to `highest`.
fn ticks(highest: f64) -> impl Iterator<Item = f64> {
    let rough = highest / TICKS;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|part| part * power).into_iter().find(|&step| step >= rough);
    let step = step.unwrap_or(10.0 * power);
    (0u32..).map(move |number| f64::from(number) * step).take_while(move |&tick| tick <= highest)
}

/// A tick as people write it.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_to_the_highest_value() {
        assert_eq!(ticks(120.0).map(short).collect::<Vec<_>>(), ["0", "50", "100"]);
        assert_eq!(ticks(1.0).map(short).collect::<Vec<_>>(), ["0", "0.20", "0.40", "0.60", "0.80", "1"]);
    }

    #[test]
    fn every_panel_has_its_lines_and_all_marks_and_nothing_at_all_is_still_a_picture() {
        let line = |title| Line { title, points: vec![(0.0, 1.0), (10.0, 3.0)] };
        let panels = [
            Panel { title: "one", lines: vec![line("a")] },
            Panel { title: "two", lines: vec![line("b"), line("c")] },
        ];
        let svg = svg("t", &panels, &Events { marks: vec![5.0], shades: vec![(8.0, 9.0)] });
        assert_eq!(svg.matches("<polyline").count(), 3);
        assert_eq!(svg.matches("stroke-dasharray").count(), 2);
        assert!(!svg.contains("NaN") && !super::svg("t", &[], &Events::default()).contains("NaN"));
    }
}
