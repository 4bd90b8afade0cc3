//! Replicas that run real Yjs, in a Node process (`node/replica.mjs`, which describes the messages).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};

use bytes::{Buf, Bytes};
use coscribe_engine::document::id_set::IdSet;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::update::{ClientId, Clock};
use serde_json::{Value, json};

use super::interface::{Replica, ReplicaError};
use super::view::View;
use crate::edit::Edit;
use crate::limits;

/// The variable that names the folder of `replica.mjs` and its packages, if it is not that of this crate's source.
pub const FOLDER_VARIABLE: &str = "COSCRIBE_FUZZ_NODE";

/// Why there is no Yjs.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its packages are not installed.
    #[error("no Yjs in {}: run `npm ci` there, or set {FOLDER_VARIABLE} to where it is", .0.display())]
    NoPackages(PathBuf),
    /// There is no Node that can be started.
    #[error("Node does not start: {0}")]
    NoNode(#[from] io::Error),
    /// It starts and fails.
    #[error(transparent)]
    Fails(#[from] ReplicaError),
}

/// A Node process in which real Yjs runs, for any number of replicas. One that failed is started again when the next
/// replica is made; the replicas in it are lost.
pub struct NodeProcess {
    script: PathBuf,
    running: RefCell<Option<Running>>,
    /// The number of the next replica: none is used twice, so that those of a lost process find nothing in the next.
    next: Cell<u32>,
}

impl NodeProcess {
    /// Starts Node.
    ///
    /// # Errors
    /// If there is no Node, or no Yjs.
    pub fn start() -> Result<Self, NodeError> {
        let built_in = || Path::new(env!("CARGO_MANIFEST_DIR")).join("node");
        let folder = std::env::var_os(FOLDER_VARIABLE).map_or_else(built_in, PathBuf::from);
        let script = folder.join("replica.mjs");
        if !script.is_file() || !folder.join("node_modules/yjs").is_dir() {
            return Err(NodeError::NoPackages(folder));
        }
        let running = Running::start(&script)?;
        let process = Self { script, running: RefCell::new(Some(running)), next: Cell::new(0) };
        process.ask(&json!({ "do": "hello" }), &[] as &[&[u8]])?;
        Ok(process)
    }

    /// What a new document shows after these updates, in this order. It writes nothing itself.
    ///
    /// # Errors
    /// If Yjs fails on an update, or the process does.
    pub fn view_of(&self, updates: &[impl AsRef<[u8]>]) -> Result<View, ReplicaError> {
        self.ensure_running()?;
        self.ask(&json!({ "do": "load" }), updates)?.view()
    }

    fn ensure_running(&self) -> Result<(), ReplicaError> {
        let mut running = self.running.borrow_mut();
        if running.is_none() {
            let started = Running::start(&self.script);
            *running = Some(started.map_err(|error| ReplicaError::Process(error.to_string()))?);
        }
        Ok(())
    }

    /// A request, and its response. A process that does not give one is ended.
    fn ask(&self, header: &Value, blobs: &[impl AsRef<[u8]>]) -> Result<Answer, ReplicaError> {
        let mut running = self.running.borrow_mut();
        let process = running.as_mut().ok_or_else(|| ReplicaError::Process("it has ended".to_owned()))?;
        match process.exchange(&frame(header, blobs)) {
            Ok(response) => Answer::parse(response),
            Err(error) => {
                let last_words = running.take().map(Running::end).unwrap_or_default();
                Err(ReplicaError::Process(format!("{}{last_words}", reason(&error))))
            }
        }
    }
}

struct Running {
    child: Child,
    stream: UnixStream,
    /// Gives the last lines of stderr when that ends.
    stderr: Option<JoinHandle<VecDeque<String>>>,
}

impl Running {
    fn start(script: &Path) -> io::Result<Self> {
        // A socket instead of pipes, as only a socket can be read with a timeout. It is stdin, and not stdout as well, because
        // Node makes stdout non-blocking.
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(limits::NODE_ANSWER))?;
        stream.set_write_timeout(Some(limits::NODE_ANSWER))?;
        let mut child = Command::new("node")
            .arg(script)
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().map(|stderr| thread::spawn(|| last_lines(stderr)));
        Ok(Self { child, stream, stderr })
    }

    fn exchange(&mut self, request: &[u8]) -> io::Result<Bytes> {
        self.stream.write_all(request)?;
        let mut length = [0; 4];
        self.stream.read_exact(&mut length)?;
        let mut response = vec![0; u32::from_le_bytes(length) as usize];
        self.stream.read_exact(&mut response)?;
        Ok(response.into())
    }

    /// Ends the process, and gives what it said in the end.
    fn end(mut self) -> String {
        self.kill();
        let lines = self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default();
        lines.iter().map(|line| format!("\n{line}")).collect()
    }

    fn kill(&mut self) {
        // Fails if it has ended by itself, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            format!("no answer for {} s", limits::NODE_ANSWER.as_secs())
        }
        ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => {
            "it has ended".to_owned()
        }
        _ => error.to_string(),
    }
}

