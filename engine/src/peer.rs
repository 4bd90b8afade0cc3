//! The number of a connection in its room, and what it may do and hears.

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

/// How a peer hears that its updates are durable.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub enum Confirmation {
    /// It asks for it ([`crate::message::Inbound::Confirm`]).
    #[default]
    OnRequest,
    /// It counts its messages with an update, and hears of each, also if that is refused
    /// ([`crate::message::Outbound::Saved`]). An answer to a question that it has not wanted
    /// ([`crate::message::Inbound::Offer`]) does not count.
    Counted,
    /// It gets an update back that names the same elements, without their content.
    ByIds,
}

/// What a peer may do, and what it wants to hear beside what it asks for.
#[derive(Debug, Copy, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What it may do with the document.
    pub access: Access,
    /// How it hears that its updates are durable.
    pub confirmation: Confirmation,
    /// Told that its own client is gone, it raises its clock without a word, and has to be asked for its awareness.
    pub renews_silently: bool,
    /// It can be sent texts of the application.
    pub hears_stateless: bool,
    /// What it wants confirmed ([`crate::message::Inbound::Confirm`]) includes its answer to the room's first question, also if
    /// that comes later.
    pub confirms_answer: bool,
}
