//! Patterns of document names.

use std::str::FromStr;

use coscribe_persistence::DocumentName;
use glob::MatchOptions;
use serde::Deserialize;

/// How a pattern is read: `*` and `?` stand for anything but `/`, and `**` for any number of whole parts between slashes.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A pattern of document names, such as `notes`, `team/*` (those directly below `team`) or `team/**` (all below it).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Pattern(glob::Pattern);

impl Pattern {
    /// Whether a document has such a name. O(the lengths of both).
    pub(crate) fn matches(&self, name: &DocumentName) -> bool {
        self.0.matches_with(name.as_str(), OPTIONS)
    }
}

impl Pattern {
    /// The pattern as it was written.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Pattern, String> {
        if text.is_empty() {
            return Err("a pattern of document names must not be empty".to_owned());
        }
        match glob::Pattern::new(text) {
            Ok(pattern) => Ok(Pattern(pattern)),
            Err(error) => Err(format!("{text:?} is no pattern of document names: {}", error.msg)),
        }
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
        ] {
            assert!(matching.iter().all(|name| matches(pattern, name)), "{pattern}");
            assert!(!others.iter().any(|name| matches(pattern, name)), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for wrong in ["", "a**", "a[", "***"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong:?}");
        }
    }
}
