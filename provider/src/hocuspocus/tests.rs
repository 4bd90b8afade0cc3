//! One provider under simulated time, several on one socket, and two that meet in a room of the engine.

use coscribe_engine::dialect::hocuspocus::{
    Frame, PONG, Reply, close_frame, denied_frame, encode, granted_frame, terms,
};
use coscribe_engine::room::{self, PeerId, Room, RoomLimits};
use coscribe_engine::work::finish;

use super::*;

const NOBODY: Bytes = Bytes::from_static(&[0]);
const NOTHING: Bytes = Bytes::from_static(&[0, 0]);
const TOKEN: Bytes = Bytes::from_static(b"tok");
/// The state `{}` of client 7 at clock 0.
const OWN: Bytes = Bytes::from_static(&[1, 7, 0, 2, b'{', b'}']);
/// Client 7 writes `a`.
const WRITTEN: Bytes = Bytes::from_static(&[1, 1, 7, 0, 4, 1, 1, b't', 1, b'a', 0]);

fn provider() -> Provider {
    Provider::new(ClientAwareness::new(7, Duration::ZERO))
}

fn effects(provider: &mut Provider) -> Vec<Effect> {
    std::iter::from_fn(|| provider.poll_effect()).collect()
}

fn opened() -> Provider {
    let mut provider = provider();
    provider.opened(TOKEN, NOBODY);
    effects(&mut provider);
    provider
}

fn hear(provider: &mut Provider, message: Outbound) -> Vec<Effect> {
    provider.receive(Answer::Say(message), Duration::ZERO).unwrap();
    effects(provider)
}

#[test]
fn it_begins_with_its_token_a_question_and_its_awareness_and_waits_for_nothing() {
    let say = |wish, message| Effect::Send(Request::Say(wish, message));
    for (mut provider, tells_version) in [(provider(), true), (provider().without_version(), false)] {
        provider.opened(TOKEN, NOBODY);
        let sent = [
            Effect::Send(Request::Auth { token: TOKEN, tells_version }),
            say(Some(Inbound::Offer), Inbound::Step1(NOBODY)),
            say(None, Inbound::Awareness(OWN)),
        ];
        assert_eq!(effects(&mut provider), sent);
        assert!(provider.is_open() && !provider.is_synced() && provider.unsynced() == 1);
    }
}

#[test]
fn each_change_and_the_start_of_a_sync_count_until_the_server_has_saved_them() {
    let mut provider = opened();
    assert_eq!(
        hear(&mut provider, Outbound::Step2(NOTHING.into())),
        [Effect::Apply(NOTHING), Effect::Synced]
    );
    assert_eq!(hear(&mut provider, Outbound::Step1(NOBODY)), [Effect::Answer(NOBODY)]);
    let answered = provider.answer(NOTHING);
    let written = provider.write(WRITTEN);
    assert!(answered.is_some() && answered < written && provider.unsynced() == 2);
    effects(&mut provider);
    assert_eq!(hear(&mut provider, Outbound::Saved(false)), [Effect::Refused(answered)]);
    assert!(provider.unsynced() == 2 && !provider.is_confirmed());
    assert_eq!(hear(&mut provider, Outbound::Saved(true)), [Effect::Saved(written)]);
    assert!(provider.unsynced() == 1 && provider.is_confirmed());
    assert_eq!(hear(&mut provider, Outbound::Saved(true)), [Effect::Saved(None)]);
    assert_eq!(hear(&mut provider, Outbound::Saved(true)), [Effect::Saved(None)]);
    assert_eq!(provider.unsynced(), 0, "never less");
}

#[test]
fn a_count_that_overtakes_the_state_makes_it_synced_on_half_a_document() {
    let mut provider = opened();
    provider.answer(NOTHING);
    effects(&mut provider);
    assert!(matches!(
        hear(&mut provider, Outbound::Saved(true))[..],
        [Effect::Saved(Some(_)), Effect::Synced]
    ));
    assert!(provider.is_synced());
}

#[test]
fn only_the_answer_to_a_question_that_follows_its_own_is_counted() {
    let mut provider = opened();
    assert!(provider.answer(NOTHING).is_some());
    assert!(provider.answer(NOTHING).is_none(), "the server asks what a gap is missing");
    provider.write(WRITTEN);
    provider.sync(NOBODY);
    assert_eq!(provider.unsynced(), 1, "it counts from one again");
    assert!(provider.answer(NOTHING).is_some());
}

