//! `trace`: reads recorded updates in many orders, with Yjs, with yrs and with coscribe. They must always make the same document.

mod check;
mod library;
mod recording;
mod roots;
mod serve;
mod ways;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use coscribe_terminal::{counted, say};
use fastrand::Rng;
use serde_json::json;

use self::check::{Divergence, Examiner, Verdict};
use self::library::LibraryProcess;
use self::recording::Format;
use self::roots::Given;
use crate::flags;
use crate::limits;

const EXAMPLES: &str = "\
Examples:
  A folder with one update (v1) in each file, *.bin, *.yjs or *.update; the order is that of the names
      coscribe-fuzz trace recorded/
  A file with many
      coscribe-fuzz trace recorded.bin --format var-buf
  Types of roots that cannot be told from what lies in them
      coscribe-fuzz trace recorded/ --root title=text --root tags=array

Each recording is read as it was recorded, reversed, shuffled, with some updates twice, as a diff from somewhere in the middle, through
a room, merged in groups by yrs and by Yjs, and as coscribe stores it. A gap in what was recorded is told, and is no finding; nor
are differences of yrs to Yjs that are known.";

/// The flags of `trace`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// A folder of updates, or a file
    #[arg(value_name = "DIR|FILE", required_unless_present = "serve_yrs")]
    path: Option<PathBuf>,
    /// How updates lie in a file [default: what fits first]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The type of a root: map, array, xml or text [default: what its content says]
    #[arg(long = "root", value_name = "NAME=TYPE")]
    roots: Vec<Given>,
    /// How often it is shuffled
    #[arg(long, value_name = "N", default_value_t = 6)]
    shuffles: usize,
    /// Decides how
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// How long yrs or Yjs may take for one reading
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = flags::time)]
    patience: Duration,
    /// Do not read with Yjs
    #[arg(long)]
    no_yjs: bool,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
    /// Read with yrs for another process, which stdin leads to
    #[arg(long, hide = true)]
    serve_yrs: bool,
}

/// Reads recordings in every way, and prints the divergences.
///
/// # Errors
/// If the recordings cannot be read.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if arguments.serve_yrs {
        serve::serve()?;
        return Ok(ExitCode::SUCCESS);
    }
    let path = arguments.path.unwrap_or_default();
    let recordings = recording::read(&path, arguments.format)?;
    let yjs = if arguments.no_yjs { None } else { LibraryProcess::yjs(arguments.patience) };
    let has_yjs = yjs.is_some();
    let mut examiner = Examiner {
        libraries: yjs.into_iter().chain([LibraryProcess::yrs(arguments.patience)?]).collect(),
        roots: arguments.roots.into_iter().map(|Given(name, of)| (name, of)).collect(),
        shuffles: arguments.shuffles,
        rng: Rng::with_seed(arguments.seed),
    };
    let verdicts: Vec<_> = recordings.iter().map(|recording| examiner.examine(recording)).collect();
    let findings = || verdicts.iter().flat_map(|verdict| &verdict.findings);
    let is_sound = findings().all(|finding| finding.known.is_some());
    if arguments.json {
        say!("{:#}", json!({ "sound": is_sound, "yjs": has_yjs, "recordings": verdicts }));
    } else {
        tell(&verdicts, has_yjs);
    }
    Ok(if is_sound { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn tell(verdicts: &[Verdict], has_yjs: bool) {
    if let [verdict] = verdicts {
        let Verdict { name, updates, bytes, clients, elements, roots, .. } = verdict;
        say!(
            "{name}: {}, {}, {}, {}",
            counted(*updates, "update"),
            counted(*bytes, "byte"),
            counted(*clients, "client"),
            counted(*elements, "element")
        );
        let roots: Vec<_> = roots.iter().map(|(name, of)| format!("{name} ({of:?})")).collect();
        say!("roots: {}", roots.join(", "));
    } else {
        let updates: usize = verdicts.iter().map(|verdict| verdict.updates).sum();
        say!("{}, {}", counted(verdicts.len(), "recording"), counted(updates, "update"));
    }
    for verdict in verdicts.iter().filter(|verdict| !verdict.gaps.is_empty()) {
        let gaps = verdict.gaps.join("; ");
        say!(
            "gap in {}: no update has {gaps}. What builds on it waits for ever in Yjs, and yrs was not asked.",
            verdict.name
        );
    }
    let findings: Vec<_> = verdicts.iter().flat_map(|verdict| &verdict.findings).collect();
    let (known, new): (Vec<_>, Vec<_>) = findings.into_iter().partition(|finding| finding.known.is_some());
    let mut alike: BTreeMap<_, Vec<&Divergence>> = BTreeMap::new();
    for finding in &new {
        alike.entry((&finding.recording, &finding.reader, finding.oracle)).or_default().push(finding);
    }
    for ((recording, reader, oracle), findings) in alike.iter().take(limits::TOLD_DIVERGENCES) {
        let (Divergence { way, detail, .. }, others) = (findings[0], findings.len() - 1);
        say!(
            "{recording}, {way}, read by {reader}: {oracle:?}: {detail} (and {})",
            counted(others, "other way")
        );
    }
    if alike.len() > limits::TOLD_DIVERGENCES {
        say!("… and {} more", alike.len() - limits::TOLD_DIVERGENCES);
    }
    let mut names: Vec<_> = known.iter().filter_map(|finding| finding.known).collect();
    names.sort_unstable();
    for same in names.chunk_by(|a, b| a == b) {
        say!("known, {}: {}", counted(same.len(), "time"), same[0]);
    }
    let ways: usize = verdicts.iter().map(|verdict| verdict.ways).sum();
    let readers = if has_yjs { "Yjs, yrs and coscribe" } else { "yrs and coscribe (no Node with Yjs)" };
    match new.len() {
        0 => say!("read in {} by {readers}: always the same document", counted(ways, "way")),
        found => say!("read in {} by {readers}: {}", counted(ways, "way"), counted(found, "finding")),
    }
}
