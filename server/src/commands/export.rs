//! `coscribe export`: stored documents as plain files.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use coscribe_engine::document::blocks::Blocks;
use coscribe_persistence::{ARCHIVE_MANIFEST, ArchiveWriter, DocumentName, write_new};
use coscribe_terminal::{Progress, counted, note, print, say, words};
use coscribe_worker::Worker;
use coscribe_worker::document::Root;
use coscribe_worker::message::{Question, Response};

use super::{
    Loaded, WorkerArgs, milliseconds_since_epoch, must_exist, open_document, read_store, start_worker,
};
use crate::config::Config;

/// The arguments of `coscribe export`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Document to export; without it, all
    #[arg(value_parser = super::name)]
    name: Option<DocumentName>,
    /// New file for one document (- for stdout), new or empty directory for all
    #[arg(long, value_name = "PATH")]
    to: PathBuf,
    /// The form of a document in its file
    #[arg(long = "as", value_name = "FORM", value_enum, default_value_t = Form::Update)]
    form: Form,
    /// With --as text: this root only [default: all that hold text, in the order of their names]
    #[arg(long, value_name = "ROOT")]
    root: Option<String>,
    #[command(flatten)]
    worker: WorkerArgs,
}

impl Args {
    fn is_to_stdout(&self) -> bool {
        self.to.as_os_str() == STDOUT
    }
}

/// The form of an exported document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// The whole state as a Yjs v1 update, for `Y.applyUpdate` and `coscribe import`
    Update,
    /// The content: maps as objects, formatted text as Quill deltas, XML as objects with tag, attributes and children
    Json,
    /// The plain text, without formats and embeds
    Text,
}

/// The name of stdout among paths.
const STDOUT: &str = "-";

/// Exports from the store of a configuration. A document that cannot be exported is named on stderr, and the exit code is 1.
pub(crate) fn run(args: &Args, config: &Config) -> anyhow::Result<ExitCode> {
    must_exist(&config.data)?;
    if args.root.is_some() && args.form != Form::Text {
        bail!("--root is for --as text");
    }
    check_stdout(args)?;
    let mut render = Render::start(args)?;
    let store = read_store(&config.data)?;
    let load = |name: &DocumentName| open_document(store.load(name), name, config);
    match &args.name {
        Some(name) => export_one(load, name, args, &mut render),
        None => export_all(load, store.names(), &args.to, &mut render),
    }
}

