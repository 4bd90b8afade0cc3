//! All attacks, in groups of a kind.

mod awareness;
mod compressed;
mod connections;
mod crowds;
mod deletions;
mod many;
mod parked;
mod pastes;
mod tokens;
mod unread;

use super::attack::Attack;

/// What all others are compared with.
const QUIET: Attack =
    Attack { name: "quiet", what: "nothing", needs: &[], plan: |_| Ok(Box::new(|| Ok(()))) };

/// All attacks, in the order in which they are run.
pub fn all() -> impl Iterator<Item = &'static Attack> {
    const GROUPS: [&[Attack]; 11] = [
        &[QUIET],
        many::ATTACKS,
        awareness::ATTACKS,
        unread::ATTACKS,
        pastes::ATTACKS,
        deletions::ATTACKS,
        parked::ATTACKS,
        compressed::ATTACKS,
        connections::ATTACKS,
        crowds::ATTACKS,
        tokens::ATTACKS,
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
