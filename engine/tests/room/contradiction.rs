//! Two clients with the same id: what the second says is not taken for what the first has said.

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, sync_frame};
use coscribe_engine::message::Reason;

use super::stage::{A, B, C, Stage, typed, update};

/// One block of client 1 at the start of root `t`: info without origins, what follows the root, and the content.
fn block(content: u8, body: &[u8]) -> Vec<u8> {
    [&[1, 1, 1, 0, content, 1, 1, b't'], body, &[0]].concat()
}

/// Whether the second is taken for the same as the first.
fn is_same(first: &[u8], second: &[u8]) -> bool {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(first));
    assert!(stage.closed.is_empty() && stage.log.len() == 1, "{first:?}");
    stage.send(B, update(second));
    assert_eq!(stage.log.len(), 1, "nothing of it is kept in any case");
    match &stage.closed[..] {
        [] => true,
        [(B, Reason::Violation, words)] => {
            assert!(
                words.contains("same client") && words.contains("reload") && words.len() <= 123,
                "{words}"
            );
            false
        }
        others => panic!("{others:?}"),
    }
}

#[test]
fn another_text_of_the_same_client_is_refused_and_not_acknowledged() {
    let mut stage = Stage::with(&[A, B, C]);
    stage.send(A, update(&typed(1, 0, "the first")));
    stage.frames.clear();
    let asks = y_websocket::sync_status_frame(b"7");
    stage.send(B, update(&typed(1, 0, "another")));
    stage.send(B, asks.clone());
    stage.room.durable(stage.room.sequence());
    stage.flush();
    assert!(matches!(&stage.closed[..], [(B, Reason::Violation, _)]) && stage.take(B).is_empty());
    // It comes back, and stays a while: still nothing is acknowledged.
    stage.connect(B);
    stage.flush();
    stage.frames.clear();
    stage.send(B, sync_frame(&SyncMessage::Step2(&typed(1, 0, "another one"))));
    stage.send(B, asks);
    assert!(stage.take(B).is_empty() && stage.closed.len() == 1);
    // The first goes on, and is heard.
    stage.send(A, update(&typed(1, 9, "!")));
    assert_eq!(stage.take(C), [update(&typed(1, 9, "!"))]);
}

#[test]
fn what_a_reader_says_again_is_only_known_if_it_is_the_same() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, update(&typed(1, 0, "text")));
    stage.room.durable(1);
    for (text, is_refused) in [("text", false), ("nope", true)] {
        stage.read(B);
        stage.flush();
        stage.frames.clear();
        stage.send(B, update(&typed(1, 0, text)));
        let denied = stage.take(B).iter().any(|frame| frame[0] == 2);
        assert_eq!(denied, is_refused, "{text}");
        coscribe_engine::work::finish(stage.room.disconnect(B));
    }
}

#[test]
fn other_text_origins_names_and_kinds_are_told_apart() {
    let abc = block(4, &[3, b'a', b'b', b'c']);
    assert!(!is_same(&abc, &block(4, &[3, b'a', b'X', b'c'])));
    assert!(!is_same(&abc, &[1, 1, 1, 0, 4, 1, 1, b'u', 3, b'a', b'b', b'c', 0]), "another root");
    assert!(!is_same(&abc, &block(8, &[3, 120, 120, 120])), "another kind");
    assert!(!is_same(&block(0x24, &[1, b'k', 1, b'a']), &block(0x24, &[1, b'j', 1, b'a'])), "another key");
    // A second block that follows the last element, or the first.
    let two = |origin: u8| {
        [&[1, 2, 1, 0, 4, 1, 1, b't', 2, b'a', b'b', 0x84, 1, origin][..], &[1, b'c', 0]].concat()
    };
    assert!(is_same(&abc, &two(1)) && is_same(&two(1), &abc));
    assert!(!is_same(&abc, &two(0)) && !is_same(&two(0), &abc));
    // A right origin.
    let right = |origin: u8| {
        [&[2, 1, 9, 0, 4, 1, 1, b't', 2, b'x', b'y', 1, 1, 0, 0x44, 9, origin, 1, b'a', 0][..]].concat()
    };
    assert!(is_same(&right(0), &right(0)) && !is_same(&right(0), &right(1)));
}

