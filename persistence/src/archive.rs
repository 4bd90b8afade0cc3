//! Documents as plain files: for backups, for moving to another server, and for reading with any Yjs.
//!
//! An archive is a directory with one `.yjs` file for each document (the full state as one update in v1 encoding) and a
//! manifest that says which file is which document. The files are numbered, since a document name may be
//! anything. The manifest is written last: a directory without one is an archive that was not finished.

use std::fs;
use std::io::{self, Write};
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::name::{DocumentName, NameError};
use crate::words::counted;

/// The manifest's file name: JSON, see [`ArchiveEntry`] for what it says of each document.
pub const ARCHIVE_MANIFEST: &str = "manifest.json";

const FORMAT: &str = "coscribe-archive";
const VERSION: u32 = 1;
const DOCUMENTS_DIR: &str = "documents";

/// Why an archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file system call failed.
    #[error("could not {action} {path:?}: {source}")]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// An archive is only written into a new or an empty directory.
    #[error("{0:?} is not empty")]
    NotEmpty(PathBuf),
    /// A document was added twice.
    #[error("document {0:?} is in the archive twice")]
    Repeated(DocumentName),
    /// The manifest is not one that this version writes.
    #[error("{path:?} is not the manifest of an archive: {reason}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A document's file does not match the manifest.
    #[error("document {name:?} in {path:?}: {reason}")]
    Damaged {
        /// The document.
        name: DocumentName,
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// A document's entry in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveEntry {
    /// The document.
    pub name: DocumentName,
    /// Its sequence in the store that it was exported from.
    pub sequence: u64,
    /// When it was exported, ms since the Unix epoch.
    pub time: u64,
    /// Size of the state in bytes.
    pub bytes: u64,
    crc32c: u32,
    file: String,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: String,
    version: u32,
    documents: Vec<ManifestEntry>,
}

#[derive(Serialize, Deserialize)]
struct ManifestEntry {
    name: String,
    file: String,
    bytes: u64,
    /// CRC32C of the file, eight hexadecimal digits.
    crc32c: String,
    sequence: u64,
    time: u64,
}

/// Writes an archive.
#[derive(Debug)]
pub struct ArchiveWriter {
    dir: PathBuf,
    entries: std::collections::BTreeMap<DocumentName, ArchiveEntry>,
}

impl ArchiveWriter {
    /// Starts an archive in a new or empty directory.
    pub fn create(dir: &Path) -> Result<Self, ArchiveError> {
        disk::create_dir(dir).map_err(failed("create", dir))?;
        if fs::read_dir(dir).map_err(failed("list", dir))?.next().is_some() {
            return Err(ArchiveError::NotEmpty(dir.to_owned()));
        }
        let documents = dir.join(DOCUMENTS_DIR);
        fs::create_dir(&documents).map_err(failed("create", &documents))?;
        Ok(Self { dir: dir.to_owned(), entries: std::collections::BTreeMap::new() })
    }

    /// Adds a document: its full state as one update in v1 encoding.
    pub fn add(
        &mut self,
        name: &DocumentName,
        state: &[u8],
        sequence: u64,
        time: u64,
    ) -> Result<(), ArchiveError> {
        if self.entries.contains_key(name) {
            return Err(ArchiveError::Repeated(name.clone()));
        }
        let file = format!("{:08}.yjs", self.entries.len() + 1);
        let path = self.dir.join(DOCUMENTS_DIR).join(&file);
        write_new(&path, state).map_err(failed("write", &path))?;
        let (bytes, crc32c) = (state.len() as u64, crc32c::crc32c(state));
        self.entries
            .insert(name.clone(), ArchiveEntry { name: name.clone(), sequence, time, bytes, crc32c, file });
        Ok(())
    }

    /// Writes the manifest, and returns the number of documents. Everything is on disk when it returns.
    pub fn finish(self) -> Result<usize, ArchiveError> {
        let documents: Vec<_> = self.entries.into_values().map(ManifestEntry::from).collect();
        let count = documents.len();
        let path = self.dir.join(ARCHIVE_MANIFEST);
        let manifest = Manifest { format: FORMAT.to_owned(), version: VERSION, documents };
        let write = || -> io::Result<()> {
            disk::sync_dir(&self.dir.join(DOCUMENTS_DIR))?;
            write_new(&path, &serde_json::to_vec_pretty(&manifest)?)?;
            disk::sync_dir(&self.dir)
        };
        write().map_err(failed("write", &path))?;
        Ok(count)
    }
}

