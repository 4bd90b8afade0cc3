//! What yrs shows of documents that real Yjs wrote (`document/make-fixtures.mjs`), and what it must not open.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use coscribe_engine::document::blocks::Blocks;
use coscribe_worker::document::{Document, DocumentError};
use serde_json::Value;

const KINDS: &[u8] = include_bytes!("document/kinds.update");

fn opened(update: &[u8]) -> Document {
    Document::from_update(update).unwrap()
}

#[test]
fn every_kind_of_content_has_its_json() {
    let expected: Value = serde_json::from_str(include_str!("document/kinds.json")).unwrap();
    assert_eq!(opened(KINDS).to_json(), expected);
}

#[test]
fn text_comes_from_all_roots_that_hold_text_in_the_order_of_their_names() {
    assert_eq!(opened(KINDS).to_text(None).as_deref(), Ok(include_str!("document/kinds.txt")));
}

#[test]
fn text_of_one_root_is_found_by_name() {
    let document = opened(KINDS);
    assert_eq!(document.to_text(Some("rich")).as_deref(), Ok("bold plain"));
    assert_eq!(document.to_text(Some("prosemirror")).as_deref(), Ok("Title\nbefore after\n"));
    assert_eq!(document.to_text(Some("emptied")).as_deref(), Ok(""));
}

#[test]
fn where_there_is_no_text_the_roots_are_named_with_their_kinds() {
    let document = opened(KINDS);
    for root in ["map", "no such root"] {
        let roots = document.to_text(Some(root)).unwrap_err();
        let roots: Vec<_> = roots.iter().map(|root| (&*root.name, &*root.kind)).collect();
        let expected = [
            ("array", "array"),
            ("lexical", "XML and map"),
            ("map", "map"),
            ("plain", "text"),
            ("prosemirror", "XML"),
            ("rich", "text"),
        ];
        assert_eq!(roots, expected, "{root}");
    }
}

#[test]
fn yrs_and_the_blocks_agree_on_state_vector_and_delete_set() {
    let blocks = Blocks::from_update(KINDS).unwrap();
    let summary = opened(KINDS).summary();
    assert_eq!(&summary.state_vector, blocks.state_vector());
    assert_eq!(&summary.delete_set, blocks.delete_set());
    assert!(!summary.delete_set.is_empty());
}

#[test]
fn an_empty_document_is_empty_in_every_form() {
    let document = opened(&[0, 0]);
    assert_eq!(document.to_json(), Value::Object(serde_json::Map::new()));
    assert_eq!(document.to_text(None).as_deref(), Ok(""));
    assert!(document.summary().state_vector.is_empty());
}

#[test]
fn bytes_that_are_no_update_are_refused() {
    assert!(matches!(Document::from_update(&KINDS[..KINDS.len() / 2]), Err(DocumentError::Malformed(_))));
    assert!(matches!(Document::from_update(&[]), Err(DocumentError::Malformed(_))));
}

#[test]
fn a_gap_is_refused_although_yrs_would_show_what_is_behind_it() {
    // Client 1, one block at clock 2: the string "c" in root "t".
    let update = [1, 1, 1, 2, 4, 1, 1, b't', 1, b'c', 0];
    assert_eq!(error(&update), Some(DocumentError::Gap { client: 1, clock: 0 }));
}

#[test]
fn blocks_and_deletions_that_depend_on_missing_ones_are_refused() {
    // Client 1, clock 0: the string "c" after the unknown block (2, 0).
    assert_eq!(error(&[1, 1, 1, 0, 0x84, 2, 0, 1, b'c', 0]), Some(DocumentError::Incomplete));
    // No blocks; client 1, clock 0, length 1 is deleted.
    assert_eq!(error(&[0, 1, 1, 1, 0, 1]), Some(DocumentError::Incomplete));
}

#[test]
fn a_root_that_holds_both_keys_and_text_shows_both() {
    // Client 1: the string "hi" in root "r"; then the value true under the key "k" of root "r".
    let update = [1, 2, 1, 0, 4, 1, 1, b'r', 2, b'h', b'i', 0x28, 1, 1, b'r', 1, b'k', 1, 120, 0];
    let expected = serde_json::json!({ "r": { "map": { "k": true }, "text": "hi" } });
    assert_eq!(opened(&update).to_json(), expected);
}

#[test]
fn what_integrating_deletes_is_in_the_delete_set_of_the_summary() {
    // Clients 1 and 2 set the key "k" of root "m" at the same time; client 2 wins.
    let update =
        [2, 1, 2, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 120, 1, 1, 0, 0x28, 1, 1, b'm', 1, b'k', 1, 121, 0];
    let deleted: Vec<_> = opened(&update).summary().delete_set.iter().collect();
    assert_eq!(deleted, [(1, 0..1)]);
    assert!(Blocks::from_update(&update).unwrap().delete_set().is_empty());
}

fn error(update: &[u8]) -> Option<DocumentError> {
    Document::from_update(update).err()
}
