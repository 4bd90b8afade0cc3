//! Shrinking, with predicates in place of runs.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use coscribe_fuzz::edit::{Action, Content, Edit, Formats, Nested, Root};
use coscribe_fuzz::outcome::{Failure, Oracle};
use coscribe_fuzz::scenario::{Crash, Dialect, During, Event, Fault, Kind, Scenario, Step};
use coscribe_fuzz::shrink::shrink;
use serde_json::json;

fn failure(oracle: Oracle, step: usize) -> Failure {
    Failure { oracle, step, time: 0, detail: String::new() }
}

fn step(after: u32, event: Event) -> Step {
    Step { after, event }
}

fn change(replica: usize, path: &[u32], action: Action) -> Event {
    Event::Edit { replica, edit: Edit::Change { root: Root::Text, path: path.to_vec(), action } }
}

fn insert(replica: usize, at: u32, text: &str) -> Event {
    change(replica, &[2, 1], Action::Insert { at, content: Content::Text(text.to_owned()) })
}

fn delete(replica: usize) -> Event {
    change(replica, &[], Action::Delete { at: 7, len: 9 })
}

/// A hundred steps of five replicas.
fn scenario() -> Scenario {
    let steps = (0..100).map(|index| {
        step(
            13,
            match index % 10 {
                0 => delete(index % 5),
                1 => Event::Heal,
                2 => Event::Fault(Fault::Stall(index % 4)),
                3 => Event::Cursor { replica: 1, state: Some(77) },
                4 => Event::Fault(Fault::Partition(vec![0, 2, 4])),
                5 => Event::Fault(Fault::Crash(Crash { power: true, during: During::Checkpoint(5) })),
                _ => insert(index % 5, 1_000, "héllo 😀 wörld"),
            },
        )
    });
    Scenario {
        seed: 7,
        replicas: vec![Kind::Yjs; 5],
        dialects: vec![],
        access: vec![],
        steps: steps.collect(),
    }
}

fn is_insert(event: &Event) -> bool {
    matches!(event, Event::Edit { edit: Edit::Change { action: Action::Insert { .. }, .. }, .. })
}

fn is_delete(event: &Event) -> bool {
    matches!(event, Event::Edit { edit: Edit::Change { action: Action::Delete { .. }, .. }, .. })
}

fn place(scenario: &Scenario, is: impl Fn(&Event) -> bool) -> Option<usize> {
    scenario.steps.iter().position(|step| is(&step.event))
}

#[test]
fn what_does_not_fail_is_not_shrunk() {
    assert_eq!(shrink(&scenario(), |_| None), None);
}

#[test]
fn only_the_steps_that_matter_remain_in_their_order() {
    let fails = |scenario: &Scenario| {
        let after = place(scenario, is_insert)?;
        let last = scenario.steps[after..].iter().position(|step| is_delete(&step.event))? + after;
        Some(failure(Oracle::Content, last))
    };
    let (small, failure) = shrink(&scenario(), fails).unwrap();
    let expected = [
        step(0, change(0, &[], Action::Insert { at: 0, content: Content::Text("a".to_owned()) })),
        step(0, change(0, &[], Action::Delete { at: 0, len: 1 })),
    ];
    assert_eq!(
        small,
        Scenario {
            seed: 7,
            replicas: vec![Kind::Yrs],
            dialects: vec![],
            access: vec![],
            steps: expected.to_vec()
        }
    );
    assert_eq!((failure.oracle, failure.step), (Oracle::Content, 1));
}

#[test]
fn another_failure_is_not_taken_for_the_same() {
    let fails = |scenario: &Scenario| {
        let oracle = if scenario.steps.len() > 60 { Oracle::Content } else { Oracle::Awareness };
        Some(failure(oracle, scenario.steps.len()))
    };
    let (small, failure) = shrink(&scenario(), fails).unwrap();
    assert_eq!((small.steps.len(), failure.oracle), (61, Oracle::Content));
}

#[test]
fn steps_that_only_go_together_are_removed_together() {
    let count = |scenario: &Scenario, is: fn(&Event) -> bool| {
        scenario.steps.iter().filter(|step| is(&step.event)).count()
    };
    let fails = |scenario: &Scenario| {
        (count(scenario, is_insert) == count(scenario, is_delete) && count(scenario, is_insert) > 0)
            .then(|| failure(Oracle::Rest, scenario.steps.len()))
    };
    let steps = (0..12).map(|index| step(0, if index < 6 { insert(0, 0, "a") } else { delete(0) })).collect();
    let (small, _) = shrink(
        &Scenario { seed: 1, replicas: vec![Kind::Yrs], dialects: vec![], access: vec![], steps },
        fails,
    )
    .unwrap();
    assert_eq!(small.steps.len(), 2);
}

