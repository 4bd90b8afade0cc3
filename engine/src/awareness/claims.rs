//! The owner of a client's state when two connections speak for the client.
//!
//! A client whose network was cut is back on a new connection before the server knows that the old one is dead. So a newer peer
//! that brings a higher clock *claims* the state, unless the owner has renewed it since that peer came: then both are alive.
//! The owner is asked for a sign of life, a WebSocket ping. If it answers, it keeps the state, and is asked again after a while
//! if the claim still stands. If it is silent, the state is taken from it. If it was only slow and answers later, it gets the
//! state back. So a peer can take the state of a living connection only for as long as that connection takes to answer.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::{Awareness, Incoming, NULL, Received, Settled, Speaker, State};
use crate::limits::{AWARENESS_CLIENTS_PER_PEER, SIGN_OF_LIFE, SIGN_OF_LIFE_COUNTS};
use crate::peer::PeerId;
use crate::seldom::Empty;
use crate::update::ClientId;

/// The claims of peers to clients that belong to others.
#[derive(Debug, Default)]
pub(super) struct Claims {
    claims: BTreeMap<ClientId, Claim>,
    /// The time at which each claim is due.
    due: BTreeSet<(Duration, ClientId)>,
    /// How many claims each peer has.
    counts: BTreeMap<PeerId, usize>,
    /// When each peer that was asked has last given a sign of life.
    alive: BTreeMap<PeerId, Duration>,
    /// Clients that were taken from silent peers that are still here.
    lost: BTreeMap<PeerId, BTreeSet<ClientId>>,
    /// Clients whose owner has changed but not their clock, so that somebody may not see them.
    unraised: Vec<(PeerId, ClientId)>,
    /// Bytes of all claimed states.
    bytes: usize,
}

#[derive(Debug)]
struct Claim {
    /// `None` if the peer has gone meanwhile.
    peer: Option<PeerId>,
    clock: u64,
    json: Bytes,
    came: Duration,
    due: Duration,
    /// Whether the owner has been asked; if not, it gave a sign of life a moment ago.
    asked: bool,
}

impl Empty for Claims {
    const EMPTY: &'static Claims = &Claims {
        claims: BTreeMap::new(),
        due: BTreeSet::new(),
        counts: BTreeMap::new(),
        alive: BTreeMap::new(),
        lost: BTreeMap::new(),
        unraised: Vec::new(),
        bytes: 0,
    };
}

impl Claims {
    /// Bytes of all claimed states.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many clients were taken from a peer.
    pub(super) fn lost(&self, peer: PeerId) -> usize {
        self.lost.get(&peer).map_or(0, BTreeSet::len)
    }

    /// Whether the owner of a client was asked for a sign of life and has not given it.
    pub(super) fn is_asked(&self, client: ClientId) -> bool {
        self.claims.get(&client).is_some_and(|claim| claim.asked)
    }

    /// Drops a claim whose clock the owner of the client has reached.
    pub(super) fn outrun(&mut self, client: ClientId, clock: u64) {
        if self.claims.get(&client).is_some_and(|claim| claim.clock <= clock) {
            self.drop_claim(client);
        }
    }

    /// Drops the claim to a client, and gives its peer, clock, state and time.
    pub(super) fn drop_claim(&mut self, client: ClientId) -> Option<(PeerId, u64, Bytes, Duration)> {
        let claim = self.claims.remove(&client)?;
        self.bytes -= claim.json.len();
        self.due.remove(&(claim.due, client));
        let peer = claim.peer?;
        self.uncount(peer);
        Some((peer, claim.clock, claim.json, claim.came))
    }

    /// Forgets a peer that has gone. If the owner of a claimed client was asked, the last word of the peer is that the client
    /// has gone.
    pub(super) fn forget(&mut self, peer: PeerId) {
        self.alive.remove(&peer);
        self.lost.remove(&peer);
        if self.counts.contains_key(&peer) {
            let of_peer =
                |(&client, claim): (&ClientId, &Claim)| (claim.peer == Some(peer)).then_some(client);
            for client in self.claims.iter().filter_map(of_peer).collect::<Vec<_>>() {
                match self.claims.get_mut(&client) {
                    Some(claim) if claim.asked => {
                        self.bytes = self.bytes - claim.json.len() + NULL.len();
                        (claim.peer, claim.json) = (None, Bytes::from_static(NULL));
                    }
                    _ => drop(self.drop_claim(client)),
                }
            }
            self.counts.remove(&peer);
        }
    }

    fn uncount(&mut self, peer: PeerId) {
        if let Some(count) = self.counts.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&peer);
            }
        }
    }

    fn put_off(&mut self, client: ClientId, due: Duration, asked: bool) {
        if let Some(claim) = self.claims.get_mut(&client) {
            self.due.remove(&(claim.due, client));
            self.due.insert((due, client));
            (claim.due, claim.asked) = (due, asked);
        }
    }

    fn lives_until(&self, owner: PeerId, now: Duration) -> Option<Duration> {
        self.alive.get(&owner).map(|&alive| alive + SIGN_OF_LIFE_COUNTS).filter(|&until| until > now)
    }
}

