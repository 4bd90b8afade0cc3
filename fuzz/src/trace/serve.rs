//! The side of the process that may die: what yrs makes of updates.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Map, Value, json};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, OffsetKind, Options, Out, ReadTxn, Transact, Update};

use super::outside::{read_parts, write_parts};
use crate::replica::value;

/// Address space of the process.
const MEMORY_BYTES: u64 = 4 << 30;
/// Stack on which yrs runs. Only what is touched is resident.
const STACK_BYTES: usize = 256 << 20;

/// Serves on stdin, which is a socket, until that ends.
///
/// # Errors
/// If the limits cannot be set, or the other side breaks off.
pub(super) fn serve() -> io::Result<()> {
    limit(Resource::As, MEMORY_BYTES)?;
    limit(Resource::Core, 0)?;
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        while let Some(request) = read_parts(&mut stream)? {
            let answer = answer(&request)
                .unwrap_or_else(|refused| vec![json!({ "refused": refused }).to_string().into()]);
            write_parts(&mut stream, answer.into_iter())?;
        }
        Ok(())
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("yrs panics")))
}

/// Sets the soft limit, as far as the hard one allows.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let maximum = getrlimit(resource).maximum;
    let current = Some(maximum.map_or(most, |maximum| most.min(maximum)));
    Ok(setrlimit(resource, Rlimit { current, maximum })?)
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
    let doc = Doc::with_options(Options {
        skip_gc: true,
        cleanup_formatting: false,
        offset_kind: OffsetKind::Utf16,
        ..Options::default()
    });
    let roots: Vec<_> = roots.iter().map(|(name, of)| (name.clone(), root(&doc, name, of))).collect();
    for update in updates {
        let update = Update::decode_v1(update).map_err(|error| error.to_string())?;
        doc.transact_mut().apply_update(update).map_err(|error| error.to_string())?;
    }
    let txn = doc.transact();
    let content = roots.into_iter().map(|(name, out)| (name, value(&out, &txn)));
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
