//! Replicas in real Yjs, alone and beside those of yrs.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use bytes::Bytes;
use coscribe_fuzz::edit::{Action, Content, Edit, Formats, Root};
use coscribe_fuzz::generate::{self, Shape};
use coscribe_fuzz::replica::{NodeProcess, NodeReplica, Replica, ReplicaError, YrsReplica};
use coscribe_fuzz::scenario::Event;
use fastrand::Rng;
use serde_json::{Value, json};

/// `None` if Node or Yjs is not there, unless `COSCRIBE_REQUIRE_NODE` says that they must be.
fn start() -> Option<NodeProcess> {
    match NodeProcess::start() {
        Ok(process) => Some(process),
        Err(error) => {
            assert!(std::env::var_os("COSCRIBE_REQUIRE_NODE").is_none(), "{error}");
            eprintln!("skipped: {error}");
            None
        }
    }
}

/// Replicas that hear of each other late, each in the order in which updates were written.
struct Group<'a> {
    replicas: Vec<Box<dyn Replica + 'a>>,
    updates: Vec<Bytes>,
    /// How many of the updates each replica has read.
    read: Vec<usize>,
}

impl<'a> Group<'a> {
    fn new(replicas: Vec<Box<dyn Replica + 'a>>) -> Self {
        let read = vec![0; replicas.len()];
        Self { replicas, updates: Vec::new(), read }
    }

    fn edit(&mut self, replica: usize, edit: &Edit) {
        let written = self.replicas[replica].edit(edit).unwrap();
        self.updates.extend(written);
    }

    fn read_one(&mut self, replica: usize) -> bool {
        let Some(update) = self.updates.get(self.read[replica]).cloned() else { return false };
        self.read[replica] += 1;
        let written = self.replicas[replica].apply(&update).unwrap();
        self.updates.extend(written);
        true
    }

    /// Until nobody has anything to read or to write.
    fn meet(&mut self) {
        while (0..self.replicas.len()).filter(|&replica| self.read_one(replica)).count() > 0 {}
    }
}

fn at(root: Root, action: Action) -> Edit {
    Edit::Change { root, path: Vec::new(), action }
}

fn write(at: u32, text: &str) -> Edit {
    self::at(Root::Text, Action::Insert { at, content: Content::Text(text.to_owned()) })
}

fn format(at: u32, len: u32, key: &str, value: Value) -> Edit {
    self::at(Root::Text, Action::Format { at, len, formats: Formats::from([(key.to_owned(), value)]) })
}

fn delete(at: u32, len: u32) -> Edit {
    self::at(Root::Text, Action::Delete { at, len })
}

fn text(replica: &mut impl Replica) -> Value {
    replica.view().unwrap().content["text"].clone()
}

#[test]
fn replicas_of_yjs_and_of_yrs_show_the_same_when_they_have_met() {
    let Some(process) = start() else { return };
    for seed in 0..60 {
        let scenario = generate::scenario(seed, &Shape { replicas: 4, yjs: 2, edits: 60 });
        let mut group = Group::new(vec![
            Box::new(NodeReplica::new(&process, 1, true).unwrap()),
            Box::new(YrsReplica::new(2, true)),
            Box::new(NodeReplica::new(&process, 3, false).unwrap()),
            Box::new(YrsReplica::new(4, false)),
        ]);
        let mut rng = Rng::with_seed(seed);
        for step in &scenario.steps {
            match &step.event {
                Event::Edit { replica, edit } => group.edit(*replica, edit),
                Event::Heal => group.meet(),
                _ => drop((0..rng.usize(..9)).map(|_| group.read_one(rng.usize(..4))).count()),
            }
        }
        group.meet();
        let views: Vec<_> = group.replicas.iter_mut().map(|replica| replica.view().unwrap()).collect();
        for view in &views[1..] {
            assert_eq!(view, &views[0], "seed {seed}");
        }
        assert_eq!(process.view_of(&group.updates).unwrap(), views[0], "seed {seed}: a new document");
        assert!(group.replicas.iter_mut().all(|replica| !replica.is_waiting().unwrap()));
    }
}

