//! How edits are carried out on the shared types of yrs.

use std::sync::Arc;

use serde_json::{Value, json};
use yrs::block::ClientID;
use yrs::types::Attrs;
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, Doc, In, Map as _, MapPrelim, MapRef, Number, Options, Out, ReadTxn,
    Text, TextPrelim, TextRef, TransactionMut, Xml, XmlElementPrelim, XmlElementRef, XmlFragment,
    XmlFragmentRef, XmlOut, XmlTextPrelim, XmlTextRef,
};

use super::roots::Roots;
use super::view::chunks;
use crate::edit::{Action, Content, Formats, Nested, Root};

/// A shared type that is edited.
pub(super) enum SharedType {
    Text(TextRef),
    Map(MapRef),
    Array(ArrayRef),
    Fragment(XmlFragmentRef),
    Element(XmlElementRef),
    XmlText(XmlTextRef),
}

impl SharedType {
    /// A root.
    pub(super) fn root(root: Root, roots: &Roots) -> Self {
        match root {
            Root::Text => Self::Text(roots.text.clone()),
            Root::Map => Self::Map(roots.map.clone()),
            Root::Array => Self::Array(roots.array.clone()),
            Root::Xml => Self::Fragment(roots.xml.clone()),
        }
    }

    fn of(out: Out) -> Option<Self> {
        match out {
            Out::YText(text) => Some(Self::Text(text)),
            Out::YMap(map) => Some(Self::Map(map)),
            Out::YArray(array) => Some(Self::Array(array)),
            Out::YXmlElement(element) => Some(Self::Element(element)),
            Out::YXmlText(text) => Some(Self::XmlText(text)),
            _ => None,
        }
    }

    /// One of the types nested in this one; itself if there are none.
    pub(super) fn descend(self, step: u32, txn: &impl ReadTxn) -> Self {
        let mut nested: Vec<_> = match &self {
            Self::Text(text) => chunks(text, txn).into_iter().filter_map(|(out, _)| Self::of(out)).collect(),
            Self::XmlText(text) => {
                chunks(text, txn).into_iter().filter_map(|(out, _)| Self::of(out)).collect()
            }
            Self::Array(array) => array.iter(txn).filter_map(Self::of).collect(),
            Self::Map(map) => {
                let mut entries: Vec<_> = map.iter(txn).collect();
                entries.sort_by_key(|&(key, _)| key);
                entries.into_iter().filter_map(|(_, out)| Self::of(out)).collect()
            }
            Self::Fragment(fragment) => fragment.children(txn).filter_map(Self::of_node).collect(),
            Self::Element(element) => element.children(txn).filter_map(Self::of_node).collect(),
        };
        match modulo(step, nested.len()) {
            Some(index) => nested.swap_remove(index),
            None => self,
        }
    }

    fn of_node(node: XmlOut) -> Option<Self> {
        match node {
            XmlOut::Element(element) => Some(Self::Element(element)),
            XmlOut::Text(text) => Some(Self::XmlText(text)),
            XmlOut::Fragment(_) => None,
        }
    }

    /// Carries out an action; one that makes no sense here does nothing.
    pub(super) fn carry_out(&self, action: &Action, txn: &mut TransactionMut<'_>) {
        match self {
            Self::Text(text) => change_text(text, action, txn),
            Self::XmlText(text) => change_text(text, action, txn),
            Self::Map(map) => change_map(map, action, txn),
            Self::Array(array) => change_array(array, action, txn),
            Self::Fragment(fragment) => change_nodes(fragment, action, txn),
            Self::Element(element) => match action {
                Action::Set { key, content } => {
                    element.insert_attribute(txn, key.as_str(), text_of(content));
                }
                Action::Unset { key } => {
                    element.remove_attribute(txn, key);
                }
                action => change_nodes(element, action, txn),
            },
        }
    }
}

fn change_text<T: Text>(text: &T, action: &Action, txn: &mut TransactionMut<'_>) {
    let units = units(text, txn);
    match action {
        Action::Insert { at, content } => {
            let at = boundary(&units, modulo(*at, units.len() + 1).unwrap_or(0));
            insert_into_text(text, at, content, txn);
        }
        Action::Delete { at, len } => {
            if let Some((at, len)) = range(&units, *at, *len) {
                text.remove_range(txn, at, len);
            }
        }
        Action::Format { at, len, formats } => {
            if let Some((at, len)) = range(&units, *at, *len) {
                text.format(txn, at, len, attributes(formats));
            }
        }
        Action::Set { .. } | Action::Unset { .. } => {}
    }
}

fn insert_into_text<T: Text>(text: &T, at: u32, content: &Content, txn: &mut TransactionMut<'_>) {
    match content {
        Content::Text(string) => text.insert(txn, at, string),
        Content::Formatted(string, formats) => {
            text.insert_with_attributes(txn, at, string, attributes(formats));
        }
        Content::Values(values) => {
            let embed = json!({ "embed": values.first() });
            text.insert_embed(txn, at, any(&embed));
        }
        // Nobody puts XML nodes into texts, yrs cannot put documents there, and embeds are JSON.
        Content::Type(Nested::Element(_)) | Content::Document(_) | Content::Binary(_) => {}
        Content::Type(Nested::Text(string)) => {
            _ = text.insert_embed(txn, at, TextPrelim::new(string.as_str()))
        }
        Content::Type(Nested::Map(n)) => _ = text.insert_embed(txn, at, map(*n)),
        Content::Type(Nested::Array(elements)) => _ = text.insert_embed(txn, at, array(elements)),
    }
}

