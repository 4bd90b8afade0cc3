//! verify, export and import, from outside, on stores with sound, damaged and poisoned documents.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "commands/closed.rs"]
mod closed;
#[path = "commands/documents.rs"]
mod documents;
#[path = "commands/forms.rs"]
mod forms;
#[path = "commands/large.rs"]
mod large;
#[path = "commands/progress.rs"]
mod progress;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use coscribe_engine::document::blocks::Blocks;
use coscribe_persistence::{DocumentName, NewRecord, Store, StoreOptions};
use documents::{chain, deletion, embed, format_value, hook, nested, string_in_array, text};
use tempfile::TempDir;

/// A directory for one test: `data` holds the store, the rest is free.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Logs updates as the server does.
    fn store(&self, name: &str, updates: &[Vec<u8>]) {
        let (store, _) = Store::open(&self.path("data"), StoreOptions::default()).unwrap();
        let name = DocumentName::new(name).unwrap();
        for (sequence, payload) in (store.last_sequence(&name) + 1..).zip(updates) {
            store
                .append(&[NewRecord {
                    name: &name,
                    sequence,
                    time: 1,
                    subject: "test",
                    payload,
                    waits: false,
                }])
                .unwrap();
        }
    }

    /// What a document is, as the server would open it.
    fn stored(&self, data: &str, name: &str) -> Blocks {
        let (store, _) = Store::open(&self.path(data), StoreOptions::default()).unwrap();
        let stored = store.load(&DocumentName::new(name).unwrap()).unwrap().unwrap();
        let mut blocks = Blocks::default();
        for update in stored.snapshot.iter().chain(&stored.updates) {
            blocks.load(update).unwrap();
        }
        blocks
    }

    /// `coscribe` in this directory.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coscribe"));
        command.current_dir(self.0.path()).env_clear().env("TMPDIR", self.0.path()).args(arguments);
        command
    }

    /// Runs `coscribe` in this directory.
    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(&self.command(arguments).output().unwrap())
    }
}

/// What a command did.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Run {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    #[track_caller]
    fn expect(self, code: i32, stdout: &str, stderr: &str) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stdout.contains(stdout), "{stdout:?} is not in {self:?}");
        assert!(self.stderr.contains(stderr), "{stderr:?} is not in {self:?}");
        self
    }
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all.extend(files(&entry.path()));
        } else {
            all.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    all
}

#[test]
fn exported_documents_come_back_the_same_in_another_store() {
    let place = Place::new();
    let strange = "a/ü \n\u{1b}[31m";
    place.store("plain", &[text(1, 0, "hello"), text(2, 0, "😀"), deletion(1, 1..3)]);
    place.store(strange, &[text(3, 0, "other")]);
    place.run(&["export", "--data", "data", "--to", "archive"]).expect(0, "2 documents in \"archive\"", "");
    place.run(&["import", "--data", "copy", "--from", "archive"]).expect(0, "2 documents imported", "");
    for name in ["plain", strange] {
        let (original, copy) = (place.stored("data", name), place.stored("copy", name));
        assert_eq!(original.encode_state(), copy.encode_state());
    }
    place.run(&["verify", "--data", "copy", "--deep"]).expect(
        0,
        "2 documents looked into, each opened with yrs: all sound",
        "",
    );
}

#[test]
fn one_document_goes_into_one_file_and_back_under_another_name() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello")]);
    place.run(&["export", "a", "--data", "data", "--to", "a.yjs"]).expect(
        0,
        "document \"a\" is in \"a.yjs\"",
        "",
    );
    place.run(&["import", "b", "--data", "data", "--from", "a.yjs"]).expect(0, "1 document imported", "");
    assert_eq!(place.stored("data", "b").encode_state(), place.stored("data", "a").encode_state());
    place.run(&["export", "a", "--data", "data", "--to", "a.yjs"]).expect(1, "", "cannot write \"a.yjs\"");
    place.run(&["import", "--data", "data", "--from", "a.yjs"]).expect(
        1,
        "",
        "the document in \"a.yjs\" needs a name",
    );
    place.run(&["export", "c", "--data", "data", "--to", "c.yjs"]).expect(
        1,
        "",
        "there is no document \"c\"",
    );
}

