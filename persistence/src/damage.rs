//! Parts of a file that cannot be read.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::name::DocumentName;
use crate::record::Record;
use crate::words::counted;

/// The reason where there is nothing else, as after a crash of the system.
pub(crate) const ZEROS: &str = "nothing but zeros";

/// The reason where an end mark is damaged, which is of no document.
pub(crate) const DAMAGED_MARK: &str = "a damaged end mark";

/// A stretch of a segment in which no record can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub path: PathBuf,
    /// Where the stretch starts.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Which document the record there seems to belong to, and its sequence. The bytes are damaged, so this is a guess.
    pub document: Option<(DocumentName, u64)>,
    /// What is wrong.
    pub reason: &'static str,
}

impl Damage {
    /// A record that is sound, but has no business in this file.
    pub(crate) fn foreign(path: &Path, offset: u64, record: &Record<'_>) -> Self {
        Self {
            path: path.to_owned(),
            offset,
            bytes: record.encoded_len() as u64,
            document: DocumentName::new(record.name).ok().map(|name| (name, record.sequence)),
            reason: "a record that does not belong here",
        }
    }

    pub(crate) fn is_only_zeros(&self) -> bool {
        self.reason == ZEROS
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, offset, bytes, reason, .. } = self;
        let bytes = counted(*bytes, "unreadable byte");
        write!(f, "{bytes} at offset {offset} of {path:?} ({reason})")?;
        match &self.document {
            Some((name, sequence)) => {
                write!(f, ", probably record {sequence} of document {name:?}")
            }
            None if *reason == DAMAGED_MARK => Ok(()),
            None => write!(f, ", of an unknown document"),
        }
    }
}
