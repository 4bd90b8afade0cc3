//! Who is here: whose states are seen by whom, and how soon.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::y_websocket::{self, Message};
use coscribe_engine::lib0::{Reader, write_var_buf, write_var_uint};
use coscribe_engine::room::PeerId;
use coscribe_engine::work::finish;

use super::stage::{A, B, C, SOON, Stage, awareness};

#[test]
fn awareness_belongs_to_the_connection_that_brought_it() {
    let mut stage = Stage::with(&[A, B, C]);
    stage.send(A, awareness(1, 1, "{\"name\":\"a\"}"));
    assert_eq!(stage.take(B), [awareness(1, 1, "{\"name\":\"a\"}")]);
    stage.frames.clear();
    stage.send(B, awareness(1, 9, "{\"name\":\"forged\"}"));
    stage.send(B, awareness(1, 9, "null"));
    stage.send(B, awareness(1, 1, "{\"name\":\"a\"}"));
    assert!(stage.frames.is_empty(), "neither forged nor echoed states change anything");
    finish(stage.room.disconnect(A));
    stage.flush();
    assert_eq!(stage.take(B), [awareness(1, 1, "null")]);
    assert_eq!(stage.take(C), [awareness(1, 1, "null")]);
}

#[test]
fn a_client_that_comes_back_is_made_to_announce_itself() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, awareness(1, 5, "{}"));
    finish(stage.room.disconnect(A));
    stage.connect(C);
    stage.flush();
    stage.frames.clear();
    stage.send(C, awareness(1, 5, "{}"));
    assert_eq!(stage.take(C), [awareness(1, 5, "null")], "which makes it raise its clock");
    assert!(stage.take(B).is_empty(), "the others would not see clock 5 again");
    stage.send(C, awareness(1, 6, "{}"));
    assert_eq!(stage.take(B), [awareness(1, 6, "{}")]);
}

#[test]
fn awareness_that_is_not_renewed_expires() {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, awareness(1, 1, "{}"));
    stage.send(B, awareness(2, 1, "{}"));
    stage.frames.clear();
    stage.now += Duration::from_secs(20);
    stage.send(B, awareness(2, 2, "{}"));
    stage.frames.clear();
    while stage.take(B).is_empty() {
        stage.now = stage.room.next_tick().expect("it will expire");
        stage.tick();
    }
    assert!(stage.now > Duration::from_secs(30) && stage.now < Duration::from_secs(40));
    stage.send(B, Bytes::from_static(&[3]));
    assert_eq!(stage.take(B), [awareness(2, 2, "{}")]);
}

#[test]
fn one_connection_cannot_speak_for_a_crowd() {
    let mut stage = Stage::with(&[A, B]);
    for client in 0..100 {
        stage.send(A, awareness(client, 1, "{}"));
    }
    assert_eq!(stage.take(B).len(), 64);
    assert_eq!((stage.warned.len(), stage.closed.len()), (1, 0), "the others are left out");
    stage.send(A, awareness(1, 2, "null"));
    stage.frames.clear();
    stage.send(A, awareness(99, 2, "{}"));
    assert_eq!(stage.take(B), [awareness(99, 2, "{}")], "there is a place again");
}

#[test]
fn the_states_of_a_connection_and_of_a_document_have_bounds_together() {
    let long = |client, clock| states(client, clock, &format!("\"{}\"", "x".repeat(60_000)));
    let mut stage = Stage::with(&[A]);
    for client in 1..=5 {
        stage.send(A, long(client, 1));
    }
    assert_eq!(stage.warned, [A], "a fifth is too much for one connection");
    let before = stage.room.memory();
    stage.send(A, states(4, 2, "{}"));
    stage.send(A, long(5, 2));
    assert!(stage.room.memory().abs_diff(before) < 1000, "it has the place of another one");
    for peer in (10..50).map(PeerId) {
        stage.connect(peer);
        for client in 0..4 {
            stage.send(peer, long(peer.0 * 10 + client, 1));
        }
    }
    assert!(stage.warned.len() > 1, "there is no place for the last ones");
    assert!(stage.room.memory() < 9 << 20, "{} bytes", stage.room.memory());
    stage.connect(B);
    stage.flush();
    stage.send(B, Bytes::from_static(&[3]));
    let longest = stage.take(B).iter().map(Bytes::len).max().unwrap_or_default();
    assert!(longest > 7 << 20 && longest < 9 << 20, "who comes gets {longest} bytes");
    assert_eq!(stage.closed, []);
}

