//! The engine against the recorded runs of Yjs' own random tests, with yrs as the judge of what bytes mean.

mod oracle;

use bytes::Bytes;
use coscribe_engine::document::blocks::Blocks;
use coscribe_engine::document::state_vector::StateVector;
use coscribe_engine::lib0::Reader;
use coscribe_engine::update::Update;
use oracle::{Random, Roots, corpora, state_vector, yrs_document};
use yrs::updates::decoder::{Decode, DecoderV1};

struct Case {
    updates: Vec<Bytes>,
    expected: Roots,
}

fn cases() -> Option<Vec<Case>> {
    let bytes = Bytes::from(std::fs::read(corpora()?.join("yjs-random-cases.bin")).expect("readable"));
    let mut reader = Reader::new(&bytes);
    let count = reader.var_uint().expect("a count");
    let any = |reader: &mut Reader<'_>| {
        let start = reader.position();
        reader.skip_any().expect("a value");
        yrs::Any::decode(&mut DecoderV1::from(reader.read_since(start))).expect("a value")
    };
    let case = |_| {
        let updates = reader.var_uint().expect("a count");
        Case {
            updates: (0..updates).map(|_| bytes.slice_ref(reader.var_buf().expect("an update"))).collect(),
            expected: Roots {
                text: reader.var_string().expect("text").to_owned(),
                map: any(&mut reader),
                array: any(&mut reader),
            },
        }
    };
    Some((0..count).map(case).collect())
}

fn admit(blocks: &mut Blocks, update: &Bytes) -> Option<Bytes> {
    blocks.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1).update
}

fn admit_all(updates: &[Bytes]) -> Blocks {
    let mut blocks = Blocks::default();
    for update in updates {
        admit(&mut blocks, update);
    }
    assert!(blocks.parked().is_empty(), "everything came, so nothing waits");
    blocks
}

#[test]
fn every_order_gives_the_document_that_yjs_has() {
    let Some(cases) = cases() else { return };
    assert_eq!(cases.len(), 2_660);
    let mut random = Random(1);
    for (number, case) in cases.iter().enumerate() {
        let in_order = admit_all(&case.updates);
        let read_back = yrs_document(&[in_order.encode_state()]);
        assert_eq!(Roots::of(&read_back), case.expected, "case {number}");
        assert_eq!(&state_vector(&read_back), in_order.state_vector(), "case {number}");

        for _ in 0..3 {
            let mut shuffled = case.updates.clone();
            let doubled = random.below(shuffled.len() + 1);
            shuffled.extend_from_within(..doubled);
            random.shuffle(&mut shuffled);
            let blocks = admit_all(&shuffled);
            assert_eq!(blocks.state_vector(), in_order.state_vector(), "case {number}");
            assert_eq!(blocks.delete_set(), in_order.delete_set(), "case {number}");
            let read_back = yrs_document(&[blocks.encode_state()]);
            assert_eq!(Roots::of(&read_back), case.expected, "case {number}");
        }
    }
}

#[test]
fn a_diff_brings_a_replica_up_from_wherever_it_stood() {
    let Some(cases) = cases() else { return };
    let mut random = Random(2);
    for (number, case) in cases.iter().enumerate().step_by(3) {
        let whole = admit_all(&case.updates);
        for _ in 0..4 {
            let seen = random.below(case.updates.len() + 1);
            let replica = yrs_document(&case.updates[..seen]);
            let diff = whole.diff(&state_vector(&replica));
            let update = yrs::Update::decode_v1(&diff).expect("an update");
            yrs::Transact::transact_mut(&replica).apply_update(update).expect("applies");
            assert_eq!(Roots::of(&replica), case.expected, "case {number} from {seen}");

            let mut ours = admit_all(&case.updates[..seen]);
            let diff = whole.diff(ours.state_vector());
            admit(&mut ours, &diff);
            assert_eq!(ours.state_vector(), whole.state_vector());
            assert_eq!(ours.delete_set(), whole.delete_set());
        }
    }
}

#[test]
fn what_is_admitted_is_what_was_new() {
    let Some(cases) = cases() else { return };
    let mut random = Random(3);
    for (number, case) in cases.iter().enumerate().step_by(3) {
        let mut shuffled = case.updates.clone();
        shuffled.extend_from_within(..);
        random.shuffle(&mut shuffled);
        let (mut room, mut follower) = (Blocks::default(), Blocks::default());
        let mut changes = coscribe_engine::document::blocks::Changes::default();
        let mut flushed = Blocks::default();
        for update in &shuffled {
            let admission = room.admit(&Update::scan(update.clone()).expect("an update of Yjs"), 1);
            assert_eq!(admission.update.is_some(), !admission.changes.is_empty());
            if let Some(new) = admission.update {
                follower.load(&new).expect("what was admitted has no gaps");
            }
            changes.extend(&admission.changes);
            if random.below(4) == 0 {
                flushed.load(&room.diff_changes(&std::mem::take(&mut changes))).expect("a flush has no gaps");
            }
        }
        flushed.load(&room.diff_changes(&changes)).expect("a flush has no gaps");
        for copy in [follower, flushed] {
            assert_eq!(copy.state_vector(), room.state_vector(), "case {number}");
            assert_eq!(copy.delete_set(), room.delete_set(), "case {number}");
            assert_eq!(Roots::of(&yrs_document(&[copy.encode_state()])), case.expected, "case {number}");
        }
    }
}

#[test]
fn a_large_document_is_small_in_memory_and_reads_back_whole() {
    let Some(folder) = corpora() else { return };
    let update = Bytes::from(std::fs::read(folder.join("b4-update.bin")).expect("readable"));
    let expected = Roots::of(&yrs_document(&[&update])).text;
    assert_eq!(expected.chars().count(), 104_852);
    let blocks = admit_all(&[update]);
    assert!(blocks.memory() < 2_000_000, "{} bytes", blocks.memory());
    assert_eq!(Roots::of(&yrs_document(&[blocks.diff(&StateVector::default())])).text, expected);
    assert_eq!(
        Blocks::from_update(&blocks.encode_state()).expect("whole").encode_state(),
        blocks.encode_state()
    );
}
