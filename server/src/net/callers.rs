//! Connections that are not WebSockets, or not yet: how many there may be, in all and from one address, and which of them goes
//! where there is no place for another.
//!
//! What a connection wants is known when its request has been read, so each is let in, also the one that asks whether the server
//! lives. Where places are short, the address that has most of them pays: it loses the connection that has made no request for
//! longest, which is one that was forgotten, or does not read its answers, or does not get on with its request.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coscribe_turns::Turns;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;
use tracing::warn;

use crate::config::network_of;
use crate::limits::{FEW_REQUESTING, REQUEST_TIME, REQUESTING_LOGGED_WITHIN, REQUESTING_SHARE};

/// The connections at one door that are not WebSockets.
pub(super) struct Callers {
    /// How many there may be.
    places: usize,
    /// How many there may be of one address.
    from_address: usize,
    register: Mutex<Register>,
    /// Somebody has left.
    left: Notify,
    /// Turns to be answered.
    turns: Turns,
}

#[derive(Default)]
struct Register {
    /// By address, and there in the order of their last requests.
    of: HashMap<IpAddr, BTreeMap<u64, Caller>>,
    /// How many each address has.
    sizes: BTreeSet<(usize, IpAddr)>,
    /// All of them, with those that are about to leave.
    open: usize,
    last: u64,
    warned: Option<Instant>,
}

/// A connection that may have to leave.
struct Caller {
    /// When it came, or made its last request.
    since: Instant,
    lost: Arc<Notify>,
}

/// The place of a connection, until it is dropped.
pub(super) struct Place {
    callers: Arc<Callers>,
    address: IpAddr,
    number: AtomicU64,
    lost: Arc<Notify>,
    is_of_another: bool,
}

impl Callers {
    /// Nobody is here.
    pub(super) fn new(places: usize) -> Arc<Callers> {
        let from_address = (places / REQUESTING_SHARE).max(FEW_REQUESTING);
        let turns = Turns::on_half_of_the_processors();
        Arc::new(Callers { places, from_address, register: Mutex::default(), left: Notify::new(), turns })
    }

    /// A place for a connection, perhaps that of another, which then leaves. A proxy may have all places, since it has many clients.
    /// O(log connections).
    pub(super) fn enter(self: &Arc<Self>, from: IpAddr, is_proxy: bool) -> Option<Place> {
        let (address, now) = (network_of(from), Instant::now());
        let mut register = self.lock();
        let own = register.size(address);
        let payer = if !is_proxy && own >= self.from_address {
            Some(address)
        } else if register.open >= self.places {
            register.sizes.last().map(|&(_, largest)| largest)
        } else {
            None
        };
        if let Some(payer) = payer {
            register.warn(payer, now);
            // Those who have no more than others are not sent away while they may be about to become WebSockets: a crowd that
            // comes back at once would get nowhere.
            let is_fair = register.size(payer) > own + 1;
            if !register.send_away(payer, |since| is_fair || now - since >= REQUEST_TIME) {
                return None;
            }
        }
        let lost = Arc::<Notify>::default();
        register.open += 1;
        let number = register.add(address, Caller { since: now, lost: Arc::clone(&lost) });
        let (callers, number) = (Arc::clone(self), number.into());
        Some(Place { callers, address, number, lost, is_of_another: payer.is_some() })
    }

