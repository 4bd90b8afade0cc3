//! What messages cost, counted in steps of the engine's own loops and in bytes: in proportion to what a peer has sent and
//! is sent, whatever is in it. Each of these was found by attacking a server.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{self, GREETING, Messages, awareness_frame, sync_frame};
use coscribe_engine::lib0::{write_var_buf, write_var_uint};
use coscribe_engine::limits::SLICE_STEPS;
use coscribe_engine::message::Outbound;
use coscribe_engine::room::{Effect, PeerId, Room, Terms};
use coscribe_engine::rope::Rope;
use coscribe_engine::work::finish;

/// Steps that a byte may cost which comes in or goes out. The dearest are deletions that are known, of two bytes.
const STEPS_PER_BYTE: u64 = 8;
/// Steps that a message may cost beside its bytes: one chunk that is written anew, block by block.
const STEPS_PER_MESSAGE: u64 = 2_000;
/// Memory that a message may take beside its bytes, what is sent, and what the document keeps.
const MEMORY: u64 = 16 << 20;

const MIB: usize = 1 << 20;
const A: PeerId = PeerId(1);
const B: PeerId = PeerId(2);

/// A room, and what it costs.
#[derive(Default)]
struct Meter {
    room: Room,
    /// Frames and bytes that were sent, by answers and by broadcasts to each of their receivers.
    frames: u64,
    bytes_out: u64,
    /// The frames themselves.
    sent: Vec<Rope>,
    appends: Vec<Rope>,
    closed: Vec<String>,
    messages: u64,
    bytes_in: u64,
}

/// What some inputs cost.
#[derive(Debug)]
struct Cost {
    steps: u64,
    messages: u64,
    bytes_in: u64,
    bytes_out: u64,
    frames: u64,
    /// The most memory that was in use at once, beside what was before.
    memory: u64,
}

impl Meter {
    fn with(peers: &[PeerId]) -> Self {
        let mut meter = Self::default();
        for &peer in peers {
            meter.connect(peer);
        }
        meter.tick();
        meter
    }

    fn connect(&mut self, peer: PeerId) {
        self.room.connect(peer, Terms::default(), Duration::ZERO);
        for wish in &GREETING {
            finish(self.room.receive(peer, wish.clone(), Duration::ZERO));
        }
    }

    fn tick(&mut self) {
        loop {
            finish(self.room.tick(Duration::from_secs(1)));
            self.carry_out();
            if self.room.next_tick().is_none_or(|at| at > Duration::ZERO) {
                return;
            }
        }
    }

    fn carry_out(&mut self) {
        while let Some(effect) = self.room.poll_effect() {
            match effect {
                Effect::Send { message, .. } => self.send(&message, 1),
                Effect::Broadcast { message, to } => self.send(&message, to.len() as u64),
                Effect::Append { update, .. } => {
                    self.bytes_out += update.len() as u64;
                    self.appends.push(update);
                }
                Effect::Probe { .. } | Effect::Warn { .. } => {}
                Effect::Part { parting, .. } => self.closed.push(parting.words.into_owned()),
            }
        }
    }

    fn send(&mut self, message: &Outbound, receivers: u64) {
        let frame = y_websocket::encode(message).expect("the dialect has it");
        self.frames += receivers;
        self.bytes_out += receivers * frame.len() as u64;
        self.sent.push(frame);
    }

    /// A frame comes in, and the room does what is due.
    fn receive(&mut self, peer: PeerId, frame: impl Into<Bytes>) {
        let frame = frame.into();
        self.bytes_in += frame.len() as u64;
        for message in Messages::of(frame) {
            self.messages += 1;
            finish(self.room.receive(peer, message.expect("it can be read"), Duration::ZERO));
            self.carry_out();
        }
        self.tick();
    }

