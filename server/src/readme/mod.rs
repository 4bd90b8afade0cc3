//! Holds README, ARCHITECTURE and docs/ to the code: tables row by row, and the bounds that are told in sentences.

mod bounds;
mod log_lines;
mod tables;

use std::collections::BTreeSet;
use std::fs;

use clap::{Args, Command};

use crate::config::ServeArgs;

/// The text of a file in the root of the repository.
fn read(file: &str) -> String {
    fs::read_to_string(format!("{}/../{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The rows of a page's table with this first cell in its head.
fn table(page: &str, head: &str) -> Vec<Vec<String>> {
    let text = read(page);
    let lines = text.lines().skip_while(|line| !line.starts_with(&format!("| {head} |")));
    let rows: Vec<_> = lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!rows.is_empty(), "{page} has no table that begins with {head:?}");
    rows
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Every difference, in words.
fn differences(found: &BTreeSet<String>, expected: &BTreeSet<String>) -> Vec<String> {
    let missing = expected.difference(found).map(|row| format!("the table lacks the row: {row}"));
    missing
        .chain(found.difference(expected).map(|row| format!("the code has nothing for the row: {row}")))
        .collect()
}

/// One value of the configuration.
struct Value {
    key: String,
    default: String,
    value_name: String,
    row: String,
}

fn values() -> Vec<Value> {
    let command = ServeArgs::augment_args(Command::new("serve"));
    let value = |arg: &clap::Arg| {
        let (key, flag) = (arg.get_id().to_string(), arg.get_long().unwrap());
        let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_str().unwrap()).collect();
        let default = defaults.join(",");
        let shown = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
        let variable = arg.get_env().unwrap().to_str().unwrap();
        let row = format!("| `--{flag}` | `{variable}` | {shown} | {} |", arg.get_help().unwrap());
        Value { key, default, value_name: arg.get_value_names().unwrap()[0].to_string(), row }
    };
    command.get_arguments().map(value).collect()
}

#[test]
fn every_value_of_the_configuration_is_in_its_table_with_names_default_and_help() {
    let found = table("docs/configuration.md", "Flag")
        .iter()
        .map(|cells| format!("| {} |", cells.join(" | ")))
        .collect();
    let expected = values().into_iter().map(|value| value.row).collect();
    let wrong = differences(&found, &expected);
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_lines_that_embed_a_server_are_those_that_the_documentation_compiles() {
    let (page, library) = (read("README.md"), read("server/src/lib.rs"));
    let (_, lines) = page.split_once("```rust\n").unwrap();
    let (lines, _) = lines.split_once("```").unwrap();
    let documented: String = lines.lines().map(|line| format!("//! {line}\n")).collect();
    assert!(library.contains(&documented), "the documentation of the library lacks\n{documented}");
}
