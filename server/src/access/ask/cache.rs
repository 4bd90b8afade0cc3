//! Answers of the application that still hold.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use coscribe_persistence::DocumentName;
use tokio::time::Instant;

use crate::access::{Denied, Grant};

/// Credentials and a document.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct CacheKey {
    pub(super) credentials: [u8; 32],
    pub(super) document: DocumentName,
}

/// A decision of the application.
pub(super) type Decision = Result<Grant, Denied>;

/// Decisions by their keys. Where it is full, the decision goes that ends first.
pub(super) struct Cache {
    most: usize,
    decisions: HashMap<CacheKey, (Decision, Instant)>,
    ends: BTreeSet<(Instant, CacheKey)>,
}

/// Which decisions are meant: all that are not excluded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Those for this document only.
    pub(crate) document: Option<DocumentName>,
    /// Those for this subject only, and denials, which name none.
    pub(crate) subject: Option<Arc<str>>,
}

impl Scope {
    /// Whether a decision about this document is among them. It may not have been made yet.
    pub(super) fn has(&self, document: &DocumentName, decision: Option<&Decision>) -> bool {
        let is_document = self.document.as_ref().is_none_or(|ours| ours == document);
        let is_subject = match (&self.subject, decision) {
            (Some(subject), Some(Ok(grant))) => grant.subject == *subject,
            _ => true,
        };
        is_document && is_subject
    }
}

impl Cache {
    pub(super) fn new(most: usize) -> Cache {
        Cache { most, decisions: HashMap::new(), ends: BTreeSet::new() }
    }

    /// The decision that holds now.
    pub(super) fn get(&mut self, key: &CacheKey, now: Instant) -> Option<Decision> {
        let (decision, end) = self.decisions.get(key)?;
        if *end > now {
            return Some(decision.clone());
        }
        self.remove(key);
        None
    }

    /// Keeps a decision until its end. O(log decisions).
    pub(super) fn insert(&mut self, key: CacheKey, decision: Decision, end: Instant) {
        self.remove(&key);
        if self.decisions.len() >= self.most
            && let Some((_, first)) = self.ends.pop_first()
        {
            self.decisions.remove(&first);
        }
        self.ends.insert((end, key.clone()));
        self.decisions.insert(key, (decision, end));
    }

    /// Forgets decisions. O(decisions).
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.decisions.retain(|key, (decision, end)| {
            let stays = !scope.has(&key.document, Some(decision));
            if !stays {
                self.ends.remove(&(*end, key.clone()));
            }
            stays
        });
    }

    fn remove(&mut self, key: &CacheKey) {
        if let Some((_, end)) = self.decisions.remove(key) {
            self.ends.remove(&(end, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coscribe_engine::room::Access;

    use super::*;

    fn key(document: &str) -> CacheKey {
        CacheKey { credentials: [0; 32], document: DocumentName::new(document).unwrap() }
    }

    fn grant(subject: &str) -> Decision {
        Ok(Grant { subject: subject.into(), ..Grant::anonymous(Access::Read) })
    }

    #[test]
    fn a_decision_holds_until_its_end_or_until_there_are_too_many() {
        let (now, mut cache) = (Instant::now(), Cache::new(2));
        let at = |seconds| now + Duration::from_secs(seconds);
        cache.insert(key("a"), grant("x"), at(1));
        assert!(cache.get(&key("a"), now).is_some() && cache.get(&key("a"), at(1)).is_none());
        cache.insert(key("a"), grant("x"), at(9));
        cache.insert(key("b"), grant("x"), at(5));
        cache.insert(key("c"), grant("x"), at(7));
        assert_eq!(["a", "b", "c"].map(|name| cache.get(&key(name), now).is_some()), [true, false, true]);
        assert_eq!((cache.decisions.len(), cache.ends.len()), (2, 2));
    }

    #[test]
    fn decisions_are_forgotten_by_document_and_by_subject() {
        let now = Instant::now();
        let left = |scope: Scope| {
            let mut cache = Cache::new(9);
            let end = now + Duration::from_secs(9);
            cache.insert(key("a"), grant("x"), end);
            cache.insert(key("b"), grant("y"), end);
            cache.insert(key("c"), Err(Denied::NoToken), end);
            cache.forget(&scope);
            assert_eq!(cache.decisions.len(), cache.ends.len());
            ["a", "b", "c"].map(|name| cache.get(&key(name), now).is_some())
        };
        let (document, subject) = (Some(key("a").document), Some(Arc::from("y")));
        assert_eq!(left(Scope::default()), [false, false, false]);
        assert_eq!(left(Scope { document: document.clone(), subject: None }), [false, true, true]);
        assert_eq!(left(Scope { document: None, subject: subject.clone() }), [true, false, false]);
        assert_eq!(left(Scope { document, subject }), [true, true, true]);
    }
}