fn export_one(
    load: impl Fn(&DocumentName) -> Loaded,
    name: &DocumentName,
    args: &Args,
    render: &mut Render,
) -> anyhow::Result<ExitCode> {
    let Some((blocks, _)) = load(name).with_context(|| format!("document {name:?}"))? else {
        bail!("there is no document {name:?}");
    };
    let content = render.content(&blocks).with_context(|| format!("document {name:?}"))?;
    if args.is_to_stdout() {
        print(&content);
    } else {
        write_file(&args.to, &content)?;
        say!("document {name:?} is in {:?}", args.to);
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether stdout can take what goes there.
fn check_stdout(args: &Args) -> anyhow::Result<()> {
    if !args.is_to_stdout() {
        return Ok(());
    }
    if args.name.is_none() {
        bail!(
            "stdout takes one document, whose name is missing; all documents go into a directory (--to DIR)"
        );
    }
    if args.form == Form::Update && io::stdout().is_terminal() {
        bail!(
            "an update is binary, and stdout is a terminal: send it to a file, or give --as json or --as text"
        );
    }
    Ok(())
}

fn export_all(
    load: impl Fn(&DocumentName) -> Loaded,
    names: Vec<DocumentName>,
    dir: &Path,
    render: &mut Render,
) -> anyhow::Result<ExitCode> {
    let mut target = Target::create(dir, render.extension())?;
    let mut failed = 0;
    let mut progress = Progress::new("document", Some(names.len() as u64));
    for name in names {
        let content = load(&name).and_then(|loaded| {
            let (blocks, sequence) = loaded.context("it has vanished")?;
            Ok((render.content(&blocks)?, sequence))
        });
        match content {
            Ok((content, sequence)) => target.add(&name, &content, sequence)?,
            Err(error) => {
                note!("document {name:?} is left out: {}", words(error.as_ref()));
                failed += 1;
            }
        }
        progress.step();
    }
    drop(progress);
    let exported = target.finish()?;
    say!("{} in {dir:?}", counted(exported, "document"));
    if failed == 0 {
        return Ok(ExitCode::SUCCESS);
    }
    note!("{} left out", counted(failed, "document"));
    Ok(ExitCode::FAILURE)
}

/// Renders a document in the form that was asked for.
enum Render {
    Update,
    With(Box<Worker>, Question),
}

impl Render {
    fn start(args: &Args) -> anyhow::Result<Self> {
        let question = match args.form {
            Form::Update => return Ok(Self::Update),
            Form::Json => Question::Json,
            Form::Text => Question::Text(args.root.clone()),
        };
        Ok(Self::With(Box::new(start_worker(&args.worker)?), question))
    }

    fn content(&mut self, blocks: &Blocks) -> anyhow::Result<Vec<u8>> {
        let state = blocks.encode_state().to_vec();
        let Self::With(worker, question) = self else { return Ok(state) };
        match worker.ask(state, question.clone())? {
            Response::Json(json) => Ok(json.into_bytes()),
            Response::Text(text) => Ok(text.into_bytes()),
            Response::NoText(roots) => bail!(no_text(question, &roots)),
            _ => bail!("the worker answered another question"),
        }
    }

    /// Of the files in a directory; `None` is an archive.
    fn extension(&self) -> Option<&'static str> {
        match self {
            Self::Update => None,
            Self::With(_, Question::Json) => Some("json"),
            Self::With(..) => Some("txt"),
        }
    }
}

/// What is wrong with a document without text, and what it has.
fn no_text(question: &Question, roots: &[Root]) -> String {
    let wrong = match question {
        Question::Text(Some(root)) if !roots.iter().any(|found| found.name == *root) => {
            format!("it has no root {root:?}")
        }
        Question::Text(Some(root)) => format!("its root {root:?} holds no text"),
        _ => "it holds no text".to_owned(),
    };
    let roots: Vec<_> = roots.iter().map(|Root { name, kind }| format!("{name:?} ({kind})")).collect();
    match roots.as_slice() {
        [] => format!("{wrong}; it is empty"),
        roots => format!("{wrong}; its roots are {}; --as json writes them all", roots.join(", ")),
    }
}

/// Where all documents go.
enum Target {
    Archive(ArchiveWriter),
    /// Numbered files, since a name may be anything, and a JSON object of file by name.
    Files {
        dir: PathBuf,
        extension: &'static str,
        names: serde_json::Map<String, serde_json::Value>,
    },
}

impl Target {
    fn create(dir: &Path, extension: Option<&'static str>) -> anyhow::Result<Self> {
        let Some(extension) = extension else { return Ok(Self::Archive(ArchiveWriter::create(dir)?)) };
        let unusable = || format!("cannot write into {dir:?}");
        fs::create_dir_all(dir).with_context(unusable)?;
        if fs::read_dir(dir).with_context(unusable)?.next().is_some() {
            bail!("{dir:?} is not empty");
        }
        Ok(Self::Files { dir: dir.to_owned(), extension, names: serde_json::Map::new() })
    }

    fn add(&mut self, name: &DocumentName, content: &[u8], sequence: u64) -> anyhow::Result<()> {
        match self {
            Self::Archive(archive) => archive.add(name, content, sequence, milliseconds_since_epoch())?,
            Self::Files { dir, extension, names } => {
                let file = format!("{:08}.{extension}", names.len() + 1);
                write_file(&dir.join(&file), content)?;
                names.insert(name.to_string(), file.into());
            }
        }
        Ok(())
    }

    /// Number of documents.
    fn finish(self) -> anyhow::Result<usize> {
        match self {
            Self::Archive(archive) => Ok(archive.finish()?),
            Self::Files { dir, names, .. } => {
                let count = names.len();
                write_file(
                    &dir.join(ARCHIVE_MANIFEST),
                    format!("{:#}\n", serde_json::Value::Object(names)).as_bytes(),
                )?;
                Ok(count)
            }
        }
    }
}

fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_new(path, content).with_context(|| format!("cannot write {path:?}"))
}