    /// What all this costs. Frames that were sent before are gone.
    fn cost(&mut self, inputs: impl FnOnce(&mut Self)) -> Cost {
        self.sent.clear();
        self.appends.clear();
        let before = (self.room.work(), self.messages, self.bytes_in, self.bytes_out, self.frames);
        let memory = allocation_counter::measure(|| inputs(self)).bytes_max;
        let cost = Cost {
            steps: self.room.work() - before.0,
            messages: self.messages - before.1,
            bytes_in: self.bytes_in - before.2,
            bytes_out: self.bytes_out - before.3,
            frames: self.frames - before.4,
            memory,
        };
        assert!(self.closed.is_empty(), "{:?}", self.closed);
        let longest = self.room.longest_slice();
        assert!(longest < 2 * SLICE_STEPS, "{longest} steps at once");
        cost
    }
}

impl Cost {
    #[track_caller]
    fn is_in_proportion(&self) -> &Self {
        let bytes = self.bytes_in + self.bytes_out;
        let allowed = STEPS_PER_BYTE * bytes + STEPS_PER_MESSAGE * (self.messages + self.frames + 1);
        assert!(self.steps <= allowed, "{allowed} steps are allowed: {self:?}");
        self
    }

    /// What is sent may be shared, so only what came and what the document keeps of it is allowed for.
    #[track_caller]
    fn takes_memory_for_what_came(&self) {
        assert!(self.memory <= MEMORY + 4 * self.bytes_in, "{self:?}");
    }
}

fn var_uint(number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_uint(&mut out, number);
    out
}

fn var_buf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_var_buf(&mut out, bytes);
    out
}

fn update(update: &[u8]) -> Bytes {
    sync_frame(&SyncMessage::Update(update))
}

/// One block of client 1 at the start of the root `t`: its content is a number and what it encodes.
fn block(content: u8, body: &[u8]) -> Vec<u8> {
    [&[1, 1, 1, 0, content, 1, 1, b't'], body, &[0]].concat()
}

fn text(text: &str) -> Vec<u8> {
    block(4, &var_buf(text.as_bytes()))
}

/// Deletes these ranges of client 1: clock and length.
fn deletions(ranges: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
    let ranges: Vec<_> = ranges.into_iter().collect();
    let mut update = vec![0, 1, 1];
    update.extend(var_uint(ranges.len() as u64));
    for (clock, len) in ranges {
        update.extend(var_uint(clock));
        update.extend(var_uint(len));
    }
    update
}

/// A SyncStep1 of a peer that knows little.
fn question() -> Bytes {
    sync_frame(&SyncMessage::Step1(&[1, 9, 1]))
}

fn states(entries: &[(u64, u64, &str)]) -> Bytes {
    let mut states = var_uint(entries.len() as u64);
    for (client, clock, json) in entries {
        states.extend([var_uint(*client), var_uint(*clock), var_buf(json.as_bytes())].concat());
    }
    awareness_frame(&states)
}

fn state_of(bytes: usize) -> String {
    format!("\"{}\"", "x".repeat(bytes - 2))
}

#[test]
fn twenty_thousand_questions_in_one_frame_get_one_answer() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"x".repeat(MIB))));
    let cost = meter.cost(|meter| meter.receive(B, question().repeat(20_000)));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn merged_questions_are_answered_from_the_lower_clock_of_each_client() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text("abcdef")));
    meter.sent.clear();
    let asks = |clock| sync_frame(&SyncMessage::Step1(&[1, 1, clock]));
    meter.receive(B, [asks(5), asks(2), asks(4)].concat());
    let expected = sync_frame(&SyncMessage::Step2(&[1, 1, 1, 2, 0x84, 1, 1, 4, b'c', b'd', b'e', b'f', 0]));
    assert_eq!(meter.sent, [expected]);
}