fn change_map(map: &MapRef, action: &Action, txn: &mut TransactionMut<'_>) {
    match action {
        Action::Set { key, content: Content::Document(guid) } => {
            map.insert(txn, key.as_str(), document(guid));
        }
        Action::Set { key, content } => {
            map.insert(txn, key.as_str(), input(content));
        }
        Action::Unset { key } => {
            map.remove(txn, key);
        }
        Action::Insert { .. } | Action::Delete { .. } | Action::Format { .. } => {}
    }
}

fn change_array(array: &ArrayRef, action: &Action, txn: &mut TransactionMut<'_>) {
    let len = array.len(txn);
    match action {
        Action::Insert { at, content } => {
            let at = at % (len + 1);
            match content {
                Content::Values(values) => array.insert_range(txn, at, values.iter().map(any)),
                Content::Document(guid) => _ = array.insert(txn, at, document(guid)),
                content => _ = array.insert(txn, at, input(content)),
            }
        }
        Action::Delete { at, len: deleted } if len > 0 => {
            let at = at % len;
            array.remove_range(txn, at, (*deleted).min(len - at));
        }
        Action::Delete { .. } | Action::Format { .. } | Action::Set { .. } | Action::Unset { .. } => {}
    }
}

fn change_nodes<X: XmlFragment>(parent: &X, action: &Action, txn: &mut TransactionMut<'_>) {
    let len = parent.len(txn);
    match action {
        Action::Insert { at, content: Content::Type(Nested::Element(name)) } => {
            parent.insert(txn, at % (len + 1), XmlElementPrelim::empty(name.as_str()));
        }
        Action::Insert { at, content } => {
            parent.insert(txn, at % (len + 1), XmlTextPrelim::new(text_of(content)));
        }
        Action::Delete { at, len: deleted } if len > 0 => {
            let at = at % len;
            parent.remove_range(txn, at, (*deleted).min(len - at));
        }
        Action::Delete { .. } | Action::Format { .. } | Action::Set { .. } | Action::Unset { .. } => {}
    }
}

/// Content as an element of an array or an entry of a map. (Not a sub-document: as an `In` yrs writes a type that nobody knows.)
fn input(content: &Content) -> In {
    match content {
        Content::Text(string) | Content::Formatted(string, _) => In::Any(string.as_str().into()),
        Content::Values(values) => In::Any(values.first().map_or(Any::Null, any)),
        Content::Binary(bytes) => In::Any(bytes.as_slice().into()),
        Content::Type(Nested::Text(text)) => TextPrelim::new(text.as_str()).into(),
        Content::Type(Nested::Map(n)) => map(*n).into(),
        Content::Type(Nested::Array(elements)) => array(elements).into(),
        Content::Type(Nested::Element(name)) => XmlElementPrelim::empty(name.as_str()).into(),
        Content::Document(guid) => In::Any(guid.as_str().into()),
    }
}

fn map(n: i32) -> MapPrelim {
    MapPrelim::from_iter([("n", Any::from(n))])
}

fn array(elements: &[i32]) -> ArrayPrelim {
    ArrayPrelim::from_iter(elements.iter().map(|&n| Any::from(n)))
}

/// Client ids inside it never show: only the guid is part of the document.
fn document(guid: &str) -> Doc {
    Doc::with_options(Options::with_guid_and_client_id(guid.into(), ClientID::new(0)))
}

/// Content as the value of an attribute, or as the text of an XML node.
fn text_of(content: &Content) -> String {
    match content {
        Content::Text(string) | Content::Formatted(string, _) => string.clone(),
        Content::Type(Nested::Text(string)) => string.clone(),
        Content::Values(values) => values.first().map_or_else(String::new, Value::to_string),
        Content::Binary(_) | Content::Type(_) | Content::Document(_) => String::new(),
    }
}

/// The UTF-16 units of a text, with one for each embed.
fn units(text: &impl Text, txn: &impl ReadTxn) -> Vec<u16> {
    let mut units = Vec::new();
    for (out, _) in chunks(text, txn) {
        match out {
            Out::Any(Any::String(string)) => units.extend(string.encode_utf16()),
            _ => units.push(0),
        }
    }
    units
}

/// The place itself, or the one before where it would cut a surrogate pair.
fn boundary(units: &[u16], at: usize) -> u32 {
    let cut = units.get(at).is_some_and(|unit| (0xdc00..0xe000).contains(unit));
    u32::try_from(at - usize::from(cut)).expect("documents are small")
}

/// A part of a text that cuts no surrogate pair; `None` if there is nothing.
fn range(units: &[u16], at: u32, len: u32) -> Option<(u32, u32)> {
    let start = modulo(at, units.len())?;
    let end = units.len().min(start.saturating_add(len as usize));
    let (start, end) = (boundary(units, start), boundary(units, end));
    (start < end).then_some((start, end - start))
}

fn modulo(place: u32, len: usize) -> Option<usize> {
    (len > 0).then(|| place as usize % len)
}

fn attributes(formats: &Formats) -> Attrs {
    formats.iter().map(|(key, value)| (key.as_str().into(), any(value))).collect()
}

fn any(value: &Value) -> Any {
    match value {
        Value::Null => Any::Null,
        Value::Bool(boolean) => (*boolean).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => Any::Number(Number::Int(integer)),
            None => Any::Number(Number::Float(number.as_f64().unwrap_or(0.0))),
        },
        Value::String(string) => string.as_str().into(),
        Value::Array(values) => Any::Array(values.iter().map(any).collect()),
        Value::Object(members) => {
            let members = members.iter().map(|(key, value)| (key.clone(), any(value)));
            Any::Map(Arc::new(members.collect()))
        }
    }
}