#[test]
fn only_dialects_that_matter_remain_and_go_with_their_replicas() {
    use Dialect::{Hocuspocus, YWebsocket};
    let start = Scenario { dialects: vec![YWebsocket, Hocuspocus, Hocuspocus], ..scenario() };
    let fails = |scenario: &Scenario| {
        let speaks = (0..scenario.replicas.len()).any(|replica| scenario.dialect(replica) == Hocuspocus);
        speaks.then(|| failure(Oracle::Early, 0))
    };
    let (small, _) = shrink(&start, fails).unwrap();
    assert_eq!((small.replicas.len(), &small.dialects[..]), (1, &[Hocuspocus][..]));
    let (small, _) = shrink(&start, |_| Some(failure(Oracle::Early, 0))).unwrap();
    assert_eq!(small.dialects, []);
}

#[test]
fn replicas_are_renumbered_when_one_goes() {
    let steps = vec![
        step(0, Event::Fault(Fault::Overtake(3, 6))),
        step(0, Event::Fault(Fault::Partition(vec![0, 3]))),
        step(0, insert(0, 0, "a")),
    ];
    let start = Scenario {
        access: vec![],
        seed: 1,
        replicas: vec![Kind::Yrs, Kind::Yrs, Kind::Yjs, Kind::Yjs],
        dialects: vec![],
        steps,
    };
    // Two replicas of Yjs, of which one overtakes the other and is then cut off.
    let fails = |scenario: &Scenario| {
        let kind = |replica: &usize| scenario.replicas[replica % scenario.replicas.len()];
        let mut overtaken = None;
        for step in &scenario.steps {
            match &step.event {
                Event::Fault(Fault::Overtake(a, b))
                    if kind(a) == Kind::Yjs && kind(b) == Kind::Yjs && a != b =>
                {
                    overtaken = Some(*a);
                }
                Event::Fault(Fault::Partition(replicas))
                    if overtaken.is_some_and(|a| replicas.contains(&a)) =>
                {
                    return Some(failure(Oracle::Gap, 1));
                }
                _ => {}
            }
        }
        None
    };
    let (small, _) = shrink(&start, fails).unwrap();
    assert_eq!(small.replicas, [Kind::Yjs, Kind::Yjs]);
    let expected = [Event::Fault(Fault::Overtake(1, 0)), Event::Fault(Fault::Partition(vec![1]))]
        .map(|event| step(0, event));
    assert_eq!(small.steps, expected);
}

#[test]
fn a_replica_can_do_the_work_of_another() {
    let fails = |scenario: &Scenario| {
        let inserts = scenario.steps.iter().filter(|step| is_insert(&step.event)).count();
        (inserts >= 3).then(|| failure(Oracle::Stored, 0))
    };
    let steps = (0..3).map(|replica| step(0, insert(replica, 0, "a"))).collect();
    let (small, _) = shrink(
        &Scenario { seed: 1, replicas: vec![Kind::Yrs; 3], dialects: vec![], access: vec![], steps },
        fails,
    )
    .unwrap();
    assert_eq!((small.replicas.len(), small.steps.len()), (1, 3));
}

#[test]
fn faults_become_the_simplest_that_still_do_harm() {
    let shrunk = |fault: Fault, fails: fn(&Fault) -> bool| {
        let steps = vec![step(0, Event::Fault(fault))];
        let scenario =
            Scenario { seed: 1, replicas: vec![Kind::Yrs; 5], dialects: vec![], access: vec![], steps };
        let fails = |scenario: &Scenario| match &scenario.steps.first()?.event {
            Event::Fault(fault) if fails(fault) => Some(failure(Oracle::Acknowledged, 1)),
            _ => None,
        };
        shrink(&scenario, fails).unwrap().0.steps.remove(0).event
    };
    let crash = |power, during| Fault::Crash(Crash { power, during });
    let power_in_checkpoint = crash(true, During::Checkpoint(9));
    type Fails = fn(&Fault) -> bool;
    let cases: [(Fault, Fails, Fault); 6] = [
        (
            power_in_checkpoint.clone(),
            |fault| matches!(fault, Fault::Crash(_)),
            crash(false, During::Nothing),
        ),
        (
            power_in_checkpoint,
            |fault| matches!(fault, Fault::Crash(Crash { during: During::Checkpoint(step), .. }) if *step >= 3),
            crash(false, During::Checkpoint(3)),
        ),
        (Fault::Partition(vec![1, 3]), |fault| !matches!(fault, Fault::Crash(_)), Fault::Disconnect(0)),
        (
            Fault::Delay(2, 5_000),
            |fault| matches!(fault, Fault::Delay(_, time) if *time > 41),
            Fault::Delay(0, 42),
        ),
        (Fault::Duplicate(0, 30), |fault| matches!(fault, Fault::Duplicate(..)), Fault::Duplicate(0, 1)),
        (Fault::Restore(4, 30), |fault| matches!(fault, Fault::Restore(..)), Fault::Restore(0, 0)),
    ];
    for (fault, fails, expected) in cases {
        assert_eq!(shrunk(fault, fails), Event::Fault(expected));
    }
}

