//! Documents in processes that may die: yrs in this program started once more, and Yjs in Node. What a user has recorded may
//! make either of them fail, loop for ever, or worse.
//!
//! Both speak as `node/trace.mjs` describes.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::{Buf, Bytes};
use coscribe_engine::id_set::IdSet;
use coscribe_engine::state_vector::StateVector;
use coscribe_engine::update::Update;
use serde_json::{Value, json};

use super::roots::Roots;
use crate::replica::FOLDER_VARIABLE;

/// The flag that makes this program read with yrs for another.
pub(super) const SERVE_YRS: &str = "--serve-yrs";

/// Who reads updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Library {
    Yrs,
    Yjs,
}

/// What a document is after some updates.
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
    /// It says that something is wrong with the updates.
    #[error("refuses an update: {0}")]
    Refused(String),
    /// It is no more.
    #[error("{0}")]
    Died(String),
}

/// A process that reads updates; started again when it has died.
pub(super) struct Outside {
    pub(super) library: Library,
    command: Command,
    patience: Duration,
    running: Option<(Child, UnixStream)>,
}

impl Outside {
    /// yrs.
    ///
    /// # Errors
    /// If this program does not know where it is.
    pub(super) fn yrs(patience: Duration) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["trace", SERVE_YRS]);
        Ok(Self { library: Library::Yrs, command, patience, running: None })
    }

    /// Yjs, if its packages are there.
    pub(super) fn yjs(patience: Duration) -> Option<Self> {
        let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(built_in, PathBuf::from);
        let is_there = folder.join("node_modules/yjs").is_dir() && folder.join("trace.mjs").is_file();
        let has_node = || Command::new("node").arg("--version").stdout(Stdio::null()).status().is_ok();
        let mut command = Command::new("node");
        command.arg(folder.join("trace.mjs"));
        (is_there && has_node()).then_some(Self { library: Library::Yjs, command, patience, running: None })
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
        if self.running.is_none() {
            let started = start(&mut self.command, self.patience);
            self.running =
                Some(started.map_err(|error| Trouble::Died(format!("it does not start: {error}")))?);
        }
        let Some((_, stream)) = &mut self.running else {
            return Err(Trouble::Died("it has ended".to_owned()));
        };
        let parts = [header.to_string().into()].into_iter().chain(blobs.iter().cloned());
        let answer = write_parts(stream, parts).and_then(|()| read_parts(stream));
        let answer = answer.and_then(|answer| answer.ok_or_else(|| ErrorKind::UnexpectedEof.into()));
        answer.map_err(|error| self.bury(&error))
    }

    /// It has died, or does not answer any more: says of what.
    fn bury(&mut self, error: &io::Error) -> Trouble {
        let Some((mut child, _)) = self.running.take() else { return Trouble::Died(error.to_string()) };
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        if is_late {
            // It may have ended by itself in this moment.
            let _ = child.kill();
        }
        let how = match child.wait() {
            _ if is_late => format!("does not answer for {}", humantime::format_duration(self.patience)),
            Ok(status) if status.signal().is_some() => {
                format!("dies of signal {}", status.signal().unwrap_or_default())
            }
            Ok(status) => format!("ends with {status}"),
            Err(error) => error.to_string(),
        };
        Trouble::Died(how)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.running {
            // It may be gone already.
            let _ = child.kill();
            let _ = child.wait();
        }
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

fn start(command: &mut Command, patience: Duration) -> io::Result<(Child, UnixStream)> {
    // A socket can be read with a timeout, pipes cannot.
    let (stream, theirs) = UnixStream::pair()?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let child = command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    Ok((child, stream))
}

fn header(parts: &[Bytes]) -> Result<Value, Trouble> {
    let header = parts.first().and_then(|header| serde_json::from_slice::<Value>(header).ok());
    let header = header.ok_or_else(|| Trouble::Died("it answers what cannot be read".to_owned()))?;
    match header["refused"].as_str() {
        Some(refused) => Err(Trouble::Refused(refused.to_owned())),
        None => Ok(header),
    }
}

/// Writes a list of parts.
pub(super) fn write_parts(stream: &mut impl Write, parts: impl Iterator<Item = Bytes>) -> io::Result<()> {
    let length =
        |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| io::Error::from(ErrorKind::FileTooLarge));
    let mut body = Vec::new();
    for part in parts {
        body.extend(length(&part)?.to_le_bytes());
        body.extend_from_slice(&part);
    }
    stream.write_all(&length(&body)?.to_le_bytes())?;
    stream.write_all(&body)
}

/// Reads a list of parts; `None` at the end.
pub(super) fn read_parts(stream: &mut impl Read) -> io::Result<Option<Vec<Bytes>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    stream.read_exact(&mut body)?;
    let (mut rest, mut parts) = (Bytes::from(body), Vec::new());
    while !rest.is_empty() {
        let length = rest.try_get_u32_le().map_err(|_| ErrorKind::InvalidData)? as usize;
        if length > rest.len() {
            return Err(ErrorKind::InvalidData.into());
        }
        parts.push(rest.split_to(length));
    }
    Ok(Some(parts))
}
