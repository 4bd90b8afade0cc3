//! A scenario from a seed.
//!
//! Replicas edit in bursts and in few places, so that their edits meet. Faults come now and then, mostly several before they are
//! healed, because nobody thinks of two faults at once.

use std::fmt;

use coscribe_terminal::counted;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::edit::{Action, Content, Edit, Formats, Nested, Root};
use crate::scenario::{Access, Crash, Dialect, During, Event, Fault, Kind, Scenario, Step};

/// How large scenarios are.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// Replicas, at least one.
    pub replicas: usize,
    /// How many of them run real Yjs.
    pub yjs: usize,
    /// Edits.
    pub edits: usize,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (replicas, edits) = (counted(self.replicas, "replica"), counted(self.edits, "edit"));
        write!(f, "{replicas}, {} of them real Yjs; {edits}", self.yjs)
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self { replicas: 5, yjs: 0, edits: 60 }
    }
}

/// The scenario of a seed: always the same one.
pub fn scenario(seed: u64, shape: &Shape) -> Scenario {
    let mut rng = Rng::with_seed(seed);
    let replicas = (0..shape.replicas.max(1)).map(|n| if n < shape.yjs { Kind::Yjs } else { Kind::Yrs });
    let replicas: Vec<_> = replicas.collect();
    let mut steps = Vec::new();
    let mut edits = 0;
    // Of some scenarios one kind of edit is most, and of some there are no faults at all.
    let style = Style {
        favourite: rng.u8(..10),
        faulty: rng.u8(..8) > 0,
        documents: rng.u8(..50) == 0,
        remakes: seed.is_multiple_of(3),
    };
    while edits < shape.edits {
        let event = match rng.u8(..100) {
            0..12 if style.faulty => Event::Fault(fault(&mut rng, replicas.len())),
            12..16 => cursor(&mut rng, replicas.len()),
            16..18 => Event::Heal,
            18 | 19 => {
                edits += batch(&mut rng, replicas.len(), style, &mut steps);
                continue;
            }
            20..30 if style.remakes => {
                edits += remake(&mut rng, replicas.len(), style, &mut steps);
                continue;
            }
            _ => {
                edits += 1;
                Event::Edit { replica: rng.usize(..replicas.len()), edit: edit(&mut rng, style) }
            }
        };
        steps.push(Step { after: pause(&mut rng), event });
    }
    let dialects = dialects(&mut rng, replicas.len());
    let access = access(&mut rng, replicas.len(), &mut steps);
    Scenario { seed, replicas, dialects, access, steps }
}

/// In a quarter of the scenarios some replicas are readers at first, and the access of some changes in between. Gives what each
/// may do at first.
fn access(rng: &mut Rng, replicas: usize, steps: &mut Vec<Step>) -> Vec<Access> {
    if rng.u8(..4) > 0 {
        return Vec::new();
    }
    let draw = |rng: &mut Rng| if rng.bool() { Access::Read } else { Access::Write };
    let first = (0..replicas).map(|_| draw(rng)).collect();
    for _ in 0..rng.usize(..12) {
        let event = Event::Access { replica: rng.usize(..replicas), access: draw(rng) };
        steps.insert(rng.usize(..=steps.len()), Step { after: pause(rng), event });
    }
    first
}

/// In a half of the scenarios the dialects are mixed, in a quarter each all are of one.
fn dialects(rng: &mut Rng, replicas: usize) -> Vec<Dialect> {
    let share = [0, 1, 1, 2][rng.usize(..4)];
    let draw = |_| if rng.u8(..2) < share { Dialect::Hocuspocus } else { Dialect::YWebsocket };
    if share == 0 { Vec::new() } else { (0..replicas).map(draw).collect() }
}

#[derive(Clone, Copy)]
struct Style {
    favourite: u8,
    faulty: bool,
    /// Sub-documents instead of plain elements now and then. In few scenarios, because yrs never frees them.
    documents: bool,
    /// Whole nodes are replaced, as rich-text editors do, while others write in them.
    remakes: bool,
}

/// Mostly bursts, now and then longer than awareness lives.
fn pause(rng: &mut Rng) -> u32 {
    match rng.u8(..100) {
        0..50 => 0,
        50..80 => rng.u32(1..8),
        80..95 => rng.u32(8..100),
        95..99 => rng.u32(100..2_000),
        _ => rng.u32(10_000..40_000),
    }
}

