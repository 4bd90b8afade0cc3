//! A finding as a test in Rust, for `fuzz/tests/regressions.rs`.

use super::finding::Finding;
use crate::scenario::Kind;
use crate::scenario_file::scenario_json;

/// The text of the test.
pub fn test(finding: &Finding) -> String {
    let name = finding.name().replace('-', "_");
    let json = scenario_json(&finding.scenario);
    let quote = quote(&json);
    let detail: String = finding.failure.to_string().lines().map(|line| format!("/// {line}\n")).collect();
    let surroundings = if finding.scenario.replicas.contains(&Kind::Yjs) {
        "let node = coscribe_fuzz::replica::NodeProcess::start().expect(\"Node with Yjs\");\n    \
         let surroundings = coscribe_fuzz::simulation::Surroundings { node: Some(&node), ..Default::default() };"
    } else {
        "let surroundings = coscribe_fuzz::simulation::Surroundings::default();"
    };
    format!(
        "{detail}#[test]\n\
         fn {name}() {{\n    \
             let scenario = r{quote}\"{json}\"{quote};\n    \
             let scenario = serde_json::from_str(scenario).expect(\"a scenario\");\n    \
             {surroundings}\n    \
             assert_eq!(coscribe_fuzz::simulation::run(&scenario, &surroundings).failure, None);\n\
         }}\n"
    )
}

/// As many number signs as a raw string with this text needs.
fn quote(text: &str) -> String {
    let longest = text
        .match_indices('"')
        .map(|(quote, _)| text[quote + 1..].bytes().take_while(|byte| *byte == b'#').count() + 1)
        .max();
    "#".repeat(longest.unwrap_or(0))
}
