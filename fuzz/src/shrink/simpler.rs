//! Replacements for an event, the simplest first.

use serde_json::{Value, json};

use crate::edit::{Action, Content, Edit, Formats, Nested};
use crate::scenario::{Crash, During, Event, Fault};

/// Events that may be simpler than this one. Whether they are, their weight decides.
pub(super) fn events(event: &Event) -> Vec<Event> {
    match event {
        Event::Edit { replica, edit } => {
            edits(edit).into_iter().map(|edit| Event::Edit { replica: *replica, edit }).collect()
        }
        Event::Cursor { replica, state: Some(state) } => {
            numbers(*state).map(|state| Event::Cursor { replica: *replica, state: Some(state) }).collect()
        }
        Event::Gather { replica, messages } => {
            counts(*messages).map(|messages| Event::Gather { replica: *replica, messages }).collect()
        }
        Event::Ask { replica, times } => {
            counts(*times).map(|times| Event::Ask { replica: *replica, times }).collect()
        }
        Event::Cursor { state: None, .. } | Event::Access { .. } | Event::Heal => Vec::new(),
        Event::Fault(fault) => faults(fault).into_iter().map(Event::Fault).collect(),
    }
}

/// Numbers that are smaller: none, one, half, one less.
pub(super) fn numbers(number: u32) -> impl Iterator<Item = u32> {
    [0, 1, number / 2, number.saturating_sub(1)].into_iter().filter(move |smaller| *smaller < number)
}

fn counts(count: usize) -> impl Iterator<Item = usize> {
    [0, 1, count / 2, count.saturating_sub(1)].into_iter().filter(move |smaller| *smaller < count)
}

fn faults(fault: &Fault) -> Vec<Fault> {
    match fault {
        Fault::Partition(replicas) => {
            let alone = replicas.iter().map(|replica| Fault::Disconnect(*replica));
            let fewer = (0..replicas.len()).filter(|_| replicas.len() > 1).map(|removed| {
                let mut replicas = replicas.clone();
                replicas.remove(removed);
                Fault::Partition(replicas)
            });
            alone.chain(fewer).collect()
        }
        Fault::Stall(replica) => vec![Fault::Disconnect(*replica)],
        Fault::Resume(replica) => vec![Fault::Connect(*replica)],
        Fault::Delay(replica, time) => numbers(*time).map(|time| Fault::Delay(*replica, time)).collect(),
        Fault::Duplicate(replica, count) => {
            counts(*count).filter(|count| *count > 0).map(|count| Fault::Duplicate(*replica, count)).collect()
        }
        Fault::Restore(replica, edits) => {
            counts(*edits).map(|edits| Fault::Restore(*replica, edits)).collect()
        }
        Fault::Crash(crash) => {
            let crashes = crashes(*crash).into_iter().map(Fault::Crash);
            [Fault::Checkpoint, Fault::Evict].into_iter().chain(crashes).collect()
        }
        Fault::Evict => vec![Fault::Checkpoint],
        Fault::Full(time) => numbers(*time).map(Fault::Full).collect(),
        Fault::Disconnect(_)
        | Fault::Connect(_)
        | Fault::Rejoin
        | Fault::Overtake(..)
        | Fault::Lose(_)
        | Fault::Checkpoint => Vec::new(),
    }
}

fn crashes(Crash { power, during }: Crash) -> Vec<Crash> {
    let mut simpler = vec![
        Crash { power: false, during: During::Nothing },
        Crash { power, during: During::Nothing },
        Crash { power: false, during },
        Crash { power, during: During::Append },
    ];
    if let During::Checkpoint(step) = during {
        let steps = [0, step / 2, step.saturating_sub(1)].map(During::Checkpoint);
        simpler.extend(steps.map(|during| Crash { power, during }));
    }
    simpler
}

fn edits(edit: &Edit) -> Vec<Edit> {
    let Edit::Change { root, path, action } = edit else { return Vec::new() };
    let other_path = |path: Vec<u32>| Edit::Change { root: *root, path, action: action.clone() };
    let paths = (0..path.len()).map(|length| other_path(path[..length].to_vec()));
    let indices = path.iter().enumerate().flat_map(|(place, index)| {
        numbers(*index).map(move |index| {
            let mut path = path.clone();
            path[place] = index;
            other_path(path)
        })
    });
    let actions =
        actions(action).into_iter().map(|action| Edit::Change { root: *root, path: path.clone(), action });
    paths.chain(indices).chain(actions).collect()
}

