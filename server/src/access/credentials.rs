//! The credentials of a client.

use ring::digest;

use crate::config::Secret;

/// Everything in a request that says who somebody is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials {
    /// A token.
    pub(crate) token: Option<Secret>,
    /// The headers that the application is told.
    pub(crate) headers: Vec<(String, Secret)>,
    /// The cookies that the application is told.
    pub(crate) cookies: Vec<(String, Secret)>,
}

impl Credentials {
    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.token.is_none() && self.headers.is_empty() && self.cookies.is_empty()
    }

    /// A hash, by which they are found again without being kept. O(their bytes).
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        let mut add = |kind: u8, name: &str, value: &str| {
            hash.update(&[kind]);
            for text in [name, value] {
                hash.update(&(text.len() as u64).to_le_bytes());
                hash.update(text.as_bytes());
            }
        };
        if let Some(token) = &self.token {
            add(0, "", token.reveal());
        }
        self.headers.iter().for_each(|(name, value)| add(1, name, value.reveal()));
        self.cookies.iter().for_each(|(name, value)| add(2, name, value.reveal()));
        hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_credentials_have_different_digests() {
        let secret = |text: &str| text.parse::<Secret>().unwrap();
        let pairs = |name: &str, value: &str| vec![(name.to_owned(), secret(value))];
        let all = [
            Credentials::default(),
            Credentials { token: Some(secret("")), ..Credentials::default() },
            Credentials { token: Some(secret("ab")), ..Credentials::default() },
            Credentials { headers: pairs("a", "b"), ..Credentials::default() },
            Credentials { cookies: pairs("a", "b"), ..Credentials::default() },
            Credentials { cookies: pairs("", "ab"), ..Credentials::default() },
        ];
        let digests: std::collections::BTreeSet<_> = all.iter().map(Credentials::digest).collect();
        assert_eq!(digests.len(), all.len());
        assert_eq!(all[3].digest(), all[3].clone().digest());
    }
}
