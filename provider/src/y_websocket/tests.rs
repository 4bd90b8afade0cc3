//! One provider under simulated time, and two that meet in a room of the engine.

use coscribe_engine::limits::AWARENESS_EXPIRY;
use coscribe_engine::peer::Access;
use coscribe_engine::room::{self, PeerId, Room, RoomLimits, Terms};
use coscribe_engine::work::finish;

use super::*;

const NOBODY: Bytes = Bytes::from_static(&[0]);
const TOKEN: Bytes = Bytes::from_static(b"tok");
const NOTHING: Bytes = Bytes::from_static(&[0, 0]);
/// The state `{}` of client 7 at clock 0.
const OWN: Bytes = Bytes::from_static(&[1, 7, 0, 2, b'{', b'}']);

fn provider() -> Provider {
    Provider::new(ClientAwareness::new(7, Duration::ZERO))
}

fn effects(provider: &mut Provider) -> Vec<Effect> {
    std::iter::from_fn(|| provider.poll_effect()).collect()
}

/// Connected, and nothing to do.
fn connected(mut provider: Provider) -> Provider {
    provider.opened(NOBODY, Duration::ZERO);
    provider.receive(Outbound::Step2(NOTHING.into()), Duration::ZERO).unwrap();
    effects(&mut provider);
    provider
}

#[test]
fn it_begins_with_a_question_and_its_awareness() {
    let mut provider = provider();
    provider.opened(NOBODY, Duration::ZERO);
    let sent = [
        Effect::Send(Request::Say(Inbound::Step1(NOBODY))),
        Effect::Send(Request::Say(Inbound::Awareness(OWN))),
    ];
    assert_eq!(effects(&mut provider), sent);
    assert!(provider.is_connected() && !provider.is_synced());
}

#[test]
fn a_client_without_a_state_announces_nothing() {
    let mut provider = Provider::new(ClientAwareness::unseen(7));
    provider.opened(NOBODY, Duration::ZERO);
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Say(Inbound::Step1(NOBODY)))]);
    assert_eq!(provider.next_tick(), None);
}

#[test]
fn it_is_synced_by_the_first_answer_of_a_connection() {
    let mut provider = provider();
    provider.opened(NOBODY, Duration::ZERO);
    effects(&mut provider);
    let answer = || Outbound::Step2(NOTHING.into());
    provider.receive(Outbound::Update(NOTHING.into()), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Apply(NOTHING)]);
    assert!(!provider.is_synced());
    provider.receive(answer(), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Apply(NOTHING), Effect::Synced]);
    provider.receive(answer(), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Apply(NOTHING)]);
    provider.closed();
    assert!(!provider.is_synced() && !provider.is_connected());
}

#[test]
fn the_servers_question_is_answered_by_the_document() {
    let mut provider = connected(provider());
    provider.receive(Outbound::Step1(NOBODY), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Answer(NOBODY)]);
    provider.answer(NOTHING);
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Say(Inbound::Step2(NOTHING)))]);
}

#[test]
fn nothing_is_sent_without_a_connection() {
    let mut provider = connected(provider());
    provider.write(NOTHING);
    provider.receive(Outbound::Step1(NOBODY), Duration::ZERO).unwrap();
    provider.receive(Outbound::Update(NOTHING.into()), Duration::ZERO).unwrap();
    provider.closed();
    assert_eq!(effects(&mut provider), [Effect::Apply(NOTHING)], "what has come is there");
    provider.write(NOTHING);
    provider.set_state(Some("1".to_owned()), Duration::ZERO);
    provider.query_awareness();
    assert_eq!(provider.confirm(), None);
    assert_eq!(effects(&mut provider), []);
}

#[test]
fn a_receipt_comes_when_its_token_comes_back() {
    let mut provider = connected(provider());
    let receipt = provider.confirm().unwrap();
    let sent = effects(&mut provider);
    let [Effect::Send(Request::Say(Inbound::Confirm(token)))] = &sent[..] else { panic!("{sent:?}") };
    assert!(!provider.is_confirmed());
    provider.receive(Outbound::Confirmed(Bytes::from_static(b"?")), Duration::ZERO).unwrap();
    assert!(!provider.is_confirmed());
    provider.receive(Outbound::Confirmed(token.clone()), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Durable(receipt)]);
    assert!(provider.is_confirmed());
}

#[test]
fn its_awareness_is_renewed_and_that_of_others_expires() {
    let mut provider = connected(provider());
    let other = vec![1, 9, 1, 2, b'{', b'}'];
    provider.receive(Outbound::Awareness(other.clone().into()), Duration::from_secs(1)).unwrap();
    // Up to y-websocket 3.1, what changes goes back to the server.
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Say(Inbound::Awareness(other.into())))]);
    let renewed =
        |clock| Effect::Send(Request::Say(Inbound::Awareness(vec![1, 7, clock, 2, b'{', b'}'].into())));
    for clock in 1..=2 {
        let due = provider.next_tick().unwrap();
        assert_eq!(due, AWARENESS_EXPIRY / 2 * u32::from(clock));
        provider.tick(due - Duration::from_millis(1));
        assert_eq!(effects(&mut provider), []);
        provider.tick(due);
        assert_eq!(effects(&mut provider), [renewed(clock)]);
    }
    let due = provider.next_tick().unwrap();
    assert_eq!(due, Duration::from_secs(1) + AWARENESS_EXPIRY);
    provider.tick(due);
    let gone = Bytes::from_static(&[1, 9, 1, 4, b'n', b'u', b'l', b'l']);
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Say(Inbound::Awareness(gone)))]);
    assert_eq!(provider.awareness().states().len(), 1);
}

