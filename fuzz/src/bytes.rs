//! The byte targets: each takes any bytes, and panics if a promise that holds for all bytes is broken.
//!
//! They are plain functions, so that libFuzzer (`fuzz/bytes`) and `cargo test` (`fuzz/tests/bytes.rs`) run the same.

mod against_yrs;
mod allocation;
mod awareness;
mod blocks;
mod collection;
mod cost;
mod dialect;
mod elements;
mod hocuspocus;
mod inflate;
mod log;
mod metered;
mod model;
pub mod oracle;
mod planted;
mod room;
mod rounds;
pub mod seeds;
mod state_vector;
mod update;

pub use awareness::awareness;
pub use blocks::blocks;
pub use dialect::dialect;
pub use hocuspocus::hocuspocus;
pub use inflate::inflate;
pub use log::log;
#[cfg(feature = "planted-bugs")]
pub use planted::Waste;
pub use room::room;
#[cfg(feature = "planted-bugs")]
pub use room::room_with;
pub use state_vector::state_vector;
pub use update::update;

/// A target: its name, which is also that of its corpus, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("awareness", awareness),
    ("blocks", blocks),
    ("dialect", dialect),
    ("hocuspocus", hocuspocus),
    ("inflate", inflate),
    ("log", log),
    ("room", room),
    ("state_vector", state_vector),
    ("update", update),
];