#[test]
fn ten_thousand_awareness_queries_in_one_frame_get_one_answer() {
    let mut meter = Meter::with(&[A, B]);
    for client in 0..64 {
        meter.receive(A, states(&[(client, 1, &state_of(64 << 10))]));
    }
    let cost = meter.cost(|meter| meter.receive(B, vec![3; 10_000]));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_hundred_thousand_tiny_updates_in_one_frame_are_a_record_or_two() {
    let mut frame = update(&text("x")).to_vec();
    for clock in 1..100_000 {
        let (clock, before) = (var_uint(clock), var_uint(clock - 1));
        frame.extend(update(&[&[1, 1, 1], &clock[..], &[0x84, 1], &before, &[1, b'x', 0]].concat()));
    }
    let mut meter = Meter::with(&[A, B]);
    let cost = meter.cost(|meter| meter.receive(A, frame));
    assert!(meter.appends.len() < 6, "{} records", meter.appends.len());
    let logged: usize = meter.appends.iter().map(Rope::len).sum();
    assert!(logged < 101_000, "{logged} bytes are logged");
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_stale_state_that_is_repeated_is_answered_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, states(&[(7, 5, "{}")]));
    meter.receive(A, states(&[(7, 6, "null")]));
    let fresh = state_of(64 << 10);
    let mut entries = vec![(7, 3, "{}"); 100_000];
    entries.push((7, 10, &fresh));
    let cost = meter.cost(|meter| meter.receive(A, states(&entries)));
    assert!(cost.bytes_out < 70_000, "{cost:?}");
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn a_removal_that_somebody_does_not_know_of_is_told_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, states(&[(7, 5, "{}")]));
    meter.receive(A, states(&[(7, 6, "null")]));
    let cost = meter.cost(|meter| meter.receive(A, states(&vec![(7, 3, "{}"); 100_000])));
    assert_eq!(meter.sent, [states(&[(7, 6, "null")])]);
    cost.is_in_proportion().takes_memory_for_what_came();
}

#[test]
fn questions_of_a_lagging_peer_do_not_copy_the_delete_set() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"x".repeat(200_000))));
    meter.receive(A, update(&deletions((0..100_000).map(|n| (2 * n, 1)))));
    meter.room.stalled(B);
    let cost = meter.cost(|meter| meter.receive(B, question().repeat(1_500)));
    assert_eq!((cost.frames, cost.bytes_out), (0, 0));
    cost.is_in_proportion().takes_memory_for_what_came();
    let cost = meter.cost(|meter| {
        meter.room.drained(B);
        meter.tick();
    });
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion();
}

/// Arrays of two arrays each.
fn nested(depth: usize) -> Vec<u8> {
    match depth.checked_sub(1) {
        Some(depth) => [&[117, 2][..], &nested(depth).repeat(2)].concat(),
        None => vec![126],
    }
}

#[test]
fn long_content_is_cut_in_one_walk() {
    let any = || [var_uint(MIB as u64), [125, 1].repeat(MIB)].concat();
    let json = || [var_uint(200_000), [&[3][..], b"[1]"].concat().repeat(200_000)].concat();
    let nested = [&[1][..], &nested(17)].concat();
    for (what, content, body) in [
        ("ASCII", 4, var_buf("x".repeat(4 * MIB).as_bytes())),
        ("two bytes a character", 4, var_buf("ü".repeat(2 * MIB).as_bytes())),
        ("surrogate pairs", 4, var_buf("😀".repeat(MIB).as_bytes())),
        ("values", 8, any()),
        ("old JSON", 2, json()),
        ("nested values", 8, nested),
        ("a key", 8, [&[1, 118, 1][..], &var_buf("ü".repeat(2 * MIB).as_bytes()), &[126]].concat()),
        ("one value", 8, [&[1, 119][..], &var_buf(&[b'x'; 4 * MIB])].concat()),
        ("an embed", 5, var_buf(format!("[{}1]", "1,".repeat(2 * MIB)).as_bytes())),
    ] {
        let mut meter = Meter::with(&[A, B]);
        let cost = meter.cost(|meter| meter.receive(A, update(&block(content, &body))));
        println!("{what}: {cost:?}");
        cost.is_in_proportion().takes_memory_for_what_came();
    }
}