fn actions(action: &Action) -> Vec<Action> {
    match action {
        Action::Insert { at, content } => {
            let contents = contents(content).into_iter().map(|content| Action::Insert { at: *at, content });
            let places = numbers(*at).map(|at| Action::Insert { at, content: content.clone() });
            contents.chain(places).collect()
        }
        Action::Delete { at, len } => {
            let lengths = numbers(*len).filter(|len| *len > 0).map(|len| Action::Delete { at: *at, len });
            lengths.chain(numbers(*at).map(|at| Action::Delete { at, len: *len })).collect()
        }
        Action::Format { at, len, formats } => {
            let with =
                |at: u32, len: u32, formats: &Formats| Action::Format { at, len, formats: formats.clone() };
            let fewer = fewer_formats(formats).into_iter().map(|formats| with(*at, *len, &formats));
            let lengths = numbers(*len).filter(|len| *len > 0).map(|len| with(*at, len, formats));
            fewer.chain(lengths).chain(numbers(*at).map(|at| with(at, *len, formats))).collect()
        }
        Action::Set { key, content } => {
            contents(content).into_iter().map(|content| Action::Set { key: key.clone(), content }).collect()
        }
        Action::Unset { .. } => Vec::new(),
    }
}

fn contents(content: &Content) -> Vec<Content> {
    let nested = |nested| Content::Type(nested);
    let simplest = Content::Text("a".to_owned());
    let specific: Vec<_> = match content {
        Content::Text(text) => return texts(text).map(Content::Text).collect(),
        Content::Formatted(text, formats) => {
            let shorter = texts(text).map(|text| Content::Formatted(text, formats.clone()));
            let fewer =
                fewer_formats(formats).into_iter().map(|formats| Content::Formatted(text.clone(), formats));
            std::iter::once(Content::Text(text.clone())).chain(shorter).chain(fewer).collect()
        }
        Content::Values(values) => less(values, other_values).map(Content::Values).collect(),
        Content::Binary(bytes) => less(bytes, |byte| vec![0, byte / 2]).map(Content::Binary).collect(),
        Content::Type(Nested::Text(text)) => {
            texts(text).chain([String::new()]).map(Nested::Text).map(nested).collect()
        }
        Content::Type(Nested::Map(value)) => vec![nested(Nested::Map(0)), nested(Nested::Map(value / 2))],
        Content::Type(Nested::Array(values)) => {
            less(values, |value| vec![0, value / 2]).map(Nested::Array).map(nested).collect()
        }
        Content::Type(Nested::Element(name)) => texts(name).map(Nested::Element).map(nested).collect(),
        Content::Document(guid) => texts(guid).map(Content::Document).collect(),
    };
    std::iter::once(simplest).chain(specific).collect()
}

/// Shorter texts, and one of the same length that says nothing.
fn texts(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let half = chars.len() / 2;
    let first = chars.iter().take(1).collect();
    let halves = [chars[..half].iter().collect(), chars[half..].iter().collect()];
    let plain = "a".repeat(chars.len());
    ["a".to_owned(), first].into_iter().chain(halves).filter(|text: &String| !text.is_empty()).chain([plain])
}

/// Lists with one of the elements, with half of them, with one less, and with one of them replaced.
fn less<T: Clone>(values: &[T], replacements: impl Fn(&T) -> Vec<T>) -> impl Iterator<Item = Vec<T>> {
    let half = values.len() / 2;
    let mut lists: Vec<_> = values.iter().map(|value| vec![value.clone()]).collect();
    lists.extend([values[..half].to_vec(), values[half..].to_vec()]);
    for place in 0..values.len() {
        lists.push([&values[..place], &values[place + 1..]].concat());
        lists.extend(replacements(&values[place]).into_iter().map(|value| {
            let mut values = values.to_vec();
            values[place] = value;
            values
        }));
    }
    lists.into_iter().filter(|list| !list.is_empty())
}

fn other_values(value: &Value) -> Vec<Value> {
    let inner: Vec<Value> = match value {
        Value::Array(values) => values.clone(),
        Value::Object(entries) => entries.values().cloned().collect(),
        _ => Vec::new(),
    };
    [json!(0)].into_iter().chain(inner).collect()
}

/// With only one of the formats, and with a plain value.
fn fewer_formats(formats: &Formats) -> Vec<Formats> {
    let single = formats
        .iter()
        .filter(|_| formats.len() > 1)
        .map(|(key, value)| Formats::from([(key.clone(), value.clone())]));
    let plain = formats.keys().map(|key| {
        let mut formats = formats.clone();
        formats.insert(key.clone(), json!(true));
        formats
    });
    single.chain(plain).collect()
}
