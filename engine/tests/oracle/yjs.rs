//! Real Yjs, in a Node process that answers what it makes of updates (`tests/yjs/check.mjs`).

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use coscribe_engine::lib0::Reader;
use serde_json::{Value, json};

/// A Node process with Yjs in it.
pub(crate) struct Yjs {
    process: Child,
    requests: ChildStdin,
    answers: ChildStdout,
}

impl Yjs {
    /// `None` if Node or its packages are not there, unless `COSCRIBE_REQUIRE_NODE` says that they must be.
    pub(crate) fn start() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yjs");
        if !folder.join("node_modules/y-prosemirror").exists() {
            let required = std::env::var_os("COSCRIBE_REQUIRE_NODE").is_some();
            assert!(!required, "no Yjs and editors in {}: run `npm ci` there", folder.display());
            eprintln!("skipped: run `npm ci` in {} to compare with real Yjs", folder.display());
            return None;
        }
        let mut process = Command::new("node")
            .arg(folder.join("check.mjs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let requests = process.stdin.take().expect("piped");
        let answers = process.stdout.take().expect("piped");
        Some(Self { process, requests, answers })
    }

    /// What Yjs shows after these updates, in the form of `tests/yjs/canonical.mjs`; nothing may be left waiting.
    pub(crate) fn canonical(&mut self, roots: &Value, updates: &[impl AsRef<[u8]>]) -> Value {
        let (canonical, pending) = self.shown(roots, updates);
        assert!(!pending, "Yjs waits for something");
        canonical
    }

    /// The same, and whether Yjs waits for something.
    pub(crate) fn shown(&mut self, roots: &Value, updates: &[impl AsRef<[u8]>]) -> (Value, bool) {
        let mut answer = self.ask(&json!({ "do": "canonical", "roots": roots }), updates);
        (answer["canonical"].take(), answer["pending"] == json!(true))
    }

    /// The updates merged into one, without running them: it has Skip blocks where they leave gaps.
    pub(crate) fn merge(&mut self, updates: &[impl AsRef<[u8]>]) -> Bytes {
        let answer = self.ask(&json!({ "do": "merge" }), updates);
        from_hex(&answer["hex"])
    }

    /// A random history of several editors: its updates, the types of its roots, and what Yjs shows in the end.
    pub(crate) fn history(&mut self, seed: u64) -> (Vec<Bytes>, Value, Value) {
        let header = json!({ "do": "history", "seed": seed, "clients": 2 + seed % 4, "steps": 120 });
        self.told(&header)
    }

    /// One of `tests/yjs/stories.mjs`, with what it takes.
    pub(crate) fn story(&mut self, name: &str, mut parameters: Value) -> (Vec<Bytes>, Value, Value) {
        parameters["do"] = json!("story");
        parameters["story"] = json!(name);
        self.told(&parameters)
    }

    /// The whole state of a document that has applied these updates, and collects garbage unless told not to.
    pub(crate) fn state(&mut self, updates: &[impl AsRef<[u8]>], gc: bool) -> Bytes {
        let answer = self.ask(&json!({ "do": "state", "gc": gc }), updates);
        from_hex(&answer["hex"])
    }

    fn told(&mut self, header: &Value) -> (Vec<Bytes>, Value, Value) {
        let mut answer = self.ask(header, &[] as &[&[u8]]);
        let updates = answer["updates"].as_array().expect("a list").iter().map(from_hex).collect();
        (updates, answer["roots"].take(), answer["canonical"].take())
    }

    fn ask(&mut self, header: &Value, blobs: &[impl AsRef<[u8]>]) -> Value {
        let header = header.to_string();
        let mut request = Vec::new();
        write_part(&mut request, header.as_bytes());
        request.extend(u32::try_from(blobs.len()).expect("few").to_le_bytes());
        for blob in blobs {
            write_part(&mut request, blob.as_ref());
        }
        let mut framed = Vec::new();
        write_part(&mut framed, &request);
        self.requests.write_all(&framed).expect("node listens");
        let mut len = [0; 4];
        self.answers.read_exact(&mut len).expect("node answers");
        let mut answer = vec![0; u32::from_le_bytes(len) as usize];
        self.answers.read_exact(&mut answer).expect("node answers");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        assert_eq!(answer["ok"], json!(true), "{}", answer["error"]);
        answer
    }
}

impl Drop for Yjs {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn write_part(out: &mut Vec<u8>, part: &[u8]) {
    out.extend(u32::try_from(part.len()).expect("small").to_le_bytes());
    out.extend_from_slice(part);
}

fn from_hex(hex: &Value) -> Bytes {
    let digits = hex.as_str().expect("hex").as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("ASCII"), 16).expect("hex");
    digits.chunks(2).map(byte).collect()
}

/// One committed case: see `tests/yjs/make-fixtures.mjs` for its format.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) updates: Vec<Bytes>,
    pub(crate) state_vector: Bytes,
    pub(crate) canonical: Value,
}

/// The cases of one group.
pub(crate) fn fixtures(group: &str) -> Vec<Fixture> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/yjs/fixtures");
    let bytes = Bytes::from(std::fs::read(folder.join(group).with_extension("bin")).expect("a fixture"));
    let mut reader = Reader::new(&bytes);
    let count = reader.var_uint().expect("a count");
    let fixtures: Vec<_> = (0..count).map(|_| read_fixture(group, &bytes, &mut reader)).collect();
    assert!(reader.is_empty() && !fixtures.is_empty());
    fixtures
}

fn read_fixture(group: &str, bytes: &Bytes, reader: &mut Reader<'_>) -> Fixture {
    let name = format!("{group}: {}", reader.var_string().expect("a name"));
    let updates = reader.var_uint().expect("a count");
    let updates = (0..updates).map(|_| bytes.slice_ref(reader.var_buf().expect("an update"))).collect();
    reader.var_buf().expect("a state");
    let state_vector = bytes.slice_ref(reader.var_buf().expect("a state vector"));
    let canonical = serde_json::from_str(reader.var_string().expect("JSON")).expect("JSON");
    Fixture { name, updates, state_vector, canonical }
}
