//! What yrs makes of an update, to compare with.
#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod yjs;

use std::path::PathBuf;

use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, GetString, ReadTxn, Transact, Update};

/// A small generator, so that a failing run can be repeated from its seed (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("below the bound")
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// The folder of large inputs, if there is one.
pub(crate) fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("COSCRIBE_CORPORA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: COSCRIBE_CORPORA is not set");
    }
    folder
}

/// A yrs document that has applied these updates.
pub(crate) fn yrs_document(updates: &[impl AsRef<[u8]>]) -> Doc {
    let document = Doc::new();
    // Roots get their types here: an update doesn't say them.
    document.get_or_insert_text("text");
    document.get_or_insert_map("map");
    document.get_or_insert_array("array");
    for update in updates {
        let update = Update::decode_v1(update.as_ref()).expect("an update");
        document.transact_mut().apply_update(update).expect("applies");
    }
    document
}

/// What the roots `text`, `map` and `array` of a yrs document hold.
#[derive(Debug, PartialEq, Clone)]
pub(crate) struct Roots {
    pub(crate) text: String,
    pub(crate) map: Any,
    pub(crate) array: Any,
}

impl Roots {
    pub(crate) fn of(document: &Doc) -> Self {
        let text = document.get_or_insert_text("text");
        let map = document.get_or_insert_map("map");
        let array = document.get_or_insert_array("array");
        let transaction = document.transact();
        Self {
            text: text.get_string(&transaction),
            map: map.to_json(&transaction),
            array: array.to_json(&transaction),
        }
    }
}

/// The encoded state vector of a yrs document, entries in our order.
pub(crate) fn state_vector(document: &Doc) -> coscribe_engine::document::state_vector::StateVector {
    let bytes = document.transact().state_vector().encode_v1();
    coscribe_engine::document::state_vector::StateVector::decode(&bytes).expect("a state vector")
}