/// Reads an archive.
#[derive(Debug)]
pub struct ArchiveReader {
    dir: PathBuf,
    entries: Vec<ArchiveEntry>,
}

impl ArchiveReader {
    /// Reads the manifest and checks it.
    pub fn open(dir: &Path) -> Result<Self, ArchiveError> {
        let path = dir.join(ARCHIVE_MANIFEST);
        let text = fs::read(&path).map_err(failed("read", &path))?;
        let invalid = |reason: String| ArchiveError::Manifest { path: path.clone(), reason };
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
        if manifest.format != FORMAT || manifest.version != VERSION {
            return Err(invalid(format!("it is {:?} version {}", manifest.format, manifest.version)));
        }
        let entries = manifest.documents.into_iter().map(ArchiveEntry::try_from);
        let mut entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(invalid)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some(pair) = entries.windows(2).find(|pair| pair[0].name == pair[1].name) {
            return Err(ArchiveError::Repeated(pair[0].name.clone()));
        }
        Ok(Self { dir: dir.to_owned(), entries })
    }

    /// The documents in it, sorted by name.
    pub fn entries(&self) -> &[ArchiveEntry] {
        &self.entries
    }

    /// The state of a document, checked against the manifest.
    pub fn read(&self, entry: &ArchiveEntry) -> Result<Vec<u8>, ArchiveError> {
        let path = self.dir.join(DOCUMENTS_DIR).join(&entry.file);
        let damaged =
            |reason: String| ArchiveError::Damaged { name: entry.name.clone(), path: path.clone(), reason };
        let found = fs::metadata(&path).map_err(failed("read", &path))?.len();
        // Checked before reading: the file may be anything.
        if found != entry.bytes {
            return Err(damaged(format!("it has {} instead of {}", counted(found, "byte"), entry.bytes)));
        }
        let state = fs::read(&path).map_err(failed("read", &path))?;
        if crc32c::crc32c(&state) != entry.crc32c {
            return Err(damaged("its checksum differs".to_owned()));
        }
        Ok(state)
    }

    /// Every document with its state, in the order of the names. An error concerns one document only.
    pub fn documents(&self) -> impl Iterator<Item = Result<(&ArchiveEntry, Vec<u8>), ArchiveError>> {
        self.entries.iter().map(|entry| self.read(entry).map(|state| (entry, state)))
    }
}

impl From<ArchiveEntry> for ManifestEntry {
    fn from(entry: ArchiveEntry) -> Self {
        let ArchiveEntry { name, sequence, time, bytes, crc32c, file } = entry;
        Self { name: name.to_string(), file, bytes, crc32c: format!("{crc32c:08x}"), sequence, time }
    }
}

impl TryFrom<ManifestEntry> for ArchiveEntry {
    type Error = String;

    fn try_from(entry: ManifestEntry) -> Result<Self, String> {
        let ManifestEntry { name, file, bytes, crc32c, sequence, time } = entry;
        let name = DocumentName::new(&name).map_err(|error: NameError| error.to_string())?;
        // Only names in our own format, so that a manifest cannot make us read another directory.
        let stem = file.strip_suffix(".yjs").filter(|stem| !stem.is_empty());
        if !stem.is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit())) {
            return Err(format!("{file:?} is not a file name of an archive"));
        }
        let crc32c = u32::from_str_radix(&crc32c, 16).map_err(|_| format!("{crc32c:?} is not a checksum"))?;
        Ok(Self { name, sequence, time, bytes, crc32c, file })
    }
}

/// Writes a file that must not be there: under its name it is either whole, and synced, or not there.
///
/// # Errors
/// If it is there, or cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new();
    new.prefix(".coscribe-").suffix(".part");
    // As of any new file: the umask takes away what the user does not want.
    #[cfg(unix)]
    new.permissions(PermissionsExt::from_mode(0o666));
    // Its own errors name the temporary file.
    let mut file = dir.metadata().and_then(|_| new.tempfile_in(dir).map_err(|error| error.kind().into()))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map(drop).map_err(|error| error.error)
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ArchiveError {
    let path = path.to_owned();
    move |source| ArchiveError::Io { action, path, source }
}
