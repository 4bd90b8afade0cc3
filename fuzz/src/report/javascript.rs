//! A finding as a script for Yjs alone: the same edits, and updates that reach documents in the same order.

use super::finding::Finding;
use super::moments::{Moment, What, moments};
use crate::edit::Edit;
use crate::outcome::Message;
use crate::scenario::{Event, Fault};
use crate::scenario_file::json;

/// The code that carries out edits and views documents, as in the replicas that run Yjs.
const EDITS: &str = include_str!("../../node/edits.mjs");
const VIEW: &str = include_str!("../../node/view.mjs");
/// The code that carries out the moments.
const REPLAY: &str = include_str!("javascript/replay.mjs");

/// The text of the script. It says whether Yjs converges, and ends with 1 if it does not.
pub fn script(finding: &Finding) -> String {
    let Finding { scenario, failure, timeline } = finding;
    let replicas = scenario.replicas.len();
    let moments: Vec<_> = moments(scenario, timeline)
        .into_iter()
        .filter_map(|moment| line(finding, moment))
        .map(|line| format!("  {line}"))
        .collect();
    let undo = scenario
        .steps
        .iter()
        .any(|step| matches!(&step.event, Event::Edit { edit: Edit::Undo | Edit::Redo, .. }));
    let failure: String = failure.to_string().lines().map(|line| format!("//   {line}\n")).collect();
    format!(
        "// {scenario}. What coscribe-fuzz found in it, with a server in between:\n\
         //\n{failure}//\n\
         // This repeats it with documents of Yjs and nothing else, and says whether they converge:\n\
         //\n//   npm install yjs && node {}.mjs\n\n\
         import {{ isDeepStrictEqual }} from 'node:util'\n\
         import * as Y from 'yjs'\n\n\
         const REPLICAS = {replicas}\n\
         const UNDO = {undo}\n\n\
         // What happened, in its order. Document 0 is the server's, document n + 1 is that of replica n.\n\
         const MOMENTS = [\n{}\n]\n\n{}\n{}\n{}",
        finding.name(),
        moments.join(",\n"),
        without_imports(EDITS),
        without_imports(VIEW),
        without_imports(REPLAY),
    )
}

/// A moment as an object in JavaScript; `None` if it is nothing to the documents.
fn line(finding: &Finding, Moment { what, .. }: Moment) -> Option<String> {
    let Finding { scenario, timeline, .. } = finding;
    let document = |replica: &usize| replica % scenario.replicas.len() + 1;
    let step = match what {
        What::Arrived(index) => {
            return is_sync(timeline.messages[index].label).then(|| format!("{{ arrives: {index} }}"));
        }
        What::Sent(index) => {
            let Message { from, to, label, .. } = &timeline.messages[index];
            return is_sync(label)
                .then(|| format!("{{ message: {index}, from: {from}, to: {to}, is: '{label}' }}"));
        }
        What::Mark(_, step) => step?,
    };
    let (replica, what) = match &scenario.steps[step].event {
        Event::Edit { replica, edit } => (replica, format!("edit: {}", json(edit))),
        Event::Fault(Fault::Lose(replica)) => (replica, "loses: 1".to_owned()),
        Event::Fault(Fault::Duplicate(replica, count)) => (replica, format!("repeats: {count}")),
        Event::Fault(Fault::Overtake(source, through)) => {
            (through, format!("overtakes: {}", document(source)))
        }
        Event::Fault(Fault::Restore(replica, edits)) => (replica, format!("restored: {edits}")),
        _ => return None,
    };
    Some(format!("{{ document: {}, {what} }}", document(replica)))
}

fn is_sync(label: &str) -> bool {
    matches!(label, "SyncStep1" | "SyncStep2" | "update")
}

fn without_imports(module: &str) -> String {
    let lines = module.lines().filter(|line| !line.starts_with("import "));
    let lines: Vec<_> = lines.map(|line| line.strip_prefix("export ").unwrap_or(line)).collect();
    format!("{}\n", lines.join("\n").trim_start())
}
