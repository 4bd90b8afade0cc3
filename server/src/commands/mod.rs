//! The commands beside `serve`. verify, export and import work on stored documents while no server runs.

pub(crate) mod export;
pub(crate) mod generate;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod token;
pub(crate) mod verify;

use std::path::Path;
use std::process;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use coscribe_engine::document::blocks::Blocks;
use coscribe_persistence::{
    DocumentName, ReadOptions, Store, StoreError, StoreOptions, StoreReader, StoredDocument,
};
use coscribe_terminal::note;
use coscribe_worker::{Failure, Worker};

use crate::config::{Config, time};

/// The arguments of commands that open documents with yrs.
#[derive(Debug, clap::Args)]
struct WorkerArgs {
    /// How long yrs may take to open one document: a second more for each MiB of it
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    timeout: Duration,
}

/// Opens the store of a server that is not running. Traces of a crash are reported on stderr.
fn open_store(dir: &Path) -> anyhow::Result<Store> {
    let (store, recovery) = unless_in_use(dir, Store::open(dir, StoreOptions::default()))?;
    for warning in recovery.warnings() {
        note!("warning: {warning}");
    }
    Ok(store)
}

/// Opens the store of a server that is not running, to read it: nothing in it is changed.
fn read_store(dir: &Path) -> anyhow::Result<StoreReader> {
    unless_in_use(dir, StoreReader::open(dir, &ReadOptions::default()))
}

fn unless_in_use<T>(dir: &Path, opened: Result<T, StoreError>) -> anyhow::Result<T> {
    if let Err(StoreError::InUse { holder, .. }) = &opened {
        bail!("the documents in {dir:?} are in use by {holder}; stop it first");
    }
    opened.with_context(|| format!("cannot open the documents in {dir:?}"))
}

/// A directory that is not there holds no documents; opening the store would create it.
fn must_exist(dir: &Path) -> anyhow::Result<()> {
    if !dir.is_dir() {
        bail!("there is no directory {dir:?}; --data says where the documents are");
    }
    Ok(())
}

/// A stored document, admitted record by record, with its deleted content if that is kept. Waiting updates go on waiting: they
/// come in when an import brings the missing ones.
///
/// An error names the record that is no Yjs update, or that depends on one that is missing.
fn admit(stored: &StoredDocument, keep_deleted: bool) -> anyhow::Result<Blocks> {
    let mut blocks = Blocks::default().keep_deleted(keep_deleted);
    if let Some(snapshot) = &stored.snapshot {
        blocks.load(snapshot).context("its snapshot cannot be used")?;
    }
    for (sequence, update) in stored.numbered_updates() {
        blocks.load(update).with_context(|| format!("its record {sequence} cannot be used"))?;
    }
    for (sequence, waiting) in &stored.waiting {
        blocks.load_waiting(waiting).with_context(|| format!("its record {sequence} cannot be used"))?;
    }
    Ok(blocks)
}

/// A document and its last sequence; `None` when nothing is stored under its name.
type Loaded = anyhow::Result<Option<(Blocks, u64)>>;

/// A document as the server would open it.
fn open_document(
    stored: Result<Option<StoredDocument>, StoreError>,
    name: &DocumentName,
    config: &Config,
) -> Loaded {
    let Some(stored) = stored? else { return Ok(None) };
    let mut blocks = admit(&stored, config.keeps_deleted(name))?;
    blocks.collect();
    Ok(Some((blocks, stored.sequence)))
}

/// This program once more, as `coscribe worker`.
fn start_worker(args: &WorkerArgs) -> Result<Worker, Failure> {
    let mut command = process::Command::new(std::env::current_exe().map_err(Failure::Broken)?);
    command.arg("worker");
    Worker::start(command, args.timeout)
}

fn name(text: &str) -> Result<DocumentName, String> {
    DocumentName::new(text).map_err(|error| error.to_string())
}

fn milliseconds_since_epoch() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
