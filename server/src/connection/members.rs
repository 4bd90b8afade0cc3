//! The memberships of one connection, by numbers that are used again, and whose turn it is to write.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use coscribe_engine::message::Parting;

use super::delivery::Delivery;
use super::permission::Permit;
use crate::rooms::{Membership, Outbox};

/// A connection's place in one room, and what goes through it.
pub(super) struct Member {
    pub(super) membership: Membership,
    pub(super) outbox: Arc<Outbox>,
    pub(super) delivery: Delivery,
    /// What its client may do.
    pub(super) permit: Permit,
    /// What was taken from the outbox and is not written yet, as the outbox counts it.
    pub(super) taken: usize,
    /// Why the room has sent it away: it is told after what is queued.
    pub(super) parting: Option<Parting>,
    /// Whether it is among those that wait for their turn.
    is_in_line: bool,
}

impl Member {
    /// It has joined, and nothing has come through its outbox.
    pub(super) fn new(
        membership: Membership,
        outbox: Arc<Outbox>,
        delivery: Delivery,
        permit: Permit,
    ) -> Member {
        Member { membership, outbox, delivery, permit, taken: 0, parting: None, is_in_line: false }
    }

    /// Whether it waits for its turn to write.
    pub(super) fn is_in_line(&self) -> bool {
        self.is_in_line
    }
}

/// The memberships of one connection.
#[derive(Default)]
pub(super) struct Members {
    by_number: Vec<Option<Member>>,
    free: Vec<usize>,
    /// Those that have something to write, in the order in which they do.
    line: VecDeque<usize>,
}

impl Members {
    /// The number that the next one gets.
    pub(super) fn next_number(&self) -> usize {
        self.free.last().copied().unwrap_or(self.by_number.len())
    }

    /// Adds one, under [`Self::next_number`].
    pub(super) fn add(&mut self, member: Member) {
        match self.free.pop() {
            Some(number) => self.by_number[number] = Some(member),
            None => {
                if self.by_number.is_empty() {
                    // Most connections have one, where a vector would have room for four.
                    self.by_number.reserve_exact(1);
                }
                self.by_number.push(Some(member));
            }
        }
    }

    /// Takes one out.
    pub(super) fn remove(&mut self, number: usize) -> Option<Member> {
        let member = self.by_number.get_mut(number)?.take()?;
        self.free.push(number);
        self.line.retain(|&other| other != number);
        Some(member)
    }

    /// The one with this number, if it is still there.
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Member> {
        self.by_number.get_mut(number)?.as_mut()
    }

    /// The one with this number, if it is still there.
    pub(super) fn get(&self, number: usize) -> Option<&Member> {
        self.by_number.get(number)?.as_ref()
    }

    /// Numbers among which are those of all members.
    pub(super) fn numbers(&self) -> Range<usize> {
        0..self.by_number.len()
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_number.iter().flatten()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.by_number.len() - self.free.len()
    }

    /// One has something to write, after all who have already.
    pub(super) fn line_up(&mut self, number: usize) {
        if let Some(member) = self.get_mut(number)
            && !mem::replace(&mut member.is_in_line, true)
        {
            self.line.push_back(number);
        }
    }

    /// Who is at this place in line.
    pub(super) fn waiting_at(&self, place: usize) -> Option<usize> {
        self.line.get(place).copied()
    }

    /// The one at this place in line has its turn.
    pub(super) fn take_turn(&mut self, place: usize) {
        let number = self.line.remove(place);
        if let Some(member) = number.and_then(|number| self.get_mut(number)) {
            member.is_in_line = false;
        }
    }

    /// All of them, when the connection ends.
    pub(super) fn into_all(self) -> impl Iterator<Item = Member> {
        self.by_number.into_iter().flatten()
    }
}
