//! Snapshots in sled 0.34.7, the default.
//!
//! What sled is not trusted with, and what is done instead:
//!
//! - Its `flush` uses `sync_file_range`, which leaves data in the disk's cache: its files are synced here, by us.
//! - Large values become files that are not removed for a long time when the value is replaced (replacing a value of
//!   50 MB six times left 300 MB), and a small value beside a large one is read and written with it. So a state is
//!   cut into parts of [`PART_BYTES`]: replacing 10 MB again and again takes about 70 MB.
//! - It panics on some damage: every call is guarded, and a panic is an error.
//! - Every value is checked against a checksum of our own.
//!
//! A key is: length of the document name (2 bytes), name, generation (8 bytes), part (4 bytes); numbers are big-endian, so
//! that generations and parts sort. Part 0 starts with the head:
//!
//! | Offset | Bytes | Field |
//! |---|---|---|
//! | 0 | 4 | [`MAGIC`] |
//! | 4 | 1 | [`VERSION`] |
//! | 5 | 4 | CRC32C of the next 36 bytes, little-endian |
//! | 9 | 36 | `Head`, as bincode writes it with fixed-size little-endian numbers |
//!
//! The state follows, at most [`PART_BYTES`] in each part.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{OpenSnapshots, Snapshot, SnapshotError, SnapshotRef, SnapshotStore};
use crate::disk;
use crate::name::DocumentName;
use crate::record::take;

/// First bytes of a snapshot's head.
pub const MAGIC: [u8; 4] = *b"csnp";
/// The version that is written, and the only one that is read.
pub const VERSION: u8 = 1;
/// Most bytes of state in one value. A page of sled has 16 values: with parts of this size it stays in the main file, whose
/// space is used again. It also bounds what sled keeps in memory, which is not its cache capacity: each of the 256 shards
/// of the cache looks for something to evict only after 64 accesses, so up to 16,384 parts may be held.
pub const PART_BYTES: usize = 4 << 10;

/// How long to wait for sled after it was closed: it takes milliseconds, and a shutdown must come to an end.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);
const RELEASE_POLL: Duration = Duration::from_millis(1);
const ENVELOPE_BYTES: usize = 9;
const HEAD_BYTES: usize = ENVELOPE_BYTES + 36;

#[derive(Serialize, Deserialize)]
struct Head {
    sequence: u64,
    time: u64,
    born: u64,
    state_bytes: u64,
    state_crc: u32,
}

/// Keeps the snapshots of a store in a sled database in its directory.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sled;

/// Snapshots in a sled database.
pub struct SledSnapshots {
    db: sled::Db,
    /// Dropped after `db`.
    _release: Release,
    dir: PathBuf,
    /// Large pages that sled keeps in files of their own, written once: those that have been synced.
    synced_blobs: Mutex<HashSet<OsString>>,
}

/// How many values a page of sled has at most.
const PAGE_VALUES: u32 = 16;
/// After so many accesses a shard of sled's cache looks for something to evict.
const EVICTION_INTERVAL: usize = 64;

/// Waits when it is dropped until sled has let go of its files: it goes on in the background for a moment, and until then
/// nobody else could open them.
struct Release {
    locked: PathBuf,
}

impl OpenSnapshots for Sled {
    fn exist(&self, dir: &Path) -> bool {
        dir.exists()
    }

    fn open(&self, dir: &Path, cache_bytes: u64) -> Result<Box<dyn SnapshotStore>, SnapshotError> {
        disk::create_dir(dir)?;
        // No flushing in the background: it would not be durable, and what has to be is synced by `sync`.
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let db = guarded(|| config.open()).map_err(|error| match error {
            SnapshotError::Io(error) if is_damage(&error) => SnapshotError::Unreadable(error.to_string()),
            other => other,
        })?;
        let (release, dir) = (Release { locked: dir.join("db") }, dir.to_owned());
        Ok(Box::new(SledSnapshots { db, _release: release, dir, synced_blobs: Mutex::default() }))
    }

