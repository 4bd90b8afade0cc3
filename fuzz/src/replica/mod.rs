//! A replica: one editor's document, run by yrs or by real Yjs.

mod interface;
mod view;

mod node;
mod yrs;

mod history;

pub(crate) use self::history::History;
pub use self::interface::{Replica, ReplicaError};
pub use self::node::{FOLDER_VARIABLE, NodeError, NodeProcess, NodeReplica};
pub use self::view::View;
pub use self::yrs::YrsReplica;
pub(crate) use self::yrs::view::to_json;
