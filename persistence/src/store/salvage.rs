//! Reads the remains of a document that cannot be loaded.

use super::Store;
use crate::damage::Damage;
use crate::error::StoreError;
use crate::index::Position;
use crate::log;
use crate::name::DocumentName;
use crate::record::Kind;
use crate::segment::{Found, Scan};

/// Everything that can still be read of a document. Not a document: the rest may depend on the missing parts.
#[derive(Debug, Default)]
pub struct Salvage {
    /// The newest snapshot that can be read, and the sequence up to which it covers the document.
    pub snapshot: Option<(u64, Vec<u8>)>,
    /// The records that can be read, with their sequences, ascending; including those that the snapshot covers, as far as they
    /// still exist.
    pub updates: Vec<(u64, Vec<u8>)>,
    /// The same for parked updates.
    pub waiting: Vec<(u64, Vec<u8>)>,
    /// What is missing; empty if the document is whole.
    pub missing: Vec<Missing>,
}

/// A part of a document that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// The snapshot up to this sequence is missing or damaged.
    Snapshot {
        /// The sequence up to which it covered the document.
        sequence: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// These records are neither in the log nor in a snapshot.
    Records {
        /// The first one that is missing.
        first: u64,
        /// The last one that is missing.
        last: u64,
    },
    /// A part of the log cannot be read, and a record of the document seems to have been there.
    Damage(Damage),
}

impl Store {
    /// The readable parts of a document, and the missing ones. Reads the whole log.
    pub fn salvage(&self, name: &DocumentName) -> Result<Salvage, StoreError> {
        let mut salvage = Salvage::default();
        let covered = self.index().covered(name);
        self.salvage_snapshot(name, &mut salvage)?;
        for (number, path) in log::segments(&self.dir).map_err(StoreError::io("list", &self.dir.path))? {
            let mut scan = match Scan::open(&*self.dir.disk, &path) {
                // Retired since it was listed.
                Err(error) if error.is_not_found() => continue,
                scan => scan?,
            };
            // Not a record of a deleted document with the same name.
            let is_its_own = |offset| Position::new(number, offset).is_some_and(|at| at >= covered.born);
            while let Some(found) = scan.read_next().map_err(StoreError::io("read", &path))? {
                match found {
                    Found::Record(offset, record) if record.name == name.as_str() && is_its_own(offset) => {
                        let waits = record.kind == Kind::Waiting;
                        let records = if waits { &mut salvage.waiting } else { &mut salvage.updates };
                        records.push((record.sequence, record.payload.to_vec()));
                    }
                    Found::Damage(damage)
                        if damage.document.as_ref().is_some_and(|(guess, _)| guess == name) =>
                    {
                        salvage.missing.push(Missing::Damage(damage));
                    }
                    _ => {}
                }
            }
        }
        // A damaged record may not show whose it was, and still be missed.
        if let Some(damage) = self.index().damage(name)
            && !salvage.missing.contains(&Missing::Damage(damage.clone()))
        {
            salvage.missing.push(Missing::Damage(damage.clone()));
        }
        salvage.updates.sort_by_key(|(sequence, _)| *sequence);
        salvage.waiting.sort_by_key(|(sequence, _)| *sequence);
        // A moved record may be there twice.
        salvage.updates.dedup_by_key(|(sequence, _)| *sequence);
        salvage.waiting.dedup_by_key(|(sequence, _)| *sequence);
        salvage.note_holes(covered.sequence);
        Ok(salvage)
    }

    fn salvage_snapshot(&self, name: &DocumentName, salvage: &mut Salvage) -> Result<(), StoreError> {
        let covered = self.index().covered(name);
        let failed = |source| StoreError::Snapshot { name: name.clone(), source };
        let mut found = None;
        for generation in self.snapshots.generations(name).map_err(failed)?.into_iter().rev() {
            let reason = match self.snapshots.get(name, generation) {
                Ok(Some(snapshot)) if snapshot.born == covered.born.raw() => {
                    found.get_or_insert((generation, snapshot));
                    continue;
                }
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            salvage.missing.push(Missing::Snapshot { sequence: covered.sequence, reason });
        }
        let stale = found.as_ref().is_none_or(|(generation, _)| *generation < covered.generation);
        if covered.has_snapshot() && stale && salvage.missing.is_empty() {
            let reason = "it is not there".to_owned();
            salvage.missing.push(Missing::Snapshot { sequence: covered.sequence, reason });
        }
        salvage.snapshot = found.map(|(_, snapshot)| (snapshot.sequence, snapshot.state));
        Ok(())
    }
}

impl Salvage {
    /// Notes which sequences are in neither the snapshot nor the records. The document had at least those up to `covered`.
    fn note_holes(&mut self, covered: u64) {
        let mut have = self.snapshot.as_ref().map_or(0, |(sequence, _)| *sequence);
        let mut found: Vec<_> =
            self.updates.iter().chain(&self.waiting).map(|(sequence, _)| *sequence).collect();
        found.sort_unstable();
        for sequence in found {
            if sequence > have + 1 {
                self.missing.push(Missing::Records { first: have + 1, last: sequence - 1 });
            }
            have = have.max(sequence);
        }
        if covered > have {
            self.missing.push(Missing::Records { first: have + 1, last: covered });
        }
    }
}
