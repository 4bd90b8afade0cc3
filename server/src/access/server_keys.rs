//! Server keys: who has one is a back end of the application and may use the whole API. Only their hashes are stored, in a file
//! beside the documents, which commands change while the server runs.

use std::fs::{self, File};
use std::io::{self, Write};
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
    #[error("there is a key with the name {0:?} already")]
    Taken(String),
    /// None has the name.
    #[error("there is no key with the name {0:?}")]
    Unknown(String),
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

    /// Whether this is one of them. A file that cannot be read lets nobody in.
    pub(crate) fn allow(&self, key: &str) -> bool {
        let hash = hash(key);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let version = fs::metadata(&self.path).and_then(|file| Ok((file.modified()?, file.len()))).ok();
        let keys = match &mut *read {
            Some(read) if read.version == version => &read.keys,
            _ => match self.list() {
                Ok(keys) => &read.insert(Read { version, keys }).keys,
                Err(error) => {
                    tracing::error!("server keys: {error}");
                    return false;
                }
            },
        };
        // Who tries keys learns from the time at most something about a hash.
        keys.iter().any(|stored| stored.sha256 == hash)
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
            fs::create_dir_all(directory)?;
            let new = self.path.with_extension("new");
            let mut file = File::create(&new)?;
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
        assert!(!running.allow(""));
        let command = ServerKeys::of(directory.path());
        let (one, other) = (command.create("one").unwrap(), command.create("other").unwrap());
        assert!(running.allow(&one) && running.allow(&other) && !running.allow(PREFIX));
        assert!(matches!(command.create("one"), Err(KeyFileError::Taken(_))));
        command.remove("one").unwrap();
        assert!(!running.allow(&one) && running.allow(&other));
        assert!(matches!(command.remove("one"), Err(KeyFileError::Unknown(_))));
        let stored = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(!stored.contains(&other[PREFIX.len()..]), "{stored}");
    }

    #[test]
    fn a_file_that_cannot_be_read_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let keys = ServerKeys::of(directory.path());
        let key = keys.create("one").unwrap();
        fs::write(directory.path().join(FILE), "nonsense").unwrap();
        assert!(!keys.allow(&key) && keys.list().is_err());
    }
}