    fn set_aside(&self, dir: &Path) -> io::Result<Option<PathBuf>> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut name = dir.file_name().unwrap_or_default().to_owned();
        name.push(format!(".broken-{}", now.as_millis()));
        let aside = dir.with_file_name(name);
        fs::rename(dir, &aside)?;
        dir.parent().map_or(Ok(()), disk::sync_dir)?;
        Ok(Some(aside))
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let start = Instant::now();
        while start.elapsed() < RELEASE_LIMIT && disk::is_locked(&self.locked) {
            std::thread::sleep(RELEASE_POLL);
        }
    }
}

impl SledSnapshots {
    /// Makes sled's cache keep to its capacity. Each of its shards looks for something to evict only after 64 accesses,
    /// and a snapshot is read once: without this, thousands of documents opened one after another would stay in memory.
    fn evict(&self, name: &DocumentName, generation: u64, state_bytes: usize) -> Result<(), SnapshotError> {
        let parts = u32::try_from(state_bytes / PART_BYTES).unwrap_or(u32::MAX);
        for part in (0..=parts).step_by(PAGE_VALUES as usize / 2) {
            let key = part_key(name, generation, part);
            guarded(|| (0..EVICTION_INTERVAL).try_for_each(|_| self.db.get(&key).map(drop)))?;
        }
        Ok(())
    }

    /// The names and generations in the keys that start with `prefix`.
    fn keys(&self, prefix: &[u8]) -> Result<Vec<sled::IVec>, SnapshotError> {
        guarded(|| self.db.scan_prefix(prefix).keys().collect())
    }
}

impl SnapshotStore for SledSnapshots {
    fn put(
        &self,
        name: &DocumentName,
        generation: u64,
        snapshot: SnapshotRef<'_>,
    ) -> Result<(), SnapshotError> {
        for key in self.keys(&generation_prefix(name, generation))? {
            guarded(|| self.db.remove(key))?;
        }
        let (first, rest) = snapshot.state.split_at(snapshot.state.len().min(PART_BYTES));
        for (state, part) in rest.chunks(PART_BYTES).zip(1..) {
            guarded(|| self.db.insert(part_key(name, generation, part), state))?;
        }
        let mut value = encode_head(&snapshot)?;
        value.extend_from_slice(first);
        guarded(|| self.db.insert(part_key(name, generation, 0), value))?;
        Ok(())
    }

    fn get(&self, name: &DocumentName, generation: u64) -> Result<Option<Snapshot>, SnapshotError> {
        let Some(value) = guarded(|| self.db.get(part_key(name, generation, 0)))? else {
            return Ok(None);
        };
        let (head, first) = decode_head(&value)?;
        let wanted =
            usize::try_from(head.state_bytes).map_err(|_| SnapshotError::Damaged("its length is absurd"))?;
        let mut state = first.to_vec();
        for part in 1.. {
            if state.len() >= wanted {
                break;
            }
            let value = guarded(|| self.db.get(part_key(name, generation, part)))?;
            let value =
                value.filter(|value| !value.is_empty()).ok_or(SnapshotError::Damaged("a part is missing"))?;
            state.extend_from_slice(&value);
        }
        self.evict(name, generation, state.len())?;
        if state.len() != wanted || crc32c::crc32c(&state) != head.state_crc {
            return Err(SnapshotError::Damaged("the checksum differs"));
        }
        Ok(Some(Snapshot { sequence: head.sequence, time: head.time, born: head.born, state }))
    }

    fn generations(&self, name: &DocumentName) -> Result<Vec<u64>, SnapshotError> {
        let mut generations: Vec<_> =
            self.keys(&name_prefix(name))?.iter().filter_map(|key| parse_key(key)).collect();
        generations.dedup_by_key(|(_, generation)| *generation);
        Ok(generations.into_iter().map(|(_, generation)| generation).collect())
    }