#[test]
fn an_update_with_a_gap_waits_for_what_is_missing() {
    let Some(process) = start() else { return };
    let mut writer = YrsReplica::new(1, false);
    let updates: Vec<_> =
        ["a", "b", "c"].iter().flat_map(|text| writer.edit(&write(0, text)).unwrap()).collect();
    let mut reader = NodeReplica::new(&process, 2, false).unwrap();
    let mut waited = Vec::new();
    for update in [0, 2, 1].map(|at| &updates[at]) {
        assert_eq!(reader.apply(update).unwrap(), [] as [Bytes; 0]);
        waited.push((reader.is_waiting().unwrap(), text(&mut reader)));
    }
    let shown = [json!([{ "insert": "a" }]), json!([{ "insert": "a" }]), json!([{ "insert": "cba" }])];
    assert_eq!(waited, [false, true, false].into_iter().zip(shown).collect::<Vec<_>>());
}

#[test]
fn a_diff_is_what_the_other_lacks() {
    let Some(process) = start() else { return };
    let mut writer = NodeReplica::new(&process, 1, false).unwrap();
    let mut reader = NodeReplica::new(&process, 2, false).unwrap();
    for n in 0..20 {
        writer.edit(&write(n, "word")).unwrap();
        writer.edit(&delete(n, 1)).unwrap();
        let (known, stranger) = (reader.state_vector().unwrap(), [0]);
        let (diff, all) = (writer.diff(&known).unwrap(), writer.diff(&stranger).unwrap());
        assert!(n == 0 || diff.len() < all.len());
        reader.apply(&diff).unwrap();
        assert_eq!(reader.view().unwrap(), writer.view().unwrap());
        assert_eq!(process.view_of(&[all]).unwrap(), writer.view().unwrap());
    }
}

#[test]
fn surrogate_pairs_are_never_cut() {
    let Some(process) = start() else { return };
    for at in 0..8 {
        for len in 2..5 {
            let mut replica = NodeReplica::new(&process, 1, false).unwrap();
            replica.edit(&write(0, "😀a😀😀")).unwrap();
            replica.edit(&write(at, "x")).unwrap();
            replica.edit(&format(at, len, "bold", json!(true))).unwrap();
            replica.edit(&delete(at, len)).unwrap();
            let shown = text(&mut replica);
            let chunks = shown.as_array().unwrap().iter().map(|chunk| chunk["insert"].as_str().unwrap());
            assert!(chunks.clone().all(|chunk| chunk.chars().all(|char| "😀ax".contains(char))), "{shown}");
            assert!(chunks.map(|chunk| chunk.encode_utf16().count()).sum::<usize>() < 8);
        }
    }
}