#[test]
fn values_are_compared_as_values() {
    let any = |values: &[u8]| block(8, &[&[1], values].concat());
    assert!(is_same(
        &any(&[118, 2, 1, b'a', 120, 1, b'b', 121]),
        &any(&[118, 2, 1, b'b', 121, 1, b'a', 120])
    ));
    assert!(!is_same(&any(&[118, 1, 1, b'a', 120]), &any(&[118, 1, 1, b'a', 121])));
    assert!(is_same(&any(&[125, 1]), &any(&[123, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0])));
    let json = |text: &[u8]| block(2, &[&[1, u8::try_from(text.len()).expect("short")], text].concat());
    assert!(is_same(&json(b"1"), &json(b"1.0")) && is_same(&json(b"1"), &any(&[125, 1])));
    let binary = |bytes: [u8; 2]| block(3, &[&[2][..], &bytes].concat());
    assert!(is_same(&binary([1, 2]), &binary([1, 2])) && !is_same(&binary([1, 2]), &binary([1, 3])));
    let format = |key: u8, value: &[u8]| {
        block(6, &[&[1, key, u8::try_from(value.len()).expect("short")], value].concat())
    };
    assert!(is_same(&format(b'b', b"{\"a\":1,\"b\":2}"), &format(b'b', b"{ \"b\": 2.0, \"a\": 1 }")));
    assert!(!is_same(&format(b'b', b"1"), &format(b'i', b"1")));
    assert!(!is_same(&block(7, &[0]), &block(7, &[1])));
}

#[test]
fn half_of_a_pair_is_the_same_as_the_whole() {
    let smile = "a\u{1f600}b".as_bytes();
    let whole = block(4, &[&[6], smile].concat());
    let halves = [
        &[1, 2, 1, 0, 4, 1, 1, b't', 4, b'a', 0xef, 0xbf, 0xbd][..],
        &[0x84, 1, 1, 4, 0xef, 0xbf, 0xbd, b'b', 0],
    ]
    .concat();
    assert!(is_same(&whole, &halves) && is_same(&halves, &whole));
    assert!(!is_same(&block(4, &[3, b'a', b'b', b'c']), &block(4, &[5, b'a', 0xef, 0xbf, 0xbd, b'c'])));
}

#[test]
fn what_was_deleted_is_not_compared() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, update(&typed(1, 0, "abcdef")));
    stage.send(A, update(&[0, 1, 1, 1, 2, 2]));
    for same in [typed(1, 0, "abXXef"), block(1, &[6]), vec![1, 1, 1, 0, 0, 6, 0]] {
        stage.send(B, update(&same));
        assert!(stage.closed.is_empty(), "{same:?}");
    }
    stage.send(B, update(&typed(1, 0, "abXXeX")));
    assert_eq!(stage.closed.len(), 1);
}

#[test]
fn long_content_is_compared_piece_by_piece() {
    let long = "0123456789".repeat(4_000);
    let differs_at = |at: usize| [&long[..at], "X", &long[at + 1..]].concat();
    for at in [0, 1, 8_191, 8_192, 30_000, 39_999] {
        assert!(!is_same(&typed(1, 0, &long), &typed(1, 0, &differs_at(at))), "{at}");
    }
    // Typed one by one, and as one text.
    let mut one_by_one = [&[1][..], &super::stage::number(2_000), &[1, 0, 4, 1, 1, b't', 1, b'0']].concat();
    for (before, letter) in (0..).zip(long.bytes().skip(1).take(1_999)) {
        one_by_one.extend([&[0x84, 1][..], &super::stage::number(before), &[1, letter]].concat());
    }
    one_by_one.push(0);
    let text = |text: &str| typed(1, 0, &text[..2_000]);
    assert!(is_same(&text(&long), &one_by_one) && is_same(&one_by_one, &text(&long)));
    assert!(!is_same(&one_by_one, &text(&differs_at(1_999))));
}

#[test]
fn who_counts_its_messages_hears_that_the_second_was_refused() {
    let mut stage = Stage::with(&[A]);
    stage.send(A, update(&typed(1, 0, "one")));
    stage.open(B, coscribe_engine::room::Access::Write);
    stage.flush();
    stage.frames.clear();
    let other: Bytes = [&[0, 2][..], &{
        let mut framed = Vec::new();
        coscribe_engine::lib0::write_var_buf(&mut framed, &typed(1, 0, "two"));
        framed
    }]
    .concat()
    .into();
    stage.say(B, &other);
    assert!(matches!(&stage.closed[..], [(B, Reason::Violation, _)]), "{:?}", stage.closed);
}
