//! Who gives way where there is not enough memory.
//!
//! A debtor is an address with all its connections, or a document. The largest of them gives way first, and of an address the
//! largest connection: so who opens a thousand connections pays for all of them, and who has one notices nothing.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use coscribe_engine::message::{Parting, Reason};
use coscribe_persistence::DocumentName;
use coscribe_turns::Party;
use coscribe_websocket::awake;
use tokio::time::{Duration, Instant, sleep};
use tracing::warn;

use crate::budget::{Budget, Strain};
use crate::connection::Orders;
use crate::connection::register::Connections;
use crate::limits::{GIVES_WAY_WITHIN, RELIEF_INTERVAL, STRAIN_PATIENCE};
use crate::metrics::Metrics;
use crate::rooms::Rooms;

/// What those hear who are sent away.
const WORDS: &str = "the server is short of memory; try again later";

/// Somebody who can give way.
enum Debtor {
    Connection(Arc<Orders>),
    Document(DocumentName),
}

/// Who pays for it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Payer {
    Party(Party),
    Document(DocumentName),
}

/// What somebody owes, in bytes.
struct Debt<T> {
    payer: Payer,
    bytes: usize,
    debtor: T,
}

/// Sends the largest debtors away whenever there is not enough. Never ends.
pub(crate) async fn relieve(
    budget: Arc<Budget>,
    connections: Arc<Connections>,
    rooms: Arc<Rooms>,
    metrics: Arc<Metrics>,
) {
    let mut relief = Relief { budget, connections, rooms, metrics, asked: HashMap::new() };
    loop {
        relief.budget.strained().await;
        relief.run().await;
    }
}

struct Relief {
    budget: Arc<Budget>,
    connections: Arc<Connections>,
    rooms: Arc<Rooms>,
    metrics: Arc<Metrics>,
    /// Documents that were asked to give way, and when.
    asked: HashMap<DocumentName, Instant>,
}

impl Relief {
    /// Goes on until there is enough.
    async fn run(&mut self) {
        let began = Instant::now();
        loop {
            let patience = match self.budget.strain() {
                Strain::None => break,
                Strain::High => STRAIN_PATIENCE,
                Strain::Full => Duration::ZERO,
            };
            self.rooms.close_unused();
            // Time in which the process did not run is none in which anybody could give anything back.
            if began.max(awake::resumed()).elapsed() >= patience {
                self.send_largest_away();
            }
            self.budget.relieved();
            sleep(RELIEF_INTERVAL).await;
        }
        self.asked.clear();
        self.budget.relieved();
    }

    fn send_largest_away(&mut self) {
        let now = Instant::now();
        self.asked.retain(|_, asked| now.duration_since(*asked) < GIVES_WAY_WITHIN);
        // What those hold who are about to leave, or have left and not yet given all back, is free soon. It is counted as the budget
        // does: what is too much there would be nobody's otherwise, and those who wait for relief would wait for ever.
        let (mut debts, mut staying) = (Vec::new(), 0);
        for (account, orders) in self.connections.accounts() {
            let bytes = account.debt();
            if !orders.is_closing() {
                staying += account.counted();
                debts.push(Debt {
                    payer: Payer::Party(account.party()),
                    bytes,
                    debtor: Debtor::Connection(orders),
                });
            }
        }
        for (name, account) in self.rooms.accounts() {
            let bytes = account.debt();
            if !self.asked.contains_key(&name) {
                staying += account.counted();
                debts.push(Debt {
                    payer: Payer::Document(name.clone()),
                    bytes,
                    debtor: Debtor::Document(name),
                });
            }
        }
        if staying > self.budget.comfortable() {
            self.send_away(largest(debts, staying - self.budget.relaxed()), now);
        }
    }

    fn send_away(&mut self, debtors: Vec<Debtor>, now: Instant) {
        let (mut connections, mut documents) = (0, 0);
        for debtor in debtors {
            match debtor {
                Debtor::Connection(orders) => {
                    orders.give_way(Parting::new(Reason::Overload, WORDS));
                    connections += 1;
                }
                Debtor::Document(name) => {
                    self.rooms.give_way(&name, WORDS);
                    self.asked.insert(name, now);
                    documents += 1;
                }
            }
        }
        if connections + documents > 0 {
            self.metrics.gave_way("connection", connections);
            self.metrics.gave_way("document", documents);
            let (held, bound) = (self.budget.held(), self.budget.bound());
            warn!(held, bound, connections, documents, "short of memory: the largest debtors are sent away");
        }
    }
}

/// The debtors that give way so that `excess` bytes are free: of the payer that owes most at that moment, the largest one.
fn largest<T>(debts: Vec<Debt<T>>, excess: usize) -> Vec<T> {
    let mut by_payer: HashMap<Payer, Vec<(usize, T)>> = HashMap::new();
    for Debt { payer, bytes, debtor } in debts {
        by_payer.entry(payer).or_default().push((bytes, debtor));
    }
    let mut payers: BinaryHeap<(usize, Payer)> = BinaryHeap::new();
    for (payer, debts) in &mut by_payer {
        debts.sort_unstable_by_key(|(bytes, _)| *bytes);
        payers.push((debts.iter().map(|(bytes, _)| bytes).sum(), payer.clone()));
    }
    let (mut chosen, mut freed) = (Vec::new(), 0);
    while freed < excess
        && let Some((owed, payer)) = payers.pop()
    {
        let Some((bytes, debtor)) = by_payer.get_mut(&payer).and_then(Vec::pop) else { continue };
        chosen.push(debtor);
        freed += bytes;
        payers.push((owed - bytes, payer));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_address(last: u8, bytes: usize, debtor: &'static str) -> Debt<&'static str> {
        Debt { payer: Payer::Party(Some([10, 0, 0, last].into())), bytes, debtor }
    }

    fn of_document(name: &'static str, bytes: usize) -> Debt<&'static str> {
        Debt { payer: Payer::Document(DocumentName::new(name).unwrap()), bytes, debtor: name }
    }

    #[test]
    fn whoever_owes_most_in_all_gives_way_first() {
        let debts = || {
            vec![
                of_address(1, 50, "one connection with much"),
                of_address(2, 30, "a"),
                of_address(2, 31, "b"),
                of_address(2, 29, "c"),
                of_document("large", 55),
                of_document("small", 1),
            ]
        };
        assert!(largest(debts(), 0).is_empty());
        assert_eq!(largest(debts(), 1), ["b"], "its address owes 90");
        assert_eq!(largest(debts(), 32), ["b", "a"], "and then 59");
        assert_eq!(largest(debts(), 100), ["b", "a", "large"]);
        assert_eq!(largest(debts(), 1000).len(), 6, "everybody, if that is not enough");
    }

    #[test]
    fn those_without_an_address_pay_together() {
        let debts = vec![
            Debt { payer: Payer::Party(None), bytes: 5, debtor: "a" },
            Debt { payer: Payer::Party(None), bytes: 6, debtor: "b" },
            of_address(1, 10, "c"),
        ];
        assert_eq!(largest(debts, 1), ["b"]);
    }
}
