//! `coscribe verify`: whether everything that is stored can be read, down to the content of the documents.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coscribe_engine::blocks::Blocks;
use coscribe_engine::id_set::IdSet;
use coscribe_persistence::{DocumentName, Store, StoreError, VerifyOptions};

use super::{admit, documents, must_exist, open_store, words};
use crate::worker::{Question, Response, Worker};

/// Exit code when nothing could be looked at.
const COULD_NOT_RUN: u8 = 2;

/// What to verify.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Open each document with yrs as well
    ///
    /// A second implementation then has the same ids as this one, or the difference is told. It runs in a separate process
    /// with 2 GiB of memory; a document that crashes it, or takes more memory or time, is told by name.
    #[arg(long)]
    deep: bool,
    /// With --deep, how long one document may take
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Where to put the copy that is examined: as much space as the documents take [default: the system's temporary directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// Verifies the store in `dir`. 0 means sound, 1 that there are problems, 2 that it could not be looked at.
pub(crate) fn run(args: &Args, dir: &Path) -> anyhow::Result<ExitCode> {
    match verify(args, dir) {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("error: {}", words(&error));
            Ok(ExitCode::from(COULD_NOT_RUN))
        }
    }
}

/// Number of problems.
fn verify(args: &Args, dir: &Path) -> anyhow::Result<usize> {
    must_exist(dir)?;
    let worker = if args.deep { Some(Worker::start(args.timeout)?) } else { None };
    let scratch = args.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let options = VerifyOptions { scratch: scratch.clone(), ..VerifyOptions::default() };
    let report = match coscribe_persistence::verify(dir, &options) {
        Err(StoreError::InUse { holder, .. }) => {
            bail!("the documents in {dir:?} are in use by {holder}; stop it first")
        }
        report => report?,
    };
    println!("{report}");
    let copy = tempfile::Builder::new().prefix("coscribe-verify-").tempdir_in(&scratch);
    let copy = copy.with_context(|| format!("cannot make a directory in {scratch:?}"))?;
    copy_files(dir, copy.path()).with_context(|| format!("cannot copy {dir:?} to {:?}", copy.path()))?;
    let store = match open_store(copy.path()) {
        Ok(store) => store,
        Err(error) => {
            println!("{}", words(&error));
            return Ok(1);
        }
    };
    let faults = usize::from(!report.is_sound());
    Ok(faults + verify_documents(&store, report.unreadable(), worker))
}

/// Looks into each document that the store can read (`unreadable` is sorted), and says how many are not sound.
fn verify_documents(store: &Store, unreadable: &[DocumentName], mut worker: Option<Worker>) -> usize {
    let names = store.names();
    let mut problems = unreadable.len();
    for name in names.iter().filter(|name| unreadable.binary_search(name).is_err()) {
        if let Err(error) = verify_document(store, name, worker.as_mut()) {
            println!("document {name:?}: {}", words(&error));
            problems += 1;
        }
    }
    let how = if worker.is_some() { ", each opened with yrs" } else { "" };
    if problems == 0 {
        println!("{} looked into{how}: all sound", documents(names.len()));
    } else {
        println!("{} looked into{how}: {problems} NOT SOUND", documents(names.len()));
    }
    problems
}

fn verify_document(store: &Store, name: &DocumentName, worker: Option<&mut Worker>) -> anyhow::Result<()> {
    let stored = store.load(name)?.context("it has vanished while it was looked at")?;
    let blocks = admit(&stored)?;
    match worker {
        Some(worker) => compare_with_yrs(&blocks, worker),
        None => Ok(()),
    }
}

fn compare_with_yrs(blocks: &Blocks, worker: &mut Worker) -> anyhow::Result<()> {
    let response = worker.ask(blocks.encode_state().to_vec(), Question::Summary)?;
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
    // It may hold more: integrating deletes what lost against a concurrent change.
    if !covers(deleted, blocks.delete_set()) {
        bail!("yrs shows content that is deleted");
    }
    Ok(())
}

/// Whether all ids of `part` are in `whole`.
fn covers(mut whole: IdSet, part: &IdSet) -> bool {
    let mut covered = true;
    for (client, range) in part.iter() {
        whole.insert(client, range, |_| covered = false);
    }
    covered
}

fn copy_files(source: &Path, target: &Path) -> io::Result<()> {
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        let target = target.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