fn last_lines(stderr: impl Read) -> VecDeque<String> {
    let mut lines = VecDeque::new();
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        if lines.len() == limits::LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(&line).into_owned());
    }
    lines
}

/// A response of the process.
struct Answer {
    header: Value,
    blobs: VecDeque<Bytes>,
}

impl Answer {
    fn parse(mut response: Bytes) -> Result<Self, ReplicaError> {
        let mut blobs = VecDeque::new();
        while !response.is_empty() {
            blobs.push_back(take_part(&mut response).ok_or_else(|| unreadable(&"a part is cut short"))?);
        }
        let header = blobs.pop_front().ok_or_else(|| unreadable(&"it is empty"))?;
        let header: Value = serde_json::from_slice(&header).map_err(|error| unreadable(&error))?;
        match (header["refused"].as_str(), header["error"].as_str()) {
            (Some(refused), _) => Err(ReplicaError::Refused(format!("by Yjs: {refused}"))),
            (_, Some(error)) => Err(ReplicaError::Process(error.to_owned())),
            (None, None) => Ok(Self { header, blobs }),
        }
    }

    fn blob(&mut self) -> Result<Bytes, ReplicaError> {
        self.blobs.pop_front().ok_or_else(|| unreadable(&"a part is missing"))
    }

    fn view(mut self) -> Result<View, ReplicaError> {
        let delete_set = delete_set(&self.blob()?).map_err(|error| unreadable(&error))?;
        let state_vector = StateVector::decode(&self.blob()?).map_err(|error| unreadable(&error))?;
        Ok(View { content: self.header["content"].take(), state_vector, delete_set })
    }
}

/// A replica in a Node process.
pub struct NodeReplica<'a> {
    process: &'a NodeProcess,
    number: u32,
    client: ClientId,
    state_vector: Bytes,
    waiting: bool,
}

impl<'a> NodeReplica<'a> {
    /// An empty document. With `undo` Yjs keeps what the replica deletes, so that it can be brought back.
    ///
    /// # Errors
    /// If the process fails.
    pub fn new(process: &'a NodeProcess, client: ClientId, undo: bool) -> Result<Self, ReplicaError> {
        process.ensure_running()?;
        let number = process.next.replace(process.next.get() + 1);
        let mut replica = Self { process, number, client, state_vector: Bytes::new(), waiting: false };
        replica.act(json!({ "do": "create", "client": client, "undo": undo }), &[])?;
        Ok(replica)
    }

    fn ask(&self, mut header: Value, blobs: &[&[u8]]) -> Result<Answer, ReplicaError> {
        header["replica"] = self.number.into();
        self.process.ask(&header, blobs)
    }

    /// A request that changes the document; gives the updates that it wrote.
    fn act(&mut self, header: Value, blobs: &[&[u8]]) -> Result<Vec<Bytes>, ReplicaError> {
        let mut answer = self.ask(header, blobs)?;
        self.waiting = answer.header["waiting"] == true;
        self.state_vector = answer.blob()?;
        Ok(answer.blobs.into())
    }
}

