//! A replica that runs yrs.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::update::ClientId;
use serde_json::{Map, Value, json};
use yrs::block::ClientID;
use yrs::types::Attrs;
use yrs::types::text::YChange;
use yrs::undo::UndoManager;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, Doc, GetString as _, In, Map as _, MapPrelim, MapRef, Number,
    OffsetKind, Options, Out, ReadTxn, StateVector, Text, TextPrelim, TextRef, Transact, TransactionMut,
    Update, Xml, XmlElementPrelim, XmlElementRef, XmlFragment, XmlFragmentRef, XmlOut, XmlTextPrelim,
    XmlTextRef,
};

use super::{Replica, ReplicaError, View};
use crate::edit::{Action, Content, Edit, Formats, Nested, Root};

/// Origin of the replica's own changes: those that can be undone.
const OWN: &str = "own";
/// Origin of what came from others.
const OTHERS: &str = "others";
/// The update that says nothing.
const NOTHING: &[u8] = &[0, 0];

/// An editor's document in yrs.
pub struct YrsReplica {
    doc: Doc,
    undo: Option<UndoManager<()>>,
    /// What undo and redo write.
    undone: Arc<Mutex<Vec<Bytes>>>,
    /// Updates of clients of which something before is missing: yrs takes in a GC beyond a gap, and then fails on one that
    /// ends beyond the gap.
    held: Vec<Bytes>,
}

impl YrsReplica {
    /// An empty document. Undo costs time with every edit: `undo` says whether there will be any.
    pub fn new(client: ClientId, undo: bool) -> Self {
        let doc = Doc::with_options(Options {
            offset_kind: OffsetKind::Utf16,
            // To free deleted sub-documents is one of the uses after free.
            skip_gc: true,
            cleanup_formatting: false,
            ..Options::with_guid_and_client_id("document".into(), ClientID::new(client))
        });
        let roots = Roots::of(&doc);
        let undo = undo.then(|| undo_manager(&doc, &roots));
        Self { doc, undo, undone: Arc::default(), held: Vec::new() }
    }

    /// The document that updates make, each taken in at once.
    ///
    /// # Errors
    /// If yrs refuses one.
    pub fn from_updates(updates: &[impl AsRef<[u8]>]) -> Result<Self, ReplicaError> {
        let mut replica = Self::new(0, false);
        for update in updates {
            replica.integrate(update.as_ref())?;
        }
        Ok(replica)
    }

    fn integrate(&mut self, update: &[u8]) -> Result<(), ReplicaError> {
        let refused = |error: &dyn std::fmt::Display| ReplicaError::Refused(format!("by yrs: {error}"));
        let update = Update::decode_v1(update).map_err(|error| refused(&error))?;
        self.doc.transact_mut_with(OTHERS).apply_update(update).map_err(|error| refused(&error))
    }

    /// Whether nothing is missing before the blocks of an update. What cannot be read is for yrs to refuse.
    fn follows(&self, update: &Bytes) -> bool {
        let known = self.doc.transact().state_vector();
        let Ok(update) = coscribe_engine::update::Update::scan(update.clone()) else { return true };
        update.runs().all(|run| {
            let first = run.blocks().next();
            first.is_none_or(|block| block.id.clock <= known.get(&ClientID::new(block.id.client)))
        })
    }

    fn change(&self, root: Root, path: &[u32], action: &Action) -> Vec<Bytes> {
        let start = Place::root(root, &Roots::of(&self.doc));
        let mut txn = self.doc.transact_mut_with(OWN);
        let place = path.iter().fold(start, |place, &step| place.descend(step, &txn));
        place.carry_out(action, &mut txn);
        let update = txn.encode_update_v1();
        if update == NOTHING { Vec::new() } else { vec![update.into()] }
    }

    /// Undoes or redoes, with a transaction of the undo manager's.
    fn undo(&mut self, act: fn(&mut UndoManager<()>) -> bool) -> Vec<Bytes> {
        let Some(undo) = &mut self.undo else { return Vec::new() };
        let undone = Arc::clone(&self.undone);
        let watch = move |_: &TransactionMut<'_>, event: &yrs::UpdateEvent| {
            undone.lock().expect("nobody panics here").push(Bytes::copy_from_slice(&event.update));
        };
        self.doc.observe_update_v1(OWN, watch).expect("no transaction is open");
        act(undo);
        self.doc.unobserve_update_v1(OWN).expect("no transaction is open");
        let mut undone = std::mem::take(&mut *self.undone.lock().expect("nobody panics here"));
        undone.retain(|update| update != NOTHING);
        undone
    }
}

impl Replica for YrsReplica {
    fn client(&self) -> ClientId {
        self.doc.client_id().get()
    }

    fn edit(&mut self, edit: &Edit) -> Result<Vec<Bytes>, ReplicaError> {
        Ok(match edit {
            Edit::Change { root, path, action } => self.change(*root, path, action),
            Edit::Undo => self.undo(UndoManager::undo_blocking),
            Edit::Redo => self.undo(UndoManager::redo_blocking),
        })
    }

    fn apply(&mut self, update: &[u8]) -> Result<Vec<Bytes>, ReplicaError> {
        self.held.push(Bytes::copy_from_slice(update));
        while let Some(next) = self.held.iter().position(|update| self.follows(update)) {
            let update = self.held.remove(next);
            self.integrate(&update)?;
        }
        Ok(Vec::new())
    }

