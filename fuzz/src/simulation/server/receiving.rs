//! The server's side of connections: how they begin and end, and what comes on them.

use std::time::Duration;

use bytes::Bytes;
use coscribe_engine::dialect::MessageError;
use coscribe_engine::dialect::hocuspocus::{self, Frame, Request};
use coscribe_engine::message::Inbound;
use coscribe_engine::peer::{Access, PeerId};
use coscribe_engine::work::finish;

use super::{Broken, Open, SimulatedServer};
use crate::outcome::Oracle;
use crate::scenario::Dialect;
use crate::serving;
use crate::simulation::connections::Connection;
use crate::simulation::delivery::Delivery;
use crate::simulation::permissions::Permission;

impl SimulatedServer {
    /// A connection has opened.
    pub(in super::super) fn connect(
        &mut self,
        peer: PeerId,
        dialect: Dialect,
        access: Access,
        now: Duration,
    ) -> Result<(), Broken> {
        self.connections.open(peer, dialect);
        self.permissions.open(peer, access);
        if dialect == Dialect::YWebsocket {
            let access = self.bugs.granted(access);
            serving::connect(self.room(now)?, peer, access, now);
        }
        Ok(())
    }

    /// A connection may do something else with the document from now on.
    pub(in super::super) fn set_access(
        &mut self,
        peer: PeerId,
        access: Access,
        now: Duration,
    ) -> Result<(), Broken> {
        self.permissions.change(peer, access);
        let access = self.bugs.granted(access);
        self.room(now)?.set_access(peer, access);
        Ok(())
    }

    /// Whether something that a peer sent waits for a gap to fill.
    pub(in super::super) fn waits_for(&self, peer: PeerId) -> bool {
        self.open.as_ref().is_some_and(|open| open.room.blocks().parked().waits_for(peer.0))
    }

    /// What a connection may do, if it is open.
    pub(in super::super) fn permission(&self, peer: PeerId) -> Option<&Permission> {
        self.permissions.of(peer)
    }

    /// A connection has ended, or is given up.
    pub(in super::super) fn disconnect(&mut self, peer: PeerId, now: Duration) -> Result<(), Broken> {
        self.connections.close(peer);
        self.permissions.close(peer);
        finish(self.room(now)?.disconnect(peer));
        Ok(())
    }

    /// A frame has come from a peer.
    pub(in super::super) fn receive(
        &mut self,
        peer: PeerId,
        frame: &Bytes,
        now: Duration,
    ) -> Result<(), Broken> {
        self.room(now)?;
        match self.connections.get_mut(peer) {
            Some(Connection::YWebsocket) => {
                serving::messages(frame).try_for_each(|message| self.take(peer, message, now))
            }
            Some(Connection::Hocuspocus { .. }) => self.receive_hocuspocus(peer, frame, now),
            None => Ok(()),
        }
    }

    fn receive_hocuspocus(&mut self, peer: PeerId, frame: &Bytes, now: Duration) -> Result<(), Broken> {
        let refused = |error: MessageError| (Oracle::Refused, format!("the server cannot read: {error}"));
        let Frame::Addressed { address, request } = Frame::read(frame).map_err(refused)? else {
            return Ok(());
        };
        match request.map_err(refused)? {
            Request::Auth { .. } => {
                let Some(access) = self.permission(peer).map(|permission| permission.access) else {
                    return Ok(());
                };
                let frame = hocuspocus::granted_frame(&address, access);
                if let Some(Connection::Hocuspocus { address: opened }) = self.connections.get_mut(peer) {
                    *opened = Some(address);
                }
                self.replies.push(Delivery { peer, frame });
                let access = self.bugs.granted(access);
                serving::open(self.room(now)?, peer, access, now);
            }
            Request::Close => finish(self.room(now)?.disconnect(peer)),
            Request::Say(wish, message) => {
                wish.into_iter()
                    .chain([message])
                    .try_for_each(|message| self.take(peer, Ok(message), now))?;
            }
        }
        Ok(())
    }

    /// Hands a message to the room.
    fn take(
        &mut self,
        peer: PeerId,
        message: Result<Inbound, MessageError>,
        now: Duration,
    ) -> Result<(), Broken> {
        let Some(Open { room, .. }) = &mut self.open else { return Ok(()) };
        if let Ok(message) = &message {
            self.permissions.note(peer, message, room.blocks());
        }
        let parked = room.blocks().parked().bytes();
        match message.map(|message| self.bugs.incoming(message, room)) {
            Ok(Some(message)) => finish(room.receive(peer, message, now)),
            Ok(None) => {}
            Err(error) => finish(room.refuse(peer, error)),
        }
        if self.permissions.is_reader(peer) && room.blocks().parked().bytes() != parked {
            return Err((Oracle::Access, format!("an update of reader {} waits for a gap to fill", peer.0)));
        }
        Ok(())
    }
}
