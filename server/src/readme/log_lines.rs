//! Holds docs/operate.md to the lines that the server logs.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{differences, table};

/// Lines whose words come from elsewhere: the page has sentences about them.
const FROM_ELSEWHERE: [&str; 2] = ["`…`", "`closing: …`"];

#[test]
fn every_warning_and_error_of_the_log_is_explained() {
    let mut sources = Vec::new();
    for crate_sources in ["src", "../websocket/src"] {
        collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join(crate_sources), &mut sources);
    }
    let logged: BTreeSet<_> = sources
        .iter()
        .flat_map(|path| lines_of(&fs::read_to_string(path).unwrap()))
        .filter(|line| !FROM_ELSEWHERE.contains(&line.as_str()))
        .collect();
    assert!(logged.len() > 20, "the lines are not found any more: {logged:?}");
    let explained = table("docs/operate.md", "Line").into_iter().map(|mut cells| cells.remove(0));
    let explained = explained.filter(|line| !FROM_ELSEWHERE.contains(&line.as_str())).collect();
    let wrong = differences(&explained, &logged);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// The sources of a crate, but for these tests.
fn collect(directory: &Path, sources: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("readme") {
            collect(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push(path);
        }
    }
}

/// The words of each `warn!` and `error!`, with … for what differs.
fn lines_of(source: &str) -> Vec<String> {
    let macros = ["warn!(", "error!("].into_iter().flat_map(|name| source.split(name).skip(1));
    macros.filter_map(words).map(|words| format!("`{words}`")).collect()
}

/// The first string of a macro, as it is logged.
fn words(arguments: &str) -> Option<String> {
    let (_, literal) = arguments.split_once('"')?;
    let (literal, _) = literal.split_once('"')?;
    let parts: Vec<_> = literal.split("\\\n").collect();
    let joined: String =
        parts.iter().enumerate().map(|(n, part)| if n > 0 { part.trim_start() } else { part }).collect();
    let (mut words, mut depth) = (String::new(), 0);
    for letter in joined.chars() {
        match letter {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                words.push('…');
            }
            letter if depth == 0 => words.push(letter),
            _ => {}
        }
    }
    Some(words)
}
