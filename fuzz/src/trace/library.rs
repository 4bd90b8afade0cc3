//! The libraries that read recordings, each in a process that may die: yrs in this program started once more, and Yjs in Node. A
//! recording may make either of them fail, loop for ever, or worse.
//!
//! Both speak as `node/trace.mjs` describes.

use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::{Buf, Bytes};
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::update::Update;
use coscribe_worker::{Child, Unanswered};
use serde_json::{Value, json};

use super::roots::Roots;
use crate::limits;
use crate::replica::FOLDER_VARIABLE;

/// The flag that makes this program read with yrs for another process.
const SERVE_YRS: &str = "--serve-yrs";

/// A library that reads updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    Yrs,
    Yjs,
}

/// A document as a library has read it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    pub(super) content: Value,
    pub(super) state_vector: StateVector,
    pub(super) delete_set: IdSet,
    /// Whether something waits for a gap to fill.
    pub(super) waiting: bool,
}

/// Why there is no reading.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The library refuses an update.
    #[error("refuses an update: {0}")]
    Refused(String),
    /// The process has died.
    #[error("{0}")]
    Died(String),
}

/// A process that reads updates; started again when it has died.
pub(super) struct LibraryProcess {
    pub(super) library: Library,
    child: Child,
    patience: Duration,
}

impl LibraryProcess {
    /// yrs.
    ///
    /// # Errors
    /// If this program does not know where it is.
    pub(super) fn yrs(patience: Duration) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["trace", SERVE_YRS]);
        Ok(Self::new(Library::Yrs, command, patience))
    }

    /// Yjs, if its packages are there.
    pub(super) fn yjs(patience: Duration) -> Option<Self> {
        let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(built_in, PathBuf::from);
        let is_there = folder.join("node_modules/yjs").is_dir() && folder.join("trace.mjs").is_file();
        let has_node = || Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
        let mut command = Command::new("node");
        command.arg(folder.join("trace.mjs"));
        (is_there && has_node()).then(|| Self::new(Library::Yjs, command, patience))
    }

    fn new(library: Library, command: Command, patience: Duration) -> Self {
        Self { library, child: Child::new(command, patience, limits::TRACE_FRAME_BYTES), patience }
    }

    /// The document that these updates make, applied in this order.
    pub(super) fn read(&mut self, roots: &Roots, updates: &[Bytes]) -> Result<Reading, Trouble> {
        let mut parts = self.ask(&json!({ "do": "read", "roots": roots }), updates)?;
        let header = header(&parts)?;
        let state_vector = parts.pop().unwrap_or_default();
        let deletions = parts.pop().unwrap_or_default();
        let unreadable =
            |error: &dyn std::fmt::Display| Trouble::Died(format!("it answers what cannot be read: {error}"));
        // An update that has nothing but this delete set.
        let deletions =
            Update::scan([&[0], &deletions[..]].concat().into()).map_err(|error| unreadable(&error))?;
        let mut delete_set = IdSet::default();
        deletions.deletions().for_each(|(client, range)| delete_set.insert(client, range, |_| {}));
        let state_vector = StateVector::decode(&state_vector).map_err(|error| unreadable(&error))?;
        Ok(Reading {
            content: header["content"].clone(),
            state_vector,
            delete_set,
            waiting: header["waiting"] == true,
        })
    }

    /// Several updates as one, as its library merges them.
    pub(super) fn merge(&mut self, updates: &[Bytes]) -> Result<Bytes, Trouble> {
        let mut parts = self.ask(&json!({ "do": "merge" }), updates)?;
        header(&parts)?;
        Ok(parts.pop().unwrap_or_default())
    }

    fn ask(&mut self, header: &Value, blobs: &[Bytes]) -> Result<Vec<Bytes>, Trouble> {
        let parts = [header.to_string().into()].into_iter().chain(blobs.iter().cloned());
        let request = join(parts).map_err(|error| Trouble::Died(error.to_string()))?;
        let answer = self.child.ask(request.into()).map_err(|reason| self.trouble(&reason))?;
        split(answer.into()).map_err(|error| {
            self.child.stop();
            Trouble::Died(format!("it answers what cannot be read: {error}"))
        })
    }

    fn trouble(&self, reason: &Unanswered) -> Trouble {
        Trouble::Died(match reason {
            Unanswered::Late => format!("does not answer for {}", humantime::format_duration(self.patience)),
            Unanswered::Ended { status, .. } if status.signal().is_some() => {
                format!("dies of signal {}", status.signal().unwrap_or_default())
            }
            Unanswered::Ended { status, .. } => format!("ends with {status}"),
            Unanswered::NotStarted(error) => format!("it does not start: {error}"),
            Unanswered::Lost(error) => error.to_string(),
            Unanswered::TooLong => reason.to_string(),
        })
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Yrs => "yrs",
            Self::Yjs => "Yjs",
        })
    }
}

fn header(parts: &[Bytes]) -> Result<Value, Trouble> {
    let header = parts.first().and_then(|header| serde_json::from_slice::<Value>(header).ok());
    let header = header.ok_or_else(|| Trouble::Died("it answers what cannot be read".to_owned()))?;
    match header["refused"].as_str() {
        Some(refused) => Err(Trouble::Refused(refused.to_owned())),
        None => Ok(header),
    }
}

/// The body of a frame that holds these parts.
pub(super) fn join(parts: impl IntoIterator<Item = Bytes>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    for part in parts {
        let length = u32::try_from(part.len()).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?;
        body.extend(length.to_le_bytes());
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// The parts that the body of a frame holds.
pub(super) fn split(mut body: Bytes) -> io::Result<Vec<Bytes>> {
    let mut parts = Vec::new();
    while !body.is_empty() {
        let length = body.try_get_u32_le().map_err(|_| ErrorKind::InvalidData)? as usize;
        if length > body.len() {
            return Err(ErrorKind::InvalidData.into());
        }
        parts.push(body.split_to(length));
    }
    Ok(parts)
}
