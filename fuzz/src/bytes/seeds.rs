//! Inputs to start from: what real Yjs wrote, in the form that each target takes.

use std::io;
use std::path::Path;

use crate::limits;
use bytes::Bytes;
use coscribe_engine::dialect::hocuspocus::{
    Request, close_frame, denied_frame, encode_request, granted_frame,
};
use coscribe_engine::dialect::sync::SyncMessage;
use coscribe_engine::dialect::y_websocket::{sync_frame, sync_status_frame};
use coscribe_engine::lib0::{ReadError, Reader, write_var_buf};
use coscribe_engine::message::Inbound;
use coscribe_engine::peer::Access;

/// One input.
#[derive(Debug, Clone)]
pub struct Seed {
    /// The name of its target.
    pub target: &'static str,
    /// What is in it.
    pub name: String,
    /// The input itself.
    pub bytes: Vec<u8>,
}

/// Awareness of two clients, as y-protocols encodes it.
const CURSORS: &[u8] = b"\x02\x07\x01\x10{\"user\":\"\xc3\xa4nn\"}\xe9\x07\x03\x02{}";

/// What one of the engine's fixtures (`engine/tests/yjs/make-fixtures.mjs`) has of updates.
struct Fixture {
    name: String,
    updates: Vec<Vec<u8>>,
    state: Vec<u8>,
    state_vector: Vec<u8>,
}

/// All seeds that are made of the fixtures in the engine's folder `tests/yjs/fixtures`.
///
/// # Errors
/// If the folder cannot be read, or a fixture is not one.
pub fn seeds(fixtures: &Path) -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for entry in fixtures.read_dir()? {
        let path = entry?.path();
        let group = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for fixture in read_fixtures(&group, &std::fs::read(&path)?).map_err(io::Error::other)? {
            seeds_of(&fixture, &mut seeds);
        }
    }
    seeds.extend(replies());
    seeds.extend(awareness());
    seeds.extend(inflate());
    seeds.extend(large_frames());
    seeds.retain(|seed| seed.bytes.len() <= limits::SEED_BYTES);
    seeds.sort_unstable_by(|a, b| (a.target, &a.name).cmp(&(b.target, &b.name)));
    Ok(seeds)
}

fn read_fixtures(group: &str, file: &[u8]) -> Result<Vec<Fixture>, ReadError> {
    let mut reader = Reader::new(file);
    let mut fixtures = Vec::new();
    for number in 0..reader.var_uint()? {
        reader.var_string()?;
        let updates = reader.var_uint()?;
        let updates: Result<_, _> = (0..updates).map(|_| reader.var_buf().map(<[u8]>::to_vec)).collect();
        fixtures.push(Fixture {
            name: format!("{group}-{number:02}"),
            updates: updates?,
            state: reader.var_buf()?.to_vec(),
            state_vector: reader.var_buf()?.to_vec(),
        });
        reader.var_string()?;
    }
    Ok(fixtures)
}

fn seeds_of(fixture: &Fixture, seeds: &mut Vec<Seed>) {
    let Fixture { name, updates, state, state_vector } = fixture;
    let mut seed = |target, bytes| seeds.push(Seed { target, name: name.clone(), bytes });
    seed("update", state.clone());
    seed("state_vector", state_vector.clone());
    let mut framed = Vec::new();
    updates.iter().for_each(|update| write_var_buf(&mut framed, update));
    seed("blocks", framed);
    let exchange = [
        sync_frame(&SyncMessage::Step1(state_vector)),
        sync_frame(&SyncMessage::Step2(state)),
        sync_frame(&SyncMessage::Update(updates.first().unwrap_or(state))),
        sync_status_frame(&[1]),
    ];
    seed("dialect", exchange.concat());
    seed("hocuspocus", hocuspocus(updates, state, state_vector));
    seed("log", super::log::seed(updates));
    seed("room", super::room::seed(updates, CURSORS));
}

