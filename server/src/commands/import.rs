//! `coscribe import`: documents from plain files into the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::update::Update;
use coscribe_persistence::{
    ARCHIVE_MANIFEST, ArchiveError, ArchiveReader, Checkpoint, DocumentName, NewRecord, Store,
};
use coscribe_terminal::{Progress, counted, note, say, words};
use serde::de::IgnoredAny;

use super::{milliseconds_since_epoch, open_document, open_store};
use crate::config::Config;
use crate::limits::IMPORT_BATCH_BYTES;

/// The subject of the records that an import makes.
const SUBJECT: &str = "import";

/// What can be imported, in words.
const TAKES: &str =
    "import takes a directory that `coscribe export` wrote without --as, or one file with a Yjs v1 update";

/// The arguments of `coscribe import`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Document to import: one of those in a directory (without it, all), or the name for a single file
    #[arg(value_parser = super::name)]
    name: Option<DocumentName>,
    /// Directory that `coscribe export` wrote, or one file with a Yjs v1 update
    #[arg(long, value_name = "PATH")]
    from: PathBuf,
    /// Merge into documents that are stored already
    ///
    /// As if an editor with the imported state connected: no stored content is lost, and content that both sides got from the
    /// same edits does not appear twice. Deleted content stays deleted, so this does not bring back an older state.
    #[arg(long, conflicts_with = "replace")]
    merge: bool,
    /// Replace documents that are stored already; their stored content is discarded
    ///
    /// Safe only if no editor still has the discarded state, in an open tab or in offline storage: when one comes back, it
    /// brings everything that it has, and content that was rebuilt under new ids appears twice.
    #[arg(long)]
    replace: bool,
}

/// Imports into the store of a configuration. A document that cannot be imported is named on stderr, and the exit code is 1.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    let source = Source::open(&args.from, args.name.as_ref())?;
    let mut import = Import {
        config,
        store: open_store(&config.data)?,
        if_stored: IfStored::of(args),
        batch: Vec::new(),
        waiting: 0,
        imported: 0,
    };
    let mut failed = 0;
    let mut progress = Progress::new("document", Some(source.count() as u64));
    for (name, state) in source.documents() {
        let added = state.and_then(|state| import.check(&name, state));
        match added {
            Ok(Some(record)) => import.add(record)?,
            Ok(None) => {}
            Err(error) => {
                note!("document {name:?} is not imported: {}", words(error.as_ref()));
                failed += 1;
            }
        }
        progress.step();
    }
    drop(progress);
    import.write()?;
    say!("{} imported", counted(import.imported, "document"));
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note!("{} not imported", counted(failed, "document"));
    Ok(ExitCode::FAILURE)
}

/// Where documents come from.
enum Source {
    File(DocumentName, Vec<u8>),
    Archive(ArchiveReader, Option<DocumentName>),
}

impl Source {
    fn open(path: &Path, name: Option<&DocumentName>) -> anyhow::Result<Self> {
        if !path.is_dir() {
            let state = fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
            if is_json(&state) {
                bail!("{path:?} is JSON, as `coscribe export --as json` writes it; {TAKES}");
            }
            let Some(name) = name else {
                bail!("the document in {path:?} needs a name: coscribe import NAME --from {path:?}")
            };
            return Ok(Self::File(name.clone(), state));
        }
        let archive = ArchiveReader::open(path).map_err(|error| no_archive(path, error))?;
        if let Some(name) = name
            && !archive.entries().iter().any(|entry| entry.name == *name)
        {
            bail!("there is no document {name:?} in {path:?}");
        }
        Ok(Self::Archive(archive, name.cloned()))
    }

    /// How many documents it has.
    fn count(&self) -> usize {
        match self {
            Self::File(..) | Self::Archive(_, Some(_)) => 1,
            Self::Archive(archive, None) => archive.entries().len(),
        }
    }

