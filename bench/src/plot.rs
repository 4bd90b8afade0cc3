//! A plot of latency against load, as SVG: both axes logarithmic, one line for each server.

use std::fmt::Write;

/// The points of one server: deliveries a second and a latency in milliseconds.
#[derive(Debug)]
pub struct Line {
    /// What it is called.
    pub title: &'static str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

pub(crate) const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
pub(crate) const LEFT: f64 = 64.0;
const RIGHT: f64 = 130.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
/// Colours that colour-blind people can tell apart (Okabe and Ito).
pub(crate) const COLOURS: [&str; 5] = ["#d55e00", "#777777", "#0072b2", "#cc79a7", "#009e73"];

/// An axis: whole powers of ten, between two places.
#[derive(Debug, Copy, Clone)]
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Self {
        let low = values.clone().reduce(f64::min).unwrap_or(1.0).max(1e-3).log10().floor();
        let high = values.reduce(f64::max).unwrap_or(1.0).max(1e-3).log10().ceil();
        Self { low, high: high.max(low + 1.0), from, to }
    }

    fn place(self, value: f64) -> f64 {
        let part = (value.max(1e-3).log10() - self.low) / (self.high - self.low);
        self.from + part * (self.to - self.from)
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.low), |power| Some(power + 1.0))
            .take_while(move |power| *power <= self.high)
            .map(|power| 10f64.powf(power))
    }
}

/// Draws the lines; those without points are left out.
pub fn svg(title: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let x = Axis::over(points().map(|point| point.0), LEFT, WIDTH - RIGHT);
    let y = Axis::over(points().map(|point| point.1), HEIGHT - BOTTOM, TOP);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    draw_axes(&mut out, x, y);
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()).filter(|(line, _)| !line.points.is_empty())
    {
        draw_line(&mut out, line, colour, x, y);
    }
    out += "</svg>\n";
    out
}

fn draw_axes(out: &mut String, x: Axis, y: Axis) {
    let grid = "stroke=\"#dddddd\"";
    for tick in x.ticks() {
        let (at, label) = (x.place(tick), short(tick));
        let _ = writeln!(out, "<path d=\"M{at:.1} {} V{}\" {grid}/>", y.from, y.to);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>",
            y.from + 18.0
        );
    }
    for tick in y.ticks() {
        let (at, label) = (y.place(tick), short(tick));
        let _ = writeln!(out, "<path d=\"M{} {at:.1} H{}\" {grid}/>", x.from, x.to);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label} ms</text>",
            x.from - 6.0,
            at + 4.0
        );
    }
    let middle = f64::midpoint(x.from, x.to);
    let label = "deliveries a second";
    let _ =
        writeln!(out, "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", HEIGHT - 8.0);
}

fn draw_line(out: &mut String, line: &Line, colour: &str, x: Axis, y: Axis) {
    let places: Vec<_> =
        line.points.iter().map(|&(load, latency)| (x.place(load), y.place(latency))).collect();
    let path: Vec<String> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let path = path.join(" ");
    let _ =
        writeln!(out, "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>");
    for (x, y) in &places {
        let _ = writeln!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
    }
    if let Some((x, y)) = places.last() {
        let _ = writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            x + 8.0,
            y + 4.0,
            line.title
        );
    }
}

/// A power of ten as people write it.
fn short(value: f64) -> String {
    match value {
        large if large >= 1e6 => format!("{:.0}M", large / 1e6),
        large if large >= 1e3 => format!("{:.0}k", large / 1e3),
        large if large >= 1.0 => format!("{large:.0}"),
        small => format!("{small}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_load_is_further_right_and_more_latency_further_up() {
        let axis = Axis::over([10.0, 20_000.0].into_iter(), 0.0, 100.0);
        assert_eq!(axis.ticks().map(short).collect::<Vec<_>>(), ["10", "100", "1k", "10k", "100k"]);
        assert!((axis.place(1e3) - 50.0).abs() < 1e-6);
    }

    #[test]
    fn a_server_without_points_is_left_out_and_nothing_at_all_is_still_a_picture() {
        let lines = [
            Line { title: "one", points: vec![(100.0, 1.0), (1000.0, 30.0)] },
            Line { title: "none", points: vec![] },
        ];
        let svg = svg("t", &lines);
        assert_eq!(svg.matches("<polyline").count(), 1);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(!svg.contains("NaN") && !super::svg("t", &[]).contains("NaN"));
    }
}
