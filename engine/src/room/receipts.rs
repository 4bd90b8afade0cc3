//! What a peer hears of what it sent: a token that it wanted back, that a message with an update is saved, or which elements
//! are.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::document::named::Named;
use crate::limits::{COUNTED_RECEIPTS, SYNC_STATUS_BYTES};
use crate::message::Outbound;

/// What a receipt takes, beside ranges of elements: a token is no longer.
const RECEIPT_BYTES: usize = SYNC_STATUS_BYTES;

/// What is given when all that came before it is durable.
#[derive(Debug, PartialEq, Eq)]
enum Receipt {
    /// What the peer wanted back.
    Token(Bytes),
    /// So many messages with an update, and then so many that were refused.
    Counted { saved: u64, refused: u64 },
    /// The elements that updates name.
    Named(Named),
}

impl Receipt {
    /// Whether another one can be given with it, and what they say stays in order.
    fn keeps_order(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Counted { refused, .. }, Self::Counted { saved, .. }) => *refused == 0 || *saved == 0,
            (Self::Named(_), Self::Named(_)) => true,
            _ => false,
        }
    }

    /// Takes another one in that is due at the same time, if both are of a kind that allows it.
    fn join(&mut self, other: &Self) -> bool {
        match (self, other) {
            (Self::Counted { saved, refused }, Self::Counted { saved: more, refused: also_refused }) => {
                *saved += more;
                *refused += also_refused;
            }
            (Self::Named(named), Self::Named(more)) => named.extend(more),
            _ => return false,
        }
        true
    }
}

/// What a peer is to be given.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// In order, each with the sequence that must be durable first; `None` while something that the peer sent waits for a gap
    /// to fill.
    waiting: VecDeque<(Option<u64>, Receipt)>,
}

impl Receipts {
    /// How many there are, where messages that are due together count as one.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// About how many bytes of memory they take. O(receipts).
    pub(super) fn memory(&self) -> usize {
        let named = |(_, receipt): &(Option<u64>, Receipt)| match receipt {
            Receipt::Named(named) => named.memory(),
            Receipt::Token(_) | Receipt::Counted { .. } => 0,
        };
        self.waiting.len() * RECEIPT_BYTES + self.waiting.iter().map(named).sum::<usize>()
    }

    /// The peer wants a token back.
    pub(super) fn add_token(&mut self, token: &[u8]) {
        self.waiting.push_back((None, Receipt::Token(Bytes::copy_from_slice(token))));
    }

    /// A message with an update is to be told of when it is saved.
    pub(super) fn add_saved(&mut self) {
        self.add(Receipt::Counted { saved: 1, refused: 0 });
    }

    /// The elements that an update names are to be named when they are durable.
    pub(super) fn add_named(&mut self, named: Named) {
        self.add(Receipt::Named(named));
    }

    /// Where too many wait already, the last of them waits for this one.
    fn add(&mut self, receipt: Receipt) {
        let is_full = self.waiting.len() >= COUNTED_RECEIPTS;
        if let Some((due, last)) = self.waiting.back_mut()
            && (is_full || due.is_none() && last.keeps_order(&receipt))
            && last.join(&receipt)
        {
            *due = None;
        } else {
            self.waiting.push_back((None, receipt));
        }
    }

    /// A message with an update was refused. The peer hears of it after all that came before.
    pub(super) fn add_refused(&mut self) {
        let receipt = Receipt::Counted { saved: 0, refused: 1 };
        let due = self.waiting.back().map_or(Some(0), |(due, _)| *due);
        if !self.waiting.back_mut().is_some_and(|(_, last)| last.join(&receipt)) {
            self.waiting.push_back((due, receipt));
        }
    }

    /// The last one is not wanted any more.
    pub(super) fn forget_last(&mut self) {
        self.waiting.pop_back();
    }

    /// What waited for a gap to fill is due with this sequence. Whether there was anything. O(that).
    pub(super) fn date(&mut self, sequence: u64) -> bool {
        let is_undated = |(due, _): &&mut (Option<u64>, Receipt)| due.is_none();
        let mut dated = 0;
        for (due, _) in self.waiting.iter_mut().rev().take_while(is_undated) {
            *due = Some(sequence);
            dated += 1;
        }
        if dated == 1
            && let [.., (Some(before), first), (_, last)] = self.waiting.make_contiguous()
            && *before == sequence
            && first.keeps_order(last)
            && first.join(last)
        {
            self.waiting.pop_back();
        }
        dated > 0
    }

    /// The sequences that must be durable before something can be given.
    pub(super) fn dues(&self) -> impl Iterator<Item = u64> {
        self.waiting.iter().filter_map(|(due, _)| *due)
    }

    /// What was due after a sequence is due with another one instead.
    pub(super) fn postpone(&mut self, after: u64, until: u64) {
        for due in self.waiting.iter_mut().filter_map(|(due, _)| due.as_mut()) {
            *due = if *due > after { until } else { *due };
        }
    }