impl Replica for NodeReplica<'_> {
    fn client(&self) -> ClientId {
        self.client
    }

    fn edit(&mut self, edit: &Edit) -> Result<Vec<Bytes>, ReplicaError> {
        self.act(json!({ "do": "edit", "edit": edit }), &[])
    }

    fn apply(&mut self, update: &[u8]) -> Result<Vec<Bytes>, ReplicaError> {
        self.act(json!({ "do": "apply" }), &[update])
    }

    fn state_vector(&mut self) -> Result<Bytes, ReplicaError> {
        Ok(self.state_vector.clone())
    }

    fn diff(&mut self, known: &[u8]) -> Result<Bytes, ReplicaError> {
        self.ask(json!({ "do": "diff" }), &[known])?.blob()
    }

    fn view(&mut self) -> Result<View, ReplicaError> {
        self.ask(json!({ "do": "view" }), &[])?.view()
    }

    fn is_waiting(&mut self) -> Result<bool, ReplicaError> {
        Ok(self.waiting)
    }
}

impl Drop for NodeReplica<'_> {
    fn drop(&mut self) {
        // If the process has failed, the document is gone already.
        let _ = self.ask(json!({ "do": "drop" }), &[]);
    }
}

fn frame(header: &Value, blobs: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    push_part(&mut frame, header.to_string().as_bytes());
    for blob in blobs {
        push_part(&mut frame, blob.as_ref());
    }
    let length = length(frame.len() - 4);
    frame[..4].copy_from_slice(&length);
    frame
}

fn push_part(frame: &mut Vec<u8>, part: &[u8]) {
    frame.extend(length(part.len()));
    frame.extend_from_slice(part);
}

fn take_part(rest: &mut Bytes) -> Option<Bytes> {
    let length = rest.try_get_u32_le().ok()? as usize;
    (length <= rest.len()).then(|| rest.split_to(length))
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("requests are small").to_le_bytes()
}

/// Reads a delete set: `numClients, (client, numRanges, (clock, len)*)*`.
fn delete_set(bytes: &[u8]) -> Result<IdSet, ReadError> {
    let mut reader = Reader::new(bytes);
    let clock = |number| Clock::try_from(number).map_err(|_| ReadError::NumberOutOfRange);
    let mut deleted = IdSet::default();
    for _ in 0..reader.count(2)? {
        let client = reader.var_uint()?;
        for _ in 0..reader.count(2)? {
            let start = reader.var_uint()?;
            let end = start + reader.var_uint()?;
            deleted.insert(client, clock(start)?..clock(end)?, |_| {});
        }
    }
    Ok(deleted)
}

fn unreadable(error: &dyn std::fmt::Display) -> ReplicaError {
    ReplicaError::Process(format!("its answer cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by it")]

    use super::*;

    #[test]
    fn a_process_that_was_killed_is_an_error_and_the_next_replica_has_another() {
        let process = match NodeProcess::start() {
            Ok(process) => process,
            Err(error) => {
                assert!(std::env::var_os("COSCRIBE_REQUIRE_NODE").is_none(), "{error}");
                return eprintln!("skipped: {error}");
            }
        };
        let mut lost = NodeReplica::new(&process, 1, false).unwrap();
        process.running.borrow_mut().as_mut().unwrap().kill();
        assert!(matches!(lost.view(), Err(ReplicaError::Process(_))));
        assert!(matches!(lost.view(), Err(ReplicaError::Process(_))));
        let mut next = NodeReplica::new(&process, 1, false).unwrap();
        assert!(next.view().unwrap().state_vector.is_empty());
        assert!(matches!(lost.view(), Err(ReplicaError::Process(_))), "it is not taken for the next one");
    }

    #[test]
    fn what_the_process_says_last_is_told() {
        let folder = std::env::temp_dir().join(format!("coscribe-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let script = folder.join("fails.mjs");
        std::fs::write(&script, "console.error('a reason'); process.exit(1)").unwrap();
        let running = Running::start(&script);
        let answer = running.map(|running| NodeProcess {
            script,
            running: RefCell::new(Some(running)),
            next: Cell::new(0),
        });
        if let Ok(process) = answer {
            let error = process.ask(&json!({ "do": "hello" }), &[] as &[&[u8]]).err().unwrap();
            assert_eq!(error.to_string(), "the replica's process: it has ended\na reason");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
