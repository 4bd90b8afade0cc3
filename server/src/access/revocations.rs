//! Tokens that were taken back: a file of JSON lines beside the documents, and the same in memory.
//!
//! A line is on disk before anybody hears that something is revoked. One that a crash or a full disk has cut off was never
//! answered: it is taken away.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Grant, subject};
use crate::limits::{REVOCATIONS, REVOKED_NAME_BYTES};

/// The file's name in the directory of the documents.
const FILE: &str = "revocations.jsonl";

/// What is revoked: the tokens of a subject or of everybody that were issued before a moment, or one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Revocation {
    /// The subject, or everybody.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "subject::optional")]
    pub(crate) subject: Option<String>,
    /// The `jti` of a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<String>,
    /// Seconds since 1970: tokens that were issued before are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issued_before: Option<u64>,
}

/// Why nothing is revoked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RevokeError {
    /// It says nothing, or two things.
    #[error("either token, or subject, issuedBefore or both are needed")]
    Unclear,
    /// It is a moment that has not come.
    #[error("issuedBefore is in the future: it is in seconds since 1970")]
    Future,
    /// It is a whole token.
    #[error("a token is revoked by its id, the claim jti; without one, revoke its subject")]
    WholeToken,
    /// Somebody else has changed the file.
    #[error("{FILE} was changed while the server runs; start it again")]
    Changed,
    /// A name is too long.
    #[error("a subject and a token's id have at most {REVOKED_NAME_BYTES} bytes")]
    TooLong,
    /// There are too many.
    #[error(
        "{REVOCATIONS} revocations are known: use a new key for tokens, stop the server, and remove {FILE}"
    )]
    TooMany,
    /// It could not be written.
    #[error("cannot store it; the server's log says why")]
    Disk(#[from] io::Error),
}

/// Everything that was revoked.
#[derive(Debug)]
pub(crate) struct Revocations {
    known: RwLock<Known>,
    file: Mutex<Journal>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: HashSet<String>,
    /// Tokens of these subjects that were issued before.
    subjects: HashMap<String, u64>,
    /// Tokens of everybody that were issued before.
    everybody: u64,
}

#[derive(Debug)]
struct Journal {
    path: PathBuf,
    /// Where the next line begins.
    end: u64,
}

impl Revocations {
    /// Reads what was revoked before.
    ///
    /// # Errors
    /// If the file is there and cannot be read: nobody may come in with a revoked token because of that.
    pub(crate) fn open(directory: &Path) -> io::Result<Revocations> {
        let path = directory.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let end = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut known = Known::default();
        for (line, number) in text[..end].split(|&byte| byte == b'\n').zip(1..) {
            if line.is_empty() {
                continue;
            }
            let revocation = serde_json::from_slice(line).map_err(|error| {
                io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{}, line {number}: {error}", path.display()),
                )
            })?;
            known.add(&revocation);
        }
        let file = Mutex::new(Journal { path, end: end as u64 });
        Ok(Revocations { known: RwLock::new(known), file })
    }

    /// Revokes something, and returns when that is on disk. A subject's tokens are revoked that were issued before now, unless it
    /// says when.
    ///
    /// # Errors
    /// If it is unclear what is meant, or it cannot be stored: then nothing is revoked.
    pub(crate) fn revoke(&self, mut revocation: Revocation) -> Result<(), RevokeError> {
        let Revocation { subject, token, issued_before } = &mut revocation;
        match (&subject, &token, &issued_before) {
            (None, Some(_), None) => {}
            // Tokens are dated by the second: those of this one are meant as well.
            (Some(_), None, None) => *issued_before = Some(seconds(SystemTime::now()) + 1),
            (_, None, Some(_)) => {}
            _ => return Err(RevokeError::Unclear),
        }
        if issued_before.is_some_and(|before| before > seconds(SystemTime::now()) + 1) {
            return Err(RevokeError::Future);
        }
        if token.as_ref().is_some_and(|token| token.starts_with("ey") && token.matches('.').count() == 2) {
            return Err(RevokeError::WholeToken);
        }
        if [&*subject, &*token].into_iter().flatten().any(|name| name.len() > REVOKED_NAME_BYTES) {
            return Err(RevokeError::TooLong);
        }
        if self.known.read().unwrap_or_else(PoisonError::into_inner).len() >= REVOCATIONS {
            return Err(RevokeError::TooMany);
        }
        self.file.lock().unwrap_or_else(PoisonError::into_inner).append(&revocation)?;
        self.known.write().unwrap_or_else(PoisonError::into_inner).add(&revocation);
        Ok(())
    }

    /// Whether the token is revoked that a grant comes from. What is not dated counts as issued long ago.
    pub(crate) fn cover(&self, grant: &Grant) -> bool {
        let Some(token) = &grant.token else { return false };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let issued = token.issued.map_or(0, seconds);
        let of_subject = known.subjects.get(&*grant.subject).copied().unwrap_or_default();
        issued < known.everybody.max(of_subject)
            || token.id.as_ref().is_some_and(|id| known.tokens.contains(id))
    }
}