    fn state_vector(&mut self) -> Result<Bytes, ReplicaError> {
        Ok(self.doc.transact().state_vector().encode_v1().into())
    }

    fn diff(&mut self, known: &[u8]) -> Result<Bytes, ReplicaError> {
        let known =
            StateVector::decode_v1(known).map_err(|error| ReplicaError::Refused(error.to_string()))?;
        Ok(self.doc.transact().encode_diff_v1(&known).into())
    }

    fn view(&mut self) -> Result<View, ReplicaError> {
        let roots = Roots::of(&self.doc);
        let txn = self.doc.transact();
        let content = json!({
            "text": delta(&roots.text, &txn),
            "map": entries(&roots.map, &txn),
            "array": elements(&roots.array, &txn),
            "xml": nodes(&roots.xml, &txn),
        });
        let snapshot = txn.snapshot();
        let mut delete_set = IdSet::default();
        for (client, ranges) in snapshot.delete_set.iter() {
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                delete_set.insert(client.get(), range.clone(), |_| {});
            }
        }
        let state_vector = snapshot.state_map.iter().map(|(client, &clock)| (client.get(), clock)).collect();
        Ok(View { content, state_vector, delete_set })
    }

    fn is_waiting(&mut self) -> Result<bool, ReplicaError> {
        Ok(!self.held.is_empty() || self.doc.transact().has_missing_updates())
    }
}

/// The roots, with their types: an update does not say them.
struct Roots {
    text: TextRef,
    map: MapRef,
    array: ArrayRef,
    xml: XmlFragmentRef,
}

impl Roots {
    fn of(doc: &Doc) -> Self {
        Self {
            text: doc.get_or_insert_text(Root::Text.name()),
            map: doc.get_or_insert_map(Root::Map.name()),
            array: doc.get_or_insert_array(Root::Array.name()),
            xml: doc.get_or_insert_xml_fragment(Root::Xml.name()),
        }
    }
}

fn undo_manager(doc: &Doc, roots: &Roots) -> UndoManager<()> {
    let mut undo = UndoManager::with_options(yrs::undo::Options {
        capture_timeout_millis: 0,
        tracked_origins: [OWN.into()].into(),
        timestamp: Arc::new(|| 1),
        ..yrs::undo::Options::default()
    });
    undo.expand_scope(doc, &roots.text);
    undo.expand_scope(doc, &roots.map);
    undo.expand_scope(doc, &roots.array);
    undo.expand_scope(doc, &roots.xml);
    undo
}

/// A shared type that is edited.
enum Place {
    Text(TextRef),
    Map(MapRef),
    Array(ArrayRef),
    Fragment(XmlFragmentRef),
    Element(XmlElementRef),
    XmlText(XmlTextRef),
}

impl Place {
    fn root(root: Root, roots: &Roots) -> Self {
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
    fn descend(self, step: u32, txn: &impl ReadTxn) -> Self {
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

    fn carry_out(&self, action: &Action, txn: &mut TransactionMut<'_>) {
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

/// What an attribute, or the text of an XML node, is set to.
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

/// What a text consists of: text, embeds and nested types, with formats.
fn chunks(text: &impl Text, txn: &impl ReadTxn) -> Vec<(Out, Option<Attrs>)> {
    let chunks = text.diff(txn, YChange::identity).into_iter();
    chunks.map(|chunk| (chunk.insert, chunk.attributes.map(|attributes| *attributes))).collect()
}

fn delta(text: &impl Text, txn: &impl ReadTxn) -> Value {
    let mut delta: Vec<Value> = Vec::new();
    for (out, attributes) in chunks(text, txn) {
        let mut chunk = Map::from_iter([("insert".to_owned(), value(&out, txn))]);
        if let Some(attributes) = attributes.filter(|attributes| !attributes.is_empty()) {
            let attributes = attributes.iter().map(|(key, value)| (key.to_string(), plain(value)));
            chunk.insert("attributes".to_owned(), Value::Object(attributes.collect()));
        }
        super::push_chunk(&mut delta, chunk);
    }
    Value::Array(delta)
}

fn entries(map: &MapRef, txn: &impl ReadTxn) -> Value {
    Value::Object(map.iter(txn).map(|(key, out)| (key.to_owned(), value(&out, txn))).collect())
}

fn elements(array: &ArrayRef, txn: &impl ReadTxn) -> Value {
    array.iter(txn).map(|out| value(&out, txn)).collect()
}

fn nodes(parent: &impl XmlFragment, txn: &impl ReadTxn) -> Value {
    let node = |node| match node {
        XmlOut::Element(element) => value(&Out::YXmlElement(element), txn),
        XmlOut::Text(text) => value(&Out::YXmlText(text), txn),
        XmlOut::Fragment(fragment) => nodes(&fragment, txn),
    };
    parent.children(txn).map(node).collect()
}

/// A value inside a document, also a whole shared type, in the form of [`View::content`].
pub(crate) fn value(out: &Out, txn: &impl ReadTxn) -> Value {
    match out {
        Out::Any(any) => plain(any),
        Out::YText(text) => json!({ "$text": delta(text, txn) }),
        Out::YMap(map) => entries(map, txn),
        Out::YArray(array) => elements(array, txn),
        Out::YXmlElement(element) => {
            let attributes = element.attributes(txn).map(|(key, out)| (key.to_owned(), value(&out, txn)));
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
