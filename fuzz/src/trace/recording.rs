//! Recorded updates in files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use coscribe_engine::lib0::{ReadError, Reader};
use coscribe_engine::update::Update;

/// Names of files in a folder that hold one update each.
const EXTENSIONS: [&str; 4] = ["bin", "yjs", "update", "yupdate"];

/// The updates of one document, in the order in which they were recorded.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) name: String,
    pub(super) updates: Vec<Bytes>,
}

/// How updates lie in a file. Integers of lib0 are LEB128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// One update
    Update,
    /// Updates with their length before each, as lib0 writes it (varBuf)
    VarBuf,
    /// Their number as lib0 writes it, and then the same
    Counted,
    /// Updates with their length before each, as 4 bytes, little-endian
    U32le,
    /// The same, big-endian
    U32be,
    /// Several documents: how many, and for each the counted updates, a text (varString), a map and an array (Any) that are
    /// expected of it: as Yjs' own random tests were recorded
    YjsCases,
    /// Several documents: how many, and for each a name (varString), the counted updates, a state, a state vector (varBuf) and
    /// JSON (varString): as this project's fixtures
    Fixtures,
}

impl Format {
    /// All, in the order in which they are tried.
    const ALL: [Self; 7] =
        [Self::Update, Self::VarBuf, Self::Counted, Self::U32le, Self::U32be, Self::YjsCases, Self::Fixtures];

    /// The recordings in a file of this format; `None` if it has another.
    fn read(self, name: &str, file: &Bytes) -> Option<Vec<Recording>> {
        let one = |updates| vec![Recording { name: name.to_owned(), updates }];
        let recordings = match self {
            Self::Update => one(vec![file.clone()]),
            Self::VarBuf => one(var_bufs(file).ok()?),
            Self::Counted => one(whole(file, |reader| counted(file, reader)).ok()?),
            Self::U32le => one(fixed(file, u32::from_le_bytes)?),
            Self::U32be => one(fixed(file, u32::from_be_bytes)?),
            Self::YjsCases => cases(file, |number, reader| {
                let updates = counted(file, reader)?;
                reader.var_string()?;
                reader.skip_any()?;
                reader.skip_any()?;
                Ok(Recording { name: format!("{name}, case {number}"), updates })
            })?,
            Self::Fixtures => cases(file, |_, reader| {
                let name = format!("{name}: {}", reader.var_string()?);
                let updates = counted(file, reader)?;
                reader.var_buf()?;
                reader.var_buf()?;
                reader.var_string()?;
                Ok(Recording { name, updates })
            })?,
        };
        let are_updates = recordings.iter().flat_map(|recording| &recording.updates).all(is_update);
        (are_updates && !recordings.is_empty()).then_some(recordings)
    }
}

/// Reads a folder with one update in each file, in the order of their names, or a file in one of the formats.
///
/// # Errors
/// If something cannot be read, or is no update.
pub(super) fn read(path: &Path, format: Option<Format>) -> anyhow::Result<Vec<Recording>> {
    if path.is_dir() {
        return Ok(vec![read_folder(path)?]);
    }
    let file = read_file(path)?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let formats = format.as_ref().map_or(&Format::ALL[..], std::slice::from_ref);
    ensure!(!file.is_empty(), "{} is empty", path.display());
    let recordings = formats.iter().find_map(|format| format.read(&name, &file));
    recordings.with_context(|| match format {
        Some(format) => format!("{} is not in the format {format:?}, with updates v1", path.display()),
        None => format!("{} is in none of the formats, with updates v1 (see --format)", path.display()),
    })
}

fn read_folder(path: &Path) -> anyhow::Result<Recording> {
    let entries = path.read_dir().with_context(|| format!("cannot read {}", path.display()))?;
    let files: Result<Vec<PathBuf>, _> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files.with_context(|| format!("cannot read {}", path.display()))?;
    files.retain(|file| {
        file.extension().is_some_and(|extension| EXTENSIONS.iter().any(|known| extension == *known))
    });
    files.sort_unstable();
    ensure!(!files.is_empty(), "{} has no files *.{}", path.display(), EXTENSIONS.join(", *."));
    let mut updates = Vec::new();
    for file in &files {
        let update = read_file(file)?;
        if let Err(error) = Update::scan(update.clone()) {
            bail!("{} is no update v1: {error}", file.display());
        }
        updates.push(update);
    }
    Ok(Recording { name: path.display().to_string(), updates })
}

fn read_file(path: &Path) -> anyhow::Result<Bytes> {
    Ok(fs::read(path).with_context(|| format!("cannot read {}", path.display()))?.into())
}

fn is_update(bytes: &Bytes) -> bool {
    Update::scan(bytes.clone()).is_ok()
}

fn var_bufs(file: &Bytes) -> Result<Vec<Bytes>, ReadError> {
    whole(file, |reader| {
        let mut updates = Vec::new();
        while !reader.is_empty() {
            updates.push(file.slice_ref(reader.var_buf()?));
        }
        Ok(updates)
    })
}

fn counted(file: &Bytes, reader: &mut Reader<'_>) -> Result<Vec<Bytes>, ReadError> {
    let count = reader.count(1)?;
    (0..count).map(|_| reader.var_buf().map(|update| file.slice_ref(update))).collect()
}

fn fixed(file: &Bytes, length: fn([u8; 4]) -> u32) -> Option<Vec<Bytes>> {
    let (mut rest, mut updates) = (file.clone(), Vec::new());
    while !rest.is_empty() {
        let bytes = rest.first_chunk().copied()?;
        let len = usize::try_from(length(bytes)).ok()?;
        rest = rest.slice(4..);
        if len > rest.len() {
            return None;
        }
        updates.push(rest.split_to(len));
    }
    Some(updates)
}

fn cases(
    file: &Bytes,
    read: impl Fn(usize, &mut Reader<'_>) -> Result<Recording, ReadError>,
) -> Option<Vec<Recording>> {
    whole(file, |reader| {
        let count = reader.count(1)?;
        (0..count).map(|number| read(number, reader)).collect()
    })
    .ok()
}

/// Reads something that goes to the end.
fn whole<T>(
    file: &Bytes,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut reader = Reader::new(file);
    let value = read(&mut reader)?;
    if reader.is_empty() { Ok(value) } else { Err(ReadError::UnexpectedEnd) }
}
