//! Scripts to start from.

use coscribe_engine::lib0::{write_var_buf, write_var_uint};

use super::script::{ABRUPT, number};

/// A script in which two peers write these updates by turns and a third one does not keep up.
pub(in super::super) fn seed(updates: &[Vec<u8>], cursors: &[u8]) -> Vec<u8> {
    let mut script = vec![0];
    for slot in 0..3 {
        script.extend([number::CONNECT, slot, number::ASK, slot]);
    }
    for (turn, update) in updates.iter().enumerate() {
        let slot = u8::from(turn % 2 == 1);
        script.extend([number::UPDATE, slot]);
        write_var_buf(&mut script, update);
        match turn % 8 {
            1 => script.extend([number::TICK, 0, 20]),
            2 => {
                script.extend([number::AWARENESS, slot]);
                write_var_buf(&mut script, cursors);
            }
            3 => script.extend([number::STALLED, 2, number::SYNC_STATUS, slot, 1, 7]),
            5 => script.extend([number::DURABLE, 0, 3]),
            7 => script.extend([number::TICK, 0, 20, number::DRAINED, 2]),
            _ => {}
        }
    }
    script
}

/// Scripts of attacks: each of them once made a server slow, or took its memory.
pub(in super::super) fn seeds_of_large_frames() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    [
        ("questions", questions()),
        ("stale_awareness", stale_awareness()),
        ("lagging_peer_asks", lagging_peer_asks()),
        ("long_content", long_content()),
        ("deletions_one_by_one", deletions_one_by_one()),
        ("crowd_and_deletions", crowd_and_deletions()),
        ("tiny_updates", tiny_updates()),
        ("gathered", gathered()),
        ("deleted_in_advance", deleted_in_advance()),
        ("frame_that_is_kept", frame_that_is_kept()),
        ("crowd_that_is_left", abruptly(crowd_and_deletions())),
    ]
    .into_iter()
}

/// Two peers, the second of whom asks and reads.
fn opening() -> Vec<u8> {
    vec![0, number::CONNECT, 0, number::CONNECT, 1, number::ASK, 1, number::TICK, 0, 20]
}

fn repeat(script: &mut Vec<u8>, slot: u8, times: u64) {
    script.extend([number::REPEAT, slot]);
    write_var_uint(script, times);
}

fn deletions(script: &mut Vec<u8>, slot: u8, who: u8, gap: u8, count: u64) {
    script.extend([number::RANGES, slot, who, 0, gap, 1]);
    write_var_uint(script, count);
}

/// A document of a quarter of a megabyte, and thousands of questions in one frame.
fn questions() -> Vec<u8> {
    let mut script = opening();
    script.extend([number::LONG, 0, 0, 5, 255, number::TICK, 0, 20]);
    script.extend([number::FRAME, 1, 4, 0, 0, 1, 0]);
    repeat(&mut script, 1, 4096);
    script.extend([number::FRAME, 1, 1, 3]);
    repeat(&mut script, 1, 4096);
    script.extend([number::TICK, 0, 20]);
    script
}

/// Awareness of one client many times, and a long state at its end, again and again.
fn stale_awareness() -> Vec<u8> {
    let mut script = opening();
    for order in 0..4 {
        script.extend([number::STATES, 0, 1, 100, order, 255]);
        write_var_uint(&mut script, 1000);
        repeat(&mut script, 0, 4);
        script.extend([number::TICK, 0, 20]);
    }
    script
}

/// Questions of who does not keep up, while there are many deletions.
fn lagging_peer_asks() -> Vec<u8> {
    let mut script = opening();
    script.extend([number::LONG, 0, 0, 0, 64, number::STALLED, 1]);
    deletions(&mut script, 0, 0, 3, 4000);
    script.extend([number::TICK, 0, 20, number::FRAME, 1, 4, 0, 0, 1, 0]);
    repeat(&mut script, 1, 3000);
    script.extend([number::DRAINED, 1]);
    repeat(&mut script, 1, 3000);
    script.extend([number::TICK, 0, 20]);
    script
}

