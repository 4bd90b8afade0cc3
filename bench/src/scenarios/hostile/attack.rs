//! The attacks: each has a name, a line that says what it is, what a server must have for it to make sense, and a plan.
//!
//! A plan prepares the attack: it connects, writes documents, and makes all bytes. It returns the strike, which sends them and
//! returns when the server has read them, or will not. The strike's connections stay open until the attack is over.

use super::scene::Scene;
use super::{awareness, compressed, connections, deletions, many, parked, pastes, unread};

/// What is done to the server.
pub(super) type Strike = Box<dyn FnMut() -> anyhow::Result<()> + Send>;

/// What a server must have.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(super) enum Need {
    /// Documents: a relay has none.
    Documents,
    /// All messages of a frame are read, and not only the first.
    SeveralInFrame,
    /// Messages from clients may be compressed.
    Compression,
}

impl Need {
    /// Whether a server has it; else what it does instead.
    pub(super) fn is_met(self, scene: &Scene) -> anyhow::Result<Result<(), &'static str>> {
        Ok(match self {
            Self::Documents if !scene.has_documents() => Err("has no documents"),
            Self::SeveralInFrame if !scene.reads_several()? => Err("reads one message of a frame"),
            Self::Compression if !scene.compresses()? => Err("does not compress"),
            _ => Ok(()),
        })
    }
}

/// One way to misuse a server.
#[derive(Debug, Copy, Clone)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// What is done.
    pub what: &'static str,
    pub(super) needs: &'static [Need],
    pub(super) plan: fn(&Scene) -> anyhow::Result<Strike>,
}

impl Attack {
    /// What it is called among other loads.
    pub fn title(&self) -> String {
        format!("hostile: {}", self.name)
    }
}

/// What all others are compared with.
const QUIET: Attack =
    Attack { name: "quiet", what: "nothing", needs: &[], plan: |_| Ok(Box::new(|| Ok(()))) };

/// All attacks, in the order in which they are run.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    const GROUPS: [&[Attack]; 9] = [
        &[QUIET],
        many::ATTACKS,
        awareness::ATTACKS,
        unread::ATTACKS,
        pastes::ATTACKS,
        deletions::ATTACKS,
        parked::ATTACKS,
        compressed::ATTACKS,
        connections::ATTACKS,
    ];
    GROUPS.into_iter().flatten()
}

/// The attack with this name.
pub fn find(name: &str) -> Option<&'static Attack> {
    all().find(|attack| attack.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_find_their_attack() {
        assert!(all().all(|attack| find(attack.name).is_some_and(|found| found.what == attack.what)));
    }
}