#[test]
fn a_deletion_beside_what_cannot_be_cut_does_not_copy_it() {
    let long = "y".repeat(8 * MIB);
    let element = [&[8, 1, 119][..], &var_buf(long.as_bytes())].concat();
    // The value is long, or the key that a block is set for.
    let small = |at: u8| [0x84, 1, at, 1, b'x'];
    let value =
        [&[1, 1, 1, 0, 4, 1, 1, b't', 1, b'a'][..], &small(0), &small(1), &[0x88, 1, 2], &element[1..], &[0]];
    let mut value = value.concat();
    value[1] = 4;
    let keyed = [&[0x24, 1, 1, b'm'][..], &var_buf(long.as_bytes()), &var_buf(&[b'v'; 5_000])].concat();
    let mut key = [&[1, 3, 1, 0, 4, 1, 1, b't', 1, b'a'][..], &small(0), &keyed, &[0]].concat();
    key[1] = 3;
    for document in [value, key] {
        let mut meter = Meter::with(&[A, B]);
        meter.receive(A, update(&document));
        for clock in [1, 0] {
            let cost = meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)]))));
            assert!(cost.steps < 1_000, "{cost:?}");
            cost.is_in_proportion().takes_memory_for_what_came();
        }
        // What is deleted itself keeps its key, which is copied once.
        let mut cost = meter.cost(|meter| meter.receive(A, update(&deletions([(2, 2)]))));
        cost.bytes_in += long.len() as u64;
        cost.is_in_proportion().takes_memory_for_what_came();
    }
}

#[test]
fn a_long_key_is_not_copied_with_every_character_behind_it() {
    let key = var_buf(&vec![b'k'; MIB]);
    let value = var_buf(&[b'v'; 5_000]);
    let document = [&[1, 1, 1, 0, 0x24, 1, 1, b'm'][..], &key, &value, &[0]].concat();
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&document));
    for clock in (0..5_000).rev().step_by(7) {
        let cost = meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)]))));
        assert!(cost.memory < 100_000, "{cost:?}");
    }
}

#[test]
fn scattered_deletions_cost_a_chunk_each_and_many_in_one_chunk_cost_it_once() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"ü".repeat(2 * MIB))));
    for clock in (0..2 * MIB as u64).step_by(20_000) {
        meter.cost(|meter| meter.receive(A, update(&deletions([(clock, 1)])))).is_in_proportion();
    }
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions((0..MIB as u64).map(|n| (2 * n, 1))))));
    println!("{cost:?}");
    cost.is_in_proportion();
}

#[test]
fn deletions_that_come_unsorted_rewrite_each_chunk_a_few_times() {
    let mut meter = Meter::with(&[A, B]);
    meter.receive(A, update(&text(&"ü".repeat(2 * MIB))));
    // Each is in another chunk than the one before.
    let scattered = (0..30).flat_map(|n| (0..500).map(move |chunk| (chunk * 4_096 + 100 + 2 * n, 1)));
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions(scattered))));
    assert!(cost.steps < 2_000_000, "{cost:?}");
}

#[test]
fn one_deletion_may_cover_very_many() {
    let mut meter = Meter::with(&[A, B]);
    let all = update(&text(&"x".repeat(400_000)));
    meter.receive(A, all.clone());
    meter.receive(A, update(&deletions((0..200_000).map(|n| (2 * n, 1)))));
    let mut cost = meter.cost(|meter| meter.receive(A, update(&deletions([(0, 400_000)]))));
    assert_eq!(meter.room.blocks().delete_set().len(), 1);
    cost.bytes_in += all.len() as u64;
    cost.is_in_proportion();
}