/// Two peers open a document, the first has it already, and both write in it; then one of them leaves.
fn hocuspocus(updates: &[Vec<u8>], state: &[u8], state_vector: &[u8]) -> Vec<u8> {
    let say = |message| Request::Say(None, message);
    let auth = || Request::Auth { token: Bytes::from_static(b"token"), tells_version: true };
    let known = Bytes::copy_from_slice(state_vector);
    let state = say(Inbound::Step2(Bytes::copy_from_slice(state)));
    let begin = Request::Say(Some(Inbound::Offer), Inbound::Step1(known));
    let cursors = say(Inbound::Awareness(Bytes::from_static(CURSORS)));
    let text = say(Inbound::Stateless(Bytes::from_static(b"text")));
    let mut requests = vec![auth(), auth(), begin.clone(), begin, state, cursors, text];
    requests.extend(updates.iter().map(|update| say(Inbound::Update(Bytes::copy_from_slice(update)))));
    requests.extend([say(Inbound::QueryAwareness), Request::Close]);
    let mut framed = Vec::new();
    let frames = requests.iter().filter_map(|request| encode_request(b"document\0session", request));
    frames.for_each(|frame| write_var_buf(&mut framed, &frame));
    framed
}

/// Frames of a Hocuspocus server, one by one.
fn replies() -> impl Iterator<Item = Seed> {
    let frames: [(&str, Bytes); 6] = [
        ("granted", granted_frame(b"d", Access::Write)),
        ("denied", denied_frame(b"d", "permission-denied")),
        ("closed", close_frame(b"d", "provider_initiated")),
        ("token_wanted", Bytes::from_static(b"\x01d\x02\x00")),
        ("saved", Bytes::from_static(b"\x01d\x08\x01")),
        ("ping", Bytes::from_static(b"\x09")),
    ];
    let seed = |(name, frame): (&str, Bytes)| Seed {
        target: "hocuspocus",
        name: name.to_owned(),
        bytes: frame.to_vec(),
    };
    frames.into_iter().map(seed)
}

/// Awareness as it comes: two clients, then one of them alone, its end, and what its peer leaves behind.
fn awareness() -> impl Iterator<Item = Seed> {
    let mut received = vec![0];
    write_var_buf(&mut received, CURSORS);
    let renewed = [&received[..], &[3, 100, 1, 1, 7, 2, 1, 3, 60, 0, 4, 1, 7, 2, 0]].concat();
    let left = [&received[..], &[0x10], &received[1..], &[2, 0x12, 3, 200]].concat();
    let seed = |(name, bytes): (&str, Vec<u8>)| Seed { target: "awareness", name: name.to_owned(), bytes };
    [("received", received), ("renewed", renewed), ("left", left)].into_iter().map(seed)
}

/// Scripts of a room with frames of many messages and with long content.
fn large_frames() -> impl Iterator<Item = Seed> {
    let seed = |(name, bytes): (&str, Vec<u8>)| Seed { target: "room", name: name.to_owned(), bytes };
    super::room::seeds_of_large_frames().map(seed)
}

/// Frames with and without compression, whole and in fragments.
fn inflate() -> impl Iterator<Item = Seed> {
    let scripts: [(&str, &[u8]); 5] = [
        ("plain", b"\x00\x07\x05\x01\x82\x09\x05hello\x01\x89\x01\x00"),
        ("compressed", b"\x00\x40\x10\x02\x03\x00\x05hello\x01\x82\x09\x01x"),
        ("fragments", b"\x00\x03\x20\x02\x20\x03\x0ahello hell"),
        ("large", b"\x04\x80\x40\x80\x20\x02\xff\x01\x10abcdefghijklmnop"),
        ("too_large", b"\x02\x01\x01\x02\xff\x00\x10abcdefghijklmnop"),
    ];
    let seed = |(name, bytes): (&str, &[u8])| Seed {
        target: "inflate",
        name: name.to_owned(),
        bytes: bytes.to_vec(),
    };
    scripts.into_iter().map(seed)
}
