//! The number of a connection in its room.

/// One connection as its room sees it. Never reused while a room lives, and never 0.
#[derive(Debug, Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u64);

/// What a peer may do with the document.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Access {
    /// It gets what others write, is seen, and changes nothing.
    Read,
    /// It may write as well.
    #[default]
    Write,
}

/// What a peer may do, and what it wants to hear beside what it asks for.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What it may do with the document.
    pub access: Access,
    /// It counts its messages with an update, and is to hear of each when that is durable, or refused
    /// ([`crate::message::Outbound::Saved`]). An answer to a question that it has not wanted
    /// ([`crate::message::Inbound::Offer`]) does not count.
    pub counted: bool,
    /// It can be sent texts of the application.
    pub hears_stateless: bool,
}
