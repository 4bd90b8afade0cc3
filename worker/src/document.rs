//! A document that is run, with yrs: its content as JSON and as text, and what yrs makes of its ids.
//!
//! The engine reads updates without running them. What needs the content itself needs a CRDT that integrates blocks, and
//! yrs is that. It is **not safe with hostile input**: known updates make it overflow the stack, loop for ever, take
//! gigabytes or use freed memory. So call this module only in a process that may die (the `coscribe worker`), on a thread
//! with a large stack, under limits on memory and time.
//!
//! Known limits of what yrs 0.28 shows:
//!
//! - JSON content (block content 2, written by Yjs before 13.0) is decoded wrongly: an array of old JSON values shows up as
//!   strings of JSON.
//! - A string inside an explicitly typed array (no Yjs client writes one) with a character outside the basic plane
//!   never ends.
//! - Weak links are shown by their content only, and XML hooks as elements.
//! - Half of a surrogate pair, which JavaScript writes into JSON, becomes U+FFFD.

mod json;
mod legible;
mod text;

use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::{ClientId, Clock};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use yrs::updates::decoder::Decode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, Transact, Update};

use self::legible::legible;

/// A document opened with yrs. Dropping it runs yrs code too, so it belongs in the worker as a whole.
pub struct Document {
    doc: Doc,
}

/// What yrs says about the ids of a document, to compare with what [`coscribe_engine::document::blocks`] says without running it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Summary {
    /// The next clock of each client.
    pub state_vector: StateVector,
    /// What is deleted.
    ///
    /// It covers the delete set of the update and may hold more: integrating deletes map entries that lost against
    /// a concurrent one, and what was inserted into a type that somebody else deleted.
    pub delete_set: IdSet,
}

/// A root of a document.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Root {
    /// Its name.
    pub name: String,
    /// What it is, guessed from what it holds: map, array, text, XML, or several of them.
    pub kind: String,
}

/// Why yrs does not open an update as a whole document.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum DocumentError {
    /// The bytes are not a v1 update to yrs.
    #[error("yrs cannot read the update: {0}")]
    Malformed(String),
    /// Blocks of a client are missing. yrs would show the rest as if nothing were wrong.
    #[error("client {client} has a gap at clock {clock}")]
    Gap {
        /// The client whose blocks are missing.
        client: ClientId,
        /// The first missing clock.
        clock: Clock,
    },
    /// The bytes are an update, but not one that yrs integrates.
    #[error("yrs refuses the update: {0}")]
    Refused(String),
    /// Blocks or deletions depend on blocks that the update does not hold.
    #[error("the update depends on blocks that it does not hold")]
    Incomplete,
}

impl Document {
    /// Opens the whole state of a document, one v1 update.
    ///
    /// # Errors
    ///
    /// When yrs does not read or integrate it, or when anything is missing from it.
    pub fn from_update(update: &[u8]) -> Result<Self, DocumentError> {
        let update = Update::decode_v1(&legible(update))
            .map_err(|error| DocumentError::Malformed(error.to_string()))?;
        refuse_gaps(&update)?;
        let doc = empty();
        {
            let mut txn = doc.transact_mut();
            txn.apply_update(update).map_err(|error| DocumentError::Refused(error.to_string()))?;
            if txn.has_missing_updates() {
                return Err(DocumentError::Incomplete);
            }
        }
        Ok(Document { doc })
    }

    /// State vector and delete set, as yrs has them after integrating.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let snapshot = self.doc.transact().snapshot();
        let mut delete_set = IdSet::default();
        for (client, ranges) in snapshot.delete_set.iter() {
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                delete_set.insert(client.get(), range.clone(), |_| {});
            }
        }
        let state_vector = snapshot.state_map.iter().map(|(client, &clock)| (client.get(), clock)).collect();
        Summary { state_vector, delete_set }
    }

    /// The content as JSON: an object with one member for each root that holds something.
    ///
    /// | Yjs | JSON |
    /// |---|---|
    /// | `Map` | object |
    /// | `Array`, `XmlFragment` | array |
    /// | `Text`, `XmlText` | string; with formats or embeds, the Quill delta: `[{"insert": …, "attributes": {…}}, …]` |
    /// | `XmlText` with attributes | `{"attributes": {…}, "text": …}` |
    /// | `XmlElement` | `{"tag": "p", "attributes": {…}, "children": […]}` |
    /// | sub-document | `{"guid": "…"}` |
    /// | binary | `{"base64": "…"}` |
    /// | `undefined`, NaN, infinities | `null` |
    ///
    /// Updates do not say what type a root has, so it is guessed from what it holds: keys make a map, text or formats a
    /// text, anything else an array. A root that holds several of these (Lexical's does) becomes an object of its parts,
    /// `{"map": {…}, "text": …, "array": […]}`. Roots that hold nothing any more are left out.
    ///
    /// The value may be nested deeply: write it out and drop it on the same large stack.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        json::roots(&self.doc.transact())
    }

    /// The plain text of one root, or of all roots that hold text, in the order of their names.
    ///
    /// Formats and embeds are left out. Of XML, each element that holds text gives a line.
    ///
    /// # Errors
    ///
    /// The roots that hold something, when there is no such root, or neither text nor XML is in it.
    pub fn to_text(&self, root: Option<&str>) -> Result<String, Vec<Root>> {
        text::of_roots(&self.doc.transact(), root)
    }
}

/// An empty document of yrs, set such that it deletes nothing by itself.
#[must_use]
pub fn empty() -> Doc {
    Doc::with_options(Options {
        // Freeing deleted sub-documents is one of the use-after-frees.
        skip_gc: true,
        // It would delete blocks that no update deletes.
        cleanup_formatting: false,
        offset_kind: OffsetKind::Utf16,
        ..Options::default()
    })
}

/// yrs integrates blocks behind a gap; a gap shows in the update itself only.
fn refuse_gaps(update: &Update) -> Result<(), DocumentError> {
    for (client, ranges) in update.insertions(true).iter() {
        let mut next = 0;
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            if range.start != next {
                return Err(DocumentError::Gap { client: client.get(), clock: next });
            }
            next = range.end;
        }
    }
    Ok(())
}