/// A message with the state of one client.
fn states(client: u64, clock: u64, json: &str) -> Vec<u8> {
    let mut states = vec![1];
    write_var_uint(&mut states, client);
    write_var_uint(&mut states, clock);
    write_var_buf(&mut states, json.as_bytes());
    let mut message = vec![1];
    write_var_buf(&mut message, &states);
    message
}

#[test]
fn of_a_state_that_is_too_large_the_others_see_the_last_that_was_not() {
    let large = format!("\"{}\"", "x".repeat(100_000));
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, awareness(1, 1, &large));
    assert!(stage.take(B).is_empty(), "there is none");
    stage.send(A, awareness(1, 2, "{}"));
    assert_eq!(stage.take(B), [awareness(1, 2, "{}")]);
    stage.now += Duration::from_secs(20);
    stage.send(A, awareness(1, 3, &large));
    assert_eq!(stage.take(B), [awareness(1, 3, "{}")], "its owner renews it");
    stage.send(B, awareness(1, 9, &large));
    assert!(stage.take(A).is_empty(), "and nobody else");
    stage.send(A, awareness(1, 4, "[]"));
    assert_eq!(stage.take(B), [awareness(1, 4, "[]")]);
    assert_eq!((&stage.warned[..], stage.closed.len()), (&[A, B][..], 0), "one warning each");
}

#[test]
fn cursor_positions_between_two_flushes_are_one() {
    let mut stage = Stage::with(&[A, B]);
    for clock in 1..100 {
        stage.receive(A, awareness(1, clock, "{}"));
    }
    stage.flush();
    assert_eq!(stage.take(B), [awareness(1, 99, "{}")]);
}

/// How long an owner has to show that it is alive, and a little more.
const SIGN_OF_LIFE: Duration = Duration::from_millis(1_100);

/// A holds client 1 and is silent from now on; C is a newer connection.
fn with_a_dead_connection() -> Stage {
    let mut stage = Stage::with(&[A, B]);
    stage.send(A, awareness(1, 1, "{\"at\":1}"));
    stage.wait(Duration::from_secs(1));
    stage.connect(C);
    stage.wait(SOON);
    stage.frames.clear();
    stage
}

#[test]
fn a_higher_clock_from_a_newer_connection_takes_the_state_of_a_dead_one_over() {
    let mut stage = with_a_dead_connection();
    stage.send(C, awareness(1, 2, "{\"at\":2}"));
    assert_eq!(stage.probed, [A], "it is asked at once");
    assert!(stage.take(B).is_empty(), "and has a moment to answer");
    stage.send(C, awareness(1, 3, "{\"at\":3}"));
    stage.wait(SIGN_OF_LIFE);
    assert_eq!(stage.take(B), [awareness(1, 3, "{\"at\":3}")]);
    assert_eq!(stage.probed, [A], "once");
    stage.frames.clear();
    finish(stage.room.disconnect(A));
    stage.wait(SOON);
    assert!(stage.frames.is_empty(), "the end of the old connection removes nothing");
    stage.send(C, awareness(1, 4, "{\"at\":4}"));
    assert_eq!(stage.take(B), [awareness(1, 4, "{\"at\":4}")]);
    finish(stage.room.disconnect(C));
    stage.flush();
    assert_eq!(stage.take(B), [awareness(1, 4, "null")]);
}

