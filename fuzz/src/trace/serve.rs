//! The process that may die: it reads updates with yrs.

use bytes::Bytes;
use coscribe_worker::{ServeError, document};
use serde_json::{Map, Value, json};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, Out, ReadTxn, Transact, Update};

use super::library::{join, split};
use crate::limits;
use crate::replica::to_json;

/// Serves until stdin ends.
///
/// # Errors
/// If the limits cannot be set, or the other side breaks off.
pub(super) fn serve() -> Result<(), ServeError> {
    coscribe_worker::serve(limits::TRACE_PROCESS, |request| {
        let answer = answer(&split(request.into())?);
        join(answer.unwrap_or_else(|refused| vec![json!({ "refused": refused }).to_string().into()]))
    })
}

fn answer(request: &[Bytes]) -> Result<Vec<Bytes>, String> {
    let (header, updates) = request.split_first().ok_or("an empty request")?;
    let header: Value = serde_json::from_slice(header).map_err(|error| error.to_string())?;
    if header["do"] == "merge" {
        let merged = yrs::merge_updates_v1(updates).map_err(|error| error.to_string())?;
        return Ok(vec!["{}".into(), merged.into()]);
    }
    let roots = header["roots"].as_object().ok_or("no roots")?;
    read(roots, updates)
}

fn read(roots: &Map<String, Value>, updates: &[Bytes]) -> Result<Vec<Bytes>, String> {
    let doc = document::empty();
    let roots: Vec<_> = roots.iter().map(|(name, of)| (name.clone(), root(&doc, name, of))).collect();
    for update in updates {
        let update = Update::decode_v1(update).map_err(|error| error.to_string())?;
        doc.transact_mut().apply_update(update).map_err(|error| error.to_string())?;
    }
    let txn = doc.transact();
    let content = roots.into_iter().map(|(name, out)| (name, to_json(&out, &txn)));
    let header = json!({ "content": Value::Object(content.collect()), "waiting": txn.has_missing_updates() });
    let snapshot = txn.snapshot();
    let parts =
        [header.to_string().into_bytes(), snapshot.delete_set.encode_v1(), snapshot.state_map.encode_v1()];
    Ok(parts.into_iter().map(Bytes::from).collect())
}

fn root(doc: &Doc, name: &str, of: &Value) -> Out {
    match of.as_str() {
        Some("map") => Out::YMap(doc.get_or_insert_map(name)),
        Some("array") => Out::YArray(doc.get_or_insert_array(name)),
        Some("xml") => Out::YXmlFragment(doc.get_or_insert_xml_fragment(name)),
        _ => Out::YText(doc.get_or_insert_text(name)),
    }
}
