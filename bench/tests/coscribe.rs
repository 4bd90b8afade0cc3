//! Whole scenarios against this project's own server, where its binary is: `COSCRIBE_BIN` names it.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use coscribe_bench::cores::Cores;
use coscribe_bench::outcome::{Load, Outcome};
use coscribe_bench::scenarios::hostile::{self, Report};
use coscribe_bench::scenarios::{defaults, documents, join, soak, stalled, typing};
use coscribe_bench::servers::{Installed, Server};

/// People in one document.
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();

/// Runs a load against a fresh server; `None` where there is none.
fn run(load: &Load) -> Option<Outcome> {
    run_with(load, &[])
}

/// The same with further arguments for the server.
fn run_with(load: &Load, arguments: &[&str]) -> Option<Outcome> {
    let Some(coscribe) = std::env::var_os("COSCRIBE_BIN") else {
        eprintln!("skipped: COSCRIBE_BIN does not name the server's binary");
        return None;
    };
    let installed = Installed {
        coscribe: coscribe.into(),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        peers: PathBuf::new(),
        y_sweet: PathBuf::new(),
    };
    let cores = Cores::available().expect("the system tells the cores");
    let mut server = Server::Coscribe.start(&installed, cores, true).expect("the server starts");
    let outcome = load.run(&mut server);
    assert!(outcome.is_sound(), "{outcome:?}");
    Some(outcome)
}

#[test]
fn typing_loses_nothing_and_the_document_has_it_all() {
    let load = typing::Load { people: 5, rate: 20.0, seconds: 1.0, warm_up: 0.5, ..defaults() };
    let Some(Outcome::Typing(report)) = run(&Load::Typing(load)) else { return };
    assert_eq!(report.missing_in_documents, Some(0));
}

#[test]
fn a_document_is_whole_for_everybody_who_joins_also_after_a_restart() {
    let load = join::Load { bytes: 100_000, joiners: 5, repeat: 1, ..defaults() };
    let Some(Outcome::Join(report)) = run(&Load::Join(load)) else { return };
    assert_eq!(report.many_after_restart.unwrap().incomplete, 0);
}

#[test]
fn who_stalls_gets_everything_in_the_end() {
    let load = stalled::Load { readers: 3, live: 3, megabytes: 10, before: 0.5, ..defaults() };
    run(&Load::Stalled(load));
}

#[test]
fn small_documents_are_kept() {
    let load = documents::Load { documents: 30, at_once: 10, rest: 0.0, ..defaults() };
    let Some(Outcome::Documents(report)) = run(&Load::Documents(load)) else { return };
    assert_eq!(report.incomplete_after_restart, Some(0));
}

#[test]
fn two_who_type_beside_an_attack_lose_nothing() {
    for attack in ["scattered-deletions", "zip-bomb-zeros", "bad-tokens"] {
        let load = hostile::Load {
            attack: attack.to_owned(),
            documents: NonZeroUsize::MIN,
            people: TWO,
            rate: 20.0,
            ..defaults()
        };
        let Some(Outcome::Hostile(Report::Measured(report))) = run(&Load::Hostile(load)) else { return };
        // What was typed before the attack began is no part of the latencies.
        let deliveries = report.latency.expect("they typed").count;
        assert!(deliveries > 0 && deliveries < report.written, "{attack}: {report:?}");
        assert_eq!((report.missing, &report.died, &report.broken), (0, &None, &None), "{attack}");
        assert!(report.memory_mb.is_some(), "{attack}");
    }
}

#[test]
fn a_soak_with_a_kill_loses_nothing_and_writes_what_it_saw() {
    let directory = tempfile::tempdir().expect("a directory");
    let load = soak::Load {
        minutes: 0.2,
        cycles: 2,
        rest: 1.0,
        kills: 1,
        rate: 10.0,
        interval: 0.5,
        out: Some(directory.path().to_owned()),
        ..defaults()
    };
    let Some(Outcome::Soak(report)) = run_with(&Load::Soak(load), &["--grace=100ms"]) else { return };
    assert_eq!((report.kills.len(), report.rests.len()), (1, 2));
    assert!(report.written > 0 && report.churn.values().all(|&begun| begun > 0), "{report:?}");
    let [table, plot] = ["soak.md", "soak.svg"]
        .map(|name| std::fs::read_to_string(directory.path().join(name)).expect("it is written"));
    assert!(table.contains("| 1, killed |"), "{table}");
    assert!(plot.contains("<polyline"), "{plot}");
}
