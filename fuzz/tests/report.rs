//! What is written about runs: files, pages, scripts, the corpus, and what CI reads.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use coscribe_fuzz::corpus::{Corpus, CorpusError};
use coscribe_fuzz::edit::{Action, Content, Edit, Root};
use coscribe_fuzz::generate::{self, Shape};
use coscribe_fuzz::outcome::{Coverage, Failure, Mark, MarkKind, Message, Oracle, Timeline};
use coscribe_fuzz::progress::Progress;
use coscribe_fuzz::report::html::Page;
use coscribe_fuzz::report::javascript;
use coscribe_fuzz::report::junit::JunitReport;
use coscribe_fuzz::report::rust_test;
use coscribe_fuzz::report::{Finding, Written};
use coscribe_fuzz::scenario::{Access, Crash, During, Event, Fault, Kind, Scenario, Step};
use coscribe_fuzz::scenario_file::{ScenarioFile, ScenarioFileError};
use coscribe_fuzz::simulation::{self, Surroundings};

fn insert(replica: usize, text: &str) -> Event {
    let content = Content::Text(text.to_owned());
    let action = Action::Insert { at: 0, content };
    Event::Edit { replica, edit: Edit::Change { root: Root::Text, path: Vec::new(), action } }
}

fn every_fault() -> Vec<Fault> {
    vec![
        Fault::Disconnect(0),
        Fault::Connect(0),
        Fault::Partition(vec![0, 1]),
        Fault::Rejoin,
        Fault::Delay(1, 40),
        Fault::Stall(1),
        Fault::Resume(1),
        Fault::Duplicate(0, 2),
        Fault::Overtake(0, 1),
        Fault::Lose(1),
        Fault::Crash(Crash { power: true, during: During::Checkpoint(3) }),
        Fault::Crash(Crash { power: false, during: During::Append }),
        Fault::Checkpoint,
        Fault::Evict,
        Fault::Restore(0, 4),
    ]
}

/// Two replicas, all faults, and edits whose texts want to be taken for something else.
fn finding() -> Finding {
    let mut events = vec![insert(0, "</svg><script>alert(1)</script>"), insert(1, "\"##\" 😀"), Event::Heal];
    events.extend(every_fault().into_iter().map(Event::Fault));
    events.extend([
        Event::Cursor { replica: 1, state: Some(5) },
        Event::Cursor { replica: 1, state: None },
        Event::Gather { replica: 0, messages: 3 },
        Event::Ask { replica: 1, times: 2 },
        Event::Access { replica: 0, access: Access::Read },
        Event::Access { replica: 0, access: Access::Write },
        Event::Edit { replica: 1, edit: Edit::Undo },
    ]);
    let steps: Vec<_> =
        events.into_iter().zip(0..).map(|(event, after)| Step { after: after % 3, event }).collect();
    let scenario = Scenario {
        seed: u64::MAX,
        replicas: vec![Kind::Yrs, Kind::Yjs],
        dialects: vec![],
        access: vec![],
        steps,
    };
    let (step, detail) = (scenario.steps.len(), "replica 0 and 1: <a> & <b>".to_owned());
    let failure = Failure { oracle: Oracle::StateVector, step, time: 12, detail };
    Finding { timeline: timeline(&scenario), scenario, failure }
}

/// Marks as a run makes them, and messages of which every fourth is lost.
fn timeline(scenario: &Scenario) -> Timeline {
    let (mut timeline, mut time) = (Timeline::default(), 0);
    for step in &scenario.steps {
        time += 1_000 * u64::from(step.after);
        let (kind, lanes) = match &step.event {
            Event::Edit { replica, .. }
            | Event::Cursor { replica, .. }
            | Event::Gather { replica, .. }
            | Event::Ask { replica, .. } => (MarkKind::Edit, vec![replica + 1]),
            Event::Access { replica, .. } => (MarkKind::Fault, vec![replica + 1]),
            Event::Heal => (MarkKind::Heal, vec![0]),
            Event::Fault(Fault::Partition(replicas)) => {
                (MarkKind::Fault, replicas.iter().map(|replica| replica + 1).collect())
            }
            Event::Fault(_) => (MarkKind::Fault, vec![0]),
        };
        let label = step.event.kind().to_owned();
        timeline.marks.extend(lanes.into_iter().map(|lane| Mark { time, lane, kind, label: label.clone() }));
        let (from, to) = if timeline.messages.len() % 2 == 0 { (1, 0) } else { (0, 2) };
        let arrived = (timeline.messages.len() % 4 != 3).then_some(time + 700);
        timeline.messages.push(Message { from, to, sent: time, arrived, label: "update", bytes: 23 });
    }
    timeline.marks.push(Mark {
        time: time + 9,
        lane: 0,
        kind: MarkKind::Failure,
        label: "a failure".to_owned(),
    });
    timeline
}

