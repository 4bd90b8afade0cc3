//! Workers: child processes that run documents with yrs, and may die of one.
//!
//! What needs a document itself (JSON, text, a second opinion on its ids) needs yrs, and yrs is not safe with hostile
//! updates: it may overflow its stack, loop for ever, take gigabytes or use freed memory. So it runs in a child process
//! (`coscribe worker`, the same binary) with a large stack and limits on memory and time. A document that is too much for
//! it costs that process; it is killed, replaced, and the document is named.

mod frame;
mod parent;
mod process;

pub(crate) use frame::{Question, Response};
pub(crate) use parent::{Failure, Worker};
pub(crate) use process::run;
