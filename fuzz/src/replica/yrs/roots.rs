//! The roots of a document.

use yrs::{ArrayRef, Doc, MapRef, TextRef, XmlFragmentRef};

use crate::edit::Root;

/// The roots, with their types: an update does not say them.
pub(super) struct Roots {
    pub(super) text: TextRef,
    pub(super) map: MapRef,
    pub(super) array: ArrayRef,
    pub(super) xml: XmlFragmentRef,
}

impl Roots {
    pub(super) fn of(doc: &Doc) -> Self {
        Self {
            text: doc.get_or_insert_text(Root::Text.name()),
            map: doc.get_or_insert_map(Root::Map.name()),
            array: doc.get_or_insert_array(Root::Array.name()),
            xml: doc.get_or_insert_xml_fragment(Root::Xml.name()),
        }
    }
}