#[test]
fn a_finding_is_written_as_four_files_and_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path().join("new/failures");
    let finding = finding();
    let Written { json, rust, javascript, html } = finding.write(&directory).unwrap();
    let name = format!("state-vector-{}", u64::MAX);
    for (path, extension) in [(&json, "json"), (&rust, "rs"), (&javascript, "mjs"), (&html, "html")] {
        assert_eq!(*path, directory.join(format!("{name}.{extension}")));
        assert!(fs::metadata(path).unwrap().len() > 500, "{extension}");
    }
    let case = ScenarioFile::read(&json).unwrap();
    assert_eq!(case, ScenarioFile { scenario: finding.scenario, failure: Some(finding.failure) });
    assert!(fs::read_to_string(&html).unwrap().contains(&format!("coscribe-fuzz replay {}", json.display())));
}

#[test]
fn a_file_that_is_no_case_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (missing, broken) = (directory.path().join("missing.json"), directory.path().join("broken.json"));
    fs::write(
        &broken,
        "{\"scenario\": {\"seed\": 1, \"replicas\": [\"yrs\"], \"steps\": [{\"nonsense\": 1}]}}",
    )
    .unwrap();
    assert!(
        matches!(ScenarioFile::read(&missing), Err(ScenarioFileError::Io { path, .. }) if path == missing)
    );
    assert!(
        matches!(ScenarioFile::read(&broken), Err(ScenarioFileError::Json { path, .. }) if path == broken)
    );
}

#[test]
fn generated_scenarios_survive_their_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("case.json");
    for seed in 0..200 {
        let case = ScenarioFile { scenario: generate::scenario(seed, &Shape::default()), failure: None };
        fs::write(&path, case.to_json()).unwrap();
        assert_eq!(ScenarioFile::read(&path).unwrap(), case, "seed {seed}");
    }
}

#[test]
fn the_test_in_rust_holds_the_scenario() {
    let finding = finding();
    let test = rust_test::test(&finding);
    assert!(test.contains(&format!("\nfn state_vector_{}() {{\n", u64::MAX)), "{test}");
    assert!(test.contains("NodeProcess::start()"), "a replica runs Yjs");
    // The text has a quotation mark with two number signs after it.
    let (_, rest) = test.split_once("r###\"").expect("a raw string");
    let (json, _) = rest.split_once("\"###").expect("its end");
    assert_eq!(serde_json::from_str::<Scenario>(json).unwrap(), finding.scenario);
}

#[test]
fn the_page_draws_everything_and_needs_nothing_else() {
    let finding = finding();
    let (messages, marks) = (finding.timeline.messages.len(), finding.timeline.marks.len());
    let page = page(&finding);
    let count = |what: &str| page.matches(what).count();
    let (_, drawing) = page.split_once("class=\"timeline").unwrap();
    assert_eq!(drawing.matches("class=\"target\"").count(), messages);
    assert_eq!(drawing.matches("class=\"cross\"").count(), messages / 4);
    assert_eq!(count("<g class=\"mark\">"), marks);
    assert_eq!(count(">replica 0</text>") + count(">replica 1</text>") + count(">server</text>"), 3);
    assert_eq!(count("<li"), finding.scenario.steps.len() + 1);
    assert!(
        page.contains("Replicas have different state vectors") && page.contains("&lt;a&gt; &amp; &lt;b&gt;")
    );
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "texts are no markup");
    for outside in ["http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
}

fn page(finding: &Finding) -> String {
    let Finding { scenario, failure, timeline } = finding;
    Page { scenario, failure: Some(failure), timeline, replay: "coscribe-fuzz replay x.json" }.to_html()
}

#[test]
fn a_page_of_a_run_without_steps_or_timeline_is_a_page() {
    let scenario =
        Scenario { seed: 1, replicas: vec![Kind::Yrs], dialects: vec![], access: vec![], steps: Vec::new() };
    let page = Page { scenario: &scenario, failure: None, timeline: &Timeline::default(), replay: "x" };
    assert!(page.to_html().contains("Nothing is wrong"));
}

/// Node, and a folder with Yjs for scripts; `None` where there is no Node, with a message.
fn node_folder() -> Option<tempfile::TempDir> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/node_modules");
    let has_node = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    if !has_node || !modules.join("yjs").is_dir() {
        assert!(std::env::var_os("COSCRIBE_REQUIRE_NODE").is_none(), "no Node with Yjs");
        eprintln!("skipped: no Node with Yjs");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    Some(folder)
}

/// Runs a script; gives its output and exit code.
fn node(folder: &Path, script: &str) -> (String, Option<i32>) {
    let path = folder.join("script.mjs");
    fs::write(&path, script).unwrap();
    let output = Command::new("node").arg(path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.code())
}

