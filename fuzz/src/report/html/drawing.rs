//! The drawing, as SVG.

use maud::{Markup, html};

use super::layout::{Layout, is_cursor};
use super::page::Page;
use crate::limits;
use crate::outcome::{Mark, MarkKind, Message, Timeline};
use crate::report::wording;
use crate::scenario::{Kind, Scenario};

/// How much of its way a lost message is drawn.
const LOST: f64 = 0.55;

/// The names of the lanes, which stay in sight, and the drawing below them.
pub(super) fn draw(layout: &Layout, page: &Page<'_>) -> Markup {
    let Page { scenario, timeline, .. } = page;
    let many = timeline.messages.len() > limits::MESSAGE_NAMES;
    html! {
        svg.lanes width=(layout.width) height="46" {
            @for (lane, x) in layout.lanes.iter().enumerate() {
                (lane_name(lane, *x, scenario))
            }
        }
        svg.timeline.many[many] width=(layout.width) height=(layout.height) role="img" {
            title { "Messages between the replicas and the server" }
            @for (y, time) in &layout.times {
                text.time x="84" y=(y + 4.0) text-anchor="end" { (millis(*time)) }
            }
            @for mark in marks(layout, timeline) { (guide(layout, &mark)) }
            (draw_lanes(layout))
            @for (message, place) in timeline.messages.iter().zip(&layout.messages) {
                (draw_message(layout, message, *place))
            }
            @for mark in marks(layout, timeline) { (draw_mark(layout, page, &mark)) }
        }
    }
}

struct Placed<'a> {
    mark: &'a Mark,
    y: f64,
    step: Option<usize>,
    /// The mark before it stands for the same step: the words are there already.
    again: bool,
}

fn marks<'a>(layout: &'a Layout, timeline: &'a Timeline) -> impl Iterator<Item = Placed<'a>> {
    let mut before = None;
    timeline.marks.iter().zip(&layout.marks).map(move |(mark, (y, step))| {
        let again = step.is_some() && before == *step;
        before = *step;
        Placed { mark, y: *y, step: *step, again }
    })
}

fn lane_name(lane: usize, x: f64, scenario: &Scenario) -> Markup {
    let (name, kind) =
        match lane.checked_sub(1).and_then(|replica| Some((replica, scenario.replicas.get(replica)?))) {
            Some((replica, Kind::Yrs)) => (format!("replica {replica}"), "yrs"),
            Some((replica, Kind::Yjs)) => (format!("replica {replica}"), "Yjs"),
            None => ("server".to_owned(), "coscribe"),
        };
    html! {
        rect.plate.server[lane == 0] x=(x - 48.0) y="4" width="96" height="38" rx="8" {}
        text.name x=(x) y="20" text-anchor="middle" { (name) }
        text.kind x=(x) y="35" text-anchor="middle" { (kind) }
    }
}

fn draw_lanes(layout: &Layout) -> Markup {
    html! {
        @for (lane, x) in layout.lanes.iter().enumerate() {
            path.lane.server[lane == 0] d=(format!("M{x} 0V{}", layout.height)) {}
        }
        @for part in &layout.disturbances {
            @let x = layout.lanes[part.lane];
            path.lane.(if part.stalled { "stalled" } else { "offline" }) d=(format!("M{x} {}V{}", part.from, part.to)) {}
        }
    }
}

/// A line from a mark to its words.
fn guide(layout: &Layout, placed: &Placed<'_>) -> Markup {
    let Placed { mark, y, .. } = placed;
    let (from, class) = match mark.kind {
        MarkKind::Edit => (layout.lanes[mark.lane], "guide"),
        MarkKind::Fault => (layout.lanes[mark.lane], "guide fault-guide"),
        MarkKind::Heal => (100.0, "heal-line"),
        MarkKind::Failure => (100.0, "failure-line"),
    };
    html! { path class=(class) d=(format!("M{from} {y}H{}", layout.words - 8.0)) {} }
}

fn draw_mark(layout: &Layout, page: &Page<'_>, placed: &Placed<'_>) -> Markup {
    let Placed { mark, y, step, again } = placed;
    let (x, kind) = (layout.lanes[mark.lane], class(mark));
    let words = match (step, page.failure) {
        (Some(step), _) => format!("{step:>3}  {}", wording::event(&page.scenario.steps[*step].event)),
        (None, Some(failure)) if mark.kind == MarkKind::Failure => format!("     {}", failure.oracle),
        _ => format!("     {}", mark.label),
    };
    html! {
        g.mark {
            title { (millis(mark.time)) "\n" (words.trim()) "\n" (mark.label) }
            @match mark.kind {
                MarkKind::Edit => circle class=(kind) cx=(x) cy=(y) r=(if is_cursor(mark) { 4 } else { 6 }) {},
                MarkKind::Fault => path.fault d=(format!("M{x} {}l7.5 7.5l-7.5 7.5l-7.5 -7.5z", y - 7.5)) {},
                MarkKind::Heal => path.heal d=(format!("M{} {y}l5 5l9 -10", x - 6.0)) {},
                MarkKind::Failure => {
                    circle.failure cx=(x) cy=(y) r="10" {}
                    path.failure-cross d=(format!("M{} {}l8 8m0 -8l-8 8", x - 4.0, y - 4.0)) {}
                },
            }
            @if !again { text class={ "words " (kind) } x=(layout.words) y=(y + 4.0) { (short(&words)) } }
        }
    }
}

