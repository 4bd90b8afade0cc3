//! Content as plain text.

use yrs::branch::BranchPtr;
use yrs::{Any, Out, ReadTxn};

use super::Root;
use super::json::{Chunk, chunks, is_text, parts};

/// The text of one root or of all, in the order of their names; all roots when none of these can hold any.
pub(super) fn of_roots<T: ReadTxn>(txn: &T, root: Option<&str>) -> Result<String, Vec<Root>> {
    let branches = txn.root_refs().filter_map(|(name, out)| Some((name, BranchPtr::from(out.try_branch()?))));
    let mut branches: Vec<_> = branches.collect();
    branches.sort_by_key(|(name, _)| *name);
    let is_meant = |name: &str| root.is_none_or(|root| root == name);
    let mut all = String::new();
    for (_, branch) in branches.iter().filter(|(name, _)| is_meant(name)) {
        end_line(&mut all);
        push_sequence(*branch, txn, &mut all);
    }
    if !all.is_empty() {
        return Ok(all);
    }
    let kinds: Vec<_> = branches.iter().map(|(name, branch)| (*name, kinds(*branch, txn))).collect();
    let mut meant = kinds.iter().filter(|(name, _)| is_meant(name)).peekable();
    let is_there = root.is_none() || meant.peek().is_some();
    // Text that is empty, or a root that holds nothing any more and may have been a text.
    let may_be_text = |(_, kinds): &(&str, Vec<_>)| kinds.iter().any(|kind| *kind == TEXT || *kind == XML);
    let is_empty = kinds.iter().all(|(name, kinds)| !is_meant(name) || kinds.is_empty());
    if is_there && (is_empty || meant.any(may_be_text)) {
        return Ok(String::new());
    }
    let with_content = kinds.into_iter().filter(|(_, kinds)| !kinds.is_empty());
    Err(with_content.map(|(name, kinds)| Root { name: name.to_owned(), kind: kinds.join(" and ") }).collect())
}

const TEXT: &str = "text";
const XML: &str = "XML";

/// What a root is, guessed from what it holds.
fn kinds<T: ReadTxn>(branch: BranchPtr, txn: &T) -> Vec<&'static str> {
    let is_xml =
        |chunk: &Chunk| matches!(chunk.insert, Out::YXmlElement(_) | Out::YXmlText(_) | Out::YXmlFragment(_));
    let has_xml = || chunks(branch, txn).iter().any(is_xml);
    let kind = |part: &String| match part.as_str() {
        "map" => "map",
        "text" => TEXT,
        _ if has_xml() => XML,
        _ => "array",
    };
    let mut kinds: Vec<_> = parts(branch, txn).keys().map(kind).collect();
    kinds.sort_unstable();
    kinds
}

fn push_sequence<T: ReadTxn>(branch: BranchPtr, txn: &T, text: &mut String) {
    let chunks = chunks(branch, txn);
    let inside_text = chunks.iter().any(is_text);
    for chunk in chunks {
        match &chunk.insert {
            Out::Any(Any::String(run)) => text.push_str(run),
            Out::YDoc(_) | Out::Any(_) | Out::YMap(_) => {}
            nested => {
                let Some(branch) = nested.try_branch() else { continue };
                let before = text.len();
                push_sequence(BranchPtr::from(branch), txn, text);
                // Several texts of one XML element are one line, with inline elements between them.
                let inline = matches!(nested, Out::YXmlText(_)) && !inside_text;
                if text.len() > before && !inline {
                    end_line(text);
                }
            }
        }
    }
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}