#[test]
fn an_update_that_waits_does_not_keep_the_frame_that_it_came_in() {
    let mut meter = Meter::with(&[A, B]);
    let cost = meter.cost(|meter| {
        for client in 100..164u64 {
            let waits = [&[1, 1][..], &var_uint(client), &[5, 0, 1, 0]].concat();
            let filler =
                sync_frame(&SyncMessage::Step1(&[var_uint(250_000), [1, 1].repeat(250_000)].concat()));
            meter.receive(A, [&update(&waits)[..], &filler].concat());
        }
    });
    assert!(cost.memory < 8 << 20, "{cost:?}");
}

#[test]
fn an_answer_shares_also_what_still_grows() {
    let mut meter = Meter::with(&[A, B]);
    let line = var_buf(&[b'x'; 900]);
    let blocks = |client| [&[1][..], &var_uint(client), &[0, 4, 1, 1, b't'], &line].concat();
    let document: Vec<u8> = (1..5_000).flat_map(blocks).collect();
    meter.receive(A, update(&[&var_uint(4_999)[..], &document, &[0]].concat()));
    let cost = meter.cost(|meter| {
        for client in 10_000..10_020u64 {
            // The document changes before each question.
            let change = [&[1, 1][..], &var_uint(client), &[0, 0, 1, 0]].concat();
            meter.receive(A, [&update(&change)[..], &question()].concat());
        }
    });
    assert!(cost.bytes_out > 80 << 20 && cost.memory < MEMORY, "{cost:?}");
}

#[test]
fn what_three_hundred_lagging_peers_miss_is_kept_once() {
    let lagging: Vec<_> = (10..310).map(PeerId).collect();
    let mut meter = Meter::with(&[&[A][..], &lagging].concat());
    meter.receive(A, update(&text(&"x".repeat(600_000))));
    lagging.iter().for_each(|&peer| meter.room.stalled(peer));
    let cost = meter.cost(|meter| meter.receive(A, update(&deletions((0..300_000).map(|n| (2 * n, 1))))));
    println!("{cost:?}");
    // Each range is in the document's own set and in the log of changes: some 35 bytes each.
    assert!(cost.memory < 64 << 20, "{cost:?}");
    cost.is_in_proportion();
    let cost = meter.cost(|meter| {
        lagging.iter().for_each(|&peer| meter.room.drained(peer));
        meter.tick();
    });
    assert!(cost.frames >= 300, "{cost:?}");
    cost.is_in_proportion();
}

#[test]
fn a_large_document_that_forty_peers_ask_for_is_in_memory_once() {
    let readers: Vec<_> = (10..50).map(PeerId).collect();
    let mut meter = Meter::with(&[&[A][..], &readers].concat());
    meter.receive(A, update(&text(&"x".repeat(24 * MIB))));
    let cost = meter.cost(|meter| {
        for (&peer, clock) in readers.iter().zip(1..) {
            meter.receive(peer, sync_frame(&SyncMessage::Step1(&[1, 1, clock])));
        }
    });
    assert_eq!(cost.frames, 40);
    assert!(cost.bytes_out > 900 << 20 && cost.memory < MEMORY, "{cost:?}");
    cost.is_in_proportion();
}

#[test]
fn deletions_that_wait_cost_a_keystroke_no_more_however_often_they_came() {
    let mut meter = Meter::with(&[A, B]);
    for _ in 0..2_000 {
        meter.receive(B, update(&deletions([(0, 1_000_000)])));
    }
    let cost = meter.cost(|meter| meter.receive(A, update(&text("x"))));
    cost.is_in_proportion();
    assert!(meter.room.blocks().delete_set().len() == 1 && !meter.room.blocks().parked().is_empty());
}