#[test]
fn who_is_back_with_the_same_clock_takes_its_state_over_as_well() {
    let mut stage = with_a_dead_connection();
    stage.send(C, awareness(1, 1, "{\"at\":1}"));
    assert_eq!(stage.probed, [A]);
    stage.wait(SIGN_OF_LIFE);
    assert_eq!(stage.take(C), [awareness(1, 1, "null")], "which makes it raise its clock");
    stage.send(C, awareness(1, 2, "{\"at\":1}"));
    stage.frames.clear();
    finish(stage.room.disconnect(A));
    stage.wait(SOON);
    assert!(stage.frames.is_empty());
}

#[test]
fn an_old_connection_that_ends_when_it_is_asked_leaves_its_state_to_the_new_one() {
    let mut stage = with_a_dead_connection();
    stage.send(C, awareness(1, 2, "{\"at\":2}"));
    finish(stage.room.disconnect(A));
    stage.flush();
    assert_eq!(stage.take(B), [awareness(1, 2, "{\"at\":2}")]);
}

#[test]
fn a_client_that_is_back_and_leaves_is_gone_although_its_old_connection_lingers() {
    for leave in [
        |stage: &mut Stage| stage.send(C, awareness(1, 3, "null")),
        |stage: &mut Stage| {
            finish(stage.room.disconnect(C));
        },
    ] {
        let mut stage = with_a_dead_connection();
        stage.send(C, awareness(1, 2, "{\"at\":2}"));
        leave(&mut stage);
        stage.wait(SIGN_OF_LIFE);
        let frames = stage.take(B);
        assert!(frames.len() == 1 && frames[0].ends_with(b"null"), "{frames:?}");
    }
}

#[test]
fn nobody_takes_the_state_of_a_connection_that_answers() {
    let mut stage = with_a_dead_connection();
    for clock in 10..30 {
        stage.send(C, awareness(1, clock, "{\"name\":\"forged\"}"));
        stage.send(C, awareness(1, clock + 100, "null"));
        if let Some(owner) = stage.probed.pop() {
            stage.room.alive(owner, stage.now);
        }
        stage.wait(Duration::from_millis(900));
        assert!(stage.take(B).is_empty(), "neither forged nor removed");
    }
    stage.send(A, awareness(1, 2, "{\"at\":2}"));
    assert_eq!(stage.take(B), [awareness(1, 2, "{\"at\":2}")]);
    stage.probed.clear();
    stage.send(C, awareness(1, 99, "null"));
    assert!(stage.probed.is_empty(), "it has renewed its state since the other came");
    stage.frames.clear();
    finish(stage.room.disconnect(C));
    stage.wait(SIGN_OF_LIFE);
    assert!(stage.frames.is_empty());
}

#[test]
fn an_owner_is_not_asked_for_each_claim() {
    let mut stage = with_a_dead_connection();
    let mut asked = 0;
    for clock in 2..250 {
        stage.send(C, awareness(1, clock, "{}"));
        for owner in std::mem::take(&mut stage.probed) {
            asked += 1;
            stage.room.alive(owner, stage.now);
        }
        stage.wait(Duration::from_millis(40));
    }
    assert!((1..=3).contains(&asked), "{asked} times in ten seconds");
}

#[test]
fn a_slow_owner_gets_back_what_was_taken() {
    let mut stage = with_a_dead_connection();
    stage.send(C, awareness(1, 9, "{\"name\":\"forged\"}"));
    stage.wait(Duration::from_secs(3));
    stage.frames.clear();
    stage.room.alive(A, stage.now);
    stage.flush();
    assert_eq!(stage.take(A), [awareness(1, 9, "null")], "which makes it raise its clock");
    stage.send(A, awareness(1, 10, "{\"at\":1}"));
    assert_eq!(stage.take(B), [awareness(1, 10, "{\"at\":1}")]);
    stage.send(C, awareness(1, 99, "null"));
    stage.wait(Duration::from_secs(3));
    assert!(stage.take(B).is_empty());
}