#[test]
fn what_is_written_while_there_is_no_connection_counts_and_is_not_sent() {
    let mut provider = opened();
    provider.closed();
    assert_eq!(provider.write(WRITTEN), None);
    assert_eq!((provider.unsynced(), effects(&mut provider)), (2, vec![]));
    provider.opened(TOKEN, NOBODY);
    assert_eq!(provider.unsynced(), 1);
}

#[test]
fn nothing_is_sent_to_a_document_that_is_denied_or_closed_until_it_is_opened_again() {
    let denial = (Answer::Denied("no".to_owned()), Effect::Denied("no".to_owned()));
    let end = (Answer::Closed("bye".to_owned()), Effect::Closed("bye".to_owned()));
    for (answer, effect) in [denial, end] {
        let mut provider = opened();
        provider.receive(Answer::Granted(Access::Read), Duration::ZERO).unwrap();
        assert_eq!(provider.access(), Some(Access::Read));
        provider.write(WRITTEN);
        provider.receive(answer, Duration::ZERO).unwrap();
        provider.write(WRITTEN);
        assert_eq!(effects(&mut provider), [Effect::Granted(Access::Read), effect]);
        assert!(provider.access().is_none() && provider.is_confirmed());
        provider.opened(TOKEN, NOBODY);
        assert_eq!(effects(&mut provider).len(), 3);
    }
}

#[test]
fn the_token_is_sent_again_when_the_server_wants_it() {
    let mut provider = opened();
    provider.receive(Answer::TokenWanted, Duration::ZERO).unwrap();
    assert_eq!(effects(&mut provider), [Effect::TokenWanted]);
    provider.authenticate(TOKEN);
    let sent = Effect::Send(Request::Auth { token: TOKEN, tells_version: true });
    assert_eq!(effects(&mut provider), [sent]);
}

#[test]
fn states_of_others_are_not_sent_on_and_its_own_is_renewed() {
    let mut provider = opened();
    let other = Outbound::Awareness(vec![1, 9, 1, 2, b'{', b'}'].into());
    assert_eq!(hear(&mut provider, other), []);
    assert!(provider.awareness().states().contains_key(&9));
    let due = provider.next_tick().unwrap();
    provider.tick(due);
    let renewed = Bytes::from_static(&[1, 7, 1, 2, b'{', b'}']);
    let sent = Effect::Send(Request::Say(None, Inbound::Awareness(renewed)));
    assert_eq!(effects(&mut provider), [sent]);
    provider.closed();
    assert!(!provider.awareness().states().contains_key(&9));
}

#[test]
fn texts_of_the_application_pass() {
    let mut provider = opened();
    let text = Bytes::from_static(b"hi");
    provider.send_stateless(text.clone());
    let sent = Effect::Send(Request::Say(None, Inbound::Stateless(text.clone())));
    assert_eq!(effects(&mut provider), [sent]);
    assert_eq!(hear(&mut provider, Outbound::Stateless(text.clone())), [Effect::Stateless(text)]);
}

/// A socket with two providers of one document, and the frames that they send.
fn socket() -> Socket {
    let mut socket = Socket::default();
    for address in [&b"d\0one"[..], b"d\0two"] {
        let mut provider = provider();
        provider.opened(TOKEN, NOBODY);
        assert!(socket.attach(Bytes::from_static(address), provider).is_none());
    }
    socket
}

fn socket_effects(socket: &mut Socket) -> Vec<SocketEffect> {
    std::iter::from_fn(|| socket.poll_effect()).collect()
}

#[test]
fn each_provider_of_a_socket_has_the_messages_of_its_address() {
    let mut socket = socket();
    let sent = socket_effects(&mut socket);
    assert_eq!(sent.len(), 6);
    assert_eq!(sent[3], SocketEffect::Send(Bytes::from_static(b"\x05d\0two\x02\0\x03tok\x054.8.0")));
    for frame in [granted_frame(b"d\0two", Access::Write), granted_frame(b"other", Access::Write)] {
        socket.receive(&frame, Duration::ZERO).unwrap();
    }
    let address = Bytes::from_static(b"d\0two");
    let effect = Effect::Granted(Access::Write);
    assert_eq!(socket_effects(&mut socket), [SocketEffect::Document { address: address.clone(), effect }]);
    for frame in [denied_frame(b"d\0one", "no"), close_frame(b"d\0two", "bye")] {
        socket.receive(&frame, Duration::ZERO).unwrap();
    }
    assert_eq!(socket_effects(&mut socket).len(), 2);
    assert!(socket.addresses().all(|address| !socket.provider(address).unwrap().is_open()));
}