#[test]
fn content_is_exported_as_json_and_as_text() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "hello"), deletion(1, 0..1)]);
    place.store("b", &[string_in_array("x")]);
    place.run(&["export", "--data", "data", "--to", "json", "--as", "json"]).expect(0, "2 documents", "");
    let read = |path: &str| fs::read_to_string(place.path(path)).unwrap();
    assert_eq!(read("json/00000001.json"), r#"{"t":"ello"}"#);
    assert_eq!(read("json/00000002.json"), r#"{"a":[["x"]]}"#);
    assert!(read("json/manifest.json").contains(r#""a": "00000001.json""#));
    place.run(&["export", "a", "--data", "data", "--to", "a.txt", "--as", "text"]).expect(0, "", "");
    assert_eq!(read("a.txt"), "ello");
}

#[test]
fn a_stored_document_is_not_overwritten_unless_asked_for() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "old")]);
    fs::write(place.path("new.yjs"), text(2, 0, "new")).unwrap();
    let import = ["import", "a", "--data", "data", "--from", "new.yjs"];
    place.run(&import).expect(
        1,
        "0 documents imported",
        "document \"a\" is not imported: it is stored already",
    );
    assert_eq!(place.stored("data", "a").state_vector().iter().collect::<Vec<_>>(), [(1, 3)]);
    place.run(&[&import[..], &["--merge"]].concat()).expect(0, "1 document imported", "");
    assert_eq!(place.stored("data", "a").state_vector().iter().collect::<Vec<_>>(), [(1, 3), (2, 3)]);
    place.run(&[&import[..], &["--merge"]].concat()).expect(0, "1 document imported", "");
    place.run(&[&import[..], &["--replace"]].concat()).expect(0, "1 document imported", "");
    assert_eq!(place.stored("data", "a").state_vector().iter().collect::<Vec<_>>(), [(2, 3)]);
    place.run(&[&import[..], &["--replace", "--merge"]].concat()).expect(2, "", "cannot be used with");
    // What is written after a replacement follows it.
    place.store("a", &[text(3, 0, "later")]);
    place.run(&["verify", "--data", "data"]).expect(0, "all sound", "");
}

#[test]
fn a_document_that_cannot_be_imported_is_named_and_the_others_are_imported() {
    let place = Place::new();
    for name in ["a", "b", "c"] {
        place.store(name, &[text(1, 0, name)]);
    }
    place.run(&["export", "--data", "data", "--to", "archive"]).expect(0, "3 documents", "");
    let damaged = place.path("archive/documents/00000002.yjs");
    let mut bytes = fs::read(&damaged).unwrap();
    bytes[3] ^= 1;
    fs::write(damaged, bytes).unwrap();
    place.run(&["import", "--data", "copy", "--from", "archive"]).expect(
        1,
        "2 documents imported",
        "document \"b\" is not imported",
    );
    fs::write(place.path("no.yjs"), [1, 2, 3]).unwrap();
    place.run(&["import", "x", "--data", "copy", "--from", "no.yjs"]).expect(
        1,
        "0 documents imported",
        "not a Yjs update",
    );
    fs::write(place.path("gap.yjs"), text(1, 5, "late")).unwrap();
    place.run(&["import", "x", "--data", "copy", "--from", "gap.yjs"]).expect(
        1,
        "0 documents imported",
        "missing",
    );
    place.run(&["verify", "--data", "copy"]).expect(0, "2 documents looked into: all sound", "");
}

#[test]
fn verify_names_documents_with_damage_with_malformed_records_and_with_gaps_and_changes_nothing() {
    let place = Place::new();
    place.store("damaged", &[text(1, 0, "the words that will be damaged"), text(2, 0, "x")]);
    place.store("malformed", &[text(1, 0, "a"), vec![1, 2, 3]]);
    place.store("gap", &[text(1, 0, "a"), text(1, 4, "b")]);
    place.store("line\nbreak", &[vec![9]]);
    place.store("sound", &[text(1, 0, "a")]);
    let segment = place.path("data/00000001.log");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|window| window == b"words").unwrap();
    bytes[at] ^= 0x40;
    fs::write(segment, bytes).unwrap();
    let before = files(&place.path("data"));
    let run = place.run(&["verify", "--data", "data"]).expect(1, "5 documents looked into: 4 NOT SOUND", "");
    for words in [
        "document \"malformed\": its record 2 cannot be used: not a Yjs update",
        "document \"gap\": its record 2 cannot be used: the update depends on others that are missing",
        "document \"line\\nbreak\": its record 1 cannot be used",
        "document \"damaged\"",
    ] {
        assert!(run.stdout.contains(words), "{words:?} is not in {run:?}");
    }
    assert!(!run.stdout.contains("document \"sound\""), "{run:?}");
    assert_eq!(files(&place.path("data")), before);
    assert!(fs::read_dir(place.0.path()).unwrap().count() == 1, "the copy is gone");
}

#[test]
fn a_document_that_yrs_cannot_open_is_named_and_the_others_are_opened() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "a")]);
    place.store("slow", &[chain(60_000)]);
    place.store("z", &[text(1, 0, "z")]);
    place.run(&["verify", "--data", "data"]).expect(0, "3 documents looked into: all sound", "");
    let run = place.run(&["verify", "--data", "data", "--deep", "--timeout", "500ms"]).expect(
        0,
        "not opened with yrs: all sound",
        "",
    );
    let said = "document \"slow\": not checked deeper, because opening it took more than 0.5 s";
    assert!(run.stdout.contains(said), "{run:?}");
}

