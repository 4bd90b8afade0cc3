//! What is done when a store is opened: read the catalog and every segment, and decide what a crash left behind.
//!
//! - The end of the last segment may be torn: bytes that are broken and were not yet synced when the process died (or,
//!   if a disk damaged the very last batch, cannot be told from that). Nothing there was promised to anybody. They are cut
//!   off, kept in a `.torn` file, and reported. Sound records of the same batch that still follow their
//!   document's last one are written again.
//! - Broken bytes anywhere else are damage: reported, left as they are, and a document that misses a record is unreadable.
//!   Their segment stays in the log for as long as such a document does, and gets no more records if its end was torn as well.
//! - A sled that does not open is set aside and never opened in place again, since a second attempt may "repair" it by
//!   forgetting what it cannot read. Documents whose updates are all still in the log are rebuilt from there. The others
//!   are unreadable, because the catalog remembers that they exist.
//! - A damaged catalog is compared with the snapshots. If both are unreadable the store does not open.

use std::collections::HashMap;
use std::io;
use std::mem;
use std::path::PathBuf;

use crate::catalog::{Catalog, Contents};
use crate::disk::StoreDir;
use crate::error::StoreError;
use crate::index::{Covered, Index, Position};
use crate::log::{self, Log};
use crate::name::DocumentName;
use crate::segment::{Damage, Scan};
use crate::snapshots::{SnapshotError, SnapshotStore};
use crate::store::StoreOptions;
use crate::survey::{Survey, Torn};

/// The directory of the snapshots in the directory of a store.
pub(crate) const SNAPSHOTS_DIR: &str = "snapshots";

/// What opening a store found and did. Everything in it but the counts deserves a warning: see [`Recovery::warnings`].
#[derive(Debug, Default)]
pub struct Recovery {
    /// How many documents are stored.
    pub documents: usize,
    /// How many records are live: in the log, and not in a snapshot.
    pub records: usize,
    /// How many segments the log has.
    pub segments: usize,
    /// What a crash left half-written at the end of the log.
    pub torn: Option<TornTail>,
    /// Parts of the log that cannot be read.
    pub damage: Vec<Damage>,
    /// What a crash left half-written at the end of the catalog; nothing in it counted yet.
    pub catalog_torn: Option<Damage>,
    /// Parts of the catalog that could not be read; it was compared with the snapshots and written anew.
    pub catalog_damage: Vec<Damage>,
    /// Documents that the catalog had lost and the snapshots still had.
    pub adopted: Vec<DocumentName>,
    /// Set if the snapshots as a whole could not be used.
    pub snapshots_lost: Option<LostSnapshots>,
    /// Documents whose snapshot was lost, but whose updates are all in the log.
    pub rebuilt: Vec<DocumentName>,
    /// Documents that are known to be unreadable. (Others may turn out to be: their snapshots are not read now.)
    pub unreadable: Vec<DocumentName>,
}

/// Snapshots that could not be used; the store has started with new ones.
#[derive(Debug, Clone)]
pub struct LostSnapshots {
    /// Why.
    pub reason: String,
    /// Where they are now; `None` if they were missing altogether.
    pub set_aside: Option<PathBuf>,
}

/// A torn end of the log that was cut off.
#[derive(Debug, Clone)]
pub struct TornTail {
    /// Where it was.
    pub damage: Damage,
    /// The file that the bytes are kept in; `None` if they were nothing but zeros.
    pub kept_in: Option<PathBuf>,
    /// How many sound records behind it were written again.
    pub rescued: usize,
    /// How many sound records behind it do not follow their document's last one, and are only in that file.
    pub dropped: usize,
}

impl Recovery {
    /// One line for each thing that somebody should know about; empty after a clean shutdown.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(TornTail { damage, kept_in, rescued, dropped }) = &self.torn {
            lines.push(format!(
                "cut off what a crash left at the end of the log: {damage}; kept in {kept_in:?}, \
                 {rescued} sound records behind it were rescued, {dropped} were not"
            ));
        }
        lines.extend(self.damage.iter().map(|damage| format!("the log is damaged: {damage}")));
        lines.extend(self.catalog_damage.iter().map(|damage| format!("the catalog was damaged: {damage}")));
        lines.extend(
            self.adopted.iter().map(|name| format!("document {name:?} was put back into the catalog")),
        );
        if let Some(LostSnapshots { reason, set_aside }) = &self.snapshots_lost {
            let now_in =
                set_aside.as_ref().map_or(String::new(), |path| format!("; they are now in {path:?}"));
            lines.push(format!("the snapshots could not be used: {reason}{now_in}"));
        }
        lines.extend(self.rebuilt.iter().map(|name| format!("document {name:?} was rebuilt from the log")));
        lines.extend(self.unreadable.iter().map(|name| format!("document {name:?} is unreadable")));
        lines
    }
}