#[test]
fn a_provider_that_leaves_says_so_and_the_socket_stays() {
    let mut socket = socket();
    socket_effects(&mut socket);
    assert!(socket.detach(b"d\0one", Duration::ZERO).is_some());
    let gone = Bytes::from_static(b"\x05d\0one\x01\x08\x01\x07\x01\x04null");
    let close = Bytes::from_static(b"\x05d\0one\x07");
    assert_eq!(socket_effects(&mut socket), [SocketEffect::Send(gone), SocketEffect::Send(close)]);
    assert!(socket.provider(b"d\0two").unwrap().is_open());
}

#[test]
fn pings_are_answered_and_a_silent_connection_is_given_up() {
    let mut socket = socket();
    socket_effects(&mut socket);
    let second = Duration::from_secs(1);
    assert!(!socket.is_silent(100 * second), "it waits for the first message");
    socket.receive(&Bytes::from_static(&[9]), 100 * second).unwrap();
    assert_eq!(socket_effects(&mut socket), [SocketEffect::Send(Bytes::from_static(PONG))]);
    assert!(!socket.is_silent(130 * second) && socket.is_silent(131 * second));
    socket.closed();
    assert!(!socket.is_silent(200 * second));
}

/// Two providers and a room, through the frames of the dialect; gives all frames that the room has sent.
fn meet(socket: &mut Socket, now: &mut Duration, room: &mut Room) -> Vec<Bytes> {
    let addresses: Vec<_> = socket.addresses().cloned().collect();
    let mut frames = Vec::new();
    for _ in 0..20 {
        *now += Duration::from_millis(20);
        while let Some(effect) = socket.poll_effect() {
            match effect {
                SocketEffect::Send(frame) => {
                    let Ok(Frame::Addressed { address, request: Ok(request) }) = Frame::read(&frame) else {
                        panic!("the server reads all frames");
                    };
                    let number = addresses.iter().position(|known| *known == address).unwrap();
                    let Request::Say(wish, message) = request else { continue };
                    for message in wish.into_iter().chain([message]) {
                        finish(room.receive(PeerId(number as u64), message, *now));
                    }
                }
                SocketEffect::Document { address, effect: Effect::Answer(_) } => {
                    socket.provider_mut(&address).unwrap().answer(NOTHING);
                }
                SocketEffect::Document { .. } => {}
            }
        }
        finish(room.tick(*now));
        while let Some(effect) = room.poll_effect() {
            let (message, to) = match effect {
                room::Effect::Send { peer, message, .. } => (message, vec![peer]),
                room::Effect::Broadcast { message, to } => (message, to),
                room::Effect::Append { sequence, .. } => {
                    room.durable(sequence);
                    continue;
                }
                _ => continue,
            };
            for PeerId(number) in to {
                let address = &addresses[usize::try_from(number).unwrap()];
                let frame = encode(address, &message).expect("the dialect has it").to_bytes();
                socket.receive(&frame, *now).unwrap();
                frames.push(frame);
            }
        }
    }
    frames
}

#[test]
fn two_that_meet_in_a_room_are_synced_and_their_counts_come_to_nothing() {
    let (mut socket, mut now, mut room) = (socket(), Duration::ZERO, Room::new(RoomLimits::default()));
    for number in 0..2 {
        room.connect(PeerId(number), terms(Access::Write, true), now);
    }
    meet(&mut socket, &mut now, &mut room);
    let [one, two] = [&b"d\0one"[..], b"d\0two"];
    socket.provider_mut(one).unwrap().write(WRITTEN);
    let frames = meet(&mut socket, &mut now, &mut room);
    for address in [one, two] {
        let provider = socket.provider(address).unwrap();
        assert!(provider.is_synced() && provider.is_confirmed() && provider.unsynced() == 0);
    }
    let written = Answer::Say(Outbound::Update(WRITTEN.into()));
    let expected = Some(Reply::Addressed { address: Bytes::from_static(two), answer: written });
    assert!(frames.iter().any(|frame| Reply::read(frame).unwrap() == expected));
}