/// A replica makes several edits at once and asks for updates, in one frame or two; gives how many edits
/// there are.
fn batch(rng: &mut Rng, replicas: usize, style: Style, steps: &mut Vec<Step>) -> usize {
    let replica = rng.usize(..replicas);
    let mut events = vec![Event::Gather { replica, messages: rng.usize(2..16) }];
    for _ in 0..rng.usize(1..6) {
        events.push(match rng.u8(..8) {
            0 => Event::Ask { replica, times: rng.usize(1..5) },
            1 => Event::Cursor { replica, state: Some(rng.u32(..100)) },
            _ => Event::Edit { replica, edit: edit(rng, style) },
        });
    }
    let edits = events.iter().filter(|event| matches!(event, Event::Edit { .. })).count();
    let after = pause(rng);
    steps.extend(events.into_iter().zip([after].into_iter().chain(std::iter::repeat(0))).map(step));
    edits
}

/// A replica replaces a node by a new one with nodes in it, several times, and others write in the node that they see; gives how
/// many edits there are.
fn remake(rng: &mut Rng, replicas: usize, style: Style, steps: &mut Vec<Step>) -> usize {
    let (replica, root, at) = (rng.usize(..replicas), [Root::Xml, Root::Array][rng.usize(..2)], rng.u32(..3));
    let before = steps.len();
    let mut change = |rng: &mut Rng, replica, path: &[u32], action| {
        let edit = Edit::Change { root, path: path.to_vec(), action };
        steps.push(Step { after: pause(rng), event: Event::Edit { replica, edit } });
    };
    for _ in 0..rng.usize(1..4) {
        change(rng, replica, &[], Action::Delete { at, len: 1 });
        let content = node(rng, root);
        change(rng, replica, &[], Action::Insert { at, content });
        let mut path = vec![at];
        for _ in 0..rng.usize(1..4) {
            let content = node(rng, root);
            change(rng, replica, &path, Action::Insert { at: 0, content });
            if rng.bool() {
                path.push(0);
            }
            let action =
                if root == Root::Xml { xml_action(rng) } else { list_action(rng, |rng| element(rng, style)) };
            let other = rng.usize(..replicas);
            change(rng, other, &path, action);
        }
    }
    steps.len() - before
}

/// A type in which others can be nested.
fn node(rng: &mut Rng, root: Root) -> Content {
    match root {
        Root::Xml => Content::Type(Nested::Element(["table", "row"][rng.usize(..2)].to_owned())),
        _ => Content::Type(Nested::Array(vec![rng.i32(..100)])),
    }
}

fn step((event, after): (Event, u32)) -> Step {
    Step { after, event }
}

fn cursor(rng: &mut Rng, replicas: usize) -> Event {
    let state = (rng.u8(..6) > 0).then(|| rng.u32(..100));
    Event::Cursor { replica: rng.usize(..replicas), state }
}

fn fault(rng: &mut Rng, replicas: usize) -> Fault {
    let replica = rng.usize(..replicas);
    match rng.u8(..32) {
        0..4 => Fault::Disconnect(replica),
        4..7 => Fault::Connect(replica),
        7..9 => Fault::Partition((0..replicas).filter(|_| rng.bool()).collect()),
        9 => Fault::Rejoin,
        10..13 => Fault::Delay(replica, [0, 3, 40, 700][rng.usize(..4)]),
        13..16 => Fault::Stall(replica),
        16 => Fault::Resume(replica),
        17..19 => Fault::Duplicate(replica, rng.usize(1..6)),
        19..22 => Fault::Overtake(replica, rng.usize(..replicas)),
        22 => Fault::Lose(replica),
        23..27 => Fault::Crash(crash(rng)),
        27 => Fault::Checkpoint,
        28 => Fault::Full([5, 200, 2_000][rng.usize(..3)]),
        29..31 => Fault::Evict,
        _ => Fault::Restore(replica, rng.usize(1..8)),
    }
}

fn crash(rng: &mut Rng) -> Crash {
    let during = match rng.u8(..3) {
        0 => During::Nothing,
        1 => During::Append,
        _ => During::Checkpoint(rng.u8(..8)),
    };
    Crash { power: rng.bool(), during }
}

fn edit(rng: &mut Rng, style: Style) -> Edit {
    let kind = if rng.bool() { style.favourite } else { rng.u8(..10) };
    let (root, action) = match kind {
        0..3 => (Root::Text, text_action(rng, style)),
        3 | 4 => (Root::Map, map_action(rng, style)),
        5 | 6 => (Root::Array, list_action(rng, |rng| element(rng, style))),
        7 => (Root::Xml, xml_action(rng)),
        8 => return nested_edit(rng, style),
        _ => return if rng.u8(..3) > 0 { Edit::Undo } else { Edit::Redo },
    };
    Edit::Change { root, path: Vec::new(), action }
}

