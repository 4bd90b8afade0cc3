//! Snapshots in the format before segments: in sled 0.34, in parts of 4 KiB. They are only read, and migrated when a store is
//! opened.
//!
//! A key is: length of the document name (2 bytes), name, generation (8 bytes), part (4 bytes); numbers are big-endian. Part 0
//! starts with the head:
//!
//! | Offset | Bytes | Field |
//! |---|---|---|
//! | 0 | 4 | [`MAGIC`] |
//! | 4 | 1 | [`VERSION`] |
//! | 5 | 4 | CRC32C of the next 36 bytes, little-endian |
//! | 9 | 36 | `Head`, as bincode writes it with fixed-size little-endian numbers |
//!
//! The state follows.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::index::{Release, guarded, key, parse_key};
use super::{SNAPSHOTS_DIR, Snapshot, SnapshotRef, Snapshots};
use crate::disk::{self, StoreDir};
use crate::error::{SnapshotError, StoreError};
use crate::index::Covered;
use crate::limits::SLED_CACHE_BYTES;
use crate::name::DocumentName;
use crate::record::take;

const MAGIC: [u8; 4] = *b"csnp";
const VERSION: u8 = 1;
const ENVELOPE_BYTES: usize = 9;
const HEAD_BYTES: usize = ENVELOPE_BYTES + 36;
/// A file of sled's own, which tells its directory from one with segments.
const SLED_FILE: &str = "db";
/// The directory's name while it is being migrated.
const EARLIER_DIR: &str = "snapshots.earlier";
/// The name prefix of a directory that once did not open and was set aside.
const SET_ASIDE: &str = "snapshots.broken-";
/// A copy of such a directory: sled writes to what it opens.
const COPY_DIR: &str = "snapshots.copy";

#[derive(Serialize, Deserialize)]
struct Head {
    sequence: u64,
    time: u64,
    born: u64,
    state_bytes: u64,
    state_crc: u32,
}

/// The result of migrating the snapshots of an earlier version.
#[derive(Debug, Default)]
pub(crate) struct TakenOver {
    /// How many were copied into segments.
    pub(crate) snapshots: usize,
    /// Directories left in place because a snapshot that counts is missing, and the reason in words.
    pub(crate) left: Vec<(PathBuf, String)>,
}

/// The snapshots in one directory.
pub(crate) struct Earlier {
    db: sled::Db,
    /// Dropped after `db`.
    _release: Release,
}

impl Earlier {
    /// Opens the snapshots; sled changes files in the directory.
    pub(crate) fn open(dir: &Path) -> Result<Self, SnapshotError> {
        remove_stranded(dir)?;
        let config = || sled::Config::new().path(dir).cache_capacity(SLED_CACHE_BYTES).flush_every_ms(None);
        let db = guarded(|| config().open())?;
        Ok(Self { db, _release: Release { locked: dir.join(SLED_FILE) } })
    }

    /// The snapshot, checked against its checksums.
    pub(crate) fn get(
        &self,
        name: &DocumentName,
        generation: u64,
    ) -> Result<Option<Snapshot>, SnapshotError> {
        use SnapshotError::Damaged;
        let part = |part: u32| {
            let key = [&key(name, generation)[..], &part.to_be_bytes()].concat();
            guarded(|| self.db.get(key)).map_err(SnapshotError::from)
        };
        let Some(value) = part(0)? else { return Ok(None) };
        let (head, first) = decode_head(&value)?;
        let wanted = usize::try_from(head.state_bytes).map_err(|_| Damaged("its length is absurd"))?;
        let mut state = first.to_vec();
        for number in 1.. {
            if state.len() >= wanted {
                break;
            }
            let value =
                part(number)?.filter(|value| !value.is_empty()).ok_or(Damaged("a part is missing"))?;
            state.extend_from_slice(&value);
        }
        if state.len() != wanted || crc32c::crc32c(&state) != head.state_crc {
            return Err(Damaged("the checksum differs"));
        }
        Ok(Some(Snapshot { sequence: head.sequence, time: head.time, born: head.born, state }))
    }

    /// Every document and generation that exists, whether readable or not.
    pub(crate) fn list(&self) -> Result<HashSet<(DocumentName, u64)>, SnapshotError> {
        let mut all = HashSet::new();
        guarded(|| {
            for key in self.db.iter().keys() {
                all.extend(parse_key(&key?));
            }
            Ok(())
        })?;
        Ok(all)
    }
}

/// Where an earlier version may have left snapshots, the best first.
pub(crate) fn directories(dir: &StoreDir) -> io::Result<Vec<PathBuf>> {
    let is_one = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name == SNAPSHOTS_DIR || name == EARLIER_DIR || name.starts_with(SET_ASIDE)
    };
    let mut found: Vec<_> = dir.disk.list(&dir.path)?.into_iter().filter(|path| is_one(path)).collect();
    found.retain(|path| path.join(SLED_FILE).exists());
    found.sort_by_key(|path| path.to_string_lossy().contains(SET_ASIDE));
    Ok(found)
}

