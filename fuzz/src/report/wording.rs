//! Events in words, as short as can be.

use serde_json::{Value, json};

use crate::edit::{Action, Content, Edit, Nested};
use crate::limits;
use crate::scenario::{Access, Crash, During, Event, Fault};

/// An event: `replica 1: text.insert(0, "a")`.
pub(super) fn event(event: &Event) -> String {
    match event {
        Event::Edit { replica, edit: change } => format!("replica {replica}: {}", edit(change)),
        Event::Cursor { replica, state: Some(state) } => format!("replica {replica}: cursor at {state}"),
        Event::Cursor { replica, state: None } => format!("replica {replica}: no cursor any more"),
        Event::Gather { replica, messages } => {
            format!("replica {replica}: the next {messages} messages leave in one frame")
        }
        Event::Ask { replica, times: 1 } => format!("replica {replica} asks again"),
        Event::Ask { replica, times } => format!("replica {replica} asks again, {times} times in one frame"),
        Event::Access { replica, access: Access::Read } => format!("replica {replica} may only read"),
        Event::Access { replica, access: Access::Write } => format!("replica {replica} may write"),
        Event::Heal => "heal, then compare".to_owned(),
        Event::Fault(kind) => fault(kind),
    }
}

fn edit(edit: &Edit) -> String {
    match edit {
        Edit::Change { root, path, action: change } => {
            let path: String = path.iter().map(|index| format!("[{index}]")).collect();
            format!("{}{path}.{}", root.name(), action(change))
        }
        Edit::Undo => "undo".to_owned(),
        Edit::Redo => "redo".to_owned(),
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Insert { at, content: what } => format!("insert({at}, {})", content(what)),
        Action::Delete { at, len } => format!("delete({at}, {len})"),
        Action::Format { at, len, formats } => format!("format({at}, {len}, {})", value(&json!(formats))),
        Action::Set { key, content: what } => format!("set({}, {})", text(key), content(what)),
        Action::Unset { key } => format!("unset({})", text(key)),
    }
}

fn content(content: &Content) -> String {
    match content {
        Content::Text(string) => text(string),
        Content::Formatted(string, formats) => format!("{}, {}", text(string), value(&json!(formats))),
        Content::Values(values) => value(&json!(values)),
        Content::Binary(bytes) => format!("bytes {}", value(&json!(bytes))),
        Content::Type(Nested::Text(string)) => format!("Y.Text({})", text(string)),
        Content::Type(Nested::Map(number)) => format!("Y.Map(n: {number})"),
        Content::Type(Nested::Array(numbers)) => format!("Y.Array({})", value(&json!(numbers))),
        Content::Type(Nested::Element(name)) => format!("<{name}>"),
        Content::Document(guid) => format!("Y.Doc({})", text(guid)),
    }
}

fn text(text: &str) -> String {
    value(&json!(text))
}

fn value(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(limits::WORDING_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn fault(fault: &Fault) -> String {
    match fault {
        Fault::Disconnect(replica) => format!("replica {replica} disconnects"),
        Fault::Connect(replica) => format!("replica {replica} connects"),
        Fault::Partition(replicas) => {
            let replicas: Vec<_> = replicas.iter().map(usize::to_string).collect();
            format!("partition: replica {} cut off", replicas.join(", "))
        }
        Fault::Rejoin => "those who are cut off connect again".to_owned(),
        Fault::Delay(replica, time) => format!("replica {replica}: messages take {time} ms"),
        Fault::Stall(replica) => format!("replica {replica} stops reading"),
        Fault::Resume(replica) => format!("replica {replica} reads again"),
        Fault::Duplicate(replica, 1) => format!("replica {replica} sends its last update again"),
        Fault::Duplicate(replica, count) => format!("replica {replica} sends its last {count} updates again"),
        Fault::Overtake(source, through) => {
            format!("replica {source}'s newest update comes through replica {through} first")
        }
        Fault::Lose(replica) => format!("replica {replica}'s next update gets lost"),
        Fault::Crash(how) => crash(*how),
        Fault::Checkpoint => "checkpoint".to_owned(),
        Fault::Full(millis) => format!("the disk is full for {millis} ms"),
        Fault::Evict => "the document is closed and opened again".to_owned(),
        Fault::Restore(replica, edits) => format!("replica {replica} is what it was {edits} edits ago"),
    }
}

fn crash(Crash { power, during }: Crash) -> String {
    let what = if power { "power loss" } else { "the server is killed" };
    match during {
        During::Nothing => what.to_owned(),
        During::Append => format!("{what} during an append"),
        During::Checkpoint(step) => format!("{what} in step {step} of a checkpoint"),
    }
}
