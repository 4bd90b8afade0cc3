//! Edits as data, in terms that any replica can carry out in any state.
//!
//! Indices are taken modulo the length, so that an edit means something in every state: a scenario stays valid when other steps
//! are removed from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An edit in one transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Edit {
    /// A change of one shared type.
    Change {
        /// The root to start from.
        root: Root,
        /// The way to the shared type: at each step the index of a nested type (modulo their number, in the order of elements
        /// or of keys); the way ends early where no type is nested.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Vec<u32>,
        /// The change; a type that has no such change ignores it.
        action: Action,
    },
    /// Takes back the replica's own last change.
    Undo,
    /// Takes back the last undo.
    Redo,
}

/// The roots of every document, named as they are written in JSON, of these types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Root {
    /// A `Y.Text`.
    Text,
    /// A `Y.Map`.
    Map,
    /// A `Y.Array`.
    Array,
    /// A `Y.XmlFragment`.
    Xml,
}

/// Formats of a text; `null` takes one away.
pub type Formats = BTreeMap<String, Value>;

/// A change of a shared type. Texts are measured in UTF-16 units, and never cut inside a surrogate pair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Action {
    /// Inserts content into a text, an array or an XML node.
    Insert {
        /// Where, modulo the length plus one.
        at: u32,
        /// What.
        content: Content,
    },
    /// Deletes from a text, an array or an XML node.
    Delete {
        /// Where, modulo the length.
        at: u32,
        /// How much, as far as there is.
        len: u32,
    },
    /// Formats a part of a text.
    Format {
        /// Where, modulo the length.
        at: u32,
        /// How much, as far as there is.
        len: u32,
        /// How.
        formats: Formats,
    },
    /// Sets an entry of a map, or an attribute of an XML node.
    Set {
        /// Which.
        key: String,
        /// The new value. For attributes: its text.
        content: Content,
    },
    /// Removes an entry of a map, or an attribute of an XML node.
    Unset {
        /// Which.
        key: String,
    },
}

/// Content for a shared type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Content {
    /// Text in a text; a `Y.XmlText` in an XML node; a string elsewhere.
    Text(String),
    /// The same with formats, where there are formats.
    Formatted(String, Formats),
    /// Plain JSON values: elements of an array, all of them; elsewhere the first: an entry of a map, or as `{"embed": value}` an embed
    /// of a text.
    Values(Vec<Value>),
    /// Bytes; not in a text, whose embeds are JSON.
    Binary(Vec<u8>),
    /// A new shared type.
    Type(Nested),
    /// A sub-document with this guid, in an array or a map.
    Document(String),
}

/// A shared type that is inserted into another. An XML node takes only the last kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Nested {
    /// A `Y.Text` with this text.
    Text(String),
    /// A `Y.Map` with one entry, `n`.
    Map(i32),
    /// A `Y.Array` with these elements.
    Array(Vec<i32>),
    /// A `Y.XmlElement` with this name.
    Element(String),
}

impl Root {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Text, Self::Map, Self::Array, Self::Xml];

    /// Its name in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Map => "map",
            Self::Array => "array",
            Self::Xml => "xml",
        }
    }
}

impl Edit {
    /// The kind of the edit, for the coverage.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Change { path, action, .. } if !path.is_empty() => match action {
                Action::Insert { .. } => "insert into nested type",
                Action::Delete { .. } => "delete from nested type",
                Action::Format { .. } => "format nested text",
                Action::Set { .. } | Action::Unset { .. } => "set or unset in nested type",
            },
            Self::Change { action, root, .. } => action.kind(*root),
            Self::Undo => "undo",
            Self::Redo => "redo",
        }
    }
}

impl Action {
    fn kind(&self, root: Root) -> &'static str {
        match (self, root) {
            (Self::Insert { content, .. } | Self::Set { content, .. }, _) => content.kind(),
            (Self::Delete { .. }, Root::Text) => "delete text",
            (Self::Delete { .. }, Root::Xml) => "delete XML nodes",
            (Self::Delete { .. }, _) => "delete elements",
            (Self::Format { .. }, _) => "format",
            (Self::Unset { .. }, _) => "unset",
        }
    }
}

impl Content {
    fn kind(&self) -> &'static str {
        match self {
            Self::Text(text) if text.encode_utf16().count() != text.chars().count() => "surrogate pairs",
            Self::Text(text) if text.len() > 200 => "long paste",
            Self::Text(_) => "text",
            Self::Formatted(..) => "formatted text",
            Self::Values(_) => "values or embed",
            Self::Binary(_) => "binary",
            Self::Type(Nested::Element(_)) => "XML element",
            Self::Type(_) => "nested type",
            Self::Document(_) => "sub-document",
        }
    }
}
