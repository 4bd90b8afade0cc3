//! The view of a document, in a form that replicas of yrs and of Yjs share.

use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use serde::Serialize;
use serde_json::{Map, Value};

/// The view of a document. Two replicas that have seen the same updates have equal views.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct View {
    /// The content of each root by its name. A text is its delta; a map and an array are JSON; an XML fragment is the list of
    /// its nodes. Values that JSON lacks are objects with one tag: `$text` (delta), `$element` (name, attributes,
    /// children), `$xmlText` (delta), `$document` (guid), `$binary` (bytes).
    pub content: Value,
    /// The next clock of each client.
    #[serde(skip)]
    pub state_vector: StateVector,
    /// The deleted elements.
    #[serde(skip)]
    pub delete_set: IdSet,
}

/// Appends a chunk to a delta; text joins the chunk before if that has the same formats. Where texts are cut otherwise depends
/// on which formats were once set and taken away, and implementations differ in that.
pub(super) fn push_chunk(delta: &mut Vec<Value>, chunk: Map<String, Value>) {
    if let (Some(Value::Object(last)), Some(Value::String(text))) = (delta.last_mut(), chunk.get("insert"))
        && last.get("attributes") == chunk.get("attributes")
        && let Some(Value::String(before)) = last.get_mut("insert")
    {
        before.push_str(text);
        return;
    }
    delta.push(Value::Object(chunk));
}
