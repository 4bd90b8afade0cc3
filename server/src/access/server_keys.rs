//! Server keys: who has one is a back end of the application and may use the whole API. Only their hashes are stored, in a file
//! beside the documents, which commands change while the server runs.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// The file's name in the directory of the documents.
const FILE: &str = "server-keys.json";

/// What each key begins with, so that scanners of leaked secrets and people know what it is.
const PREFIX: &str = "coscribe_sk_";

/// Bytes of randomness in a key. So many that its hash needs no salt, and to hash it once is enough.
const RANDOM_BYTES: usize = 32;

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoredKey {
    /// What people call it.
    pub(crate) name: String,
    /// SHA-256, in hexadecimal digits.
    sha256: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// The keys in a directory, read again whenever the file has changed.
#[derive(Debug)]
pub(crate) struct ServerKeys {
    path: PathBuf,
    read: Mutex<Option<Read>>,
}

/// The file as it was read.
#[derive(Debug)]
struct Read {
    version: Option<Version>,
    keys: Vec<StoredKey>,
}

/// What differs between two contents of the file.
type Version = (SystemTime, u64);

/// Why a key is not made or removed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// Another has the name.
    #[error(
        "there is a key with the name {0:?} already: give this one another name, as in `coscribe key new NAME`"
    )]
    Taken(String),
    /// None has the name.
    #[error("there is no key with the name {0:?}")]
    Unknown(String),
    /// A key stands where its name belongs.
    #[error("this is a key itself: `coscribe key list` shows the names of keys")]
    Key,
    /// There is no randomness to be had.
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// The file cannot be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

impl ServerKeys {
    /// The keys in the directory of the documents.
    pub(crate) fn of(directory: &Path) -> ServerKeys {
        ServerKeys { path: directory.join(FILE), read: Mutex::default() }
    }

    /// All of them.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub(crate) fn list(&self) -> Result<Vec<StoredKey>, KeyFileError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.failed(error)),
        };
        serde_json::from_slice(&text).map_err(|error| self.failed(error.into()))
    }

    /// Whether this is one of them.
    ///
    /// # Errors
    /// If the file is there and cannot be read: nobody is let in then.
    pub(crate) fn allow(&self, key: &str) -> Result<bool, KeyFileError> {
        let hash = hash(key);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        let keys = match &mut *read {
            Some(read) if read.version == version => &read.keys,
            _ => &read.insert(Read { version, keys: self.list()? }).keys,
        };
        // Who tries keys learns from the time at most something about a hash.
        Ok(keys.iter().any(|stored| stored.sha256 == hash))
    }

    /// Makes a key, and stores its hash.
    ///
    /// # Errors
    /// If there is one with this name, or it cannot be stored.
    pub(crate) fn create(&self, name: &str) -> Result<String, KeyFileError> {
        let mut keys = self.list()?;
        if keys.iter().any(|key| key.name == name) {
            return Err(KeyFileError::Taken(name.to_owned()));
        }
        let mut random = [0; RANDOM_BYTES];
        getrandom::fill(&mut random)?;
        let key = format!("{PREFIX}{}", hexadecimal(&random));
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        keys.push(StoredKey { name: name.to_owned(), sha256: hash(&key), created });
        self.replace(&keys)?;
        Ok(key)
    }

    /// Removes a key: whoever has it is not let in any more.
    ///
    /// # Errors
    /// If there is none with this name, or the others cannot be stored.
    pub(crate) fn remove(&self, name: &str) -> Result<(), KeyFileError> {
        if name.starts_with(PREFIX) {
            return Err(KeyFileError::Key);
        }
        let mut keys = self.list()?;
        let before = keys.len();
        keys.retain(|key| key.name != name);
        if keys.len() == before {
            return Err(KeyFileError::Unknown(name.to_owned()));
        }
        self.replace(&keys)
    }

    fn replace(&self, keys: &[StoredKey]) -> Result<(), KeyFileError> {
        let write = || {
            let directory = self.path.parent().unwrap_or(Path::new("."));
            let new = self.path.with_extension("new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            // The server reads it, which may be another user's than this command.
            let (owned, made) = (fs::metadata(directory)?, file.metadata()?);
            if owned.uid() != made.uid() {
                fchown(&file, Some(owned.uid()), Some(owned.gid()))?;
            }
            file.write_all(&serde_json::to_vec_pretty(keys)?)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            File::open(directory)?.sync_all()
        };
        write().map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> KeyFileError {
        KeyFileError::File { path: self.path.clone(), error }
    }
}

fn hash(key: &str) -> String {
    hexadecimal(digest(&SHA256, key.as_bytes()).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_let_in_from_when_it_is_made_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let running = ServerKeys::of(directory.path());
        let allows = |key: &str| running.allow(key).unwrap();
        assert!(!allows(""));
        let command = ServerKeys::of(directory.path());
        let (one, other) = (command.create("one").unwrap(), command.create("other").unwrap());
        assert!(allows(&one) && allows(&other) && !allows(PREFIX));
        assert!(matches!(command.create("one"), Err(KeyFileError::Taken(_))));
        command.remove("one").unwrap();
        assert!(!allows(&one) && allows(&other));
        assert!(matches!(command.remove("one"), Err(KeyFileError::Unknown(_))));
        let said = command.remove(&other).unwrap_err().to_string();
        assert!(said.contains("key list") && !said.contains(&other), "{said}");
        let stored = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(!stored.contains(&other[PREFIX.len()..]), "{stored}");
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let keys = ServerKeys::of(directory.path());
        let key = keys.create("one").unwrap();
        fs::write(directory.path().join(FILE), "nonsense").unwrap();
        assert!(keys.allow(&key).is_err() && keys.list().is_err());
    }
}