    fn prune(&self, name: &DocumentName, keep: Option<u64>) -> Result<(), SnapshotError> {
        for key in self.keys(&name_prefix(name))? {
            if parse_key(&key).is_none_or(|(_, generation)| Some(generation) != keep) {
                guarded(|| self.db.remove(key))?;
            }
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), SnapshotError> {
        guarded(|| self.db.flush())?;
        let blobs = self.dir.join("blobs");
        sync_files(&self.dir, None)?;
        if blobs.is_dir() {
            let mut synced = self.synced_blobs.lock().expect("no holder of this lock panics");
            sync_files(&blobs, Some(&mut synced))?;
        }
        Ok(())
    }

    fn list(&self) -> Result<Vec<(DocumentName, u64)>, SnapshotError> {
        let mut latest: Vec<(DocumentName, u64)> = Vec::new();
        guarded(|| {
            for key in self.db.iter().keys() {
                let Some((name, generation)) = parse_key(&key?) else {
                    continue;
                };
                match latest.last_mut() {
                    Some(last) if last.0 == name => last.1 = generation,
                    _ => latest.push((name, generation)),
                }
            }
            Ok(())
        })?;
        Ok(latest)
    }
}

/// Syncs the files in `dir`, except those in `synced`, and the directory.
fn sync_files(dir: &Path, mut synced: Option<&mut HashSet<OsString>>) -> io::Result<()> {
    let mut present = HashSet::new();
    for entry in fs::read_dir(dir)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() {
            continue;
        }
        if !synced.as_ref().is_some_and(|synced| synced.contains(&name)) {
            match File::open(&path).and_then(|file| file.sync_data()) {
                // It was listed, and sled has removed it since.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                outcome => outcome?,
            }
        }
        present.insert(name);
    }
    if let Some(synced) = &mut synced {
        **synced = present;
    }
    disk::sync_dir(dir)
}

/// Runs a call into sled; a panic in there is an error.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, SnapshotError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(SnapshotError::Io(error)),
        Ok(Err(error)) => Err(SnapshotError::Unreadable(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(SnapshotError::Unreadable(format!("sled panicked: {text}")))
        }
    }
}

/// Whether an error of the file system comes from what the files hold; anything else may pass by itself.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}

fn encode_head(snapshot: &SnapshotRef<'_>) -> Result<Vec<u8>, SnapshotError> {
    let head = Head {
        sequence: snapshot.sequence,
        time: snapshot.time,
        born: snapshot.born,
        state_bytes: snapshot.state.len() as u64,
        state_crc: crc32c::crc32c(snapshot.state),
    };
    let mut value = vec![0; ENVELOPE_BYTES];
    value[..4].copy_from_slice(&MAGIC);
    value[4] = VERSION;
    bincode::serde::encode_into_std_write(&head, &mut value, encoding()).map_err(io::Error::other)?;
    let crc = crc32c::crc32c(&value[ENVELOPE_BYTES..]);
    value[5..ENVELOPE_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(value)
}

/// The head, and the state in the first part.
fn decode_head(value: &[u8]) -> Result<(Head, &[u8]), SnapshotError> {
    use SnapshotError::{Damaged, UnknownVersion};
    let (head, state) = value.split_at_checked(HEAD_BYTES).ok_or(Damaged("the head is cut short"))?;
    if head[..4] != MAGIC {
        return Err(Damaged("it does not start like a snapshot"));
    }
    if head[4] != VERSION {
        return Err(UnknownVersion(head[4]));
    }
    if crc32c::crc32c(&head[ENVELOPE_BYTES..]) != u32::from_le_bytes(take(head, 5)) {
        return Err(Damaged("the checksum of the head differs"));
    }
    let decoded = bincode::serde::decode_from_slice(&head[ENVELOPE_BYTES..], encoding());
    let (head, _) = decoded.map_err(|_| Damaged("the head makes no sense"))?;
    Ok((head, state))
}

fn encoding() -> impl bincode::config::Config {
    bincode::config::standard().with_fixed_int_encoding().with_little_endian()
}

fn name_prefix(name: &DocumentName) -> Vec<u8> {
    let len = u16::try_from(name.as_str().len()).expect("names are at most 1024 bytes");
    [&len.to_be_bytes(), name.as_str().as_bytes()].concat()
}

fn generation_prefix(name: &DocumentName, generation: u64) -> Vec<u8> {
    [&name_prefix(name)[..], &generation.to_be_bytes()].concat()
}

fn part_key(name: &DocumentName, generation: u64, part: u32) -> Vec<u8> {
    [&generation_prefix(name, generation)[..], &part.to_be_bytes()].concat()
}

fn parse_key(key: &[u8]) -> Option<(DocumentName, u64)> {
    let (len, rest) = key.split_first_chunk::<2>()?;
    let (name, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    let (generation, _) = rest.split_first_chunk::<8>()?;
    Some((DocumentName::from_bytes(name).ok()?, u64::from_be_bytes(*generation)))
}