#[test]
fn awareness_that_cannot_be_read_is_an_error() {
    let mut provider = connected(provider());
    let cut = Outbound::Awareness(vec![1, 9].into());
    assert_eq!(provider.receive(cut, Duration::ZERO), Err(ReadError::UnexpectedEnd));
}

#[test]
fn it_asks_again_where_it_was_told_to() {
    let interval = Duration::from_secs(2);
    let mut provider = connected(provider().with_resync(interval));
    assert_eq!(provider.next_tick(), Some(interval));
    provider.tick(interval);
    assert_eq!(effects(&mut provider), [Effect::Resync]);
    provider.ask(NOBODY, interval);
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Say(Inbound::Step1(NOBODY)))]);
    assert_eq!(provider.next_tick(), Some(2 * interval));
    provider.closed();
    provider.tick(2 * interval);
    assert_eq!(effects(&mut provider), []);
}

#[test]
fn a_denial_is_told_in_the_servers_words() {
    let mut provider = connected(provider());
    provider.receive(Outbound::Denied("not yours".into()), Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::Denied("not yours".to_owned())]);
}

#[test]
fn a_new_token_is_sent_and_the_access_that_follows_is_told() {
    let mut provider = connected(provider());
    provider.authenticate(TOKEN);
    assert_eq!(effects(&mut provider), [Effect::Send(Request::Token(TOKEN))]);
    for access in [Access::Write, Access::Read] {
        provider.receive(Outbound::Access(access), Duration::ZERO).unwrap();
        assert_eq!(effects(&mut provider), [Effect::Granted(access)]);
    }
    provider.closed();
    provider.authenticate(TOKEN);
    assert_eq!(effects(&mut provider), [], "the next connection is opened with it");
}

/// A room and its providers, whose documents are the updates that came.
struct Meeting {
    room: Room,
    now: Duration,
    members: Vec<(Provider, Vec<Bytes>)>,
}

impl Meeting {
    fn of(clients: [u64; 2]) -> Self {
        let mut meeting =
            Self { room: Room::new(RoomLimits::default()), now: Duration::ZERO, members: vec![] };
        for (client, number) in clients.into_iter().zip(0..) {
            meeting.room.connect(PeerId(number), Terms::default(), meeting.now);
            let mut provider = Provider::new(ClientAwareness::new(client, meeting.now));
            provider.opened(NOBODY, meeting.now);
            meeting.members.push((provider, Vec::new()));
        }
        meeting.settle();
        meeting
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.now += Duration::from_millis(20);
            for ((provider, document), number) in self.members.iter_mut().zip(0..) {
                while let Some(effect) = provider.poll_effect() {
                    match effect {
                        Effect::Send(Request::Say(message)) => {
                            finish(self.room.receive(PeerId(number), message, self.now))
                        }
                        Effect::Apply(update) => document.push(update),
                        Effect::Answer(_) => provider.answer(NOTHING),
                        _ => {}
                    }
                }
            }
            finish(self.room.tick(self.now));
            while let Some(effect) = self.room.poll_effect() {
                let (message, to) = match effect {
                    room::Effect::Send { peer, message, .. } => (message, vec![peer]),
                    room::Effect::Broadcast { message, to } => (message, to),
                    room::Effect::Append { sequence, .. } => {
                        self.room.durable(sequence);
                        continue;
                    }
                    _ => continue,
                };
                for PeerId(number) in to {
                    let (provider, _) = &mut self.members[usize::try_from(number).unwrap()];
                    provider.receive(message.clone(), self.now).unwrap();
                }
            }
        }
    }
}

#[test]
fn two_that_meet_in_a_room_see_each_other_and_what_they_write() {
    let mut meeting = Meeting::of([7, 9]);
    assert!(meeting.members.iter().all(|(provider, _)| provider.is_synced()));
    // States at clock 0 are ignored by clients, so there is one more.
    for (provider, _) in &mut meeting.members {
        provider.set_state(Some("1".to_owned()), meeting.now);
    }
    let written = Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 1, b'a', 0]);
    meeting.members[0].0.write(written.clone());
    let receipt = meeting.members[0].0.confirm();
    meeting.settle();
    assert!(receipt.is_some() && meeting.members[0].0.is_confirmed());
    assert!(meeting.members[1].1.contains(&written));
    for (provider, _) in &meeting.members {
        let seen: Vec<_> = provider.awareness().states().iter().collect();
        assert_eq!(seen, [(&7, &"1".to_owned()), (&9, &"1".to_owned())]);
    }
}
