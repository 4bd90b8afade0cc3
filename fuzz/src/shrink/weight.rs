//! How simple a scenario is.

use serde_json::Value;

use crate::edit::{Action, Content, Edit, Formats, Nested};
use crate::scenario::{Access, Crash, Dialect, During, Event, Fault, Kind, Scenario};

/// A measure of scenarios: the lesser, the simpler. The first part in which two differ decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    steps: usize,
    replicas: usize,
    yjs: usize,
    dialects: usize,
    access: usize,
    faults: u64,
    edits: u64,
    pauses: u64,
}

impl Weight {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let (mut faults, mut edits) = (0, 0);
        for step in &scenario.steps {
            match &step.event {
                Event::Edit { edit, .. } => edits += of_edit(edit),
                Event::Cursor { state, .. } => edits += state.map_or(0, |state| 1 + u64::from(state)),
                Event::Gather { messages: count, .. } | Event::Ask { times: count, .. } => {
                    edits += 1 + *count as u64;
                }
                Event::Access { access, .. } => faults += 1 + u64::from(*access == Access::Read),
                Event::Heal => {}
                Event::Fault(fault) => faults += of_fault(fault),
            }
        }
        let is_hocuspocus = |dialect: &&Dialect| **dialect == Dialect::Hocuspocus;
        let hocuspocus = scenario.dialects.iter().filter(is_hocuspocus).count();
        let readers = scenario.access.iter().filter(|access| **access == Access::Read).count();
        Self {
            steps: scenario.steps.len(),
            replicas: scenario.replicas.len(),
            yjs: scenario.replicas.iter().filter(|kind| **kind == Kind::Yjs).count(),
            dialects: scenario.dialects.len() + hocuspocus,
            access: scenario.access.len() + readers,
            faults,
            edits,
            pauses: scenario.steps.iter().map(|step| u64::from(step.after)).sum(),
        }
    }
}

fn of_fault(fault: &Fault) -> u64 {
    match fault {
        Fault::Connect(_) | Fault::Disconnect(_) => 1,
        Fault::Checkpoint | Fault::Resume(_) => 2,
        Fault::Lose(_) | Fault::Overtake(..) | Fault::Stall(_) | Fault::Rejoin => 3,
        Fault::Evict => 4,
        Fault::Full(time) => 4 + u64::from(*time),
        Fault::Partition(replicas) => 4 + replicas.len() as u64,
        Fault::Crash(Crash { power, during }) => {
            let during = match during {
                During::Nothing => 0,
                During::Append => 1,
                During::Checkpoint(step) => 2 + u64::from(*step),
            };
            // More than any step of a checkpoint: a crash that only kills is simpler, whatever it interrupts.
            5 + u64::from(*power) * 300 + during
        }
        Fault::Delay(_, time) => 2 + u64::from(*time),
        Fault::Duplicate(_, count) | Fault::Restore(_, count) => 2 + *count as u64,
    }
}

fn of_edit(edit: &Edit) -> u64 {
    match edit {
        Edit::Undo | Edit::Redo => 1,
        Edit::Change { path, action, .. } => {
            let path: u64 = path.iter().map(|index| 1 + u64::from(*index)).sum();
            let action = match action {
                Action::Insert { at, content } => u64::from(*at) + of_content(content),
                Action::Delete { at, len } => u64::from(*at) + u64::from(*len),
                Action::Format { at, len, formats } => u64::from(*at) + u64::from(*len) + of_formats(formats),
                Action::Set { key, content } => of_text(key) + of_content(content),
                Action::Unset { key } => of_text(key),
            };
            1 + path + action
        }
    }
}

fn of_content(content: &Content) -> u64 {
    match content {
        Content::Text(text) => of_text(text),
        Content::Formatted(text, formats) => 1 + of_text(text) + of_formats(formats),
        Content::Values(values) => 1 + values.iter().map(|value| 1 + of_value(value)).sum::<u64>(),
        Content::Binary(bytes) => 2 + bytes.iter().map(|byte| 1 + u64::from(*byte)).sum::<u64>(),
        Content::Type(Nested::Text(text) | Nested::Element(text)) => 2 + of_text(text),
        Content::Type(Nested::Map(value)) => 2 + u64::from(value.unsigned_abs()),
        Content::Type(Nested::Array(values)) => {
            2 + values.iter().map(|value| 1 + u64::from(value.unsigned_abs())).sum::<u64>()
        }
        Content::Document(guid) => 2 + of_text(guid),
    }
}

/// A text of nothing but `a` is the simplest of its length.
fn of_text(text: &str) -> u64 {
    text.chars().map(|char| if char == 'a' { 1 } else { 1 + char.len_utf8() as u64 }).sum()
}

fn of_formats(formats: &Formats) -> u64 {
    formats.iter().map(|(key, value)| 1 + key.len() as u64 + of_value(value)).sum()
}

fn of_value(value: &Value) -> u64 {
    value.to_string().len() as u64
}