impl Awareness {
    /// Receives a state of a client that belongs to another peer. A peer that begins with a known clock may be back unchanged;
    /// a known clock later is an echo. Of several claims the newest counts, because a network may be cut again.
    pub(super) fn claim(
        &mut self,
        speaker: &Speaker,
        incoming: &Incoming<'_>,
        now: Duration,
        received: &mut Received,
    ) {
        let &Speaker { peer, came, begins } = speaker;
        let &Incoming { client, clock, json } = incoming;
        let Some(&State { owner, clock: known, renewed, .. }) = self.states.get(&client) else { return };
        let repeats = clock == known && begins && json != NULL;
        if !(clock > known || repeats) || renewed >= came {
            return;
        }
        received.knows = Some(self.moment);
        let claims = &mut *self.claims;
        if let Some(claim) = claims.claims.get_mut(&client) {
            let is_newer = claim.peer < Some(peer) && clock >= claim.clock;
            if is_newer || claim.peer == Some(peer) && clock > claim.clock {
                claims.bytes = claims.bytes - claim.json.len() + json.len();
                (claim.clock, claim.json, claim.came) = (clock, Bytes::copy_from_slice(json), now);
                let before = claim.peer.replace(peer);
                *claims.counts.entry(peer).or_default() += 1;
                before.into_iter().for_each(|before| claims.uncount(before));
            }
            return;
        }
        let claims = self.claims.counts.get(&peer).copied().unwrap_or_default();
        if claims + self.speaks_for(peer) >= AWARENESS_CLIENTS_PER_PEER {
            return;
        }
        let (due, asked) = match self.claims.lives_until(owner, now) {
            Some(until) => (until, false),
            None => (now + SIGN_OF_LIFE, true),
        };
        if asked {
            received.probe.insert(owner);
        }
        let json = Bytes::copy_from_slice(json);
        self.claims.bytes += json.len();
        self.claims.claims.insert(client, Claim { peer: Some(peer), clock, json, came: now, due, asked });
        self.claims.due.insert((due, client));
        *self.claims.counts.entry(peer).or_default() += 1;
    }

    /// Takes the clients whose owner has changed but not their clock, so that somebody may not see them. The owners are to
    /// raise it.
    pub fn take_unraised(&mut self) -> Vec<(PeerId, ClientId)> {
        self.claims.changed().map(|claims| std::mem::take(&mut claims.unraised)).unwrap_or_default()
    }

    /// When [`Awareness::settle`] has something to do.
    pub fn next_settlement(&self) -> Option<Duration> {
        self.claims.due.first().map(|&(due, _)| due)
    }

    /// Takes claimed states from owners that were asked and are silent, and has the other owners asked again. O(due claims ·
    /// log clients).
    pub fn settle(&mut self, now: Duration) -> Settled {
        let mut settled = Settled::default();
        while let Some(&(due, client)) = self.claims.due.first()
            && due <= now
        {
            let Some(&State { owner, clock, .. }) = self.states.get(&client) else {
                self.claims.drop_claim(client);
                continue;
            };
            if self.claims.is_asked(client) {
                self.take_from_owner(client);
                if self.states.get(&client).is_none_or(|state| state.clock > clock) {
                    settled.changed.push(client);
                }
            } else {
                self.claims.put_off(client, now + SIGN_OF_LIFE, true);
                settled.probe.insert(owner);
            }
        }
        settled
    }

    /// Takes a state from an owner that was asked for a sign of life and is silent, or that has not renewed the state.
    pub(super) fn take_from_owner(&mut self, client: ClientId) {
        let Some(&State { owner, clock, .. }) = self.states.get(&client) else { return };
        if self.hand_over(client) {
            self.claims.lost.entry(owner).or_default().insert(client);
        } else {
            self.remove(client, clock);
        }
    }

    /// Gives the state of a client to the peer that claims it, if there is one.
    pub(super) fn hand_over(&mut self, client: ClientId) -> bool {
        let Some((owner, clock, json, came)) = self.drop_claim(client) else { return false };
        if json == NULL || self.speaks_for(owner) >= AWARENESS_CLIENTS_PER_PEER {
            return false;
        }
        let mut risen = self.next_moment();
        if let Some(known) = self.states.get(&client).filter(|known| known.clock == clock) {
            risen = known.risen;
            self.claims.unraised.push((owner, client));
        }
        self.put(client, State { clock, json, owner, renewed: came, risen, told: came });
        true
    }

    /// Forgets the claim to a client. Gives what is claimed, if that peer is still here.
    pub(super) fn drop_claim(&mut self, client: ClientId) -> Option<(PeerId, u64, Bytes, Duration)> {
        self.claims.changed()?.drop_claim(client)
    }

    /// Notes that a peer has given the sign of life that it was asked for. Gives the clients that it gets back: it has to
    /// announce them with clocks above those that the others have seen meanwhile. O(its clients · log clients).
    pub fn alive(&mut self, peer: PeerId, now: Duration) -> Vec<ClientId> {
        self.claims.alive.insert(peer, now);
        for client in self.owned.get(&peer).into_iter().flatten() {
            match self.claims.claims.get(client) {
                Some(Claim { peer: None, .. }) => drop(self.claims.drop_claim(*client)),
                Some(_) => self.claims.put_off(*client, now + SIGN_OF_LIFE_COUNTS, false),
                None => {}
            }
        }
        let mut back = Vec::new();
        for client in self.claims.lost.remove(&peer).into_iter().flatten() {
            let Some(state) = self.states.get(&client) else { continue };
            let (clock, json, renewed) = (state.clock, state.json.clone(), state.renewed);
            let (risen, told) = (state.risen, state.told);
            self.put(client, State { clock, json, owner: peer, renewed, risen, told });
            back.push(client);
        }
        back
    }
}