    /// The next that can be given, when all up to this sequence is durable.
    pub(super) fn next(&mut self, durable: u64) -> Option<Outbound> {
        self.waiting.front().filter(|(due, _)| due.is_some_and(|due| due <= durable))?;
        let (due, receipt) = self.waiting.pop_front()?;
        Some(match receipt {
            Receipt::Token(token) => Outbound::Confirmed(token),
            Receipt::Named(named) => Outbound::Update(named.encode().into()),
            Receipt::Counted { saved, refused } => {
                let is_saved = saved > 0;
                let rest = if is_saved { (saved - 1, refused) } else { (0, refused - 1) };
                if rest != (0, 0) {
                    let (saved, refused) = rest;
                    self.waiting.push_front((due, Receipt::Counted { saved, refused }));
                }
                Outbound::Saved(is_saved)
            }
        })
    }
}

/// Questions of the room that a peer has not answered yet: for each, in order, whether its answer counts.
#[derive(Debug, Default)]
pub(super) struct Questions {
    /// The oldest is the lowest bit.
    counted: u64,
    len: u32,
}

impl Questions {
    /// One was asked. A peer that has left as many unanswered as can be kept does not answer questions.
    pub(super) fn ask(&mut self, is_counted: bool) {
        if self.len < u64::BITS {
            self.counted |= u64::from(is_counted) << self.len;
            self.len += 1;
        }
    }

    /// An answer has come, or what nobody asked for. Whether it is to be counted.
    pub(super) fn answer(&mut self) -> bool {
        let is_counted = self.len == 0 || self.counted & 1 == 1;
        self.counted >>= 1;
        self.len = self.len.saturating_sub(1);
        is_counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lib0::write_var_uint;
    use crate::update::Update;
    use crate::work::{Work, finish};

    #[test]
    fn counts_are_given_one_by_one_when_they_are_due() {
        let mut receipts = Receipts::default();
        for sequence in [1, 1, 2] {
            receipts.add_saved();
            assert!(receipts.date(sequence));
        }
        assert_eq!(receipts.len(), 2, "two are due together");
        assert_eq!(receipts.next(0), None);
        assert_eq!(receipts.next(1), Some(Outbound::Saved(true)));
        assert_eq!(receipts.next(1), Some(Outbound::Saved(true)));
        assert_eq!(receipts.next(1), None);
        assert_eq!(receipts.next(2), Some(Outbound::Saved(true)));
        assert_eq!(receipts.next(9), None);
    }

    #[test]
    fn ranges_of_elements_are_part_of_the_memory() {
        // A thousand deletions of every second element.
        let mut update = vec![0, 1, 1];
        write_var_uint(&mut update, 1000);
        for clock in 0..1000 {
            write_var_uint(&mut update, 2 * clock);
            write_var_uint(&mut update, 1);
        }
        let update = Update::scan(update.into()).unwrap();
        let mut receipts = Receipts::default();
        receipts.add_named(finish(Named::in_update(&update, &mut Work::default())));
        assert!(receipts.memory() > 40_000, "{} bytes", receipts.memory());
    }

    #[test]
    fn what_is_refused_is_told_in_its_place() {
        let mut receipts = Receipts::default();
        receipts.add_refused();
        for sequence in [1, 2] {
            receipts.add_saved();
            receipts.date(sequence);
            receipts.add_refused();
        }
        receipts.add_saved();
        receipts.date(2);
        let told = |receipts: &mut Receipts, durable| {
            std::iter::from_fn(|| receipts.next(durable)).collect::<Vec<_>>()
        };
        let [saved, refused] = [true, false].map(Outbound::Saved);
        assert_eq!(told(&mut receipts, 0), std::slice::from_ref(&refused));
        assert_eq!(told(&mut receipts, 1), [saved.clone(), refused.clone()]);
        assert_eq!(told(&mut receipts, 2), [saved.clone(), refused, saved]);
    }

    #[test]
    fn what_waits_for_a_gap_is_not_given_before_it_has_a_date() {
        let mut receipts = Receipts::default();
        receipts.add_saved();
        receipts.add_token(&[7]);
        receipts.add_saved();
        assert_eq!(receipts.next(9), None);
        assert!(receipts.date(3) && !receipts.date(4));
        assert_eq!(receipts.dues().collect::<Vec<_>>(), [3, 3, 3]);
        assert_eq!(receipts.next(3), Some(Outbound::Saved(true)));
        assert_eq!(receipts.next(3), Some(Outbound::Confirmed(Bytes::from_static(&[7]))));
        assert_eq!(receipts.next(3), Some(Outbound::Saved(true)));
    }

    #[test]
    fn however_long_the_disk_stands_still_no_count_is_lost() {
        let mut receipts = Receipts::default();
        let sent = 3 * COUNTED_RECEIPTS;
        let last = sent as u64;
        for sequence in 1..=last {
            receipts.add_saved();
            receipts.date(sequence);
        }
        assert_eq!(receipts.len(), COUNTED_RECEIPTS);
        let early = std::iter::from_fn(|| receipts.next(last - 1)).count();
        assert_eq!(early, COUNTED_RECEIPTS - 1, "none of those that were joined");
        assert_eq!(std::iter::from_fn(|| receipts.next(last)).count(), sent - early);
    }

    #[test]
    fn only_answers_to_questions_that_count_are_counted() {
        let mut questions = Questions::default();
        assert!(questions.answer(), "nobody asked");
        for is_counted in [true, false, true] {
            questions.ask(is_counted);
        }
        assert_eq!([(); 4].map(|()| questions.answer()), [true, false, true, true]);
    }
}