#[test]
fn a_document_that_overflows_the_stack_is_named_and_the_others_are_exported() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "a")]);
    place.store("deep", &[nested(1_000_000)]);
    place.store("z", &[text(1, 0, "z")]);
    let export = ["export", "--data", "data", "--to", "json", "--as", "json", "--timeout", "60s"];
    let run = place.run(&export).expect(1, "2 documents in \"json\"", "1 document left out");
    assert!(
        run.stderr.contains("document \"deep\" is left out: opening it overflowed the worker's stack"),
        "{run:?}"
    );
    assert_eq!(fs::read_to_string(place.path("json/00000002.json")).unwrap(), r#"{"t":"z"}"#);
}

#[test]
fn a_document_that_never_ends_is_named_and_the_others_are_exported() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "a")]);
    place.store("endless", &[string_in_array("😀")]);
    place.store("z", &[text(1, 0, "z")]);
    let export = ["export", "--data", "data", "--to", "json", "--as", "json", "--timeout", "2s"];
    let run = place.run(&export).expect(1, "2 documents in \"json\"", "1 document left out");
    assert!(
        run.stderr.contains("document \"endless\" is left out: opening it took more than 2 s"),
        "{run:?}"
    );
    assert_eq!(fs::read_to_string(place.path("json/00000002.json")).unwrap(), r#"{"t":"z"}"#);
}

/// JavaScript writes half of a surrogate pair as an escape, which every client reads; and Yjs has hooks in XML.
#[test]
fn what_only_yrs_cannot_read_is_sound_and_exported() {
    let place = Place::new();
    place.store("embed", &[embed(r#"{"half":"\ud83d","pair":"\ud83d\ude00"}"#)]);
    place.store("format", &[format_value(r#""\ude00""#)]);
    place.store("hook", &[hook("widget")]);
    place.run(&["verify", "--data", "data", "--deep"]).expect(
        0,
        "3 documents looked into, each opened with yrs: all sound",
        "",
    );
    place.run(&["export", "--data", "data", "--to", "json", "--as", "json"]).expect(0, "3 documents in", "");
    let exported = |file: &str| fs::read_to_string(place.path("json").join(file)).unwrap();
    assert_eq!(exported("00000001.json"), r#"{"t":[{"insert":{"half":"�","pair":"😀"}}]}"#);
    assert_eq!(exported("00000002.json"), r#"{"t":[{"attributes":{"k":"�"},"insert":"x"}]}"#);
    assert_eq!(exported("00000003.json"), r#"{"x":[{"attributes":{},"children":[],"tag":"widget"}]}"#);
}

#[test]
fn reading_commands_change_nothing() {
    let place = Place::new();
    place.store("a", &[text(1, 0, "a")]);
    let before = files(&place.path("data"));
    place.run(&["verify", "--data", "data", "--deep"]).expect(0, "all sound", "");
    for form in ["update", "json", "text"] {
        let export = ["export", "--data", "data", "--to", form, "--as", form];
        place.run(&export).expect(0, "1 document in", "");
        place
            .run(&["export", "a", "--data", "data", "--to", &format!("a.{form}"), "--as", form])
            .expect(0, "is in", "");
    }
    assert_eq!(files(&place.path("data")), before);
}

#[test]
fn a_store_that_is_missing_or_in_use_is_said_to_be() {
    let place = Place::new();
    place.run(&["verify", "--data", "none"]).expect(2, "", "there is no directory \"none\"");
    place.run(&["export", "--data", "none", "--to", "x"]).expect(1, "", "there is no directory \"none\"");
    assert!(!place.path("none").exists());
    fs::write(place.path("a.yjs"), text(1, 0, "a")).unwrap();
    let _open = Store::open(&place.path("data"), StoreOptions::default()).unwrap();
    place.run(&["verify", "--data", "data"]).expect(2, "", "in use by");
    place.run(&["export", "--data", "data", "--to", "x"]).expect(1, "", "in use by");
    place.run(&["import", "a", "--data", "data", "--from", "a.yjs"]).expect(1, "", "in use by");
}

#[test]
fn completions_and_manual_pages_are_of_the_commands_that_there_are() {
    let place = Place::new();
    let run = place.run(&["generate", "out"]);
    assert_eq!((run.code, &*run.stderr), (Some(0), ""));
    let read = |file: &str| fs::read_to_string(place.path("out").join(file)).unwrap();
    for file in ["coscribe.bash", "_coscribe", "coscribe.fish"] {
        assert!(read(&format!("completions/{file}")).contains("keep-alive"), "{file}");
    }
    assert!(read("man/coscribe.1").contains("coscribe\\-serve(1)"));
    assert!(read("man/coscribe-serve.1").contains("COSCRIBE_KEEP_ALIVE"));
    for hidden in ["worker", "help-serve"] {
        assert!(!place.path(&format!("out/man/coscribe-{hidden}.1")).exists(), "{hidden}");
    }
}
