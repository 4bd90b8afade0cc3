//! yrs, in a process that may die.
//!
//! What needs a document itself (JSON, text, a second opinion on its ids) needs yrs, and yrs is not safe with hostile
//! updates: it may overflow its stack, loop for ever, take gigabytes or use freed memory. So it runs in a child process (the
//! same program, started once more) with a large stack and limits on memory and time. A document that is too much for it
//! costs that process; it is killed, replaced, and the document is named.
//!
//! | Of any child | |
//! |---|---|
//! | [`Child`] | the parent's side: starts it, asks it, kills and replaces it |
//! | [`serve()`] | its own side: answers, within [`Limits`] |
//! | [`frame`] | what goes between the two |
//!
//! | Of `coscribe worker` | |
//! |---|---|
//! | [`Worker`] | the parent's side |
//! | [`run`] | its own side |
//! | [`message`] | what is asked and answered |
//! | [`document`] | yrs: content as JSON and as text |
#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod limits;

mod child;
pub mod frame;
mod serve;

mod answer;
pub mod message;
mod worker;

pub mod document;

pub use answer::run;
pub use child::{Child, Unanswered};
pub use limits::Limits;
pub use serve::{ServeError, serve};
pub use worker::{Failure, Worker};
