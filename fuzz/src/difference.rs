//! Where two documents differ, in words, for people who have to find out why.

use std::fmt::Write;
use std::ops::Range;

use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::{ClientId, Clock};
use serde_json::Value;

use crate::limits;

/// The first difference between two contents: its path, and the value of each. `None` if they are the same; 2.0 is 2.
pub fn contents(left: &Value, right: &Value) -> Option<String> {
    let (path, left, right) = descend(left, right)?;
    let path = path.strip_prefix('.').unwrap_or(&path);
    Some(format!("{path} is {} and {}", shortened(left), shortened(right)))
}

/// The first elements of the second state vector that the first lacks. `None` if it lacks none.
pub fn lacks(there: &StateVector, all: &StateVector) -> Option<(ClientId, Range<Clock>)> {
    all.iter()
        .find(|&(client, clock)| there.get(client) < clock)
        .map(|(client, clock)| (client, there.get(client)..clock))
}

/// The first deletions of the second set that the first lacks. `None` if it lacks none.
pub fn lacks_deletion(there: &IdSet, all: &IdSet) -> Option<(ClientId, Range<Clock>)> {
    let mut union = there.clone();
    for (client, range) in all.iter() {
        let mut fresh = None;
        union.insert(client, range, |part| fresh = fresh.take().or(Some(part)));
        if let Some(part) = fresh {
            return Some((client, part));
        }
    }
    None
}

/// Elements of a client as people write them: `client 5, clocks 3 to 7`.
pub fn elements((client, clocks): &(ClientId, Range<Clock>)) -> String {
    let mut words = format!("client {client}, clock");
    // Writing to a string cannot fail.
    let _ = match clocks.len() {
        1 => write!(words, " {}", clocks.start),
        _ => write!(words, "s {} to {}", clocks.start, clocks.end - 1),
    };
    words
}

const NOTHING: &Value = &Value::Null;

fn descend<'a>(left: &'a Value, right: &'a Value) -> Option<(String, &'a Value, &'a Value)> {
    let deeper = |step: String, left: Option<&'a Value>, right: Option<&'a Value>| {
        let (path, left, right) = match (left, right) {
            (Some(left), Some(right)) => descend(left, right)?,
            (left, right) => (String::new(), left.unwrap_or(NOTHING), right.unwrap_or(NOTHING)),
        };
        Some((step + &path, left, right))
    };
    match (left, right) {
        (Value::Object(a), Value::Object(b)) => {
            let only_there = b.keys().filter(|&key| !a.contains_key(key));
            a.keys().chain(only_there).find_map(|key| deeper(format!(".{key}"), a.get(key), b.get(key)))
        }
        (Value::Array(a), Value::Array(b)) => {
            (0..a.len().max(b.len())).find_map(|at| deeper(format!("[{at}]"), a.get(at), b.get(at)))
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => None,
        (left, right) => (left != right).then(|| (String::new(), left, right)),
    }
}

fn shortened(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(limits::VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_path_leads_to_the_first_difference() {
        let left = json!({ "map": { "a": [1, { "b": "x" }] }, "text": [] });
        let right = json!({ "map": { "a": [1, { "b": "y" }] }, "text": [] });
        assert_eq!(contents(&left, &right).as_deref(), Some(r#"map.a[1].b is "x" and "y""#));
        assert_eq!(contents(&left, &left), None);
        let longer = json!({ "map": { "a": [1] }, "text": [] });
        assert_eq!(contents(&left, &longer).as_deref(), Some(r#"map.a[1] is {"b":"x"} and null"#));
    }

    #[test]
    fn what_is_lacking_is_named() {
        let all = StateVector::from_iter([(5, 8), (7, 1)]);
        let there = StateVector::from_iter([(5, 3), (7, 1)]);
        let lacking = lacks(&there, &all).map(|lacking| elements(&lacking));
        assert_eq!(lacking.as_deref(), Some("client 5, clocks 3 to 7"));
        assert_eq!(lacks(&all, &there), None);
    }
}