impl Known {
    fn add(&mut self, revocation: &Revocation) {
        if let Some(token) = &revocation.token {
            self.tokens.insert(token.clone());
        }
        let before = revocation.issued_before.unwrap_or_default();
        match &revocation.subject {
            Some(subject) => {
                let known = self.subjects.entry(subject.clone()).or_default();
                *known = before.max(*known);
            }
            None => self.everybody = before.max(self.everybody),
        }
    }

    fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }
}

impl Journal {
    /// Writes a line where the last one ended, over what may be there of another.
    fn append(&mut self, revocation: &Revocation) -> Result<(), RevokeError> {
        let mut line = serde_json::to_vec(revocation).map_err(io::Error::from)?;
        line.push(b'\n');
        let mut file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&self.path)?;
        if file.metadata()?.len() < self.end {
            return Err(RevokeError::Changed);
        }
        file.set_len(self.end)?;
        file.seek(SeekFrom::Start(self.end))?;
        file.write_all(&line)?;
        file.sync_all()?;
        if self.end == 0
            && let Some(directory) = self.path.parent()
        {
            File::open(directory)?.sync_all()?;
        }
        self.end += line.len() as u64;
        Ok(())
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coscribe_engine::room::Access;

    use super::*;
    use crate::access::grant::TokenIdentity;

    fn grant(subject: &str, id: Option<&str>, issued: Option<u64>) -> Grant {
        let issued = issued.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
        let token = Some(Arc::new(TokenIdentity { id: id.map(str::to_owned), issued }));
        Grant { subject: subject.into(), token, ..Grant::anonymous(Access::Write) }
    }

    fn revocation(text: &str) -> Revocation {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_revoked_stays_so_when_the_server_starts_again() {
        let directory = tempfile::tempdir().unwrap();
        let revocations = Revocations::open(directory.path()).unwrap();
        let now = seconds(SystemTime::now());
        let cases = [
            (grant("ann", None, Some(now)), true),
            (grant("ann", None, None), true),
            (grant("ann", None, Some(now + 60)), false),
            (grant("bob", None, Some(now)), false),
            (grant("bob", Some("t1"), Some(now)), true),
            (grant("bob", Some("t2"), Some(now)), false),
            (grant("", None, Some(999)), true),
            (Grant::anonymous(Access::Write), false),
        ];
        assert!(cases.iter().all(|(grant, _)| !revocations.cover(grant)));
        for text in [r#"{"subject":"ann"}"#, r#"{"token":"t1"}"#, r#"{"issuedBefore":1000}"#] {
            revocations.revoke(revocation(text)).unwrap();
        }
        for revocations in [revocations, Revocations::open(directory.path()).unwrap()] {
            for (grant, expected) in &cases {
                assert_eq!(revocations.cover(grant), *expected, "{grant:?}");
            }
        }
    }

    #[test]
    fn a_line_that_was_cut_off_is_written_over_and_one_that_was_changed_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        fs::write(&path, "{\"token\":\"t1\"}\n{\"token\":\"t2 and much more than will be written").unwrap();
        let revocations = Revocations::open(directory.path()).unwrap();
        revocations.revoke(revocation(r#"{"token":"t3"}"#)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"token\":\"t1\"}\n{\"token\":\"t3\"}\n");
        fs::write(&path, "{\"token\":\"t1\"}\nnonsense\n").unwrap();
        assert!(Revocations::open(directory.path()).unwrap_err().to_string().contains("line 2"));
    }

    #[test]
    fn what_is_unclear_revokes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let revocations = Revocations::open(directory.path()).unwrap();
        let tomorrow = format!(r#"{{"issuedBefore":{}}}"#, seconds(SystemTime::now()) + 86_400);
        assert!(matches!(revocations.revoke(revocation(&tomorrow)), Err(RevokeError::Future)));
        let whole = r#"{"token":"eyJh.eyJz.c2ln"}"#;
        assert!(matches!(revocations.revoke(revocation(whole)), Err(RevokeError::WholeToken)));
        for text in ["{}", r#"{"subject":"a","token":"b"}"#, r#"{"token":"b","issuedBefore":1}"#] {
            assert!(matches!(revocations.revoke(revocation(text)), Err(RevokeError::Unclear)), "{text}");
        }
        let long = Revocation {
            subject: None,
            token: Some("x".repeat(REVOKED_NAME_BYTES + 1)),
            issued_before: None,
        };
        assert!(matches!(revocations.revoke(long), Err(RevokeError::TooLong)));
        assert_eq!(revocation(r#"{"subject":17}"#).subject.as_deref(), Some("17"));
        assert!(serde_json::from_str::<Revocation>(r#"{"subjekt":"ann"}"#).is_err());
        assert!(!directory.path().join(FILE).exists());
    }
}