#[test]
fn only_own_edits_are_taken_back_and_come_again() {
    let Some(process) = start() else { return };
    let mut other = YrsReplica::new(1, false);
    let mut replica = NodeReplica::new(&process, 2, true).unwrap();
    let mut shown = Vec::new();
    for update in other.edit(&write(0, "other")).unwrap() {
        replica.apply(&update).unwrap();
    }
    for edit in
        [write(0, "own "), write(0, "my "), Edit::Undo, Edit::Undo, Edit::Undo, Edit::Redo, Edit::Redo]
    {
        for update in replica.edit(&edit).unwrap() {
            other.apply(&update).unwrap();
        }
        assert_eq!(text(&mut other), text(&mut replica));
        shown.push(text(&mut replica)[0]["insert"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        shown,
        ["own other", "my own other", "own other", "other", "other", "own other", "my own other"]
    );
}

#[test]
fn without_undo_nothing_is_taken_back() {
    let Some(process) = start() else { return };
    let mut replica = NodeReplica::new(&process, 1, false).unwrap();
    replica.edit(&write(0, "stays")).unwrap();
    assert_eq!(replica.edit(&Edit::Undo).unwrap(), [] as [Bytes; 0]);
    assert_eq!(text(&mut replica), json!([{ "insert": "stays" }]));
}

#[test]
fn formats_that_have_become_redundant_are_deleted_in_an_update_of_the_reader() {
    let Some(process) = start() else { return };
    let mut writer = NodeReplica::new(&process, 1, false).unwrap();
    let mut reader = NodeReplica::new(&process, 2, false).unwrap();
    for update in writer.edit(&write(0, "bold")).unwrap() {
        reader.apply(&update).unwrap();
    }
    let concurrent = writer.edit(&format(0, 4, "bold", json!(true))).unwrap();
    let others = reader.edit(&format(0, 4, "bold", json!(true))).unwrap();
    let written: Vec<_> = concurrent.iter().flat_map(|update| reader.apply(update).unwrap()).collect();
    assert_eq!(written.len(), 1, "of two equal formats one is redundant");
    for update in others.iter().chain(&written) {
        writer.apply(update).unwrap();
    }
    assert_eq!(writer.view().unwrap(), reader.view().unwrap());
}

#[test]
fn garbage_is_refused_and_the_process_goes_on() {
    let Some(process) = start() else { return };
    let mut replica = NodeReplica::new(&process, 1, false).unwrap();
    let update = replica.edit(&write(0, "a word")).unwrap().remove(0);
    let mut rng = Rng::with_seed(0);
    let mut refused = 0;
    for _ in 0..300 {
        let mut victim = NodeReplica::new(&process, 2, false).unwrap();
        let mut bytes = update.to_vec();
        let changed = rng.usize(..bytes.len());
        bytes[changed] = rng.u8(..);
        bytes.truncate(rng.usize(1..=bytes.len()));
        match victim.apply(&bytes) {
            Err(ReplicaError::Refused(_)) => refused += 1,
            other => drop(other.unwrap()),
        }
        victim.view().unwrap();
    }
    assert!(refused > 100);
    assert!(matches!(replica.diff(&[0xff; 9]), Err(ReplicaError::Refused(_))));
    assert!(matches!(process.view_of(&[[7; 3]]), Err(ReplicaError::Refused(_))));
    assert_eq!(text(&mut replica), json!([{ "insert": "a word" }]));
}

#[test]
fn a_client_id_that_somebody_else_uses_is_noticed() {
    let Some(process) = start() else { return };
    let update = YrsReplica::new(1, false).edit(&write(0, "double")).unwrap().remove(0);
    let mut replica = NodeReplica::new(&process, 1, false).unwrap();
    assert!(matches!(replica.apply(&update), Err(ReplicaError::Refused(_))));
}

/// What `README.md` says. When this fails, yrs has changed: then that page has to, and what relies on it.
#[test]
fn yrs_and_yjs_differ_while_something_is_missing() {
    let Some(process) = start() else { return };
    let shown = |updates: &[Vec<u8>]| {
        let mut yrs = YrsReplica::from_updates(updates).unwrap();
        let (yrs, yjs) = (yrs.view().unwrap(), process.view_of(updates).unwrap());
        assert_ne!(yrs, yjs);
        (yrs.content["array"].clone(), yjs.content["array"].clone())
    };
    let alone = hex("01 01 01 05 08 01 05 61 72 72 61 79 01 7d 07 00");
    assert_eq!(shown(std::slice::from_ref(&alone)), (json!([7]), json!([])), "elements after a gap");
    assert!(!YrsReplica::from_updates(&[alone]).unwrap().is_waiting().unwrap(), "which yrs does not notice");
    let complete = [
        "01 01 03 00 48 01 00 01 7d 08 00",
        "01 01 01 02 88 02 02 01 7d 09 00",
        "01 01 01 00 08 01 05 61 72 72 61 79 01 7d 07 00",
    ];
    assert_eq!(shown(&complete.map(hex)), (json!([7]), json!([8, 7])), "elements that lack nothing any more");
    let gc = ["01 01 01 06 00 02 00", "01 01 01 00 00 08 00"].map(hex);
    let yrs = std::panic::catch_unwind(|| YrsReplica::from_updates(&gc).unwrap().view().unwrap());
    let yjs = process.view_of(&gc).unwrap();
    assert!(yrs.is_err() || yrs.is_ok_and(|yrs| yrs != yjs), "GC that ends beyond a gap");
}

fn hex(digits: &str) -> Vec<u8> {
    digits.split(' ').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}