/// Long content of every kind, and scattered deletions in it.
fn long_content() -> Vec<u8> {
    let mut script = opening();
    for kind in 0..8 {
        script.extend([number::LONG, 0, kind, kind, 127]);
    }
    script.extend([number::TICK, 0, 20]);
    for who in 0..4 {
        deletions(&mut script, 0, who, 50, 500);
        script.extend([number::TICK, 0, 20]);
    }
    script
}

/// Many short blocks, and deletions each in a message of its own, also beside one that cannot be cut.
fn deletions_one_by_one() -> Vec<u8> {
    let mut script = opening();
    script.extend([number::BLOCKS, 0, 0, 0]);
    write_var_uint(&mut script, 300);
    script.extend([number::LONG, 0, 0, 5, 180, number::TICK, 0, 20]);
    for clock in 0..100 {
        script.extend([number::UPDATE, 0, 6, 0, 1, 1, 1, clock, 1]);
    }
    deletions(&mut script, 0, 0xc0, 2, 200);
    script.extend([number::TICK, 0, 20]);
    script
}

/// Many who do not keep up, and deletions that all of them miss.
fn crowd_and_deletions() -> Vec<u8> {
    let mut script = opening();
    script.extend([
        number::LONG,
        0,
        0,
        0,
        64,
        number::TICK,
        0,
        20,
        number::CROWD,
        0,
        31,
        number::CROWD,
        0,
        31,
    ]);
    deletions(&mut script, 0, 0, 4, 4000);
    script.extend([number::TICK, 0, 20, number::CROWD, 0, 31]);
    deletions(&mut script, 0, 0, 6, 2000);
    script.extend([number::TICK, 0, 20]);
    script
}

/// The same tiny update in thousands of messages, of which the first is new, and parts of a state vector.
fn tiny_updates() -> Vec<u8> {
    let mut script = opening();
    script.extend([number::CLIENTS, 0, 9, 0]);
    write_var_uint(&mut script, 3000);
    script.extend([number::UPDATE, 0, 9, 1, 1, 1, 0, 7, 1, 0, 0, 0]);
    repeat(&mut script, 0, 4096);
    script.extend([number::CLAIM, 1, 9, 1]);
    write_var_uint(&mut script, 2000);
    repeat(&mut script, 1, 20);
    script.extend([number::TICK, 0, 20, number::DURABLE, 0, 255]);
    script
}

/// One range that waits, and blocks that it deletes one by one.
fn deleted_in_advance() -> Vec<u8> {
    let mut script = opening();
    script.extend([
        number::UPDATE,
        0,
        8,
        0,
        1,
        1,
        1,
        0,
        0x80,
        0x80,
        0x40,
        number::TICK,
        0,
        20,
        number::GATHER,
        0,
    ]);
    for _ in 0..250 {
        script.extend([number::BLOCKS, 0, 0, 0, 1]);
    }
    script.extend([number::GATHER, 0, number::TICK, 0, 20]);
    script
}

/// Frames of half a megabyte, of each of which one small update waits for a gap to fill.
fn frame_that_is_kept() -> Vec<u8> {
    let mut script = opening();
    for clock in 1..5 {
        script.extend([number::FRAME, 0, 1, 3]);
        repeat(&mut script, 0, 4096);
        script.extend([number::GATHER, 0]);
        repeat(&mut script, 0, 100);
        script.extend([number::UPDATE, 0, 21, 1, 1, 1, clock, 4, 1, 0, 12]);
        script.extend_from_slice(b"Hello, world");
        script.extend([0, number::GATHER, 0]);
    }
    abruptly(script)
}

/// The same, but what is left is left.
fn abruptly(mut script: Vec<u8>) -> Vec<u8> {
    script[0] |= ABRUPT;
    script
}

/// Everything that a peer sends in one frame.
fn gathered() -> Vec<u8> {
    let mut script = opening();
    script.extend([number::GATHER, 0]);
    for clock in 0..20 {
        script.extend([5, 0, 0x40, 0, 3, clock, number::ASK, 0, number::SYNC_STATUS, 0, 1, clock]);
        script.extend([number::FRAME, 0, 1, 3]);
    }
    script.extend([number::GATHER, 0, number::TICK, 0, 20, number::DURABLE, 0, 255, number::TICK, 0, 0]);
    script
}
