//! A turn, for code that is polled.

use std::task::{Context, Poll, ready};

use coscribe_turns::{NextTurn, Party, Turn, Turns};

/// A turn, or the wait for it. It ends when this is dropped.
#[derive(Default)]
pub(crate) enum Permit {
    #[default]
    NotNeeded,
    Waiting(NextTurn),
    Mine(Turn),
}

impl Permit {
    /// Ready when it is there.
    pub(crate) fn poll(&mut self, of: &Turns, party: Party, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Permit::NotNeeded => *self = Permit::Waiting(Box::pin(of.next(party))),
                Permit::Waiting(next) => *self = Permit::Mine(ready!(next.as_mut().poll(cx))),
                Permit::Mine(_) => return Poll::Ready(()),
            }
        }
    }

    /// Gives it away, if it is there.
    pub(crate) fn take(self) -> Option<Turn> {
        if let Permit::Mine(turn) = self { Some(turn) } else { None }
    }

    /// Whether it is waited for.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self, Permit::Waiting(_))
    }
}
