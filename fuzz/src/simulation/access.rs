//! How access changes, and the promises about readers.

use coscribe_engine::peer;

use super::permissions::Permission;
use super::{Broken, Simulation};
use crate::outcome::{Failure, Oracle};
use crate::scenario::{Access, Dialect};

impl Simulation<'_> {
    /// A replica may do something else from now on.
    pub(super) fn set_access(&mut self, replica: usize, access: Access) -> Result<(), Failure> {
        let editor = &mut self.editors[replica];
        editor.access = access;
        if access == Access::Read {
            editor.provider.allow_refusals(true);
        }
        if let Some(peer) = editor.link.as_ref().map(|link| link.peer) {
            let changed = self.server.set_access(peer, access.into(), self.now);
            changed.map_err(|broken| self.broken(broken))?;
        }
        self.serve()
    }

    /// Whether a replica may only read.
    pub(super) fn has_readers(&self) -> bool {
        self.editors.iter().any(|editor| editor.access == Access::Read)
    }

    /// All replicas may write.
    pub(super) fn let_all_write(&mut self) -> Result<(), Failure> {
        (0..self.editors.len()).try_for_each(|replica| self.set_access(replica, Access::Write))
    }

    /// Everything has come to rest while there are readers: these have the document, see everybody, and know what was refused.
    pub(super) fn check_readers(&mut self) -> Result<(), Failure> {
        self.check_awareness().map_err(|broken| self.broken(broken))?;
        for replica in 0..self.editors.len() {
            self.check_told(replica).map_err(|broken| self.broken(broken))?;
        }
        self.check_acknowledged()
    }

    fn check_told(&self, replica: usize) -> Result<(), Broken> {
        let editor = &self.editors[replica];
        let peer = editor.link.as_ref().map(|link| link.peer);
        let Some((peer, permission)) = peer.and_then(|peer| Some((peer, self.server.permission(peer)?)))
        else {
            return Err((Oracle::Rest, format!("replica {replica} is not connected")));
        };
        if !editor.provider.is_synced() {
            return Err((Oracle::Waiting, format!("replica {replica} waits for the server's state")));
        }
        let refusals = editor.provider.refusals();
        let is_right = match editor.dialect {
            Dialect::YWebsocket => refusals.is_told == is_to_be_told(permission),
            Dialect::Hocuspocus => {
                // It hears of refusals after all that came before them, which may wait for a gap to fill; and not all
                // answers are counted.
                let least = if self.server.waits_for(peer) { 0 } else { permission.refused_updates };
                let told = least..=permission.refused_updates + permission.refused_answers;
                told.contains(&refusals.changes) && editor.provider.granted() == Some(permission.access)
            }
        };
        let detail = || format!("replica {replica} has heard {refusals:?}, and this is so: {permission:?}");
        if is_right { Ok(()) } else { Err((Oracle::Access, detail())) }
    }
}

/// Whether a client of y-websocket must know that it may not write: a reader from the start hears so when it tries.
fn is_to_be_told(permission: &Permission) -> bool {
    let has_tried = permission.refused_updates + permission.refused_answers > 0;
    permission.access == peer::Access::Read && (permission.has_changed || has_tried)
}