fn class(mark: &Mark) -> &'static str {
    match mark.kind {
        MarkKind::Edit if is_cursor(mark) => "cursor",
        MarkKind::Edit => "edit",
        MarkKind::Fault => "fault",
        MarkKind::Heal => "heal",
        MarkKind::Failure => "failure",
    }
}

fn draw_message(layout: &Layout, message: &Message, (sent, arrived): (f64, Option<f64>)) -> Markup {
    let Message { label, bytes, .. } = message;
    let (start, end) = (layout.lanes[message.from], layout.lanes[message.to]);
    let (x, y) = match arrived {
        Some(y) => (end, y),
        None => (start + LOST * (end - start), sent + 18.0),
    };
    let (length, kind) = ((x - start).hypot(y - sent).max(1.0), message_class(label));
    let (right, down) = ((x - start) / length, (y - sent) / length);
    let name = NamePlace::beside_replica(message, (start, sent), (x, y));
    html! {
        g.what.(kind) {
            title {
                (label) ", " (bytes) " bytes\n" (lane(message.from)) " → " (lane(message.to)) "\nsent " (millis(message.sent))
                @match message.arrived {
                    Some(arrived) => { ", arrived " (millis(arrived)) }
                    None => ", lost",
                }
            }
            path.target d=(format!("M{start:.1} {sent:.1}L{x:.1} {y:.1}")) {}
            path.message.(kind).lost[arrived.is_none()] d=(format!("M{start:.1} {sent:.1}L{:.1} {:.1}", x - 6.0 * right, y - 6.0 * down)) {}
            @if arrived.is_some() {
                path.head.(kind) d=(head((x - 2.0 * right, y - 2.0 * down), (right, down))) {}
            } @else {
                path.cross d=(format!("M{:.1} {:.1}l10 10m0 -10l-10 10", x - 5.0, y - 5.0)) {}
            }
            text.label.(kind) x=(name.x) y=(name.y) text-anchor=(name.anchor) transform=(name.turned) { (label) " " (bytes) }
        }
    }
}

/// The head of an arrow with its tip there, in that direction.
fn head((x, y): (f64, f64), (right, down): (f64, f64)) -> String {
    let corner = |side: f64| {
        let (back, out) = (9.0, 4.0 * side);
        (x - back * right - out * down, y - back * down + out * right)
    };
    let ((ax, ay), (bx, by)) = (corner(1.0), corner(-1.0));
    format!("M{x:.1} {y:.1}L{ax:.1} {ay:.1}L{bx:.1} {by:.1}z")
}

/// Where the name of a message stands: along its line, near the replica, where no others are.
struct NamePlace {
    x: f64,
    y: f64,
    anchor: &'static str,
    turned: String,
}

impl NamePlace {
    fn beside_replica(message: &Message, start: (f64, f64), end: (f64, f64)) -> Self {
        let (replica, server) = if message.from == 0 { (end, start) } else { (start, end) };
        let side = if server.0 > replica.0 { 1.0 } else { -1.0 };
        let slope = (server.1 - replica.1) / (server.0 - replica.0);
        let (x, y) = (replica.0 + 15.0 * side, replica.1 + 15.0 * side * slope - 3.0);
        let degrees = slope.atan().to_degrees();
        let anchor = if side > 0.0 { "start" } else { "end" };
        Self { x: round(x), y: round(y), anchor, turned: format!("rotate({degrees:.1} {x:.1} {y:.1})") }
    }
}

fn message_class(label: &str) -> &'static str {
    match label {
        "SyncStep1" | "SyncStep2" => "sync",
        "update" => "update",
        "awareness" | "queryAwareness" => "awareness",
        _ => "status",
    }
}

fn lane(lane: usize) -> String {
    lane.checked_sub(1).map_or("server".to_owned(), |replica| format!("replica {replica}"))
}

fn millis(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn short(words: &str) -> String {
    let line = words.lines().next().unwrap_or_default();
    match line.char_indices().nth(limits::LABEL_CHARACTERS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
