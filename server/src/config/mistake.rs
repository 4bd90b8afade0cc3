//! What is wrong in a configuration file, told without a value that stands there: any of them may be a secret, also under a key
//! that is misspelt.

use std::fmt;

/// The only table.
const TABLE: &str = "access";

/// How much a key has to be like one that is meant: 1 is the same.
const LIKE: f64 = 0.8;

/// What is wrong, and where.
#[derive(Debug)]
pub struct Mistake {
    /// The number of the line, from 1, where the parser knows it.
    line: Option<usize>,
    /// The key of the line, where it is one of the configuration.
    key: Option<String>,
    words: String,
}

impl Mistake {
    /// What a parser has said of a text. `is_key` knows the keys of the configuration.
    pub(super) fn new(error: &toml::de::Error, text: &str, is_key: fn(&str) -> bool) -> Mistake {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count());
        let key = line.and_then(|line| text.lines().nth(line)?.split_once('=')).map(|(key, _)| key.trim());
        Mistake {
            line: line.map(|line| line + 1),
            // Another one may be a line of a text that goes over several.
            key: key.filter(|key| is_key(key)).map(str::to_owned),
            words: unknown_key(error.message(), is_key).unwrap_or_else(|| plain(error.message())),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.words)
    }
}

/// What to write instead, by what serde expected: ``invalid type: integer `5`, expected a string``. It shows the value.
const WRONG_TYPES: [(&str, &str); 4] = [
    ("a string", "write a text in quotes"),
    ("path string", "write a text in quotes"),
    (super::values::TEXTS, "write a text in quotes, or a list of them"),
    ("struct AccessConfig", "write [access] on a line of its own, and its keys below"),
];

/// What to write where there is no TOML, by the beginning of what its parser said.
const NO_TOML: [(&str, &str); 5] = [
    ("string values must be quoted", "a text stands in quotes"),
    ("key with no value", "a line is a key, = and a value"),
    ("invalid basic string", "the closing quote is missing, or a character cannot stand in quotes"),
    ("unclosed table", "the closing bracket is missing"),
    ("unquoted keys cannot be empty", "the key is missing before ="),
];

/// What serde or the parser said, in plain words and without a value.
fn plain(message: &str) -> String {
    let starts = ["invalid type: ", "invalid value: ", "unknown variant "];
    if let Some((_, words)) = NO_TOML.iter().find(|(start, _)| message.starts_with(start)) {
        return (*words).to_owned();
    }
    let expected = message.rsplit_once("expected ").map(|(_, expected)| expected);
    match expected.filter(|_| starts.iter().any(|start| message.starts_with(start))) {
        Some(expected) => {
            let known = WRONG_TYPES.iter().find(|(known, _)| *known == expected);
            known.map_or_else(|| format!("expected {expected}"), |(_, words)| (*words).to_owned())
        }
        None => message.to_owned(),
    }
}

/// The known name that a mistyped one is most like, if it is like one at all.
pub(super) fn nearest<'a>(known: impl Iterator<Item = &'a str>, written: &str) -> Option<&'a str> {
    let likeness = |name: &str| strsim::jaro_winkler(name, written);
    let best = known.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) > LIKE).then_some(best)
}

/// What to write in place of an unknown key, of which serde says: ``unknown field `x`, expected one of `a`, `b` ``.
fn unknown_key(message: &str, is_key: fn(&str) -> bool) -> Option<String> {
    let (unknown, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let is_top = known.contains(&TABLE);
    let written = unknown.replace('-', "_");
    let in_table = written.strip_prefix("access_").filter(|key| is_key(key));
    let near = || nearest(known.iter().copied(), &written).map(|key| format!("did you mean {key}?"));
    let advice = match in_table {
        _ if known.contains(&&*written) => near(),
        Some(key) => Some(format!("it is {key} in the table [{TABLE}]")),
        None if is_top && is_key(&written) => Some(format!("it belongs in the table [{TABLE}]")),
        None if is_key(&written) => Some("it belongs at the top of the file, before all tables".to_owned()),
        None => near(),
    };
    let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
    Some(format!("there is no key {unknown} here{advice}"))
}
