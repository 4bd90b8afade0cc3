//! Every bound of the fuzzer, with its reason. What the byte targets allow of work and memory is not a bound of the fuzzer but
//! its verdict: it stands in `bytes/cost.rs`, and as a `Limit` with each target.

use std::time::Duration;

use coscribe_worker::Limits;

// The size of a run, and of a search.
/// Most replicas of one run.
pub const REPLICAS: u64 = 100;
/// Most edits of one run: so many take a quarter of a minute, a third of them one second, and Ctrl-C waits for the run.
pub const EDITS: u64 = 10_000;
/// Former states of a replica that are remembered.
pub const HISTORY_STATES: usize = 8;
/// Own updates that an editor remembers, to send them again.
pub const RECENT_UPDATES: usize = 8;
/// Bytes that may wait for a simulated replica that does not read, before the room is told: few, so that short runs reach it.
pub const OUTBOX_BYTES: usize = 2 << 10;
/// Most steps of a scenario that was made from others: otherwise they would grow from run to run.
pub const CORPUS_STEPS: usize = 400;
/// Most runs that are spent on cutting one scenario down.
pub const SHRINK_RUNS: usize = 20_000;
/// With no more steps than this, removing two at once is tried as well: a replica stops reading, and reads again.
pub const STEPS_FOR_PAIRS: usize = 24;
/// Failures of each oracle that are cut down with `--keep-going`; the others are only counted.
pub const SHRUNK_PER_ORACLE: usize = 3;
/// A library that died so often of a recording is not asked about it any more: each time may take all its time.
pub const DEATHS: usize = 2;

// Waiting.
/// Looks at a simulation that does not come to rest, before it counts as endless.
pub const REST_LOOKS: usize = 200;
/// The longest pause between two steps of a run against a real server.
pub const LONGEST_PAUSE: Duration = Duration::from_millis(30);
/// How long a server may take to answer at all.
pub const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// How much longer than its state an acknowledgement may take, before the server counts as one that gives none.
pub const ACKNOWLEDGEMENT: Duration = Duration::from_secs(1);
/// How long a server may take until it accepts connections after a restart.
pub const RESTART: Duration = Duration::from_secs(60);
/// How long Yjs may take for an answer. An honest request takes less than a millisecond.
pub const NODE_ANSWER: Duration = Duration::from_secs(30);
/// How long yrs may take for an answer to a byte target. Usually it takes less than a millisecond.
pub const ORACLE_ANSWER: Duration = Duration::from_secs(2);

// Processes that may die.
/// yrs, asked by the byte targets: inputs have a few kilobytes, but JSON may repeat shared content.
pub const ORACLE_PROCESS: Limits =
    Limits { memory_bytes: 1 << 30, stack_bytes: 128 << 20, frame_bytes: 64 << 20 };
/// The longest request or answer about a recording: recordings may have any length, and a frame can say no more.
pub const TRACE_FRAME_BYTES: u32 = u32::MAX;
/// yrs, asked about recordings: more memory than a server would spend on a document, as recordings may be large.
pub const TRACE_PROCESS: Limits =
    Limits { memory_bytes: 4 << 30, stack_bytes: 256 << 20, frame_bytes: TRACE_FRAME_BYTES };

// Inputs of the byte targets: each is to run in well under a second.
/// Updates with more elements are not looked at one by one: a few bytes can stand for two billion.
pub const UPDATE_ELEMENTS: u64 = 4096;
/// Most elements of all updates together that the plain model takes: it looks at all again and again.
pub const MODEL_ELEMENTS: usize = 4096;
/// Most elements of a document whose collection is checked: the check looks at all again and again.
pub const COLLECTED_ELEMENTS: usize = 512;
/// Most bytes of a frame that repeats another, or of messages that wait to be sent in one.
pub const SCRIPT_FRAME_BYTES: usize = 512 << 10;
/// Most peers of a crowd that does not keep up.
pub const CROWD: u8 = 32;
/// Most parts of made-up content: ranges, blocks, clients, states, messages.
pub const MADE_UP_PARTS: u64 = 4096;
/// Most bytes that are made up in one script.
pub const MADE_UP_BYTES: usize = 1 << 20;
/// How often a frame is repeated within another.
pub const FRAME_REPEATS: usize = 64;
/// Most bytes of such a frame.
pub const REPEATED_FRAME_BYTES: usize = 256 << 10;
/// Most bytes of a message that is made.
pub const INFLATED_BYTES: usize = 3 << 20;
/// Most segments of the image of a store.
pub const IMAGE_SEGMENTS: usize = 4;
/// The longest seed: longer ones make mutation slow, and say nothing that shorter ones do not.
pub const SEED_BYTES: usize = 4096;

// What is shown.
/// Characters of a value that are shown where two documents differ.
pub const VALUE_CHARACTERS: usize = 80;
/// Characters of a value that are shown in a step.
pub const WORDING_CHARACTERS: usize = 40;
/// With more messages than this in a drawing, their names would cover each other.
pub const MESSAGE_NAMES: usize = 120;
/// Characters that are shown beside the lanes; the title has all.
pub const LABEL_CHARACTERS: usize = 62;
/// Divergences that are told in full.
pub const TOLD_DIVERGENCES: usize = 20;
/// Last lines of the Node process's stderr that are told when it fails.
pub const LAST_LINES: usize = 12;