#[test]
fn very_many_deletions_that_wake_are_taken_in_with_pauses() {
    let mut meter = Meter::with(&[A, B]);
    let waits = update(&deletions((0..100_000).map(|n| (2 * n, 1))));
    meter.receive(B, waits.clone());
    let gc = [&[1, 1, 1, 0, 0][..], &var_uint(200_000), &[0]].concat();
    let mut cost = meter.cost(|meter| meter.receive(A, update(&gc)));
    assert!(meter.room.blocks().parked().is_empty());
    cost.bytes_in += waits.len() as u64;
    cost.is_in_proportion();
}

#[test]
fn what_wakes_is_charged_to_what_had_waited() {
    let mut meter = Meter::with(&[A, B]);
    let mut parked = 0;
    for clock in 2..2_000 {
        let (at, before) = (var_uint(clock), var_uint(clock - 1));
        let waits = update(&[&[1, 1, 1], &at[..], &[0x84, 1], &before, &[1, b'x', 0]].concat());
        parked += waits.len() as u64;
        meter.receive(B, waits);
    }
    let mut cost = meter.cost(|meter| meter.receive(A, update(&text("xy"))));
    assert!(meter.room.blocks().parked().is_empty());
    cost.bytes_in += parked;
    cost.messages += 2_000;
    cost.is_in_proportion();
}

#[test]
fn what_twenty_peers_have_pending_is_kept_and_logged_once() {
    let peers: Vec<_> = (1..=20).map(PeerId).collect();
    let mut meter = Meter::with(&peers);
    let typed: Vec<_> =
        (1..3_000).map(|clock| [&[0x84, 1][..], &var_uint(clock), &[1, b'x']].concat()).collect();
    for (clock, block) in (2..).zip(&typed) {
        meter.receive(A, update(&[&[1, 1, 1][..], &var_uint(clock), block, &[1, 1, 1, 0, 1]].concat()));
    }
    let all = [&[1][..], &var_uint(2_999), &[1, 2], &typed.concat(), &[1, 1, 1, 0, 1]].concat();
    let (before, logged) = (meter.room.blocks().parked().bytes(), meter.appends.len());
    let cost = meter.cost(|meter| {
        for &peer in &peers {
            meter.receive(peer, sync_frame(&SyncMessage::Step2(&all)));
            meter.receive(peer, update(&all));
        }
    });
    cost.is_in_proportion();
    let growth = meter.room.blocks().parked().bytes() - before;
    assert!(growth < 10_000, "{growth} bytes more");
    assert!(meter.appends.len() <= logged + 2, "what held deletions wait for is new, and nothing else");
    meter.receive(B, update(&text("xy")));
    assert!(meter.room.blocks().parked().is_empty());
}

#[test]
fn a_gap_that_comes_again_and_again_in_one_frame_is_asked_for_once() {
    let mut meter = Meter::with(&[A, B]);
    let clients: Vec<u8> =
        (100..20_100u64).flat_map(|client| [vec![1], var_uint(client), vec![0, 0, 1]].concat()).collect();
    meter.receive(A, update(&[var_uint(20_000), clients, vec![0]].concat()));
    let gap = [&update(&[1, 1, 1, 5, 0, 1, 0])[..], &sync_frame(&SyncMessage::Step2(&[0, 0]))].concat();
    let cost = meter.cost(|meter| meter.receive(B, gap.repeat(1_000)));
    assert_eq!(cost.frames, 1);
    cost.is_in_proportion();
}

#[test]
fn connections_that_come_and_go_do_not_walk_what_others_left() {
    let mut meter = Meter::with(&[A, B]);
    for client in 0..500 {
        let peer = PeerId(100 + client);
        meter.connect(peer);
        meter.receive(peer, states(&[(client, 1, "{}")]));
        meter.receive(peer, update(&[1, 1, 99, 5, 0, 1, 0]));
    }
    let cost = meter.cost(|meter| {
        meter.connect(PeerId(3));
        finish(meter.room.disconnect(PeerId(3)));
    });
    assert!(cost.steps < 100, "{cost:?}");
}