/// The parts of an open store.
pub(crate) struct Opened {
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) catalog: Catalog,
    pub(crate) snapshots: Box<dyn SnapshotStore>,
    /// What was cut off: its sound records wait to be written again.
    pub(crate) torn: Option<Torn>,
    pub(crate) recovery: Recovery,
}

/// Opens what is in `dir`, which is locked.
pub(crate) fn open(dir: &StoreDir, options: &StoreOptions) -> Result<Opened, StoreError> {
    let mut recovery = Recovery::default();
    refuse_unknown_versions(dir)?;
    // A process that was killed may have created or renamed what is found here without having made that durable: what is
    // acknowledged from now on must not depend on it.
    dir.sync().map_err(StoreError::io("sync", &dir.path))?;
    // Before the index is in memory: what sled needs only while it opens would otherwise stay with the allocator, 6 MB for
    // 100,000 documents.
    let opened = open_existing_snapshots(dir, options)?;
    let mut contents = read_catalog(dir, options)?;
    let mut covered = mem::take(&mut contents.covered);
    let snapshots = match opened {
        Some(opened) => opened,
        None if contents.is_doubtful() || covered.values().any(Covered::has_snapshot) => {
            Err(LostSnapshots { reason: "they are missing".to_owned(), set_aside: None })
        }
        None => open_snapshots(dir, options)?,
    };
    let failed = |source| StoreError::Snapshots { path: dir.join(SNAPSHOTS_DIR), source };
    if contents.is_doubtful() {
        recovery.adopted = match &snapshots {
            Ok(snapshots) => {
                let adopted = adopt(&mut covered, &**snapshots).map_err(failed)?;
                // Before the catalog names them: they may be of a checkpoint that was killed before it synced them.
                snapshots.sync().map_err(failed)?;
                adopted
            }
            Err(lost) => {
                return Err(StoreError::CatalogLost {
                    path: dir.path.clone(),
                    set_aside: lost.set_aside.clone(),
                });
            }
        };
    }
    let mut survey = match &snapshots {
        Ok(_) => Survey::read(dir, covered)?,
        Err(_) => {
            let (survey, rebuilt) = rebuild(dir, covered)?;
            recovery.rebuilt = rebuilt;
            survey
        }
    };
    let torn = survey.torn.take();
    recovery.torn = torn.as_ref().map(|torn| cut_off(dir, torn)).transpose()?;
    let log = Log::open(dir, options.segment_bytes, survey.last, survey.resume)?;
    let mut index = survey.index;
    index.segments.entry(log.number()).or_insert_with(|| log.segment());
    let mut catalog = Catalog::open(dir, &contents, &index)?;
    if !recovery.rebuilt.is_empty() {
        catalog.rewrite(&index).map_err(StoreError::io("rewrite the catalog in", &dir.path))?;
    }
    recovery.damage = survey.damage;
    recovery.catalog_torn = contents.torn;
    recovery.catalog_damage = contents.damage;
    // New ones only now: a crash before the catalog was rewritten must find them lost again.
    let snapshots = match snapshots {
        Ok(snapshots) => snapshots,
        Err(lost) => {
            recovery.snapshots_lost = Some(lost);
            options.snapshots.open(&dir.join(SNAPSHOTS_DIR), options.snapshot_cache_bytes).map_err(failed)?
        }
    };
    Ok(Opened { index, log, catalog, snapshots, torn, recovery })
}

/// The catalog's contents. In a new directory it is created before anything else: a directory that has something else
/// but no catalog has lost it.
fn read_catalog(dir: &StoreDir, options: &StoreOptions) -> Result<Contents, StoreError> {
    let contents = Contents::read(dir)?;
    let segments = log::segments(dir).map_err(StoreError::io("list", &dir.path))?;
    if contents.exists || !segments.is_empty() || options.snapshots.exist(&dir.join(SNAPSHOTS_DIR)) {
        return Ok(contents);
    }
    Catalog::open(dir, &contents, &Index::default())?;
    Contents::read(dir)
}