/// Moves the snapshots of an earlier version out of the way of segments.
pub(crate) fn set_apart(dir: &StoreDir) -> io::Result<()> {
    let path = dir.join(SNAPSHOTS_DIR);
    if !path.join(SLED_FILE).exists() {
        return Ok(());
    }
    dir.disk.rename(&path, &dir.join(EARLIER_DIR))?;
    dir.sync()
}

/// Copies the snapshots that count into segments, unless they are there already, and removes the directories that hold nothing
/// more of use. With `all`, it is unknown which ones count, and everything is copied.
pub(crate) fn take_over(
    dir: &StoreDir,
    covered: &HashMap<DocumentName, Covered>,
    all: bool,
    snapshots: &Snapshots,
) -> Result<TakenOver, StoreError> {
    let mut taken = TakenOver::default();
    let mut emptied = Vec::new();
    for path in directories(dir).map_err(StoreError::io("list", &dir.path))? {
        let failed = |source| StoreError::Snapshots { path: path.clone(), source };
        let is_set_aside = path != dir.join(EARLIER_DIR);
        let opened = if is_set_aside { Copy::of(&path, dir.join(COPY_DIR)) } else { Copy::none(&path) };
        let copied = opened.and_then(|opened| {
            let earlier = Earlier::open(&opened.path)?;
            copy(&earlier, covered, all, snapshots)
        });
        match copied {
            Ok(copied) => {
                taken.snapshots += copied;
                emptied.push(path);
            }
            Err(SnapshotError::Io(error)) if !is_set_aside => return Err(failed(SnapshotError::Io(error))),
            Err(error) => taken.left.push((path, error.to_string())),
        }
    }
    if emptied.is_empty() || all {
        return Ok(taken);
    }
    // sled skips what it cannot read, so a directory is surely of no more use only if nothing is missing.
    let is_missing = |(name, covered): &(&DocumentName, &Covered)| {
        covered.has_snapshot() && !matches!(snapshots.get(name, covered.generation), Ok(Some(_)))
    };
    match covered.iter().find(is_missing) {
        Some((name, _)) => {
            let reason = format!("the snapshot of document {name:?} is missing");
            taken.left.extend(emptied.into_iter().map(|path| (path, reason.clone())));
        }
        None => emptied
            .iter()
            .try_for_each(|path| fs::remove_dir_all(path).map_err(StoreError::io("remove", path)))?,
    }
    Ok(taken)
}

/// Copies every readable snapshot, durably, and returns how many there were.
fn copy(
    earlier: &Earlier,
    covered: &HashMap<DocumentName, Covered>,
    all: bool,
    snapshots: &Snapshots,
) -> Result<usize, SnapshotError> {
    let mut copied = Vec::new();
    for (name, generation) in earlier.list()? {
        let entry = covered.get(&name).filter(|covered| covered.generation == generation);
        if !all && entry.is_none() || matches!(snapshots.get(&name, generation), Ok(Some(_))) {
            continue;
        }
        match earlier.get(&name, generation) {
            // A snapshot of the same generation may be from before its document was deleted and created again.
            Ok(Some(snapshot)) if !all && entry.is_none_or(|covered| !snapshot.is_from(covered)) => {}
            Ok(Some(Snapshot { sequence, time, born, state })) => {
                let state = [&state[..]];
                snapshots.put(&name, generation, SnapshotRef { sequence, time, born, state: &state })?;
                copied.push((name, generation));
            }
            _ => {}
        }
    }
    snapshots.sync()?;
    for (name, generation) in &copied {
        snapshots.get(name, *generation)?.ok_or(SnapshotError::ReadBack)?;
    }
    Ok(copied.len())
}

/// A directory that sled may change. It is removed on drop, unless it is the original.
pub(crate) struct Copy {
    pub(crate) path: PathBuf,
    is_copy: bool,
}

impl Copy {
    fn none(path: &Path) -> Result<Self, SnapshotError> {
        Ok(Self { path: path.to_owned(), is_copy: false })
    }

    /// Copies a directory to `to`, where an interrupted attempt may have left something.
    pub(crate) fn of(path: &Path, to: PathBuf) -> Result<Self, SnapshotError> {
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        let copy = Self { path: to, is_copy: true };
        disk::copy_dir(path, &copy.path)?;
        Ok(copy)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        if self.is_copy {
            // The rest of it is removed before the next attempt.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Removes the file that a crash or a full disk leaves when sled was about to write a snapshot of its own: sled takes it for a
/// complete one.
fn remove_stranded(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
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
    let encoding = bincode::config::standard().with_fixed_int_encoding().with_little_endian();
    let decoded = bincode::serde::decode_from_slice(&head[ENVELOPE_BYTES..], encoding);
    let (head, _) = decoded.map_err(|_| Damaged("the head makes no sense"))?;
    Ok((head, state))
}
