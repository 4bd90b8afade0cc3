//! How many sockets there may be: as many as the system allows, less what files need. A log that cannot open its next segment
//! stores nothing, so sockets never take the last descriptors.

use rustix::process::{Resource, getrlimit};

use crate::limits::{MAX_REQUESTING, MAX_TURNED_AWAY, RESERVED_DESCRIPTORS};

/// How the descriptors of the process are shared out.
#[derive(Debug, Copy, Clone, PartialEq, Eq)]
pub(crate) struct Descriptors {
    /// All that the process may have.
    pub(crate) limit: usize,
    /// WebSockets.
    pub(crate) connections: usize,
    /// WebSockets that have no place in a room and are about to end.
    pub(crate) turned_away: usize,
    /// Other connections, at each of the two doors.
    pub(crate) requesting: usize,
}

impl Descriptors {
    /// Those of this process, where so many WebSockets are wanted.
    pub(crate) fn of_process(wanted: usize) -> Descriptors {
        let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
        Descriptors::share(limit.unwrap_or(usize::MAX), wanted)
    }

    fn share(limit: usize, wanted: usize) -> Descriptors {
        let sockets = limit - RESERVED_DESCRIPTORS.min(limit / 2);
        let requesting = MAX_REQUESTING.min(sockets / 8);
        let turned_away = MAX_TURNED_AWAY.min(sockets / 8);
        let connections = wanted.min(sockets - 2 * requesting - turned_away);
        Descriptors { limit, connections, turned_away, requesting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_leave_enough_for_files() {
        let share = |limit| Descriptors::share(limit, 50_000);
        let (turned_away, requesting) = (MAX_TURNED_AWAY, MAX_REQUESTING);
        assert_eq!(
            share(1 << 20),
            Descriptors { limit: 1 << 20, connections: 50_000, turned_away, requesting }
        );
        assert_eq!(
            share(1024),
            Descriptors { limit: 1024, connections: 480, turned_away: 96, requesting: 96 }
        );
        for limit in [64, 256, 1024, 4096, 65_536] {
            let Descriptors { connections, turned_away, requesting, .. } = share(limit);
            assert!(connections > 0 && turned_away > 0 && requesting > 0);
            let sockets = connections + turned_away + 2 * requesting;
            assert!(sockets + RESERVED_DESCRIPTORS.min(limit / 2) <= limit, "{limit}");
        }
    }
}