#[test]
fn content_becomes_small() {
    let shrunk = |content: Content, fails: fn(&Content) -> bool| {
        let steps = vec![step(3, change(0, &[4], Action::Set { key: "k".to_owned(), content }))];
        let fails = |scenario: &Scenario| match &scenario.steps.first()?.event {
            Event::Edit { edit: Edit::Change { action: Action::Set { content, .. }, .. }, .. } => {
                fails(content).then(|| failure(Oracle::Reencoding, 0))
            }
            _ => None,
        };
        let (small, _) = shrink(
            &Scenario { seed: 1, replicas: vec![Kind::Yrs], dialects: vec![], access: vec![], steps },
            fails,
        )
        .unwrap();
        match &small.steps[0].event {
            Event::Edit { edit: Edit::Change { action: Action::Set { content, .. }, path, .. }, .. } => {
                assert_eq!((path.len(), small.steps[0].after), (0, 0));
                content.clone()
            }
            other => panic!("{other:?}"),
        }
    };
    let formats = |formats: &[&str]| -> Formats {
        formats.iter().map(|key| ((*key).to_owned(), json!(true))).collect()
    };
    let surrogates = |content: &Content| matches!(content, Content::Text(text) if text.contains('😀'));
    assert_eq!(shrunk(Content::Text("so 😀 long".to_owned()), surrogates), Content::Text("😀".to_owned()));
    assert_eq!(
        shrunk(Content::Formatted("bold text".to_owned(), formats(&["bold", "em"])), |content| {
            matches!(content, Content::Formatted(_, formats) if formats.contains_key("em"))
        }),
        Content::Formatted("a".to_owned(), formats(&["em"]))
    );
    assert_eq!(
        shrunk(Content::Values(vec![json!({"deep": [1, 2, 3]}), json!("x"), json!(5)]), |content| {
            matches!(content, Content::Values(values) if values.contains(&json!("x")))
        }),
        Content::Values(vec![json!("x")])
    );
    assert_eq!(
        shrunk(Content::Type(Nested::Array(vec![9, 8, 7])), |content| matches!(
            content,
            Content::Type(Nested::Array(_))
        )),
        Content::Type(Nested::Array(vec![0]))
    );
    assert_eq!(
        shrunk(
            Content::Binary(vec![1, 2, 250]),
            |content| matches!(content, Content::Binary(bytes) if bytes.contains(&250))
        ),
        Content::Binary(vec![250])
    );
}

#[test]
fn the_time_that_a_removed_step_took_can_be_kept() {
    let fails = |scenario: &Scenario| {
        let waited: u32 = scenario.steps.iter().map(|step| step.after).sum();
        let deletes = place(scenario, is_delete)?;
        (waited >= 300).then(|| failure(Oracle::Rest, deletes))
    };
    let mut start = scenario();
    start.steps.truncate(31);
    let (small, _) = shrink(&start, fails).unwrap();
    assert_eq!(small.steps, [step(300, change(0, &[], Action::Delete { at: 0, len: 1 }))]);
}

#[test]
fn it_is_deterministic_and_bounded() {
    let attempts = |count: &mut usize| {
        let mut random = fastrand::Rng::with_seed(3);
        shrink(&scenario(), |scenario| {
            *count += 1;
            (*count == 1 || random.u8(..4) == 0).then(|| failure(Oracle::Panic, scenario.steps.len()))
        })
        .unwrap()
    };
    let (mut first, mut second) = (0, 0);
    assert_eq!(attempts(&mut first), attempts(&mut second));
    assert_eq!(first, second);

    let mut runs = 0;
    let steps = vec![step(0, Event::Heal); 2_500];
    // Now and then one step may go: the slowest way down.
    shrink(
        &Scenario { seed: 1, replicas: vec![Kind::Yrs], dialects: vec![], access: vec![], steps },
        |scenario| {
            runs += 1;
            (runs % 97 == 1).then(|| failure(Oracle::Panic, scenario.steps.len()))
        },
    );
    assert_eq!(runs, 20_000);
}