/// A client as y-websocket is one: it ignores states at clocks that it knows, and announces itself anew when it hears that it
/// is gone.
#[derive(Default)]
struct Browser {
    client: u64,
    clock: u64,
    known: BTreeMap<u64, u64>,
    sees: BTreeSet<u64>,
    requests: usize,
    frames: usize,
}

impl Browser {
    /// A newcomer, which has set its state a few times.
    fn new(client: u64) -> Self {
        Self { client, clock: 7, ..Self::default() }
    }

    /// What it announces itself with.
    fn announcement(&self) -> Bytes {
        let mut states = vec![1];
        write_var_uint(&mut states, self.client);
        write_var_uint(&mut states, self.clock);
        write_var_buf(&mut states, b"{}");
        y_websocket::awareness_frame(&states)
    }

    /// Its connection is gone, and it sees nobody.
    fn lose_connection(&mut self) {
        self.sees.clear();
        (self.requests, self.frames) = (0, 0);
    }

    /// Takes a frame in, and gives its answer.
    fn receive(&mut self, frame: &Bytes) -> Option<Bytes> {
        let Ok(Message::Awareness(states)) = Message::read(&mut Reader::new(frame)) else { return None };
        self.frames += 1;
        let (mut reader, mut answer) = (Reader::new(states), None);
        for _ in 0..reader.var_uint().expect("a count") {
            let (client, clock) = (reader.var_uint().expect("a client"), reader.var_uint().expect("a clock"));
            let is_null = reader.var_buf().expect("a state") == b"null";
            if client == self.client {
                if is_null && clock >= self.clock {
                    self.clock = clock + 1;
                    self.requests += 1;
                    answer = Some(self.announcement());
                }
                continue;
            }
            let known = self.known.get(&client).copied().unwrap_or_default();
            if clock > known || (clock == known && is_null) {
                self.known.insert(client, clock);
                if is_null {
                    self.sees.remove(&client)
                } else {
                    self.sees.insert(client)
                };
            }
        }
        answer
    }
}

/// Connects these clients at once, each on a connection of its own.
fn connect(stage: &mut Stage, browsers: &mut BTreeMap<PeerId, Browser>) {
    for (&peer, browser) in &mut *browsers {
        stage.connect(peer);
        stage.receive(peer, Bytes::from_static(&[0, 0, 1, 0]));
        stage.receive(peer, browser.announcement());
    }
    exchange(stage, browsers);
}

/// Lets everybody answer what they get, until nothing is to be said for a while.
fn exchange(stage: &mut Stage, browsers: &mut BTreeMap<PeerId, Browser>) {
    let until = stage.now + SOON;
    while stage.now < until {
        stage.wait(Duration::from_millis(10));
        for (peer, frames) in std::mem::take(&mut stage.frames) {
            let Some(browser) = browsers.get_mut(&peer) else { continue };
            for frame in frames {
                if let Some(answer) = browser.receive(&frame) {
                    stage.receive(peer, answer);
                }
            }
        }
    }
}

/// They come back on connections with these numbers.
fn come_back(browsers: BTreeMap<PeerId, Browser>, offset: u64) -> BTreeMap<PeerId, Browser> {
    let again = |(PeerId(id), mut browser): (PeerId, Browser)| {
        browser.lose_connection();
        (PeerId(id + offset), browser)
    };
    browsers.into_iter().map(again).collect()
}

fn crowd(size: u64) -> BTreeMap<PeerId, Browser> {
    (1..=size).map(|n| (PeerId(n), Browser::new(n))).collect()
}

fn assert_all_see_all(browsers: &BTreeMap<PeerId, Browser>) {
    for browser in browsers.values() {
        assert_eq!(browser.sees.len(), browsers.len() - 1, "client {} does not see all", browser.client);
    }
}

