//! What is known to be durable. A y-websocket server gives a SyncStatus back when all that came before it is on disk; one of
//! Hocuspocus sends one for each message with an update, in order and without saying for which.

use std::collections::VecDeque;

use bytes::Bytes;

/// Stands for all that was sent before it was asked for. Later ones are larger, also on later connections.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(u64);

/// Receipts of one document.
#[derive(Debug, Default)]
pub struct Receipts {
    /// The last one.
    last: u64,
    /// Those without an answer on this connection, the oldest first.
    owed: VecDeque<Receipt>,
}

impl Receipts {
    /// Asks for one; gives the token that the server is to give back.
    pub fn ask(&mut self) -> (Receipt, Bytes) {
        let receipt = self.add();
        (receipt, Bytes::copy_from_slice(&self.last.to_le_bytes()))
    }

    /// The server has given a token back; gives the receipt if it was owed. It stands for those before as well.
    pub fn confirmed(&mut self, token: &[u8]) -> Option<Receipt> {
        let confirmed = Receipt(u64::from_le_bytes(token.try_into().ok()?));
        let mut last = None;
        while let Some(receipt) = self.owed.pop_front_if(|receipt| *receipt <= confirmed) {
            last = Some(receipt);
        }
        last
    }

    /// One is owed without being asked for.
    pub fn add(&mut self) -> Receipt {
        self.last += 1;
        let receipt = Receipt(self.last);
        self.owed.push_back(receipt);
        receipt
    }

    /// The oldest has come, if any was owed.
    pub fn oldest(&mut self) -> Option<Receipt> {
        self.owed.pop_front()
    }

    /// The connection has ended: nothing is owed any more.
    pub fn forget(&mut self) {
        self.owed.clear();
    }

    /// Whether none is owed.
    pub fn is_settled(&self) -> bool {
        self.owed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_for_those_before_it_and_counts_once() {
        let mut receipts = Receipts::default();
        let (first, early) = receipts.ask();
        let (second, token) = receipts.ask();
        let (third, _) = receipts.ask();
        assert!(first < second && second < third);
        assert_eq!(receipts.confirmed(&token), Some(second));
        assert_eq!([receipts.confirmed(&token), receipts.confirmed(&early)], [None, None]);
        assert!(!receipts.is_settled());
    }

    #[test]
    fn receipts_without_tokens_come_in_order() {
        let mut receipts = Receipts::default();
        let (first, second) = (receipts.add(), receipts.add());
        assert_eq!([(); 3].map(|()| receipts.oldest()), [Some(first), Some(second), None]);
    }

    #[test]
    fn what_nobody_asked_for_is_no_receipt() {
        let mut receipts = Receipts::default();
        assert_eq!(receipts.confirmed(b"another's"), None);
        assert_eq!(receipts.confirmed(&7u64.to_le_bytes()), None);
    }

    #[test]
    fn a_receipt_of_a_connection_that_has_ended_does_not_come_any_more() {
        let mut receipts = Receipts::default();
        let (_, token) = receipts.ask();
        receipts.forget();
        assert!(receipts.is_settled());
        assert_eq!(receipts.confirmed(&token), None);
        assert!(receipts.ask().1 != token);
    }
}