#[test]
fn the_script_for_yjs_says_whether_yjs_converges() {
    let Some(folder) = node_folder() else { return };
    let converges = ("Yjs converges.\n".to_owned(), Some(0));
    for seed in 0..8 {
        let scenario = generate::scenario(seed, &Shape { replicas: 3, yjs: 0, edits: 15 });
        let surroundings = Surroundings { timeline: true, ..Surroundings::default() };
        let timeline = simulation::run(&scenario, &surroundings).timeline;
        let script = javascript::script(&Finding { scenario, timeline, failure: finding().failure });
        assert_eq!(node(folder.path(), &script), converges, "seed {seed}");

        let unhealed = script.replace("    heal(docs)\n", "    docs[0].getText('text').insert(0, 'a')\n");
        let (output, code) = node(folder.path(), &unhealed);
        assert!(
            output.starts_with("Yjs does NOT converge, with the clients 1, 2, 3") && code == Some(1),
            "{output}"
        );
    }
    let script = javascript::script(&finding());
    assert_eq!(node(folder.path(), &script), converges, "all faults");
}

#[test]
fn ci_reads_a_test_case_for_each_thousand_runs() {
    let mut blocks = JunitReport::default();
    for number in 0..1_500 {
        blocks.add(number, Duration::from_millis(2));
    }
    blocks.add_failure(1_200, finding().failure, "coscribe-fuzz replay <x>.json".to_owned());
    let xml = blocks.to_xml().unwrap();
    assert!(xml.contains("tests=\"2\"") && xml.contains("failures=\"1\""), "{xml}");
    assert!(xml.contains("name=\"runs 0–999\"") && xml.contains("name=\"runs 1000–1499\""), "{xml}");
    let (before, after) = xml.split_once("runs 1000–1499").unwrap();
    assert!(!before.contains("<failure") && after.contains("coscribe-fuzz replay &lt;x&gt;.json"), "{xml}");
    assert!(after.contains("replicas have different state vectors, after step"), "{xml}");
}

fn coverage(pairs: &[(&'static str, &'static str)]) -> Coverage {
    Coverage { edits: 1, pairs: pairs.iter().copied().collect() }
}

#[test]
fn a_corpus_keeps_what_covers_something_new() {
    let directory = tempfile::tempdir().unwrap();
    let scenario = |seed| generate::scenario(seed, &Shape::default());
    let open = || Corpus::open(directory.path().join("corpus")).unwrap();
    let mut corpus = open();
    assert_eq!(corpus.mutated(1), None);
    assert!(corpus.offer(&scenario(1), &coverage(&[("text", "stall")])).unwrap());
    assert!(!corpus.offer(&scenario(2), &coverage(&[("text", "stall")])).unwrap());
    assert!(corpus.offer(&scenario(3), &coverage(&[("text", "stall"), ("undo", "kill")])).unwrap());

    let mut again = open();
    let kept =
        |corpus: &Corpus| corpus.scenarios().iter().map(|scenario| scenario.seed).collect::<BTreeSet<_>>();
    assert_eq!(kept(&again), BTreeSet::from([1, 3]));
    assert!(!again.offer(&scenario(1), &coverage(&[("text", "stall")])).unwrap(), "it is there");
    assert!(!again.offer(&scenario(4), &coverage(&[("text", "stall")])).unwrap(), "a replayed one covers it");
    assert_eq!(kept(&open()), BTreeSet::from([1, 3]));

    fs::write(directory.path().join("corpus/broken.json"), "nonsense").unwrap();
    let broken = Corpus::open(directory.path().join("corpus")).err().unwrap();
    assert!(
        matches!(broken, CorpusError::ScenarioFile(_)) && broken.to_string().contains("broken.json"),
        "{broken}"
    );
}

#[test]
fn scenarios_made_from_a_corpus_differ_and_do_not_grow_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let mut corpus = Corpus::open(directory.path().to_owned()).unwrap();
    for (seed, replicas, kind) in [(1, 1, "a"), (2, 2, "b"), (3, 3, "c")] {
        let shape = Shape { replicas, yjs: 0, edits: 300 };
        assert!(corpus.offer(&generate::scenario(seed, &shape), &coverage(&[(kind, "no fault")])).unwrap());
    }
    let mut texts = BTreeSet::new();
    for seed in 100..200 {
        let mutated = corpus.mutated(seed).unwrap();
        assert_eq!(corpus.mutated(seed).unwrap(), mutated);
        assert!(mutated.seed == seed && mutated.steps.len() <= 400 && !mutated.replicas.is_empty());
        texts.insert(ScenarioFile { scenario: Scenario { seed: 0, ..mutated }, failure: None }.to_json());
    }
    assert!(texts.len() > 60, "{} different ones", texts.len());
}

#[test]
fn progress_tells_the_essentials() {
    let mut progress = Progress { elapsed: Duration::from_secs(4), ..Progress::default() };
    for _ in 0..1_234 {
        progress.add(&Coverage { edits: 1_000, ..coverage(&[("text", "stall"), ("undo", "stall")]) }, false);
    }
    assert_eq!(
        progress.to_string(),
        "1,234 runs (308/s), 1,234,000 edits, 2 pairs of kind and fault, no failure"
    );
    progress.add(&Coverage::default(), true);
    assert!(progress.to_string().ends_with("1 failure"));
}
