//! Who is next, where many want what only a few can have at a time: processors for long work, or memory for large messages.
//!
//! Whoever opens a thousand connections is one among others: all that come from one network share its turns ([`Party`]), and
//! the networks have theirs in rotation. Within one, who came first is first.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::iter;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// For whom something is done: a network from which clients come. `None` stands for all of which that is unknown, and for the
/// program itself.
pub type Party = Option<IpAddr>;

/// The wait for a turn. Whoever drops it waits no more.
pub type NextTurn = Pin<Box<dyn Future<Output = Turn> + Send>>;

/// Turns, of which some are taken at the same time. Clones share them.
#[derive(Clone)]
pub struct Turns(Arc<Mutex<Waiting>>);

struct Waiting {
    /// Turns that nobody has. There are none while anybody waits.
    free: usize,
    by_party: HashMap<Party, VecDeque<oneshot::Sender<Turn>>>,
    /// Parties of which somebody waits, in the order in which they are next.
    order: VecDeque<Party>,
}

/// A turn, which ends when this is dropped.
pub struct Turn(Turns);

impl Turns {
    /// So many turns at the same time, at least one.
    pub fn new(at_once: usize) -> Turns {
        let free = at_once.max(1);
        Turns(Arc::new(Mutex::new(Waiting { free, by_party: HashMap::new(), order: VecDeque::new() })))
    }

    /// One for each second processor: the others have room for what needs no turn. A single one is taken now and then.
    pub fn on_half_of_the_processors() -> Turns {
        Turns::new(thread::available_parallelism().map_or(1, usize::from) / 2)
    }

    /// The next turn of a party. It waits from now on, not from when this is polled first.
    pub fn next(&self, party: Party) -> impl Future<Output = Turn> + Send + use<> {
        let entered = self.enter(party);
        async move {
            match entered {
                Ok(turn) => turn,
                Err(receiver) => receiver.await.expect("a sender is dropped only after its receiver"),
            }
        }
    }

    /// A free turn, or the wait for one.
    fn enter(&self, party: Party) -> Result<Turn, oneshot::Receiver<Turn>> {
        let mut waiting = self.waiting();
        if waiting.free > 0 {
            waiting.free -= 1;
            return Ok(Turn(self.clone()));
        }
        let (sender, receiver) = oneshot::channel();
        waiting.add(party, sender);
        Err(receiver)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn add(&mut self, party: Party, sender: oneshot::Sender<Turn>) {
        let queue = self.by_party.entry(party).or_default();
        if queue.is_empty() {
            self.order.push_back(party);
        }
        queue.push_back(sender);
    }

    /// Who is next, of those that still wait. The party that has had a turn goes to the end.
    fn pop(&mut self) -> Option<oneshot::Sender<Turn>> {
        loop {
            let party = self.order.pop_front()?;
            let queue = self.by_party.get_mut(&party)?;
            let next = iter::from_fn(|| queue.pop_front()).find(|sender| !sender.is_closed());
            if queue.is_empty() {
                self.by_party.remove(&party);
            } else {
                self.order.push_back(party);
            }
            if next.is_some() {
                return next;
            }
        }
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        let next = waiting.pop();
        waiting.free += usize::from(next.is_none());
        drop(waiting);
        if let Some(sender) = next {
            // Whoever has gone at this very moment drops the turn, which then goes on to the next.
            let _ = sender.send(Turn(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn party(last: u8) -> Party {
        Some([10, 0, 0, last].into())
    }

    #[test]
    fn parties_take_turns_and_within_one_the_first_is_first() {
        let turns = Turns::new(1);
        let mut turn = turns.next(party(1)).now_or_never();
        assert!(turn.is_some());
        let mut waiting: Vec<_> = [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e"), (2, "f")]
            .map(|(number, name)| (name, Box::pin(turns.next(party(number)))))
            .into();
        let mut order = Vec::new();
        while !waiting.is_empty() {
            drop(turn.take());
            let ready = waiting.iter_mut().position(|(_, next)| {
                turn = next.as_mut().now_or_never();
                turn.is_some()
            });
            order.push(waiting.remove(ready.unwrap()).0);
        }
        assert_eq!(order, ["a", "d", "e", "b", "f", "c"]);
        drop(turn);
        assert!(turns.next(None).now_or_never().is_some());
    }

    #[test]
    fn some_have_a_turn_at_the_same_time() {
        let turns = Turns::new(2);
        let one = turns.next(None).now_or_never().unwrap();
        let _other = turns.next(None).now_or_never().unwrap();
        let mut third = Box::pin(turns.next(None));
        assert!(third.as_mut().now_or_never().is_none());
        drop(one);
        assert!(third.now_or_never().is_some());
    }

    #[test]
    fn whoever_has_gone_is_passed_over_and_a_turn_that_nobody_takes_is_free() {
        let turns = Turns::new(1);
        let turn = turns.next(None).now_or_never();
        let gone: Vec<_> = (0..=255).cycle().take(100_000).map(|last| turns.next(party(last))).collect();
        let mut here = Box::pin(turns.next(party(7)));
        drop(gone);
        drop(turn);
        let turn = here.as_mut().now_or_never().unwrap();
        let given = turns.next(None);
        drop(turn);
        drop(given);
        assert!(turns.next(None).now_or_never().is_some(), "it was given to somebody who never looked");
        drop(turns.next(None));
        assert!(turns.next(None).now_or_never().is_some(), "it was free, and nobody looked");
        assert!(turns.0.lock().unwrap().by_party.is_empty());
    }
}
