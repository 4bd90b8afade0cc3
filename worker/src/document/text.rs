//! Content as plain text.

use yrs::branch::BranchPtr;
use yrs::{Any, Out, ReadTxn};

use super::json::{chunks, is_text};

/// The text of one root or of all, in the order of their names; `None` when there is none.
pub(super) fn of_roots<T: ReadTxn>(txn: &T, root: Option<&str>) -> Option<String> {
    let mut roots: Vec<(&str, Out)> =
        txn.root_refs().filter(|(name, _)| root.is_none_or(|root| root == *name)).collect();
    roots.sort_by_key(|(name, _)| *name);
    let mut all = String::new();
    for branch in roots.iter().filter_map(|(_, out)| out.try_branch()) {
        end_line(&mut all);
        push_sequence(BranchPtr::from(branch), txn, &mut all);
    }
    (!all.is_empty()).then_some(all)
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
