//! Tokens that were looked at and are no good: a client that comes again and again with the same costs no further look.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::TokenError;
use crate::limits::{BAD_TOKEN_HOLDS, BAD_TOKENS};

/// The bad tokens of late, by a hash that nobody can foresee.
#[derive(Debug, Default)]
pub(crate) struct BadTokens {
    hasher: RandomState,
    known: Mutex<HashMap<u64, (TokenError, Instant)>>,
}

impl BadTokens {
    /// What is wrong with a token, if that was found out a short while ago.
    pub(crate) fn get(&self, token: &str, now: Instant) -> Option<TokenError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (error, since) = known.get(&self.hasher.hash_one(token))?;
        (now - *since < BAD_TOKEN_HOLDS).then_some(*error)
    }

    /// Notes what is wrong with a token, if that will not change soon.
    pub(crate) fn note(&self, token: &str, error: TokenError, now: Instant) {
        if error == TokenError::Early {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= BAD_TOKENS {
            known.retain(|_, (_, since)| now - *since < BAD_TOKEN_HOLDS);
            if known.len() >= BAD_TOKENS {
                known.clear();
            }
        }
        known.insert(self.hasher.hash_one(token), (error, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_token_is_known_for_a_while_and_no_more_are_than_may_be() {
        let (bad, now) = (BadTokens::default(), Instant::now());
        bad.note("a", TokenError::Expired, now);
        bad.note("b", TokenError::Early, now);
        assert_eq!((bad.get("a", now), bad.get("b", now)), (Some(TokenError::Expired), None));
        assert_eq!(bad.get("a", now + BAD_TOKEN_HOLDS), None);
        (0..2 * BAD_TOKENS).for_each(|n| bad.note(&n.to_string(), TokenError::Invalid, now));
        assert!(bad.known.lock().unwrap().len() <= BAD_TOKENS);
    }
}
