//! Content as JSON; the shapes are those that `Document::to_json` promises.

use data_encoding::BASE64;
use serde_json::{Map, Value};
use yrs::branch::{Branch, BranchPtr};
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::{Any, Array, ArrayRef, Map as _, MapRef, Number, Out, ReadTxn, Text, TextRef, Xml};

/// One piece of a sequence: a run of text, an embed or a nested type, with its formats.
pub(super) type Chunk = yrs::types::text::Diff<YChange>;

/// All roots that hold something, by name.
pub(super) fn roots<T: ReadTxn>(txn: &T) -> Value {
    let members = txn.root_refs().filter_map(|(name, out)| {
        let branch = BranchPtr::from(out.try_branch()?);
        Some((name.to_owned(), untyped(branch, txn)?))
    });
    Value::Object(members.collect())
}

/// What is visible of a sequence as text, embeds and nested types; plain values are left out by yrs.
pub(super) fn chunks<T: ReadTxn>(branch: BranchPtr, txn: &T) -> Vec<Chunk> {
    TextRef::from(branch).diff(txn, YChange::identity)
}

/// A run of text or an embed, which only texts hold.
pub(super) fn is_text(chunk: &Chunk) -> bool {
    matches!(chunk.insert, Out::Any(_)) || chunk.attributes.is_some()
}

fn value<T: ReadTxn>(out: &Out, txn: &T) -> Value {
    match out {
        Out::Any(any) => plain(any),
        Out::YText(text) => delta(text.diff(txn, YChange::identity), txn),
        Out::YArray(array) => elements(array, txn),
        Out::YMap(map) => Value::Object(entries(map, txn)),
        Out::YXmlElement(element) => object([
            ("tag", Value::from(element.try_tag().map_or("", |tag| tag))),
            ("attributes", Value::Object(attributes(element, txn))),
            ("children", children(chunks(branch_of(element), txn), txn)),
        ]),
        Out::YXmlFragment(fragment) => children(chunks(branch_of(fragment), txn), txn),
        Out::YXmlText(text) => {
            let attributes = attributes(text, txn);
            let text = delta(text.diff(txn, YChange::identity), txn);
            if attributes.is_empty() {
                return text;
            }
            object([("attributes", Value::Object(attributes)), ("text", text)])
        }
        Out::YDoc(doc) => object([("guid", Value::from(doc.guid().as_ref()))]),
        Out::UndefinedRef(branch) => untyped(*branch, txn).unwrap_or(Value::Null),
    }
}

/// An object of these members. (`json!` would copy them, at every level once more.)
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.into_iter().map(|(key, member)| (key.to_owned(), member)).collect())
}

fn branch_of(node: &impl AsRef<Branch>) -> BranchPtr {
    BranchPtr::from(node.as_ref())
}

/// A type of unknown kind, guessed from its content; `None` when it holds nothing.
fn untyped<T: ReadTxn>(branch: BranchPtr, txn: &T) -> Option<Value> {
    let parts = parts(branch, txn);
    if parts.len() == 1 {
        parts.into_iter().next().map(|(_, part)| part)
    } else {
        (!parts.is_empty()).then_some(Value::Object(parts))
    }
}

/// What a type of unknown kind holds, by the kinds of types that hold such: map, text, array.
pub(super) fn parts<T: ReadTxn>(branch: BranchPtr, txn: &T) -> Map<String, Value> {
    let mut parts = Map::new();
    let entries = entries(&MapRef::from(branch), txn);
    if !entries.is_empty() {
        parts.insert("map".to_owned(), Value::Object(entries));
    }
    let chunks = chunks(branch, txn);
    let more_than_chunks = chunks.iter().map(units).sum::<usize>() < branch.len() as usize;
    if more_than_chunks {
        parts.insert("array".to_owned(), elements(&ArrayRef::from(branch), txn));
    }
    if chunks.iter().any(is_text) {
        parts.insert("text".to_owned(), delta(chunks, txn));
    } else if !more_than_chunks && !chunks.is_empty() {
        parts.insert("array".to_owned(), children(chunks, txn));
    }
    parts
}

/// Length of a chunk in a branch's own measure: UTF-16 units of text, 1 for anything else.
fn units(chunk: &Chunk) -> usize {
    match &chunk.insert {
        Out::Any(Any::String(text)) => text.encode_utf16().count(),
        _ => 1,
    }
}

fn elements<T: ReadTxn>(array: &ArrayRef, txn: &T) -> Value {
    array.iter(txn).map(|element| value(&element, txn)).collect()
}

fn entries<T: ReadTxn>(map: &MapRef, txn: &T) -> Map<String, Value> {
    map.iter(txn).map(|(key, entry)| (key.to_owned(), value(&entry, txn))).collect()
}

fn attributes<T: ReadTxn>(node: &impl Xml, txn: &T) -> Map<String, Value> {
    node.attributes(txn).map(|(key, attribute)| (key.to_owned(), value(&attribute, txn))).collect()
}

fn children<T: ReadTxn>(chunks: Vec<Chunk>, txn: &T) -> Value {
    chunks.iter().map(|chunk| value(&chunk.insert, txn)).collect()
}

fn delta<T: ReadTxn>(chunks: Vec<Chunk>, txn: &T) -> Value {
    let plain_text = |chunk: &Chunk| match (&chunk.insert, &chunk.attributes) {
        (Out::Any(Any::String(text)), None) => Some(text.to_string()),
        _ => None,
    };
    if let Some(text) = chunks.iter().map(plain_text).collect::<Option<String>>() {
        return Value::String(text);
    }
    chunks.iter().map(|chunk| operation(chunk, txn)).collect()
}

fn operation<T: ReadTxn>(chunk: &Chunk, txn: &T) -> Value {
    let mut operation = Map::new();
    operation.insert("insert".to_owned(), value(&chunk.insert, txn));
    if let Some(attributes) = &chunk.attributes {
        operation.insert("attributes".to_owned(), formats(attributes));
    }
    Value::Object(operation)
}

fn formats(attributes: &Attrs) -> Value {
    Value::Object(attributes.iter().map(|(key, format)| (key.to_string(), plain(format))).collect())
}

fn plain(any: &Any) -> Value {
    match any {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(boolean) => Value::Bool(*boolean),
        Any::Number(Number::Int(integer)) => Value::from(*integer),
        Any::Number(Number::Float(float)) => Value::from(*float),
        Any::String(string) => Value::String(string.to_string()),
        Any::Buffer(bytes) => object([("base64", Value::from(BASE64.encode(bytes)))]),
        Any::Array(values) => values.iter().map(plain).collect(),
        Any::Map(members) => {
            Value::Object(members.iter().map(|(key, member)| (key.clone(), plain(member))).collect())
        }
    }
}