#[test]
fn who_comes_back_sees_everybody_within_a_second_and_only_the_others_are_asked() {
    let mut stage = Stage::default();
    let mut browsers = crowd(20);
    connect(&mut stage, &mut browsers);
    assert_all_see_all(&browsers);
    for round in 1..=3 {
        let (peer, browser) = browsers.pop_first().expect("there are 20");
        finish(stage.room.disconnect(peer));
        exchange(&mut stage, &mut browsers);
        for browser in browsers.values_mut() {
            (browser.requests, browser.frames) = (0, 0);
        }
        let mut back = come_back([(peer, browser)].into(), 100 * round);
        browsers.append(&mut back);
        let peer = PeerId(peer.0 + 100 * round);
        stage.connect(peer);
        stage.receive(peer, Bytes::from_static(&[0, 0, 1, 0]));
        let announcement = browsers[&peer].announcement();
        stage.receive(peer, announcement);
        exchange(&mut stage, &mut browsers);
        assert_all_see_all(&browsers);
        assert!(browsers.values().all(|browser| browser.requests <= 1), "each is asked once");
        let others = browsers.iter().filter(|(id, _)| **id != peer);
        let frames = others.map(|(_, browser)| browser.frames).max();
        assert_eq!(frames, Some(2), "its own request, and who has come back");
    }
}

#[test]
fn after_a_restart_a_thousand_see_each_other_with_one_request_and_one_flush_each() {
    let mut stage = Stage::default();
    let mut browsers = crowd(1_000);
    connect(&mut stage, &mut browsers);
    assert_all_see_all(&browsers);
    let mut browsers = come_back(browsers, 0);
    let mut stage = Stage::default();
    connect(&mut stage, &mut browsers);
    assert_all_see_all(&browsers);
    for browser in browsers.values() {
        let Browser { requests, frames, .. } = browser;
        // Who is here, who has come at the same time, the request, and those who have renewed.
        assert!(*requests == 1 && *frames <= 4, "{requests} requests and {frames} frames");
    }
}

#[test]
fn a_thousand_who_come_back_to_a_room_that_knows_them_are_asked_once() {
    let mut stage = Stage::default();
    let mut browsers = crowd(1_000);
    connect(&mut stage, &mut browsers);
    browsers.keys().for_each(|&peer| finish(stage.room.disconnect(peer)));
    stage.wait(SOON);
    let mut browsers = come_back(browsers, 5_000);
    connect(&mut stage, &mut browsers);
    assert_all_see_all(&browsers);
    for browser in browsers.values() {
        let Browser { requests, frames, .. } = browser;
        assert!(*requests == 1 && *frames <= 3, "{requests} requests and {frames} frames");
    }
}

#[test]
fn newcomers_do_not_make_those_renew_who_were_seen_to_renew() {
    let mut stage = Stage::default();
    let mut browsers = crowd(50);
    connect(&mut stage, &mut browsers);
    browsers.values_mut().for_each(|browser| browser.requests = 0);
    for n in 51..60 {
        let mut newcomer = BTreeMap::from([(PeerId(n), Browser::new(n))]);
        connect(&mut stage, &mut newcomer);
        browsers.append(&mut newcomer);
        exchange(&mut stage, &mut browsers);
    }
    let requests: usize = browsers.values().take(50).map(|browser| browser.requests).sum();
    assert_eq!(requests, 0);
}

#[test]
fn who_shows_no_state_of_its_own_sees_everybody_as_well() {
    let mut stage = Stage::default();
    let mut browsers = crowd(3);
    connect(&mut stage, &mut browsers);
    let mut viewer = browsers.remove(&PeerId(3)).expect("there are three");
    stage.send(PeerId(3), awareness(3, 100, "null"));
    finish(stage.room.disconnect(PeerId(3)));
    viewer.lose_connection();
    exchange(&mut stage, &mut browsers);
    browsers.insert(PeerId(4), viewer);
    stage.connect(PeerId(4));
    stage.receive(PeerId(4), Bytes::from_static(&[0, 0, 1, 0]));
    exchange(&mut stage, &mut browsers);
    assert_eq!(browsers[&PeerId(4)].sees, [1, 2].into());
}
