//! The view of a document of yrs, as JSON in the form of [`View::content`](crate::replica::View::content).

use serde_json::{Map, Value, json};
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::{
    Any, Array, ArrayRef, GetString as _, Map as _, MapRef, Number, Out, ReadTxn, Text, TextRef, Xml,
    XmlFragment, XmlOut,
};

use crate::replica::view::push_chunk;

/// The parts of a text: strings, embeds and nested types, with their formats.
pub(super) fn chunks(text: &impl Text, txn: &impl ReadTxn) -> Vec<(Out, Option<Attrs>)> {
    let chunks = text.diff(txn, YChange::identity).into_iter();
    chunks.map(|chunk| (chunk.insert, chunk.attributes.map(|attributes| *attributes))).collect()
}

pub(super) fn delta(text: &impl Text, txn: &impl ReadTxn) -> Value {
    let mut delta: Vec<Value> = Vec::new();
    for (out, attributes) in chunks(text, txn) {
        let mut chunk = Map::from_iter([("insert".to_owned(), to_json(&out, txn))]);
        if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
            let attributes = attributes.iter().map(|(key, value)| (key.to_string(), plain(value)));
            chunk.insert("attributes".to_owned(), Value::Object(attributes.collect()));
        }
        push_chunk(&mut delta, chunk);
    }
    Value::Array(delta)
}

pub(super) fn entries(map: &MapRef, txn: &impl ReadTxn) -> Value {
    Value::Object(map.iter(txn).map(|(key, out)| (key.to_owned(), to_json(&out, txn))).collect())
}

pub(super) fn elements(array: &ArrayRef, txn: &impl ReadTxn) -> Value {
    array.iter(txn).map(|out| to_json(&out, txn)).collect()
}

pub(super) fn nodes(parent: &impl XmlFragment, txn: &impl ReadTxn) -> Value {
    let node = |node| match node {
        XmlOut::Element(element) => to_json(&Out::YXmlElement(element), txn),
        XmlOut::Text(text) => to_json(&Out::YXmlText(text), txn),
        XmlOut::Fragment(fragment) => nodes(&fragment, txn),
    };
    parent.children(txn).map(node).collect()
}

/// A value inside a document, also a whole shared type, in the form of [`View::content`].
pub(crate) fn to_json(out: &Out, txn: &impl ReadTxn) -> Value {
    match out {
        Out::Any(any) => plain(any),
        Out::YText(text) => json!({ "$text": delta(text, txn) }),
        Out::YMap(map) => entries(map, txn),
        Out::YArray(array) => elements(array, txn),
        Out::YXmlElement(element) => {
            let attributes = element.attributes(txn).map(|(key, out)| (key.to_owned(), to_json(&out, txn)));
            json!({ "$element": {
                "name": element.try_tag().map_or("", |tag| tag),
                "attributes": Value::Object(attributes.collect()),
                "children": nodes(element, txn),
            } })
        }
        Out::YXmlText(text) => json!({ "$xmlText": delta(text, txn) }),
        Out::YXmlFragment(fragment) => nodes(fragment, txn),
        Out::YDoc(doc) => json!({ "$document": doc.guid().as_ref() }),
        Out::UndefinedRef(branch) => json!({ "$undefined": TextRef::from(*branch).get_string(txn) }),
    }
}

fn plain(any: &Any) -> Value {
    match any {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(boolean) => Value::Bool(*boolean),
        Any::Number(Number::Int(integer)) => Value::from(*integer),
        Any::Number(Number::Float(float)) => number(*float),
        Any::String(string) => Value::String(string.to_string()),
        Any::Buffer(bytes) => json!({ "$binary": bytes.as_ref() }),
        Any::Array(values) => values.iter().map(plain).collect(),
        Any::Map(members) => {
            Value::Object(members.iter().map(|(key, member)| (key.clone(), plain(member))).collect())
        }
    }
}

/// JavaScript has one kind of numbers, and from 2³¹ on Yjs writes integers as floats.
fn number(float: f64) -> Value {
    // Up to 2⁵³ all integers are floats.
    #[expect(clippy::cast_possible_truncation, reason = "it has no fraction, and is small")]
    if float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0 {
        return Value::from(float as i64);
    }
    Value::from(float)
}