    fn documents(&self) -> Box<dyn Iterator<Item = (DocumentName, anyhow::Result<Vec<u8>>)> + '_> {
        match self {
            Self::File(name, state) => Box::new(std::iter::once((name.clone(), Ok(state.clone())))),
            Self::Archive(archive, wanted) => {
                let entries = archive.entries().iter();
                let entries =
                    entries.filter(move |entry| wanted.as_ref().is_none_or(|wanted| entry.name == *wanted));
                Box::new(entries.map(|entry| (entry.name.clone(), archive.read(entry).map_err(Into::into))))
            }
        }
    }
}

/// Whether a file is a JSON text. An update never is: it begins with a number of clients, and none has so few bytes.
fn is_json(bytes: &[u8]) -> bool {
    bytes.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
}

/// Why a directory holds no archive, as far as it can be told.
fn no_archive(dir: &Path, error: ArchiveError) -> anyhow::Error {
    let path = dir.join(ARCHIVE_MANIFEST);
    let Ok(manifest) = fs::read(&path) else {
        return if path.exists() {
            error.into()
        } else {
            anyhow!("there is no {ARCHIVE_MANIFEST} in {dir:?}: no export has been finished there; {TAKES}")
        };
    };
    // `--as json` and `--as text` write an object of file by name.
    let files = serde_json::from_slice::<BTreeMap<String, String>>(&manifest);
    match files.as_ref().map(|files| files.values().next().map(String::as_str)) {
        Ok(Some(file)) => {
            let form = if file.ends_with(".txt") { "text" } else { "json" };
            anyhow!("{dir:?} was written by `coscribe export --as {form}`; {TAKES}")
        }
        _ => error.into(),
    }
}

/// How to treat a document that is stored already.
#[derive(Debug, Clone, Copy)]
enum IfStored {
    Refuse,
    Merge,
    Replace,
}

impl IfStored {
    fn of(args: &Args) -> Self {
        match (args.merge, args.replace) {
            (true, _) => Self::Merge,
            (_, true) => Self::Replace,
            _ => Self::Refuse,
        }
    }
}

struct Import<'a> {
    config: &'a Config,
    store: Store,
    if_stored: IfStored,
    batch: Vec<Record>,
    /// Bytes in the batch.
    waiting: usize,
    imported: usize,
}

/// A record that is about to be written.
struct Record {
    name: DocumentName,
    sequence: u64,
    update: Bytes,
}

impl Import<'_> {
    /// The record that has to be written for a document to be there; `None` if none has to be, any more.
    fn check(&mut self, name: &DocumentName, state: Vec<u8>) -> anyhow::Result<Option<Record>> {
        let mut imported = Blocks::default().keep_deleted(self.config.keeps_deleted(name));
        imported.load(&state)?;
        let sequence = self.store.last_sequence(name);
        let record = |update| Record { name: name.clone(), sequence: sequence + 1, update };
        if !self.store.contains(name) {
            return Ok(Some(record(state.into())));
        }
        match self.if_stored {
            IfStored::Refuse => bail!("it is stored already; --merge or --replace says what to do"),
            IfStored::Merge => {
                let stored = open_document(self.store.load(name), name, self.config)?;
                let (mut blocks, _) = stored.context("it has vanished")?;
                let new = blocks.admit(&Update::scan(state.into())?, 0).update;
                if new.is_none() {
                    self.imported += 1;
                }
                Ok(new.map(record))
            }
            IfStored::Replace => {
                let (time, state) = (milliseconds_since_epoch(), imported.encode_state());
                self.store.checkpoint(&[Checkpoint { name, sequence, time, state: &[&state] }])?;
                self.imported += 1;
                Ok(None)
            }
        }
    }

    /// Takes a record. Writes the batch when it is large enough.
    fn add(&mut self, record: Record) -> anyhow::Result<()> {
        self.waiting += record.update.len();
        self.batch.push(record);
        if self.waiting >= IMPORT_BATCH_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> anyhow::Result<()> {
        let time = milliseconds_since_epoch();
        let records: Vec<_> = self
            .batch
            .iter()
            .map(|Record { name, sequence, update }| NewRecord {
                name,
                sequence: *sequence,
                time,
                subject: SUBJECT,
                payload: update,
                waits: false,
            })
            .collect();
        self.store.append(&records)?;
        self.imported += self.batch.len();
        self.batch.clear();
        self.waiting = 0;
        Ok(())
    }
}