/// Which type it reaches shows only then, so the action is any.
fn nested_edit(rng: &mut Rng, style: Style) -> Edit {
    let root = Root::ALL[rng.usize(..4)];
    let path = (0..rng.usize(1..4)).map(|_| rng.u32(..8)).collect();
    let action = match rng.u8(..4) {
        0 => text_action(rng, style),
        1 => map_action(rng, style),
        2 => list_action(rng, |rng| element(rng, style)),
        _ => xml_action(rng),
    };
    Edit::Change { root, path, action }
}

fn text_action(rng: &mut Rng, style: Style) -> Action {
    match rng.u8(..16) {
        0..7 => Action::Insert { at: place(rng), content: Content::Text(string(rng)) },
        7 => Action::Insert { at: place(rng), content: Content::Formatted(string(rng), formats(rng)) },
        8 => Action::Insert { at: place(rng), content: element(rng, style) },
        9..12 => Action::Delete { at: place(rng), len: length(rng) },
        _ => Action::Format { at: place(rng), len: length(rng), formats: formats(rng) },
    }
}

fn map_action(rng: &mut Rng, style: Style) -> Action {
    let key = ["a", "b", "c"][rng.usize(..3)].to_owned();
    if rng.u8(..4) == 0 { Action::Unset { key } } else { Action::Set { key, content: element(rng, style) } }
}

fn list_action(rng: &mut Rng, content: impl Fn(&mut Rng) -> Content) -> Action {
    match rng.u8(..3) {
        0 => Action::Delete { at: place(rng), len: length(rng) },
        _ => Action::Insert { at: place(rng), content: content(rng) },
    }
}

fn xml_action(rng: &mut Rng) -> Action {
    match rng.u8(..8) {
        0 => Action::Set { key: "class".to_owned(), content: Content::Text(word(rng)) },
        1 => Action::Unset { key: "class".to_owned() },
        _ => list_action(rng, |rng| match rng.u8(..2) {
            0 => Content::Type(Nested::Element(["p", "h1"][rng.usize(..2)].to_owned())),
            _ => Content::Text(word(rng)),
        }),
    }
}

fn element(rng: &mut Rng, style: Style) -> Content {
    match rng.u8(..12) {
        0..5 => Content::Values((0..rng.usize(1..4)).map(|_| value(rng)).collect()),
        5 => Content::Text(word(rng)),
        6 => Content::Binary((0..rng.usize(..5)).map(|_| rng.u8(..)).collect()),
        7 => Content::Type(Nested::Text(word(rng))),
        8 => Content::Type(Nested::Map(rng.i32(..100))),
        9 => Content::Type(Nested::Array((0..rng.usize(..3)).map(|_| rng.i32(..100)).collect())),
        10 if style.documents => Content::Document(format!("document-{}", rng.u16(..))),
        _ => Content::Values(vec![Value::Null]),
    }
}

/// Objects have one member: the seed does not decide the order of several.
fn value(rng: &mut Rng) -> Value {
    match rng.u8(..6) {
        0 => json!(rng.bool()),
        1 => json!(rng.i32(..)),
        2 => json!(f64::from(rng.i8(..)) + 0.5),
        3 => json!(word(rng)),
        4 => json!([rng.u8(..), word(rng)]),
        _ => json!({ "k": rng.u8(..) }),
    }
}

/// One format at a time: the seed does not decide the order of several.
fn formats(rng: &mut Rng) -> Formats {
    let value = match rng.u8(..3) {
        0 => Value::Null,
        1 => json!(true),
        _ => json!("red"),
    };
    Formats::from([(["bold", "color"][rng.usize(..2)].to_owned(), value)])
}

/// Near the beginning, where others are as well, or anywhere.
fn place(rng: &mut Rng) -> u32 {
    if rng.bool() { rng.u32(..4) } else { rng.u32(..) }
}

fn length(rng: &mut Rng) -> u32 {
    rng.u32(1..6)
}

/// Texts as people type and paste them, with characters of two UTF-16 units.
fn string(rng: &mut Rng) -> String {
    match rng.u8(..20) {
        0 => "😀".repeat(rng.usize(1..4)),
        1 => format!("a👩‍👧{}", word(rng)),
        2 => "中文\u{301}é".to_owned(),
        3 => word(rng).repeat(rng.usize(50..200)),
        4..8 => rng.lowercase().to_string(),
        _ => word(rng),
    }
}

fn word(rng: &mut Rng) -> String {
    (0..rng.usize(1..8)).map(|_| rng.lowercase()).collect()
}
