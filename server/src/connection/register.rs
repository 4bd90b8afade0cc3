//! Every WebSocket that is open: how many there are, in all and from one address, and how shutdown closes them one after
//! another.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coscribe_engine::message::{Parting, Reason};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::orders::{Orders, Review};
use crate::budget::{Account, Budget, Debtor};
use crate::config::network_of;
use crate::limits::{CONNECTION_BYTES, TLS_BYTES};
use crate::metrics::Metrics;

/// The open connections.
pub(crate) struct Connections {
    register: Mutex<Register>,
    last_left: Notify,
    limits: ConnectionLimits,
    /// Those that have given up their places.
    turned_away: Arc<Semaphore>,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
}

/// How many there may be.
#[derive(Debug, Copy, Clone)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) total: usize,
    /// From one address.
    pub(crate) per_address: usize,
    /// Beside these, of those that have no place in a room and are about to end.
    pub(crate) turned_away: usize,
}

#[derive(Default)]
struct Register {
    /// By numbers in the order in which they came.
    open: BTreeMap<u64, Registered>,
    last: u64,
    places: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A connection in the register.
struct Registered {
    account: Arc<Account>,
    orders: Arc<Orders>,
}

/// One of the connections that are counted, until it is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
}

/// A connection that shutdown closes; dropping this takes it out of the register.
pub(crate) struct Registration {
    connections: Arc<Connections>,
    /// Its place, while it has one, or else the right to be there without.
    place: Option<Place>,
    turned_away: Option<OwnedSemaphorePermit>,
    number: u64,
    account: Arc<Account>,
}

/// Why there is no place for a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPlace {
    /// The configured number of connections is open.
    #[error("too many connections; try again later")]
    Total,
    /// The configured number of connections is open from one address.
    #[error(
        "too many connections from {0}; if that is a proxy, it has to be one of the trusted proxies and say whom it speaks for"
    )]
    Address(IpAddr),
}

impl Connections {
    /// None is open.
    pub(crate) fn new(
        limits: ConnectionLimits,
        budget: Arc<Budget>,
        metrics: Arc<Metrics>,
    ) -> Arc<Connections> {
        Arc::new(Connections {
            register: Mutex::default(),
            last_left: Notify::new(),
            turned_away: Arc::new(Semaphore::new(limits.turned_away)),
            limits,
            budget,
            metrics,
        })
    }

    /// Takes a place for a connection of a client whose address is known, or is not.
    pub(crate) fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, NoPlace> {
        let address = address.map(network_of);
        let mut register = self.lock();
        if register.places >= self.limits.total {
            return Err(NoPlace::Total);
        }
        if let Some(address) = address {
            let count = register.by_address.entry(address).or_default();
            if *count >= self.limits.per_address {
                return Err(NoPlace::Address(address));
            }
            *count += 1;
        }
        register.places += 1;
        self.metrics.connections.inc();
        Ok(Place { connections: Arc::clone(self), address })
    }

    /// Closes all connections with 1001, evenly over `spread`, so that clients don't come back all at once.
    pub(crate) async fn close_all(&self, spread: Duration) {
        let orders = self.orders();
        let start = Instant::now();
        let step = spread.div_f64(orders.len().max(1) as f64);
        for (connection, n) in orders.iter().zip(1..) {
            connection.close(Parting::new(Reason::Shutdown, "the server is shutting down"));
            let next = start + step * n;
            // Sleeping less than the timer's grain would round up and stretch the whole.
            if next > Instant::now() + Duration::from_millis(1) {
                tokio::time::sleep_until(next).await;
            }
        }
    }

    /// Asks every connection to look at something again, and says how many these are.
    pub(crate) fn review(&self, review: Review) -> usize {
        let connections = self.orders();
        let review = Arc::new(review);
        connections.iter().for_each(|connection| connection.review(Arc::clone(&review)));
        connections.len()
    }

    /// What all connections owe, and how they hear of it.
    pub(crate) fn accounts(&self) -> Vec<(Arc<Account>, Arc<Orders>)> {
        let register = self.lock();
        let all = register.open.values();
        all.map(|one| (Arc::clone(&one.account), Arc::clone(&one.orders))).collect()
    }

    fn orders(&self) -> Vec<Arc<Orders>> {
        self.lock().open.values().map(|one| Arc::clone(&one.orders)).collect()
    }

    /// Waits until no connection is open.
    pub(crate) async fn all_closed(&self) {
        loop {
            let left = self.last_left.notified();
            if self.lock().open.is_empty() {
                return;
            }
            left.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Puts the connection into the register, so that shutdown closes it.
    pub(crate) fn register(self, orders: Arc<Orders>, is_encrypted: bool) -> Registration {
        let held = CONNECTION_BYTES + if is_encrypted { TLS_BYTES } else { 0 };
        let account = Account::new(&self.connections.budget, Debtor::Connection, self.address, held);
        let registered = Registered { account: Arc::clone(&account), orders };
        let mut register = self.connections.lock();
        register.last += 1;
        let number = register.last;
        register.open.insert(number, registered);
        drop(register);
        let connections = Arc::clone(&self.connections);
        Registration { connections, place: Some(self), turned_away: None, number, account }
    }
}

impl Registration {
    /// What the server holds for the connection.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Lets another connection have the place of this one, which is about to end, unless too many do the same.
    pub(crate) fn give_up_place(&mut self) {
        if let Ok(permit) = Arc::clone(&self.connections.turned_away).try_acquire_owned() {
            (self.turned_away, self.place) = (Some(permit), None);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut register = self.connections.lock();
        register.places -= 1;
        self.connections.metrics.connections.dec();
        if let Some(Entry::Occupied(mut count)) =
            self.address.map(|address| register.by_address.entry(address))
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let connections = &self.connections;
        let mut register = connections.lock();
        register.open.remove(&self.number);
        if register.open.is_empty() {
            connections.last_left.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(limits: ConnectionLimits) -> Arc<Connections> {
        let budget = Budget::new(usize::MAX);
        let metrics = Arc::new(Metrics::new(&budget));
        Connections::new(limits, budget, metrics)
    }

    #[test]
    fn places_are_counted_in_all_and_by_address_and_are_free_again_when_dropped() {
        let limits = ConnectionLimits { total: 3, per_address: 2, turned_away: 1 };
        let connections = of(limits);
        let admit = |address: &str| connections.admit(Some(address.parse().unwrap()));
        let one = admit("2001:db8::1").unwrap();
        let _two = admit("2001:db8::2").unwrap();
        assert!(matches!(admit("2001:db8:0:0:ffff::3"), Err(NoPlace::Address(_))), "the same /64");
        drop(one);
        let one = admit("2001:db8::1").unwrap();
        let _other = admit("2001:db8:0:1::1").unwrap();
        assert!(matches!(connections.admit(None), Err(NoPlace::Total)));
        drop(one);
        let _unknown = connections.admit(None).unwrap();
        assert_eq!(connections.metrics.connections.get(), 3);
        assert_eq!(connections.lock().by_address.len(), 2);
    }

    #[test]
    fn few_may_stay_without_a_place() {
        let connections = of(ConnectionLimits { total: 2, per_address: 2, turned_away: 1 });
        let register = || connections.admit(None).map(|place| place.register(Arc::default(), false));
        let [mut one, mut two] = [register().unwrap(), register().unwrap()];
        one.give_up_place();
        two.give_up_place();
        let three = register().unwrap();
        assert!(register().is_err(), "the second has kept its place");
        drop((one, three));
        two.give_up_place();
        let _others = [register().unwrap(), register().unwrap()];
    }
}
