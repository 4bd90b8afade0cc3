//! The keys of tokens, and whether one of them has signed a token.

mod crypto;
mod jwk;
mod key;
mod pem;
mod remote;
mod signer;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use futures_util::future::join_all;
use jsonwebtoken::DecodingKey;
use tracing::{info, warn};

pub(crate) use self::crypto::install;
use self::jwk::KeysOfSet;
pub(crate) use self::key::{Key, KeyError};
use self::remote::Remote;
pub(crate) use self::signer::{Signer, Unsigned};
use super::claims::{Claims, Rules};
use super::client::HttpClient;
use super::grant::Denied;
use super::jws::Jws;
use super::tokens::TokenError;
use crate::config::{AccessConfig, KeySource, Secret, shown};
use crate::limits::{KEYS_TRIED, LONGEST_LEEWAY};

/// The keys of the configuration, and the rules for what they sign.
pub(crate) struct KeySet {
    local: Vec<Arc<Key>>,
    remotes: Vec<Arc<Remote>>,
    rules: Rules,
}

/// Keeps the keys of URLs current.
pub(crate) struct KeyRefresh(Vec<Arc<Remote>>);

/// Why the server does not start with its keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    /// There are two secrets.
    #[error("access.secret and access.secret_file are both given; several secrets go into a JWKS file")]
    TwoSecrets,
    /// A file cannot be read.
    #[error("{name}: cannot read {}: {error}", path.display())]
    Unreadable {
        /// The key of the configuration.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// A secret or a file is no key.
    #[error("{name}: {error}")]
    Key {
        /// The key of the configuration, and the file.
        name: String,
        /// Why not.
        error: KeyError,
    },
    /// Tokens would outlive their end by too much.
    #[error("access.leeway is longer than {} s", LONGEST_LEEWAY.as_secs())]
    Leeway,
    /// A URL could be read or changed by everybody on the way.
    #[error("access.keys: {0} is not https://; access.allow_http = \"on\" accepts that")]
    Clear(String),
}

/// The outcome of a search for the key of a token.
#[derive(Clone)]
pub(crate) enum Search {
    /// This key has signed it.
    Signed(Arc<Key>),
    /// The key that it names has not signed it.
    Forged,
    /// None of the keys has signed it, and it names none of them.
    Unknown,
}

impl KeySet {
    /// The keys of the configuration. Those of URLs come with [`refresh`](KeySet::refresh).
    ///
    /// # Errors
    /// If a key is missing or malformed, or the leeway is too long.
    pub(crate) fn new(config: &AccessConfig, client: &HttpClient) -> Result<KeySet, KeySetError> {
        if config.leeway.get() > LONGEST_LEEWAY {
            return Err(KeySetError::Leeway);
        }
        let mut keys = KeySet { local: Vec::new(), remotes: Vec::new(), rules: Rules::new(config) };
        if let Some((name, secret)) = secret(config)? {
            let key = Key::new(None, DecodingKey::from_secret(secret.reveal().as_bytes()));
            let key = key.map_err(|error| KeySetError::Key { name: name.to_owned(), error })?;
            keys.local.push(Arc::new(key));
        }
        for source in &config.keys {
            match source {
                KeySource::File { kid, path } => {
                    keys.local.extend(read_keys(path, kid.as_deref())?.into_iter().map(Arc::new));
                }
                KeySource::Url(url) if url.is_private() || config.allow_http.is_on() => {
                    keys.remotes.push(Arc::new(Remote::new(url.clone(), client.clone())));
                }
                KeySource::Url(url) => return Err(KeySetError::Clear(url.to_string())),
            }
        }
        Ok(keys)
    }

    /// Whether no token can be verified, ever.
    pub(crate) fn is_empty(&self) -> bool {
        self.local.is_empty() && self.remotes.is_empty()
    }

    /// Keeps the keys of URLs current while it runs.
    pub(crate) fn refresh(&self) -> KeyRefresh {
        KeyRefresh(self.remotes.clone())
    }

