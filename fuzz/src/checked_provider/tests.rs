use coscribe_engine::dialect::hocuspocus::{encode, granted_frame};
use coscribe_engine::message::Outbound;
use coscribe_engine::peer::Access;

use super::*;
use crate::edit::{Action, Content, Edit, Root};
use crate::replica::YrsReplica;

const ADDRESS: Bytes = Bytes::from_static(b"d");
const NOBODY: Bytes = Bytes::from_static(&[0]);

/// A Hocuspocus provider that has just been opened, and its replica.
fn opened() -> (CheckedProvider, YrsReplica) {
    let mut replica = YrsReplica::new(7, false);
    let speech = Speech::Hocuspocus { address: ADDRESS, token: Bytes::new() };
    let mut provider = CheckedProvider::new(ClientAwareness::new(7, Duration::ZERO), speech);
    let frames = provider.open(&mut replica, Duration::ZERO).expect("yrs answers");
    assert_eq!(frames.len(), 3, "token, question, awareness");
    (provider, replica)
}

fn hear(
    provider: &mut CheckedProvider,
    replica: &mut YrsReplica,
    message: &Outbound,
) -> Result<Vec<Bytes>, ProviderError> {
    let frame = encode(&ADDRESS, message).expect("the dialect has it").to_bytes();
    provider.receive(replica, frame, Duration::ZERO)
}

#[test]
fn a_change_counts_as_acknowledged_when_as_many_are_told_as_were_sent_up_to_it() {
    let (mut provider, mut replica) = opened();
    let granted = granted_frame(&ADDRESS, Access::Write);
    provider.receive(&mut replica, granted, Duration::ZERO).expect("nothing is wrong");
    let mut hear = |provider: &mut CheckedProvider, message| {
        hear(provider, &mut replica, &message).expect("nothing is wrong").len()
    };
    assert_eq!(hear(&mut provider, Outbound::Step1(NOBODY)), 1);
    assert_eq!(hear(&mut provider, Outbound::Step2(vec![0, 0].into())), 0);
    let action = Action::Insert { at: 0, content: Content::Text("a".to_owned()) };
    let mut writer = YrsReplica::new(7, false);
    let edit = Edit::Change { root: Root::Text, path: Vec::new(), action };
    for update in writer.edit(&edit).expect("yrs edits") {
        assert_eq!(provider.write(update).len(), 1);
    }
    hear(&mut provider, Outbound::Saved(true));
    assert_eq!(provider.acknowledged().state_vector.get(7), 0, "that was the answer");
    assert!(provider.is_synced() && !provider.is_confirmed());
    hear(&mut provider, Outbound::Saved(true));
    assert!(provider.acknowledged().state_vector.get(7) > 0 && provider.is_confirmed());
}

#[test]
fn a_count_before_the_state_and_one_too_many_are_found() {
    let (mut provider, mut replica) = opened();
    hear(&mut provider, &mut replica, &Outbound::Step1(NOBODY)).expect("nothing is wrong");
    let early = hear(&mut provider, &mut replica, &Outbound::Saved(true));
    assert!(matches!(early, Err(ProviderError::Early(_))), "{early:?}");

    let (mut provider, mut replica) = opened();
    hear(&mut provider, &mut replica, &Outbound::Step2(vec![0, 0].into())).expect("nothing is wrong");
    let unasked = hear(&mut provider, &mut replica, &Outbound::Saved(true));
    assert!(matches!(unasked, Err(ProviderError::Early(_))), "{unasked:?}");
}

#[test]
fn a_refusal_is_a_failure_unless_it_may_be_a_reader_and_then_the_change_is_not_acknowledged() {
    let write = |provider: &mut CheckedProvider, text: &str| {
        let action = Action::Insert { at: 0, content: Content::Text(text.to_owned()) };
        let edit = Edit::Change { root: Root::Text, path: Vec::new(), action };
        for update in YrsReplica::new(7, false).edit(&edit).expect("yrs edits") {
            provider.write(update);
        }
    };
    let (mut provider, mut replica) = opened();
    write(&mut provider, "a");
    let refused = hear(&mut provider, &mut replica, &Outbound::Saved(false));
    assert!(matches!(refused, Err(ProviderError::Denied(_))), "{refused:?}");

    let (mut provider, mut replica) = opened();
    provider.allow_refusals(true);
    hear(&mut provider, &mut replica, &Outbound::Step2(vec![0, 0].into())).expect("nothing is wrong");
    hear(&mut provider, &mut replica, &Outbound::Step1(NOBODY)).expect("nothing is wrong");
    write(&mut provider, "a");
    for is_saved in [true, false] {
        hear(&mut provider, &mut replica, &Outbound::Saved(is_saved)).expect("nothing is wrong");
    }
    assert_eq!(provider.refusals().changes, 1);
    assert_eq!(provider.acknowledged().state_vector.get(7), 0);
    assert!(provider.is_confirmed(), "nothing more will come");
    let one_more = hear(&mut provider, &mut replica, &Outbound::Saved(false));
    assert!(matches!(one_more, Err(ProviderError::Early(_))), "{one_more:?}");
}
