//! What programs say to people on stdout and stderr: lines, errors, and the progress of long work.
//!
//! Nobody has to read them. `println!` panics when its reader has gone, and takes the work with it; [`say!`] and [`note!`] do
//! not. The crate knows nothing of what is said.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod output;
mod progress;
mod words;

pub use output::{ending, error, line, print, stderr};
pub use progress::Progress;
pub use words::{counted, words};