    /// The claims of a token that one of the keys has signed, that is for this server, and that holds now.
    ///
    /// Takes some tens of microseconds. For a key that is not known it waits until the URLs of keys have been asked again, once in
    /// [`REFETCH_PAUSE`](crate::limits::REFETCH_PAUSE).
    ///
    /// # Errors
    /// If there is no such token, or its key may be at a URL that cannot be reached.
    pub(crate) async fn verify(&self, token: &str, now: SystemTime) -> Result<Claims, Denied> {
        let invalid = |cause: &dyn fmt::Display| {
            info!(%cause, "a token is not valid");
            TokenError::Invalid
        };
        let jws = Jws::parse(token)
            .ok_or_else(|| invalid(&"it is no JWT, too long, or its header is not understood"))?;
        let mut found = self.search(&jws);
        if matches!(found, Search::Unknown) && !self.remotes.is_empty() {
            let are_current = join_all(self.remotes.iter().map(|remote| remote.renewed())).await;
            found = self.search(&jws);
            if matches!(found, Search::Unknown) && are_current.contains(&false) {
                return Err(Denied::Unavailable);
            }
        }
        match found {
            Search::Signed(_) => {}
            Search::Forged => return Err(invalid(&"the key that it names has not signed it").into()),
            Search::Unknown => return Err(invalid(&"no key has signed it").into()),
        }
        let claims = self.rules.parse(jws.claims()).map_err(|error| invalid(&error))?;
        self.rules.check(&claims, now)?;
        Ok(claims)
    }

    /// The key that has signed a token, among those that are known now. It tries up to [`KEYS_TRIED`] keys.
    pub(crate) fn search(&self, jws: &Jws<'_>) -> Search {
        let remote = self.remotes.iter().flat_map(|remote| remote.keys().to_vec());
        let mut fitting: Vec<_> =
            self.local.iter().cloned().chain(remote).filter(|key| key.may_fit(jws)).collect();
        let has_its_id = |key: &Arc<Key>| jws.kid().is_some() && key.kid() == jws.kid();
        fitting.sort_by_key(|key| !has_its_id(key));
        let is_named = fitting.first().is_some_and(has_its_id);
        match fitting.into_iter().take(KEYS_TRIED).find(|key| key.verifies(jws)) {
            Some(key) => Search::Signed(key),
            None if is_named => Search::Forged,
            None => Search::Unknown,
        }
    }

    /// What tokens have to say.
    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }
}

impl KeyRefresh {
    /// Asks all URLs now, and whenever their keys get old or a token names another one. Does not end.
    pub(crate) async fn run(self) {
        join_all(self.0.iter().map(|remote| remote.run())).await;
    }

    /// Asks all URLs once.
    pub(crate) async fn once(self) {
        join_all(self.0.iter().map(|remote| remote.fetch())).await;
    }
}

/// The secret of HS256, and the key of the configuration that it is from.
///
/// # Errors
/// If it cannot be read, or there are two.
pub(crate) fn secret(config: &AccessConfig) -> Result<Option<(&'static str, Secret)>, KeySetError> {
    match (&config.secret, &config.secret_file) {
        (Some(_), Some(_)) => Err(KeySetError::TwoSecrets),
        (Some(secret), None) => Ok(Some(("access.secret", secret.clone()))),
        (None, Some(path)) => {
            let name = "access.secret_file";
            let read = Secret::read(path);
            let secret = read.map_err(|error| KeySetError::Unreadable { name, path: shown(path), error })?;
            Ok(Some((name, secret)))
        }
        (None, None) => Ok(None),
    }
}

/// The keys of a PEM file or of a JWKS file, which is JSON.
fn read_keys(path: &Path, kid: Option<&str>) -> Result<Vec<Key>, KeySetError> {
    let name = "access.keys";
    let unreadable = |error| KeySetError::Unreadable { name, path: shown(path), error };
    let wrong = |error| KeySetError::Key { name: format!("{name}: {}", shown(path).display()), error };
    let bytes = fs::read(path).map_err(unreadable)?;
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return pem::keys(&bytes, kid).map_err(wrong);
    }
    let KeysOfSet { keys, unused } = jwk::keys(&bytes).map_err(wrong)?;
    for error in &unused {
        warn!("a key in {} is not used: {error}", path.display());
    }
    if keys.is_empty() {
        return Err(wrong(KeyError::Malformed("it has no key that can be used".to_owned())));
    }
    Ok(keys)
}
