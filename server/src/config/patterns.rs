//! Patterns of document names.

use std::str::FromStr;

use coscribe_persistence::DocumentName;
use glob::MatchOptions;
use serde::Deserialize;

/// How a part between slashes is read.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern of document names, such as `notes`, `team/*` (those directly below `team`) or `team/**` (all below it): `*` and
/// `?` stand for anything but `/`, and `**` for any number of whole parts between slashes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern {
    text: String,
    parts: Vec<Part>,
}

/// A part between slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    One(glob::Pattern),
    Any,
}

impl Pattern {
    /// Whether a document has such a name. O(the product of the lengths of both): each part is compared by itself, because
    /// `glob` takes exponential time for stars before a slash.
    pub(crate) fn matches(&self, name: &DocumentName) -> bool {
        let names: Vec<&str> = name.as_str().split('/').collect();
        let (mut part, mut at) = (0, 0);
        // The last `**`, and the first name behind those that it stands for.
        let mut any = None;
        while at < names.len() {
            match self.parts.get(part) {
                // At the end it stands for one part at least.
                Some(Part::Any) if part + 1 == self.parts.len() => return true,
                Some(Part::Any) => {
                    part += 1;
                    any = Some((part, at));
                }
                Some(Part::One(pattern)) if pattern.matches_with(names[at], OPTIONS) => {
                    (part, at) = (part + 1, at + 1);
                }
                _ => match any {
                    Some((behind, from)) => {
                        any = Some((behind, from + 1));
                        (part, at) = (behind, from + 1);
                    }
                    None => return false,
                },
            }
        }
        part == self.parts.len()
    }
}

impl Pattern {
    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("a pattern of document names must not be empty".to_owned());
        }
        let part = |part| match part {
            "**" => Ok(Part::Any),
            part => glob::Pattern::new(part).map(Part::One),
        };
        let parts = text.split('/').map(part).collect::<Result<_, _>>();
        let parts =
            parts.map_err(|error| format!("{text:?} is no pattern of document names: {}", error.msg))?;
        Ok(Pattern { text: text.to_owned(), parts })
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Pattern, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(&DocumentName::new(name).unwrap())
    }

    #[test]
    fn a_star_stays_within_a_part_of_a_name_and_two_stars_do_not() {
        for (pattern, matching, others) in [
            ("notes", &["notes"][..], &["notes/a", "Notes", "note"][..]),
            ("team/*", &["team/a", "team/.a", "team/a.md"], &["team", "team/a/b", "teams/a"]),
            ("team/**", &["team/a", "team/a/b"], &["team", "teams/a"]),
            ("*", &["a", "notes"], &["a/b"]),
            ("**", &["a", "a/b", "a/b/c", "/a", "a//b"], &[]),
            ("**/versions", &["versions", "a/versions", "a/b/versions"], &["a/versions/b"]),
            ("a/**/b/*", &["a/b/c", "a/x/b/c", "a/b/b/c", "a/b/c/b/d"], &["a/b", "a/c", "a/b/c/d"]),
            ("a/?[xy]/b", &["a/1x/b"], &["a/1z/b", "a//x/b"]),
        ] {
            assert!(matching.iter().all(|name| matches(pattern, name)), "{pattern}");
            assert!(!others.iter().any(|name| matches(pattern, name)), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let name = "a".repeat(500) + "/" + &"a/".repeat(250);
        assert!(!matches(&("*a".repeat(100) + "b"), &name));
        assert!(!matches(&("*a".repeat(100) + "b/c"), &name));
        assert!(!matches(&("**/*a*a*a/".repeat(50) + "b"), &name));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "a**", "a[", "***"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong:?}");
        }
    }
}