    /// Waits until those have left who had to: each has a descriptor.
    pub(super) async fn settled(&self) {
        loop {
            let left = self.left.notified();
            if self.lock().open <= self.places {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Register {
    fn size(&self, address: IpAddr) -> usize {
        self.of.get(&address).map_or(0, BTreeMap::len)
    }

    fn add(&mut self, address: IpAddr, caller: Caller) -> u64 {
        self.last += 1;
        let own = self.of.entry(address).or_default();
        self.sizes.remove(&(own.len(), address));
        own.insert(self.last, caller);
        self.sizes.insert((own.len(), address));
        self.last
    }

    fn remove(&mut self, address: IpAddr, number: u64) -> Option<Caller> {
        let own = self.of.get_mut(&address)?;
        let before = own.len();
        let caller = own.remove(&number)?;
        let left = own.len();
        self.sizes.remove(&(before, address));
        if left == 0 {
            self.of.remove(&address);
        } else {
            self.sizes.insert((left, address));
        }
        Some(caller)
    }

    /// Asks the connection of an address to leave that has made no request for longest, if it may go that has made none since then.
    fn send_away(&mut self, address: IpAddr, may_go: impl Fn(Instant) -> bool) -> bool {
        let oldest = self.of.get(&address).and_then(BTreeMap::first_key_value);
        let Some((&number, _)) = oldest.filter(|(_, caller)| may_go(caller.since)) else { return false };
        if let Some(caller) = self.remove(address, number) {
            caller.lost.notify_one();
        }
        true
    }

    /// Says now and then that places are short.
    fn warn(&mut self, address: IpAddr, now: Instant) {
        if self.warned.is_none_or(|warned| now - warned >= REQUESTING_LOGGED_WITHIN) {
            self.warned = Some(now);
            let (open, own) = (self.open, self.size(address));
            warn!(open, %address, own, "too many connections that are not WebSockets: the oldest of this address are closed");
        }
    }
}

impl Place {
    /// A request has come: others are older now.
    pub(super) fn request(&self) {
        let mut register = self.callers.lock();
        let number = self.number.load(Ordering::Relaxed);
        if let Some(caller) = register.remove(self.address, number) {
            let number = register.add(self.address, Caller { since: Instant::now(), ..caller });
            self.number.store(number, Ordering::Relaxed);
        }
    }

    /// Ready when it is the turn of its address to be answered, and all else has had its turn: who asks for much at once holds up
    /// nobody.
    pub(super) fn turn(&self) -> impl Future<Output = ()> + Send + use<> {
        let next = self.callers.turns.next(Some(self.address));
        async move {
            let _turn = next.await;
            yield_now().await;
        }
    }

    /// Ready when the connection has to leave.
    pub(super) async fn lost(&self) {
        self.lost.notified().await;
    }

    /// Whether another has lost it.
    pub(super) fn is_of_another(&self) -> bool {
        self.is_of_another
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut register = self.callers.lock();
        register.open -= 1;
        register.remove(self.address, *self.number.get_mut());
        drop(register);
        self.callers.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> IpAddr {
        [198, 51, 100, n].into()
    }

    /// Whether a connection has to leave.
    fn has_lost(place: &Place) -> bool {
        let mut lost = std::pin::pin!(place.lost());
        let waker = std::task::Waker::noop();
        lost.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_most_pays_with_what_is_oldest() {
        let callers = Callers::new(32);
        let crowd: Vec<_> = (0..16).map(|_| callers.enter(address(1), false).unwrap()).collect();
        assert!(callers.enter(address(1), false).is_none(), "none of its own has had its time yet");
        let others: Vec<_> = (2..18).map(|n| callers.enter(address(n), false).unwrap()).collect();
        crowd[0].request();
        let one_more = callers.enter(address(20), false).unwrap();
        assert!(one_more.is_of_another() && has_lost(&crowd[1]));
        assert_eq!(crowd.iter().chain(&others).filter(|place| has_lost(place)).count(), 0);
        tokio::time::advance(REQUEST_TIME).await;
        let own = callers.enter(address(1), false).unwrap();
        assert!(own.is_of_another() && has_lost(&crowd[2]));
        drop((crowd, others, one_more, own));
        let register = callers.lock();
        assert!(register.open == 0 && register.of.is_empty() && register.sizes.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_proxy_may_have_all_places_and_a_crowd_with_one_each_waits() {
        let callers = Callers::new(32);
        let proxy: Vec<_> = (0..32).map(|_| callers.enter(address(1), true).unwrap()).collect();
        assert!(callers.enter(address(1), true).is_none());
        let _other = callers.enter(address(2), false).unwrap();
        assert!(has_lost(&proxy[0]));
        drop(proxy);
        let crowd: Vec<_> = (3..34).map(|n| callers.enter(address(n), false).unwrap()).collect();
        assert!(callers.enter(address(99), false).is_none());
        tokio::time::advance(REQUEST_TIME).await;
        assert!(callers.enter(address(99), false).is_some());
        drop(crowd);
    }

    #[tokio::test]
    async fn the_next_is_let_in_when_who_had_to_leave_has_left() {
        let callers = Callers::new(16);
        let mut crowd: Vec<_> = (0..16).map(|_| callers.enter(address(1), false).unwrap()).collect();
        callers.settled().await;
        let _other = callers.enter(address(2), false).unwrap();
        let waiting = tokio::spawn({
            let callers = Arc::clone(&callers);
            async move { callers.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        crowd.remove(0);
        waiting.await.unwrap();
    }
}