/// Keeps the torn bytes in a file of their own, then cuts them off.
fn cut_off(dir: &StoreDir, torn: &Torn) -> Result<TornTail, StoreError> {
    let path = &torn.damage.path;
    let segment = path.file_stem().unwrap_or_default().to_string_lossy();
    let kept_in = dir.join(&format!("{segment}-{}.torn", torn.damage.offset));
    let zeros = torn.is_only_zeros();
    if !zeros {
        dir.keep_copy(path, torn.damage.offset, &kept_in).map_err(StoreError::io("write", &kept_in))?;
    }
    let cut = || -> io::Result<()> {
        if torn.damage.offset == 0 {
            dir.disk.remove(path)?;
            return dir.sync();
        }
        let mut file = dir.disk.open_to_append(path)?;
        file.set_len(torn.damage.offset)?;
        file.sync()
    };
    cut().map_err(StoreError::io("cut the torn end of", path))?;
    Ok(TornTail { damage: torn.damage.clone(), kept_in: (!zeros).then_some(kept_in), rescued: 0, dropped: 0 })
}

/// Files that a later version has written are left alone, and so is everything beside them.
fn refuse_unknown_versions(dir: &StoreDir) -> Result<(), StoreError> {
    Contents::check_version(dir)?;
    let segments = log::segments(dir).map_err(StoreError::io("list", &dir.path))?;
    segments.values().try_for_each(|path| Scan::open(&*dir.disk, path).map(drop))
}

type Snapshots = Result<Box<dyn SnapshotStore>, LostSnapshots>;

/// `None` if there are none.
fn open_existing_snapshots(dir: &StoreDir, options: &StoreOptions) -> Result<Option<Snapshots>, StoreError> {
    options.snapshots.exist(&dir.join(SNAPSHOTS_DIR)).then(|| open_snapshots(dir, options)).transpose()
}

/// Opens or creates the snapshots. Those that do not open are set aside: they are lost. An error of the file system
/// that may pass by itself is passed on.
fn open_snapshots(dir: &StoreDir, options: &StoreOptions) -> Result<Snapshots, StoreError> {
    let path = dir.join(SNAPSHOTS_DIR);
    match options.snapshots.open(&path, options.snapshot_cache_bytes) {
        Ok(snapshots) => Ok(Ok(snapshots)),
        Err(SnapshotError::Unreadable(reason)) => {
            let set_aside = options.snapshots.set_aside(&path).map_err(StoreError::io("set aside", &path))?;
            Ok(Err(LostSnapshots { reason, set_aside }))
        }
        Err(source) => Err(StoreError::Snapshots { path, source }),
    }
}

/// Puts back into the catalog what it has lost and the snapshots still have. Returns those documents.
pub(crate) fn adopt(
    covered: &mut HashMap<DocumentName, Covered>,
    snapshots: &dyn SnapshotStore,
) -> Result<Vec<DocumentName>, SnapshotError> {
    let mut adopted = Vec::new();
    for (name, generation) in snapshots.list()? {
        let known = covered.get(&name).copied().unwrap_or_default();
        if generation <= known.generation {
            continue;
        }
        // Unreadable, or of a deleted document: the entry stays as it is.
        let Ok(Some(snapshot)) = snapshots.get(&name, generation) else {
            continue;
        };
        let born = Position::from_raw(snapshot.born);
        if born >= known.born {
            covered.insert(name.clone(), Covered { generation, sequence: snapshot.sequence, born });
            adopted.push(name);
        }
    }
    Ok(adopted)
}

/// The snapshots are lost: documents whose updates are all in the log are served from there, the others stay covered by a
/// snapshot that is missing, and so unreadable. Returns the former.
fn rebuild(
    dir: &StoreDir,
    covered: HashMap<DocumentName, Covered>,
) -> Result<(Survey, Vec<DocumentName>), StoreError> {
    let uncovered = |covered: Covered| Covered { generation: 0, sequence: 0, ..covered };
    let uncovered = covered.iter().map(|(name, covered)| (name.clone(), uncovered(*covered))).collect();
    let mut survey = Survey::read(dir, uncovered)?;
    let mut rebuilt = Vec::new();
    for (name, covered) in covered.into_iter().filter(|(_, covered)| covered.has_snapshot()) {
        let index = &mut survey.index;
        let complete = index.gap(&name).is_none() && index.damage(&name).is_none();
        if complete && covered.sequence > 0 && index.last_sequence(&name) >= covered.sequence {
            rebuilt.push(name);
        } else {
            index.cover(&name, covered);
        }
    }
    rebuilt.sort_unstable();
    Ok((survey, rebuilt))
}
