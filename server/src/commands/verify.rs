//! `coscribe verify`: whether everything that is stored can be read, down to the content of the documents.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::bail;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::id_set::IdSet;
use coscribe_persistence::{ReadOptions, StoreError, StoredDocument, verify_with};
use coscribe_terminal::{Progress, counted, note, say, words};
use coscribe_worker::message::{Question, Response};
use coscribe_worker::{Failure, Worker};

use super::{WorkerArgs, admit, must_exist, start_worker};

/// Exit code when nothing could be looked at.
const COULD_NOT_RUN: u8 = 2;

/// The arguments of `coscribe verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Open each document with yrs as well
    ///
    /// A second implementation must then find the same ids as this one, or the difference is reported. It runs in a separate
    /// process with 2 GiB of memory, and more for larger documents. A document that it cannot open is reported by name, and is not
    /// checked any deeper: it counts as sound.
    #[arg(long)]
    deep: bool,
    #[command(flatten)]
    worker: WorkerArgs,
    /// Where to put a copy of the snapshots of an earlier version, which cannot be read in place [default: the system's
    /// temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// Verifies the store in `dir`. 0 means sound, 1 that there are problems, 2 that it could not be looked at.
pub(crate) fn run(args: &Args, dir: &Path) -> anyhow::Result<ExitCode> {
    match verify(args, dir) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            note!("error: {}", words(error.as_ref()));
            Ok(ExitCode::from(COULD_NOT_RUN))
        }
    }
}

/// Number of problems.
fn verify(args: &Args, dir: &Path) -> anyhow::Result<usize> {
    must_exist(dir)?;
    let mut worker = if args.deep { Some(start_worker(&args.worker)?) } else { None };
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let options = ReadOptions { scratch };
    let (mut looked_into, mut not_deeper, mut problems) = (0, 0, 0);
    let mut progress = None;
    let report = verify_with(dir, &options, |name, document, of| {
        let progress = progress.get_or_insert_with(|| Progress::new("document", Some(of as u64)));
        progress.show(looked_into as u64, String::new);
        looked_into += 1;
        match document {
            Ok(stored) => match verify_document(&stored, worker.as_mut()) {
                Ok(Depth::Asked) => return,
                Ok(Depth::Less(reason)) => {
                    not_deeper += 1;
                    return say!("document {name:?}: not checked deeper, because {reason}");
                }
                Err(error) => say!("document {name:?}: {}", words(error.as_ref())),
            },
            Err(error @ StoreError::Io { .. }) => say!("document {name:?}: {error}"),
            // The report tells of all other reasons.
            Err(_) => {}
        }
        problems += 1;
    });
    drop(progress);
    let report = match report {
        Err(StoreError::InUse { holder, .. }) => {
            bail!("the documents in {dir:?} are in use by {holder}; stop it first")
        }
        report => report?,
    };
    say!("{report}");
    let how = match (worker, not_deeper) {
        (None, _) => String::new(),
        (Some(_), 0) => ", each opened with yrs".to_owned(),
        (Some(_), some) => format!(", {some} of them not opened with yrs"),
    };
    let verdict = if problems == 0 { "all sound".to_owned() } else { format!("{problems} NOT SOUND") };
    say!("{} looked into{how}: {verdict}", counted(looked_into, "document"));
    Ok(problems + usize::from(!report.is_sound()))
}

/// How deep a document was looked into.
enum Depth {
    Asked,
    /// yrs could not open it, and why.
    Less(Failure),
}

fn verify_document(stored: &StoredDocument, worker: Option<&mut Worker>) -> anyhow::Result<Depth> {
    let blocks = admit(stored, false)?;
    match worker {
        Some(worker) => compare_with_yrs(&blocks, worker),
        None => Ok(Depth::Asked),
    }
}

fn compare_with_yrs(blocks: &Blocks, worker: &mut Worker) -> anyhow::Result<Depth> {
    let response = match worker.ask(blocks.encode_state().to_vec(), Question::Summary) {
        Ok(response) => response,
        Err(broken @ Failure::Broken(_)) => return Err(broken.into()),
        Err(failure) => return Ok(Depth::Less(failure)),
    };
    let Response::Summary { state_vector, delete_set } = response else {
        bail!("the worker answered another question");
    };
    if !blocks.state_vector().iter().eq(state_vector) {
        bail!("yrs has another state vector");
    }
    let mut deleted = IdSet::default();
    for (client, start, end) in delete_set {
        deleted.insert(client, start..end, |_| {});
    }
    // It may hold more: integration deletes the losers of concurrent changes.
    if !covers(deleted, blocks.delete_set()) {
        bail!("yrs shows content that is deleted");
    }
    Ok(Depth::Asked)
}

/// Whether all ids of `part` are in `whole`.
fn covers(mut whole: IdSet, part: &IdSet) -> bool {
    let mut covered = true;
    for (client, range) in part.iter() {
        whole.insert(client, range, |_| covered = false);
    }
    covered
}
